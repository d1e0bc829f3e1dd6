"""What a condition lets the student read, what its predictions carry, and how failed ones are tried again."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from askback.contracts.client import StudentClient
from askback.contracts.errors import UpstreamRejected
from askback.contracts.records import Condition, Draft, Exchange, Passage, Prediction, Sample, Usage
from askback.contracts.student import AnswerMode, AnswerRequest, AnswerResponse, AskRequest, AskResponse
from askback.loop.config import RunConfig, parse_config
from askback.loop.evaluate import evaluate
from askback.loop.progress import Reporter
from askback.loop.run import Run
from askback.loop.services import Services
from askback.loop.store import RunStore

ROOT = Path(__file__).parents[2]
ONE, ALL = Usage(prompt_tokens=9, completion_tokens=1, latency_s=0.5), Usage(prompt_tokens=40, completion_tokens=20, cost_usd=0.01, latency_s=2.5)
PASSAGE = Passage(id="p", title="T", sentences=["A sentence."])
SAMPLES = [Sample(id=f"q{i}", task="hotpotqa", question=f"Which is {i}?", answer="it", passages=[PASSAGE]) for i in range(4)]
MODES = ["base.direct", "base.closed_book", "base.cot", "base.assisted.none", "base.context.gold"]


@dataclass
class Student(StudentClient):
    """Answers everything with "it", and fails for the question ids in `fails`."""

    fails: set[str] = field(default_factory=set)
    asked: list[AnswerRequest | AskRequest] = field(default_factory=list)

    async def answer(self, request: AnswerRequest) -> AnswerResponse:
        self._note(request)
        return AnswerResponse(answer="it", text="it", model="base", usage=ONE)

    async def ask(self, request: AskRequest) -> AskResponse:
        self._note(request)
        final = AnswerResponse(answer="it", text="it", model="base", usage=ONE)
        draft, exchanges = Draft(answer="it", questions=["What?"]), [Exchange(question="What?", answer="That.")]
        return AskResponse(draft=draft, exchanges=exchanges, answered_by="gold", final=final, usage=ALL)

    def _note(self, request: AnswerRequest | AskRequest) -> None:
        self.asked.append(request)
        if request.question_id in self.fails:
            raise UpstreamRejected("the student wrote no question")


def config(*conditions: str, **fields: Any) -> RunConfig:
    raw = {"name": "t", "task": "hotpotqa", "adapters": [{"name": "a", "track": "direct"}], "evaluate": {"conditions": list(conditions)}}
    return parse_config(raw | fields, "t")


async def answered(store: RunStore, student: Student, *conditions: str, retry_errors: bool = False) -> dict[str, list[Prediction]]:
    run = config(*conditions)
    await evaluate(run, SAMPLES, {"base": "base"}, store, student, Reporter(), retry_errors)
    return {one.name: store.read_records(f"predictions/{one.name}.jsonl", Prediction) for one in run.evaluate.conditions}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path, "r1")


async def test_closed_book_is_direct_without_passages(store: RunStore) -> None:
    student = Student()
    await answered(store, student, "base.closed_book", "base.direct")
    closed, opened = student.asked[:4], student.asked[4:]
    assert {one.mode for one in [*closed, *opened] if isinstance(one, AnswerRequest)} == {AnswerMode.DIRECT}
    assert [one.passages for one in closed] == [[]] * 4
    assert [one.passages for one in opened] == [[PASSAGE]] * 4
    described = Condition.model_validate_json(store.path("predictions", "base.closed_book.condition.json").read_text())
    assert described == Condition(adapter="base", mode="closed_book")


async def test_every_mode_says_what_each_answer_cost(store: RunStore) -> None:
    found = await answered(store, Student(), *MODES)
    assert list(found) == MODES
    for name, predictions in found.items():
        assert [one.usage for one in predictions] == [ALL if "assisted" in name or "context" in name else ONE] * 4, name


async def test_only_failed_predictions_are_tried_again(store: RunStore) -> None:
    student = Student(fails={"q1", "q3"})
    first = (await answered(store, student, "base.direct"))["base.direct"]
    assert [one.error is not None for one in first] == [False, True, False, True]
    assert len(student.asked) == 4
    await answered(store, student, "base.direct")
    assert len(student.asked) == 4
    student.fails = {"q3"}
    again = (await answered(store, student, "base.direct", retry_errors=True))["base.direct"]
    assert [one.question_id for one in student.asked[4:]] == ["q1", "q3"]
    assert [one.sample_id for one in again] == ["q0", "q1", "q2", "q3"]
    assert [one.error for one in again] == [None, None, None, "UpstreamRejected: the student wrote no question"]


async def test_a_retry_that_was_stopped_goes_on(store: RunStore) -> None:
    await answered(store, Student(fails={"q1", "q3"}), "base.direct")
    with store.appender("predictions/base.direct.jsonl") as kept:
        kept.append(Prediction(sample_id="q1", answer="late"))  # written after the failure, before the stage was stopped
    student = Student()
    again = (await answered(store, student, "base.direct", retry_errors=True))["base.direct"]
    assert [one.question_id for one in student.asked] == ["q3"]
    assert [one.answer for one in again] == ["it", "late", "it", "it"]


async def test_a_run_whose_harvest_is_whole_retries_predictions_and_trains_nothing(tmp_path: Path, services: Services) -> None:
    data = {"path": str(ROOT / "data/sample/strategyqa"), "recordings": ["teacher.jsonl"], "train": 30, "dev": 8}
    settings = config("base.direct", task="strategyqa", data=data)
    store = RunStore(tmp_path / "runs", "r1")
    await Run(settings, store, services, Reporter()).until("promote")
    good = store.read_records("predictions/base.direct.jsonl", Prediction)
    failed = good[2].model_copy(update={"answer": None, "error": "UpstreamRejected: no"})
    store.write_records("predictions/base.direct.jsonl", [*good[:2], failed, *good[3:]])
    trained = len(services.trainer.submitted)  # type: ignore[attr-defined]
    await Run(settings, store, services, Reporter(), retry_errors=True).until("promote")
    again = store.read_records("predictions/base.direct.jsonl", Prediction)
    assert [one.answer for one in again] == [one.answer for one in good]
    assert [one.usage for one in again[:2]] == [one.usage for one in good[:2]], "what stood was asked again"
    assert len(services.trainer.submitted) == trained  # type: ignore[attr-defined]
