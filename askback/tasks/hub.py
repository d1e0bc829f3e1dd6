"""Load an official dataset by name from the hub. The only file that imports `datasets`."""

from collections.abc import Iterable
from typing import Any

from askback.contracts.errors import InvalidInput, UpstreamUnavailable
from askback.contracts.records import Sample
from askback.tasks.task import Task

_SPLITS = {"train": ("train",), "dev": ("dev", "validation", "test")}


def load_hub(task: Task, split: str) -> list[Sample]:
    """All labelled rows of `split`; raises UpstreamUnavailable saying what to do when the hub cannot be reached."""
    name, configuration = task.hub_dataset
    try:
        from datasets import load_dataset

        loaded: Any = load_dataset(name, configuration)
    except ModuleNotFoundError as error:
        raise InvalidInput("loading by name needs the `datasets` package: install askback[hub], or give --data DIR") from error
    except Exception as error:  # `datasets` and its file systems raise dozens of unrelated classes for a hub out of reach
        raise UpstreamUnavailable(
            f"{name} could not be loaded from the hub ({type(error).__name__}); download the official files on a connected machine"
            f" and run again with --data DIR, where DIR holds {task.local_file_hint}"
        ) from error
    for candidate in _SPLITS[split]:
        if candidate in loaded:
            return read_all(task, loaded[candidate])
    raise InvalidInput(f"{name} has no split among {', '.join(_SPLITS[split])}; give --data DIR instead")


def read_all(task: Task, rows: Iterable[Any]) -> list[Sample]:
    """Rows of a loaded split as Samples; raises InvalidInput with the row's number."""
    samples = []
    for number, row in enumerate(rows, 1):
        try:
            samples.append(task.read(row))
        except InvalidInput as error:
            raise InvalidInput(f"{task.hub_dataset[0]}, row {number}: {error}") from error
    return samples
