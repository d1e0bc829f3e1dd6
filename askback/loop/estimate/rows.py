"""The questions that a run asks, with the passages that they are expected to carry. Nothing is asked and nothing is written."""

import random
from collections.abc import Sequence

from askback.contracts.records import Sample
from askback.loop.choose import HELD_OUT
from askback.loop.config import RunConfig
from askback.loop.estimate.earlier import lines_of
from askback.loop.passages import corpus
from askback.loop.sample import draw, held_out
from askback.loop.store import RunStore
from askback.tasks import task_named


def samples_of(config: RunConfig, store: RunStore | None) -> tuple[list[Sample], list[Sample], list[str]]:
    """(train, dev, notes): those of the run once it has sampled, else those that it would draw.

    Retrieved passages are not known before the run, so the question's own stand in, as many as would be retrieved, else some
    of the corpus.
    """
    if store is not None and store.manifest("sample"):
        train, dev = (list(lines_of(store.path("samples", f"{split}.jsonl"), Sample)) for split in ("train", "dev"))
        return train, dev, []
    train, dev = draw(task_named(config.task), config.data, config.seed)
    notes = []
    if config.data.sampling == "uncertainty":
        notes.append("data.sampling = uncertainty: the run will take other questions, so a seeded sub-sample of the same size stands in")
    if config.harvest.retrieve:
        train, dev, note = _with_passages(config, train, dev)
        notes.append(note)
    return train, dev, notes


def held_out_of(config: RunConfig, store: RunStore | None) -> list[Sample]:
    """The held-out rows, told as `samples_of` tells the others."""
    if store is not None and store.manifest("sample"):
        return list(lines_of(store.path(HELD_OUT), Sample))
    kept = held_out(task_named(config.task), config.data, config.seed)
    return _with_passages(config, kept, [])[0] if config.harvest.retrieve and kept else kept


def _with_passages(config: RunConfig, train: Sequence[Sample], dev: Sequence[Sample]) -> tuple[list[Sample], list[Sample], str]:
    wanted, generator = config.harvest.retrieve, random.Random(config.seed)  # noqa: S311
    splits = (train, dev)
    if not config.data.corpus and all(sample.passages for split in splits for sample in split):
        cut = [[sample.model_copy(update={"passages": sample.passages[:wanted]}) for sample in split] for split in splits]
        return cut[0], cut[1], f"harvest.retrieve = {wanted}: which passages are found is not known yet; the first {wanted} of each question stand in"
    passages = corpus(config, [*train, *dev])
    size = min(wanted, len(passages))
    drawn = [[sample.model_copy(update={"passages": generator.sample(passages, size)}) for sample in split] for split in splits]
    return drawn[0], drawn[1], f"harvest.retrieve = {wanted}: which passages are found is not known yet; {size} drawn from the corpus stand in"
