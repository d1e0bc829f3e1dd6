"""Whether the test questions stand in what the student was trained on or prompted with."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from askback.contracts.measures import Overlap
from askback.contracts.records import Sample
from askback.tasks import Task, prompts
from askback.tasks.word_runs import Run, runs, words

_SHOWN = 5


def overlaps(task: Task, test: Sequence[Sample], others: Mapping[str, Mapping[str, str]], ngram: int = 8) -> list[Overlap]:
    """One Overlap for each of `others` (name -> id -> text), then one for `prompts`, the task's own, unless `others` has that name.

    A test question is contaminated when one of its runs of `ngram` words stands in a text of the other side, or, where it is shorter than
    that, all of its words do. Case and punctuation do not count. 8 is what the filter between harvest and tracks drops by, and the least
    that GPT-3's authors looked for, since shorter runs meet by chance (Brown et al. 2020, appendix C: 8 to 13 words, by the length of a
    set's shortest examples); 13 is longer than most questions of StrategyQA.
    """
    sides = dict(others)
    sides.setdefault("prompts", {role: prompts.template(task.name, role) for role in prompts.roles(task.name)})
    wanted = _Wanted(test, ngram)
    return [wanted.in_texts(name, texts) for name, texts in sides.items()]


class _Wanted:
    """The runs of the test questions, found by their first word so that long texts are passed over quickly."""

    def __init__(self, test: Sequence[Sample], ngram: int) -> None:
        self._ngram = ngram
        self._ids = [sample.id for sample in test]
        self._holders: dict[Run, list[str]] = defaultdict(list)
        for sample in test:
            for run in runs(sample.question, ngram):
                self._holders[run].append(sample.id)
        self._lengths: dict[str, set[int]] = defaultdict(set)
        for run in self._holders:
            self._lengths[run[0]].add(len(run))

    def in_texts(self, name: str, texts: Mapping[str, str]) -> Overlap:
        first: dict[str, tuple[str, Run]] = {}
        for other, text in texts.items():
            for run in self._found(text):
                for holder in self._holders[run]:
                    first.setdefault(holder, (other, run))
        examples = [(holder, first[holder][0], " ".join(first[holder][1])) for holder in self._ids if holder in first]
        return Overlap(against=name, ngram=self._ngram, rows=len(texts), contaminated=len(first), examples=examples[:_SHOWN])

    def _found(self, text: str) -> Iterator[Run]:
        placed = words(text)
        for start, word in enumerate(placed):
            for length in self._lengths.get(word, ()):
                run = placed[start : start + length]
                if run in self._holders:
                    yield run
