"""Find the user's mistakes in the data before any service is started or asked."""

from askback.loop.config import RunConfig
from askback.loop.passages import corpus
from askback.loop.recordings import read_recordings, recording_files
from askback.loop.sample import draw, held_out
from askback.tasks import task_named


def preflight(config: RunConfig) -> None:
    """Read everything that the run will read; raises InvalidInput naming file, line and remedy."""
    task = task_named(config.task)
    train, dev = draw(task, config.data, config.seed)
    dev = [*dev, *held_out(task, config.data, config.seed)]
    if config.harvest.teacher == "replay":
        read_recordings(recording_files(config), {sample.id for sample in [*train, *dev]})
    if config.harvest.retrieve:
        corpus(config, [*train, *dev])
