"""Find the user's mistakes in the data before any service is started or asked."""

from pathlib import Path

from askback.loop.config import RunConfig
from askback.loop.passages import corpus
from askback.loop.recordings import read_recordings
from askback.loop.sample import draw
from askback.tasks import task_named


def preflight(config: RunConfig) -> None:
    """Read everything that the run will read; raises InvalidInput naming file, line and remedy."""
    train, dev = draw(task_named(config.task), config.data, config.seed)
    files = [Path(config.data.path) / name for name in config.data.recordings]
    if config.harvest.teacher == "replay":
        read_recordings(files, {sample.id for sample in [*train, *dev]})
    if config.harvest.retrieve:
        corpus(config, [*train, *dev])
