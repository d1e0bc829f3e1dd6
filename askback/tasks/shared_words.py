"""What a question and a sentence have in common: the words by which one leads to the other."""

import re
from itertools import takewhile

Placed = tuple[int, int, str]
"""Where a word begins and ends in its text, and the word without case."""

_WORD = re.compile(r"\w+(?:['’.-]\w+)*")
_LIGHT = re.compile(
    r"a|an|and|are|as|at|be|been|between|both|but|by|can|did|do|does|for|from|had|has|have|he|her|his|how|in|into|is|it|its"
    r"|of|on|one|or|s|she|than|that|the|their|them|then|there|they|this|to|two|was|were|what|when|where|which|while|who|whom|whose|why|will|with|would"
)
"""Words that lead nowhere on their own."""

_MOST_WORDS = 8  # a longer run copies the question


def weight(text: str) -> int:
    """The number of words of `text` that say something."""
    return sum(not is_light(word) for word in _WORD.findall(text))


def longest_shared_run(question: str, sentence: str) -> str:
    """The run of at most eight words, of most weight, that both hold, as `question` spells it, without light words at its ends; empty without one.

    Case does not count. Of two runs of the same weight the first in `question` is taken.
    """
    ours: list[Placed] = [(match.start(), match.end(), match[0].casefold()) for match in _WORD.finditer(question)]
    theirs = [word.casefold() for word in _WORD.findall(sentence)]
    best = ""
    for begin in range(len(ours)):
        for other in range(len(theirs)):
            words = _common_start(ours[begin : begin + _MOST_WORDS], theirs[other : other + _MOST_WORDS])
            while words and is_light(words[-1][2]):
                words.pop()
            run = question[words[0][0] : words[-1][1]] if words and not is_light(words[0][2]) else ""
            if weight(run) > weight(best):
                best = run
    return best


def _common_start(ours: list[Placed], theirs: list[str]) -> list[Placed]:
    pairs = zip(ours, theirs, strict=False)
    return [word for word, _ in takewhile(lambda pair: pair[0][2] == pair[1], pairs)]


def is_light(word: str) -> bool:
    """Whether `word`, in any case, leads nowhere on its own."""
    return _LIGHT.fullmatch(word.casefold()) is not None
