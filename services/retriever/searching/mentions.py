"""Pages that a passage mentions by their titles."""

import re
from collections.abc import Callable, Sequence, Set

from services.retriever.words.bm25s_index import words_of

_WORD = re.compile(r"\w+")
_LONGEST = 8  # words of a title; longer ones are rarely written out in a text


def mentions(text: str, named: Callable[[str], Sequence[int]]) -> list[int]:
    """Positions that `named` gives for the names in `text`, in order and once each.

    A name begins with a capital or a digit; the longest that stands for a page is taken, and the text goes on behind it. One word
    alone is no name when it is a number or a stop word, which stand at the beginning of a sentence.
    """
    words, content = _WORD.findall(text), set(words_of([text])[0])
    found: list[int] = []
    start = 0
    while start < len(words):
        length, positions = _longest(words[start : start + _LONGEST], content, named)
        found += positions
        start += length
    return list(dict.fromkeys(found))


def _longest(words: Sequence[str], content: Set[str], named: Callable[[str], Sequence[int]]) -> tuple[int, Sequence[int]]:
    """(words to go on by, positions) of the longest name that `words` begin with; `content` are the text's words without stop words."""
    if words[0][0].isupper() or words[0][0].isdigit():
        for length in range(len(words), 0, -1):
            if length == 1 and (words[0].isdigit() or words[0].lower() not in content):
                break
            if positions := named(" ".join(words[:length])):
                return length, positions
    return 1, ()
