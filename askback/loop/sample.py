"""Stage `sample`: a seeded, stratified sub-sample of the training and dev questions."""

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from askback.contracts.records import Sample
from askback.loop.config import DataConfig
from askback.tasks import Task
from askback.tasks.datafile import load_local
from askback.tasks.hub import load_hub


def stratum(task: Task, sample: Sample) -> str:
    """What the sub-sample keeps in proportion: the answer of closed tasks, the question's type of others."""
    return sample.answer if task.choices else sample.kind


def stratified(task: Task, samples: Sequence[Sample], size: int, seed: int) -> list[Sample]:
    """`size` samples with every stratum in its own proportion (largest remainder), in shuffled order."""
    size = min(size, len(samples))
    generator = random.Random(seed)  # noqa: S311
    strata: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        strata[stratum(task, sample)].append(sample)
    shares = {name: size * len(members) / len(samples) for name, members in strata.items()}
    counts = {name: int(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (counts[name] - shares[name], name))
    for name in by_remainder[: size - sum(counts.values())]:
        counts[name] += 1
    chosen = [sample for name in sorted(strata) for sample in generator.sample(strata[name], counts[name])]
    generator.shuffle(chosen)
    return chosen


def draw(task: Task, data: DataConfig, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(train, dev) of the configured sizes, from local files or the hub."""
    if data.path:
        train, dev = (load_local(task, Path(data.path), split) for split in ("train", "dev"))
    else:
        train, dev = load_hub(task, seed)
    return stratified(task, train, data.train, seed), stratified(task, dev, data.dev, seed)
