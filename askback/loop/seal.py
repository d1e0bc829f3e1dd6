"""Dev is read once, with the choice that was made before.

Figures on dev are worth their intervals only where nothing was chosen by them. Whoever has seen them and then edits a prompt, harvests
again or trains again has chosen by dev, whatever the stage `choose` says. So in a run that holds rows out, the first prediction on dev seals
all that leads to the choice, and what was chosen by then is on record in `dev_read.json`.
"""

import json
import time
from collections.abc import Collection

from askback.contracts.errors import InvalidInput
from askback.loop.choose import FILE
from askback.loop.stages import ORDER
from askback.loop.store import RunStore, file_sha256

RECORD = "dev_read.json"
_BEFORE = ORDER[: ORDER.index("choose") + 1]


def sealed(store: RunStore) -> bool:
    """Whether dev was read: predictions or scores on it are there."""
    return store.path("scores.json").exists() or any(file.stat().st_size for file in store.path("predictions").glob("*.jsonl"))


def check_reopening(store: RunStore, stages: Collection[str]) -> None:
    """Raise InvalidInput where `stages` lead to a choice with which dev was read."""
    again = [name for name in stages if name in _BEFORE]
    if again and sealed(store):
        raise InvalidInput(f"run {store.run_id}: {again[0]} cannot be done again: dev has been read with this choice; give a new --id")


def read_dev(store: RunStore) -> dict[str, str]:
    """Record that dev is read with the choice as it is now; returns the record, with `at` (UTC, ISO 8601) of the first reading.

    Raises InvalidInput where there is no choice, or another one than dev was read with.
    """
    if sealed(store) and store.path(RECORD).exists():
        check_choice(store)
        record: dict[str, str] = json.loads(store.path(RECORD).read_text(encoding="utf-8"))
        return record
    now = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "choice_sha256": _digest(store)}
    store.write_json(RECORD, now)
    return now


def check_choice(store: RunStore) -> None:
    """Raise InvalidInput where there is no choice, or another one than dev was read with."""
    digest, record = _digest(store), store.path(RECORD)
    if record.exists() and json.loads(record.read_text(encoding="utf-8"))["choice_sha256"] != digest:
        raise InvalidInput(f"run {store.run_id}: {FILE} was changed after dev was read with it; put it back, or give a new --id")


def _digest(store: RunStore) -> str:
    try:
        return file_sha256(store.path(FILE))
    except FileNotFoundError as error:
        raise InvalidInput(f"run {store.run_id}: {FILE} is missing; put it back, or give a new --id, whose `askback choose` makes it") from error
