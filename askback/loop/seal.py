"""Dev is read once, with the choice that was made before.

Figures on dev are worth their intervals only where nothing was chosen by them. Whoever has seen them and then edits a prompt, harvests
again or trains again has chosen by dev, whatever the stage `choose` says. So in a run that holds rows out, the first prediction on dev seals
all that leads to the choice, and what was chosen by then is on record in `dev_read.json`.
"""

import json
import time
from collections.abc import Collection
from hashlib import sha256

from askback.contracts.errors import InvalidInput
from askback.loop.choose import FILE
from askback.loop.stages import ORDER
from askback.loop.store import RunStore

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
    path = store.path(FILE)
    if not path.exists():
        raise InvalidInput(f"run {store.run_id}: {FILE} is missing, and dev is read after the choice; `askback choose` makes it with a new --id")
    now = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "choice_sha256": sha256(path.read_bytes()).hexdigest()}
    if sealed(store) and store.path(RECORD).exists():
        return check_choice(store)
    store.write_json(RECORD, now)
    return now


def check_choice(store: RunStore) -> dict[str, str]:
    """The record of the first reading; raises InvalidInput where `choice.json` is another one now."""
    record: dict[str, str] = json.loads(store.path(RECORD).read_text(encoding="utf-8"))
    if sha256(store.path(FILE).read_bytes()).hexdigest() != record["choice_sha256"]:
        raise InvalidInput(f"run {store.run_id}: {FILE} was changed after dev was read with it; put it back, or give a new --id")
    return record
