"""The last sentences of an English text, by rules."""

import re

_END = re.compile(r"[.!?]+[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9])")
_SHORT = re.compile(
    r"(?:^|[\s(\"'“‘])(?:"
    r"[A-Za-z]|(?:[A-Za-z]\.)+[A-Za-z]|"  # an initial; U.S, e.g, p.m
    r"Mr|Mrs|Ms|Dr|Prof|St|Mt|Ft|Sr|Jr|Gen|Col|Lt|Sgt|Capt|Sen|Rep|Gov|Rev|Hon|"
    r"vs|etc|cf|al|approx|ca|est|Inc|Ltd|Co|Corp|Bros|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec"
    r")$"
)
_COUNTED = re.compile(r"(?:^|\s|\()(?:no|vol|fig|ch|pp)$", re.IGNORECASE)  # "No. 5", yet "No." ends a sentence before a word
_NUMBER = re.compile(r"^\W*\d+$")  # a list's number opens its sentence


def sentences(text: str) -> list[str]:
    """The sentences of `text`, each without the white space around it.

    A full stop behind an initial, a common abbreviation or a list's number ends none, so where one stands at a sentence's end the next
    sentence stays joined to it.
    """
    found, begin = [], 0
    for end in _END.finditer(text):
        before, number = text[begin : end.start()], text[end.end()].isdigit()
        if text[end.start()] == "." and (_SHORT.search(before) or _NUMBER.match(before) or (number and _COUNTED.search(before))):
            continue
        found.append(text[begin : end.end()].strip())
        begin = end.end()
    rest = text[begin:].strip()
    return [*found, rest] if rest else found


def last_sentences(text: str, most: int | None) -> str:
    """The last `most` sentences of `text` in its own words; None keeps the text as it is."""
    if most is None:
        return text
    return " ".join(sentences(text)[-most:]) if most else ""
