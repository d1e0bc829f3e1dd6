"""Publishing the tracks: only what the card names and vouches for, and clear words when the hub says no."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from askback.contracts.errors import InvalidInput, UpstreamUnavailable
from askback.loop import data_card
from askback.loop.huggingface_hub_push import HuggingFaceHub
from askback.loop.push import push
from askback.loop.store import RunStore


class FakeApi:
    """An `HfApi` that writes down its calls, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.calls = error, list[tuple[str, dict[str, Any]]]()

    def create_repo(self, repo_id: str, **options: Any) -> None:
        if self.error:
            raise self.error
        self.calls.append(("create", {"repo_id": repo_id, **options}))

    def upload_folder(self, **options: Any) -> None:
        self.calls.append(("upload", options))


def refused(status: int) -> HfHubHTTPError:
    error = HfHubHTTPError.__new__(HfHubHTTPError)
    error.response = SimpleNamespace(status_code=status)  # type: ignore[assignment]
    return error


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """A run with one finished track."""
    store = RunStore(tmp_path, "r1")
    store.write_text("tracks/direct.jsonl", '{"question": "Q?"}\n')
    store.write_text("tracks/plain/direct.jsonl", '{"question": "Q?"}\n')
    facts = data_card.file_facts(store, {"tracks/direct.jsonl": 1, "tracks/plain/direct.jsonl": 1})
    store.write_json("tracks/data_card.json", {"files": facts})
    store.write_text("tracks/README.md", "# Data card\n")
    store.complete("tracks", time.time(), ["tracks/direct.jsonl"], {})
    return store


def pushed(store: RunStore, api: FakeApi, repo_id: str = "me/tracks", token: str = "t", **options: Any) -> None:
    push(store, repo_id, token, hub=lambda _: HuggingFaceHub(api), **options)


def test_the_card_and_its_files_go_up_in_one_commit(store: RunStore) -> None:
    api = FakeApi()
    store.write_text("tracks/notes.txt", "not of the card")
    pushed(store, api)
    (_, made), (_, sent) = api.calls
    assert made == {"repo_id": "me/tracks", "repo_type": "dataset", "private": True, "exist_ok": True}
    assert (sent["repo_id"], sent["repo_type"], sent["folder_path"]) == ("me/tracks", "dataset", store.path("tracks"))
    assert sent["allow_patterns"] == ["README.md", "data_card.json", "direct.jsonl", "plain/direct.jsonl"]
    pushed(store, api, private=False)
    assert api.calls[2][1]["private"] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [({"repo_id": "tracks"}, "repo_id: 'tracks' is not OWNER/NAME"), ({"repo_id": "a/b/c"}, "not OWNER/NAME"), ({"token": ""}, "HF_TOKEN")],
)
def test_a_wrong_name_or_no_token_asks_nothing(store: RunStore, change: dict[str, str], message: str) -> None:
    api = FakeApi()
    with pytest.raises(InvalidInput, match=message):
        pushed(store, api, **change)
    assert not api.calls


def test_tracks_that_are_not_the_cards_stay_here(store: RunStore) -> None:
    store.write_text("tracks/plain/direct.jsonl", "{}\n")
    with pytest.raises(InvalidInput, match=r"tracks/plain/direct.jsonl is not the file of the data card"):
        pushed(store, FakeApi())
    store.reopen(["tracks"])
    with pytest.raises(InvalidInput, match="run r1 has no finished tracks"):
        pushed(store, FakeApi())


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (refused(403), InvalidInput, r"refuses to write me/tracks \(403\)"),
        (refused(500), UpstreamUnavailable, "push again later"),
        (ConnectionError("no route"), UpstreamUnavailable, r"ConnectionError\); push again later"),
        (HFValidationError("too long"), InvalidInput, "does not take 'me/tracks': too long"),
    ],
)
def test_what_the_hub_says_is_told_in_one_line(store: RunStore, error: Exception, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        pushed(store, FakeApi(error))
