"""Stage `sample`: a seeded, stratified sub-sample of the training and dev questions."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Sample
from askback.loop.config import DataConfig
from askback.tasks import Task
from askback.tasks.datafile import load_local
from askback.tasks.hub import load_hub

Strata = Mapping[str, list[Sample]]


def stratum(task: Task, sample: Sample) -> str:
    """What the sub-sample keeps in proportion: the answer of closed tasks, the question's type of others."""
    return sample.answer if task.choices else sample.kind


def stratified(task: Task, samples: Sequence[Sample], size: int, seed: int) -> list[Sample]:
    """`size` samples with every stratum in its own proportion (largest remainder), in shuffled order."""
    generator = random.Random(seed)  # noqa: S311
    strata = _strata(task, samples)
    counts = _counts(strata, size)
    chosen = [sample for name in sorted(strata) for sample in generator.sample(strata[name], counts[name])]
    generator.shuffle(chosen)
    return chosen


def least_certain(task: Task, samples: Sequence[Sample], size: int, seed: int, uncertainty: Mapping[str, float]) -> list[Sample]:
    """As `stratified`, with the samples of the largest `uncertainty` (by id) of each stratum; the seed decides between equals.

    Samples without a known uncertainty come last.
    """
    generator = random.Random(seed)  # noqa: S311
    strata = _strata(task, samples)
    counts = _counts(strata, size)
    chosen: list[Sample] = []
    for name in sorted(strata):
        members = generator.sample(strata[name], len(strata[name]))
        chosen += sorted(members, key=lambda sample: -uncertainty.get(sample.id, -1.0))[: counts[name]]
    generator.shuffle(chosen)
    return chosen


def share(task: Task, samples: Sequence[Sample], part: float, seed: int, uncertainty: Mapping[str, float] | None = None) -> set[str]:
    """Ids of `part` of the samples, of each stratum in proportion and one at the least: drawn with `seed`, or with `uncertainty` (by id) the
    least certain ones."""
    size = max(1, round(part * len(samples)))
    chosen = stratified(task, samples, size, seed) if uncertainty is None else least_certain(task, samples, size, seed, uncertainty)
    return {sample.id for sample in chosen}


def _strata(task: Task, samples: Sequence[Sample]) -> Strata:
    strata: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        strata[stratum(task, sample)].append(sample)
    return strata


def _counts(strata: Strata, size: int) -> dict[str, int]:
    """Samples to take of each stratum, `size` in all, or all that there are."""
    everything = sum(map(len, strata.values()))
    size = min(size, everything)
    shares = {name: size * len(members) / everything for name, members in strata.items()}
    counts = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (counts[name] - shares[name], name))
    for name in by_remainder[: size - sum(counts.values())]:
        counts[name] += 1
    return counts


def held_out(task: Task, data: DataConfig, seed: int) -> list[Sample]:
    """The rows of train that the run chooses by and never trains on; the same whatever the training rows are.

    Raises InvalidInput where they would leave nothing to train on.
    """
    return _held_out(task, _load(task, data, seed)[0], data, seed) if data.held_out else []


def draw(task: Task, data: DataConfig, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(train, dev) of the configured sizes, from local files or the hub, whatever `data.sampling` is."""
    train, dev = _trainable(task, data, seed)
    return stratified(task, train, data.train, seed), stratified(task, dev, data.dev, seed)


def draw_pool(task: Task, data: DataConfig, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(pool, dev), where the pool holds the `data.pool` training questions that the student is asked about; 0 takes all."""
    train, dev = _trainable(task, data, seed)
    return stratified(task, train, data.pool or len(train), seed), stratified(task, dev, data.dev, seed)


def _trainable(task: Task, data: DataConfig, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(train without the held-out rows, dev)."""
    train, dev = _load(task, data, seed)
    ids = {sample.id for sample in _held_out(task, train, data, seed)}
    return [sample for sample in train if sample.id not in ids], dev


def _held_out(task: Task, train: Sequence[Sample], data: DataConfig, seed: int) -> list[Sample]:
    if not data.held_out:
        return []
    if data.held_out >= len(train):
        raise InvalidInput(f"data.held_out: {data.held_out} rows leave none of the {len(train)} of train to train on; hold out fewer")
    return stratified(task, train, data.held_out, seed)


def _load(task: Task, data: DataConfig, seed: int) -> tuple[list[Sample], list[Sample]]:
    if not data.path:
        return load_hub(task, seed)
    return load_local(task, Path(data.path), "train"), load_local(task, Path(data.path), "dev")
