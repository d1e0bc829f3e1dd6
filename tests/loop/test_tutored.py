"""Mode `tutored` and the nearest resolvers in a run: how they are named, asked for and counted."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from askback.contracts.client import StudentClient
from askback.contracts.errors import InvalidInput
from askback.contracts.records import Condition, Draft, Exchange, Prediction, Sample, Usage
from askback.contracts.student import AnswerResponse, Asker, AskRequest, AskResponse, Resolver
from askback.loop.config import RunConfig, dump_toml, load_config, parse_config
from askback.loop.estimate.calls import asks_teacher
from askback.loop.evaluate import evaluate
from askback.loop.progress import Reporter
from askback.loop.store import RunStore

NAMES = ["base.tutored.gold-nearest", "base.tutored.teacher", "base.assisted.teacher-nearest", "base.context.gold-nearest"]


@dataclass
class Student(StudentClient):
    """Keeps what it is asked."""

    asked: list[AskRequest] = field(default_factory=list)

    async def ask(self, request: AskRequest) -> AskResponse:
        self.asked.append(request)
        final = AnswerResponse(answer="yes", text="yes", model="base", usage=Usage())
        draft, exchanges = Draft(answer="no", questions=["What?"]), [Exchange(question="Who?", answer="He.")]
        return AskResponse(draft=draft, exchanges=exchanges, answered_by="gold", final=final, usage=Usage())


def config(*conditions: str) -> RunConfig:
    raw = {"name": "t", "task": "strategyqa", "adapters": [{"name": "a", "track": "direct"}], "evaluate": {"conditions": list(conditions)}}
    return parse_config(raw, "t")


def test_conditions_are_read_from_names_and_written_back(tmp_path: Path) -> None:
    run = config(*NAMES)
    assert run.evaluate.conditions[0] == Condition(adapter="base", mode="tutored", resolver="gold-nearest")
    (tmp_path / "run.toml").write_text(dump_toml(run))
    assert [one.name for one in load_config(tmp_path / "run.toml").evaluate.conditions] == NAMES


@pytest.mark.parametrize("name", ["base.tutored", "base.tutored.nearest", "base.assisted.nearest"])
def test_a_resolver_must_be_named(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"needs a resolver behind its mode: .*gold-nearest"):
        config(name)


async def test_each_condition_says_who_asks_and_who_answers(tmp_path: Path) -> None:
    student, store = Student(), RunStore(tmp_path, "r1")
    samples = [Sample(id="q", task="strategyqa", question="Is it?", answer="yes")]
    await evaluate(config(*NAMES), samples, {"base": "base"}, store, student, Reporter())
    assert [(one.asker, one.resolver, one.one_turn, one.teacher) for one in student.asked] == [
        (Asker.TEACHER, Resolver.GOLD_NEAREST, False, "replay"),
        (Asker.TEACHER, Resolver.TEACHER, False, "replay"),
        (Asker.STUDENT, Resolver.TEACHER_NEAREST, False, "replay"),
        (Asker.STUDENT, Resolver.GOLD_NEAREST, True, "replay"),
    ]
    kept = store.read_records("predictions/base.tutored.gold-nearest.jsonl", Prediction)
    assert kept[0].draft == Draft(answer="no", questions=["What?"]) and kept[0].exchanges[0].question == "Who?"


def test_whoever_needs_the_teachers_reply_is_paid_for() -> None:
    paid = [
        one.name for one in config(*NAMES, "base.assisted.gold-nearest", "base.direct", "base.assisted.none").evaluate.conditions if asks_teacher(one)
    ]
    assert paid == NAMES[:3]
