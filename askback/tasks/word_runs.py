"""Texts as words, and the runs of words in them: what it takes to tell that two texts say the same."""

import re
from unicodedata import normalize

_WORD = re.compile(r"\w+")

Run = tuple[str, ...]


def words(text: str) -> Run:
    """The words of `text` without case and punctuation; a text without any word is one word."""
    plain = normalize("NFKC", text).casefold()
    return tuple(_WORD.findall(plain)) or (plain.strip(),)


def runs(text: str, length: int) -> set[Run]:
    """Every run of `length` words; a shorter text is one run."""
    found = words(text)
    return {found[start : start + length] for start in range(max(1, len(found) - length + 1))}
