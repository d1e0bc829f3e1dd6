from collections import Counter

import pytest

from askback.contracts.records import Sample
from askback.loop.sample import stratified
from askback.tasks import task_named

TASK = task_named("strategyqa")
SAMPLES = [Sample(id=str(i), task="strategyqa", question="Q?", answer="yes" if i % 4 == 0 else "no") for i in range(100)]


@pytest.mark.parametrize("size", [1, 3, 10, 50, 99, 100])
def test_size_and_proportions(size: int) -> None:
    chosen = stratified(TASK, SAMPLES, size, seed=1)
    assert len({sample.id for sample in chosen}) == size
    assert abs(Counter(sample.answer for sample in chosen)["yes"] - size / 4) < 1


def test_more_than_there_is_takes_all() -> None:
    assert len(stratified(TASK, SAMPLES, 500, seed=1)) == 100


def test_the_seed_decides() -> None:
    first = [sample.id for sample in stratified(TASK, SAMPLES, 20, seed=1)]
    assert first == [sample.id for sample in stratified(TASK, SAMPLES, 20, seed=1)]
    assert first != [sample.id for sample in stratified(TASK, SAMPLES, 20, seed=2)]
