import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from askback.contracts.client import TrainerClient
from askback.contracts.errors import Conflict, InvalidInput, ServiceError, UpstreamUnavailable
from askback.contracts.trainer_jobs import Merge, MergeState
from askback.loop import merge, patience
from askback.loop.merge import merge_adapter
from askback.loop.store import RunStore

JOB_ID = "0123456789abcdef"


@dataclass
class Merging(TrainerClient):
    """Answers with `said`, one after the other; an error among them is raised."""

    said: Iterator[Merge | ServiceError]
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def submit_merge(self, job_id: str) -> Merge:
        return self._answer("submit", job_id)

    async def merge(self, job_id: str) -> Merge:
        return self._answer("read", job_id)

    def _answer(self, call: str, job_id: str) -> Merge:
        self.calls.append((call, job_id))
        answer = next(self.said)
        if isinstance(answer, ServiceError):
            raise answer
        return answer


def state(name: str, **fields: str) -> Merge:
    return Merge(job_id=JOB_ID, state=MergeState(name), **fields)


def trainer(*said: Merge | ServiceError) -> Merging:
    return Merging(iter(said))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "_POLL_S", 0.0)
    monkeypatch.setattr(patience, "_DELAYS_S", (0.0, 0.0))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path, "r1")
    store.write_json("adapters/cot/training.json", {"job_id": JOB_ID})
    return store


DONE = state("done", folder="merged/cot")


async def test_a_merge_is_waited_for_and_its_folder_is_the_run_s(store: RunStore) -> None:
    merging = trainer(state("queued"), state("queued"), state("running"), DONE)
    assert await merge_adapter(store, "cot", merging) == store.folder / "merged" / "cot"
    assert merging.calls == [("submit", JOB_ID), *[("read", JOB_ID)] * 3]


async def test_a_merge_that_is_there_already_is_asked_for_once(store: RunStore) -> None:
    merging = trainer(DONE)
    assert await merge_adapter(store, "cot", merging) == store.folder / "merged" / "cot"
    assert merging.calls == [("submit", JOB_ID)]


@pytest.mark.parametrize(
    ("kind", "raised"), [("Conflict", Conflict), ("InvalidInput", InvalidInput), ("ServiceError", ServiceError), ("Unheard", ServiceError)]
)
async def test_a_failed_merge_raises_its_kind_and_names_the_adapter(store: RunStore, kind: str, raised: type[ServiceError]) -> None:
    merging = trainer(state("running"), state("failed", error="the disk is full", error_kind=kind))
    with pytest.raises(raised, match=r"^merging cot failed: the disk is full$") as caught:
        await merge_adapter(store, "cot", merging)
    assert type(caught.value) is raised


async def test_a_trainer_that_is_away_for_a_moment_is_waited_for(store: RunStore) -> None:
    away = UpstreamUnavailable("trainer cannot be reached")
    merging = trainer(away, state("queued"), away, away, DONE)
    assert await merge_adapter(store, "cot", merging) == store.folder / "merged" / "cot"


async def test_what_the_trainer_refuses_is_raised_as_it_says(store: RunStore) -> None:
    with pytest.raises(Conflict, match="is running"):
        await merge_adapter(store, "cot", trainer(Conflict(f"job {JOB_ID} is running; wait for it")))


@pytest.mark.parametrize("adapter", ["dialogue", "unfinished"])
async def test_an_adapter_that_is_not_finished_is_refused_before_the_trainer_is_asked(store: RunStore, adapter: str) -> None:
    store.write_text("adapters/unfinished/adapter_config.json", json.dumps({"r": 16}))
    merging = trainer()
    with pytest.raises(InvalidInput, match=f"adapter '{adapter}': no finished one in run r1; train it first"):
        await merge_adapter(store, adapter, merging)
    assert merging.calls == []
