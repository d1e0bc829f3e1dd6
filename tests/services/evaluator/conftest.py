"""A fabricated run: five conditions on 36 StrategyQA questions, a harvest with errors, tracks, losses and manifests."""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from askback.contracts.records import Condition, Draft, HarvestRecord, HarvestStage, Prediction, Record, Sample, TeacherReply, Usage

CONDITIONS = {
    Condition(adapter="base", mode="direct"): 0.5,
    Condition(adapter="base", mode="assisted", resolver="teacher"): 0.6,
    Condition(adapter="direct-s0", mode="direct"): 0.6,
    Condition(adapter="dialogue-s0", mode="assisted", resolver="teacher"): 0.92,
    Condition(adapter="dialogue-s0", mode="assisted", resolver="gold"): 0.97,
}


def lines(path: Path, rows: Iterable[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")


def questions(count: int, prefix: str = "q") -> list[Sample]:
    return [Sample(id=f"{prefix}{i}", task="strategyqa", question=f"Is {i} odd?", answer="yes" if i % 2 else "no") for i in range(count)]


def write_condition(run: Path, condition: Condition, predictions: Iterable[Prediction]) -> None:
    lines(run / "predictions" / f"{condition.name}.jsonl", predictions)
    (run / "predictions" / f"{condition.name}.condition.json").write_text(condition.model_dump_json())


def answer(sample: Sample, right: bool) -> Prediction:
    said = sample.answer if right else {"yes": "no", "no": "yes"}[sample.answer]
    return Prediction(sample_id=sample.id, answer=said, text=said, p_yes=0.8 if said == "yes" else 0.2)


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def small_run(runs_dir: Path) -> Path:
    """Samples and predictions alone. One prediction of base direct is unparsable and one failed."""
    run, dice, samples = runs_dir / "demo-1", random.Random(7), questions(36)
    lines(run / "samples" / "dev.jsonl", samples)
    for condition, share in CONDITIONS.items():
        found = [answer(sample, dice.random() < share) for sample in samples]
        if condition.name == "base.direct":
            found[0] = Prediction(sample_id="q0", answer=None, text="It depends.")
            found[1] = Prediction(sample_id="q1", answer=None, error="UpstreamUnavailable: the engine is gone")
        write_condition(run, condition, found)
    return run


@pytest.fixture
def full_run(small_run: Path) -> Path:
    train = questions(20, "t")
    lines(small_run / "samples" / "train.jsonl", train)
    lines(small_run / "harvest.jsonl", [record for i, sample in enumerate(train) for record in harvested(i, sample)])
    write_json(small_run / "tracks" / "data_card.json", {"rows": 17, "direct": {"rows": 17, "labels": {"yes": 8, "no": 9}}})
    for name, rate in (("direct-s0", 0.9), ("dialogue-s0", 0.95)):
        write_json(small_run / "adapters" / name / "training.json", {"losses": [{"step": i, "loss": 2.5 * rate**i} for i in range(1, 41)]})
    write_json(small_run / "manifests" / "sample.json", {"stage": "sample", "seconds": 0.4, "train": 20, "dev": 36})
    write_json(small_run / "manifests" / "harvest.json", {"stage": "harvest", "seconds": 81.25, "counts": {"rows": 20, "failed": 3}})
    (small_run / "config.toml").write_text('[run]\ntask = "strategyqa"\nseed = 11\n[[adapters]]\nseed = 0\n')
    return small_run


@pytest.fixture
def write_rows() -> Callable[[Path, Iterable[Record]], None]:
    return lines


def harvested(i: int, sample: Sample) -> list[HarvestRecord]:
    """Rows 0-2 fail at the teacher (row 2 succeeds on a second try), row 3 gets a wrong verdict."""
    draft = HarvestRecord(sample_id=sample.id, stage=HarvestStage.DRAFT, draft=Draft(answer="yes", questions=["What is odd?"]))
    failed = HarvestRecord(sample_id=sample.id, stage=HarvestStage.TEACHER, error="UpstreamRejected: the teacher's reply has no verdict")
    verdict = sample.answer if i != 3 else "no"
    reply = TeacherReply(exchanges=[], thought="Odd numbers leave 1.", answer=verdict, text="The answer is so.")
    usage = Usage(prompt_tokens=30, completion_tokens=20, cost_usd=0.001)
    good = HarvestRecord(sample_id=sample.id, stage=HarvestStage.TEACHER, reply=reply, backend="openai", usage=usage)
    rewrite = HarvestRecord(sample_id=sample.id, stage=HarvestStage.REWRITE, rewrite=verdict)
    if i < 2:
        return [draft, failed]
    return [draft, failed, good, rewrite] if i == 2 else [draft, good, rewrite]


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
