"""Publish a run's tracks with their card as a dataset on the hub."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from askback.contracts.errors import InvalidInput
from askback.loop.huggingface_hub_push import Kind, connect
from askback.loop.store import RunStore, file_sha256

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Hub(Protocol):
    """What is asked of the hub."""

    def upload(self, repo_id: str, folder: Path, files: list[str], private: bool, kind: Kind = "dataset") -> None:
        """Make the dataset or model `repo_id` when there is none, and put `files` of `folder` into it as one commit.

        Raises InvalidInput when the token may not write there and UpstreamUnavailable when the hub is out of reach.
        """
        ...


def push(store: RunStore, repo_id: str, token: str, private: bool = True, hub: Callable[[str], Hub] = connect) -> None:
    """Upload the run's `tracks/` to the dataset `repo_id` (OWNER/NAME); a dataset that is made by it is private unless told otherwise.

    Raises InvalidInput when the token or the tracks are missing, or when a file is not what the data card says.
    """
    check_target(repo_id, token)
    files = ["README.md", "data_card.json", *_checked(store)]
    hub(token).upload(repo_id, store.path("tracks"), files, private)


def check_target(repo_id: str, token: str) -> None:
    """Raises InvalidInput for a name that is not OWNER/NAME and for an empty token."""
    if not _REPO.fullmatch(repo_id):
        raise InvalidInput(f"repo_id: {repo_id!r} is not OWNER/NAME; give the full name on the hub")
    if not token:
        raise InvalidInput("token: it is empty; set HF_TOKEN to a token that may write to the hub")


def _checked(store: RunStore) -> list[str]:
    """The data files that the card names; rows without their provenance are not published."""
    if store.manifest("tracks") is None:
        raise InvalidInput(f"run {store.run_id} has no finished tracks; make them with `askback tracks`")
    card = json.loads(store.path("tracks", "data_card.json").read_text(encoding="utf-8"))
    for name, facts in card["files"].items():
        path = store.path("tracks", name)
        if not path.is_file() or file_sha256(path) != facts["sha256"]:
            raise InvalidInput(f"tracks/{name} is not the file of the data card; make the tracks again with `askback tracks`")
    return list(card["files"])
