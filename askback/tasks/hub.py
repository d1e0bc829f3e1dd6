"""Load an official dataset by name from the hub. The only file that imports `datasets`."""

import random
from collections.abc import Iterable, Mapping
from typing import Any

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Sample
from askback.tasks.task import Task

_DEV_SPLITS = ("dev", "validation", "test")
_DEV_SHARE = 0.1


def load_hub(task: Task, seed: int) -> tuple[list[Sample], list[Sample]]:
    """(train, dev), all labelled rows; raises InvalidInput saying what to do when the hub cannot be reached."""
    name, configuration = task.hub_dataset
    try:
        from datasets import load_dataset

        loaded: Any = load_dataset(name, configuration)
    except ModuleNotFoundError as error:
        raise InvalidInput("loading by name needs the `datasets` package: install askback[hub], or give --data DIR") from error
    except Exception as error:  # `datasets` and its file systems raise dozens of unrelated classes for a hub out of reach
        raise InvalidInput(
            f"{name} could not be loaded from the hub ({type(error).__name__}); download the official files on a connected machine"
            f" and run again with --data DIR, where DIR holds {task.local_file_hint}"
        ) from error
    return splits(task, loaded, seed)


def splits(task: Task, loaded: Mapping[str, Iterable[Any]], seed: int) -> tuple[list[Sample], list[Sample]]:
    """(train, dev) of a loaded dataset; a dataset without a labelled dev split gives a seeded tenth of its train split."""
    train = read_all(task, loaded["train"])
    for candidate in _DEV_SPLITS:
        if candidate in loaded:
            return train, read_all(task, loaded[candidate])
    random.Random(seed).shuffle(train)  # noqa: S311
    held_out = max(1, int(len(train) * _DEV_SHARE))
    return train[held_out:], train[:held_out]


def read_all(task: Task, rows: Iterable[Any]) -> list[Sample]:
    """Rows of a loaded split as Samples; raises InvalidInput with the row's number."""
    samples = []
    for number, row in enumerate(rows, 1):
        try:
            samples.append(task.read(row))
        except InvalidInput as error:
            raise InvalidInput(f"{task.hub_dataset[0]}, row {number}: {error}") from error
    return samples
