"""Questions compared by their words: the same, nearly the same, or with a run of words in common."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from askback.tasks.word_runs import Run, runs, words

_NEAR_WORDS = 5


def repeated(texts: Iterable[str]) -> set[int]:
    """Positions of the texts whose words were all there before, in the same order."""
    seen: set[Run] = set()
    again = set()
    for position, text in enumerate(texts):
        if words(text) in seen:
            again.add(position)
        seen.add(words(text))
    return again


def nearly_repeated(texts: Iterable[str], threshold: float) -> set[int]:
    """Positions of the texts whose 5-grams of words equal those of an earlier, kept text to a Jaccard share of at least `threshold`."""
    holders: dict[Run, list[int]] = defaultdict(list)
    sizes: dict[int, int] = {}
    again = set()
    for position, text in enumerate(texts):
        own = runs(text, _NEAR_WORDS)
        common = Counter(holder for run in own for holder in holders[run])
        if any(count / (len(own) + sizes[holder] - count) >= threshold for holder, count in common.items()):
            again.add(position)
            continue
        sizes[position] = len(own)
        for run in own:
            holders[run].append(position)
    return again


def overlapping(texts: Iterable[str], others: Sequence[str], length: int) -> set[int]:
    """Positions of the texts that share a run of `length` words with one of `others`."""
    known = {run for other in others for run in runs(other, length)}
    return {position for position, text in enumerate(texts) if not known.isdisjoint(runs(text, length))}
