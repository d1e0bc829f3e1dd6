"""How much of a question another question says.

Words are compared without those that lead nowhere ("what is the ..."): between a student's question and the gold steps of another row
the F1 of all words averages 0.25 on StrategyQA, that of the telling words 0.01, so that only the latter measures likeness.
"""

import re
from collections import Counter

from askback.tasks.shared_words import is_light
from askback.tasks.word_runs import words

SAME = 0.8
"""Share of common words (Jaccard) from which two questions ask the same. Over all of StrategyQA's gold steps 0.1 % come so near to their
question and 0.4 % to another step of it, so that a question which does is hardly ever a step of its own; at 0.6 it is 1.2 and 1.4 %."""

_REFERENCE = re.compile(r"#\d+")


def telling(text: str) -> Counter[str]:
    """How often each word that says something stands in `text`, without references (`#1`) to earlier answers."""
    return Counter(word for word in words(_REFERENCE.sub(" ", text)) if any(map(str.isalnum, word)) and not is_light(word))


def likeness(left: Counter[str], right: Counter[str]) -> float:
    """Unigram F1 of two questions' words, in [0, 1]; 0 where either has none."""
    common = (left & right).total()
    return 2 * common / (left.total() + right.total()) if common else 0.0


def asks_the_same(left: Counter[str], right: Counter[str]) -> bool:
    """Whether at least SAME of the distinct words of both stand in each."""
    return bool(left) and len(left.keys() & right.keys()) >= SAME * len(left.keys() | right.keys())
