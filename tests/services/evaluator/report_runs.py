"""A run with everything that a report can show: seeds of one family, drafts and exchanges, costs, a harvest, and texts that attack."""

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from askback.contracts.records import (
    Condition,
    Draft,
    Exchange,
    HarvestRecord,
    HarvestStage,
    Passage,
    Prediction,
    Record,
    Sample,
    TeacherReply,
    Usage,
)

ATTACK = "</dd><script>document.title='owned'</script><img src=x onerror=alert(1)> ![x](http://evil.example/x.png) [y](javascript:alert(1)) | `z`"
CONDITIONS = {
    Condition(adapter="base", mode="direct"): 0.5,
    Condition(adapter="base", mode="closed_book"): 0.45,
    Condition(adapter="base", mode="assisted", resolver="teacher"): 0.55,
    Condition(adapter="direct", mode="direct", family="direct", seed=0): 0.6,
    Condition(adapter="cot", mode="cot"): 0.4,
    Condition(adapter="dialogue-s0", mode="assisted", resolver="teacher", family="dialogue", seed=0): 0.8,
    Condition(adapter="dialogue-s1", mode="assisted", resolver="teacher", family="dialogue", seed=1): 0.75,
    Condition(adapter="dialogue-s0", mode="assisted", resolver="gold", family="dialogue", seed=0): 0.9,
}


def attacking(count: int = 40) -> list[Sample]:
    """Yes/no questions, some of which hold markup."""
    return [
        Sample(
            id=f"q{i}",
            task="strategyqa",
            question=f"Is {i} odd? {ATTACK}" if i % 3 == 0 else f"Is {i} odd?",
            answer="yes" if i % 2 else "no",
            facts=["Odd numbers leave 1."],
            decomposition=["What is odd?", f"Is {i} such a number?"],
        )
        for i in range(count)
    ]


def free(count: int = 12) -> list[Sample]:
    """HotpotQA questions."""
    passages = [Passage(id="p", title="Rhine", sentences=["It rises in the Alps.", " It flows north."])]
    made = {"task": "hotpotqa", "answer": "the Alps", "passages": passages, "supporting_facts": [("Rhine", 0)], "kind": "bridge"}
    return [Sample(id=f"h{i}", question=f"Where does river {i} rise?", **made) for i in range(count)]


def write_predictions(run: Path, samples: Sequence[Sample]) -> Path:
    """Samples and predictions alone."""
    dice = random.Random(3)
    write_rows(run / "samples" / "dev.jsonl", samples)
    for condition, share in CONDITIONS.items():
        answers = [prediction(condition, sample, dice.random() < share, dice) for sample in samples]
        if condition.mode == "cot":
            answers[1] = Prediction(sample_id=samples[1].id, answer=None, text=f"It depends. {ATTACK}")
            answers[2] = Prediction(sample_id=samples[2].id, answer=None, error=f"UpstreamUnavailable: gone {ATTACK}")
        write_rows(run / "predictions" / f"{condition.name}.jsonl", answers)
        (run / "predictions" / f"{condition.name}.condition.json").write_text(condition.model_dump_json())
    return run


def write_whole(run: Path, samples: Sequence[Sample]) -> Path:
    """Predictions, and the harvest, tracks, adapters and manifests behind them."""
    write_predictions(run, samples)
    train = [sample.model_copy(update={"id": f"t-{sample.id}", "question": f"Before: {sample.question}"}) for sample in samples]
    write_rows(run / "samples" / "train.jsonl", train)
    write_rows(run / "harvest.jsonl", [record for i, sample in enumerate(train) for record in harvested(i, sample)])
    balance = {"classes_before": {"no": 20, "yes": 10}, "classes_after": {"no": 10, "yes": 10}}
    fates = {"sampled": 40, "kept": 20, "dropped": {"class_balance": 10, "teacher_disagrees": 6}, "failed": 4}
    card = {"accounts": fates, "licence": {"dataset": "MIT", "answers": "those of the provider"}, "source": "DIR", "seed": 5}
    card |= {"teacher": {"replay": 30}, "filters": [{"filter": "classes balanced", "before": 30, "after": 20} | balance]}
    write_json(run / "tracks" / "data_card.json", card | {"tracks": {"dialogue": {"rows": 20, "classes": {"no": 10, "yes": 10}}}})
    for name in ("direct", "dialogue-s0", "dialogue-s1"):
        losses = [{"step": i, "loss": 2.5 * 0.9**i} for i in range(1, 31)]
        request = {"method": "sft", "dataset": "tracks/dialogue.jsonl", "seed": 0, "recipe": {"epochs": 3.0, "learning_rate": 2e-4, "lora_rank": 16}}
        write_json(run / "adapters" / name / "training.json", {"rows": 20, "seconds": 12.5, "request": request, "losses": losses})
    write_json(run / "manifests" / "sample.json", {"stage": "sample", "seconds": 0.4, "counts": {"samples/dev.jsonl": len(samples)}})
    write_json(run / "manifests" / "report.json", {"stage": "report", "seconds": 9.9, "sha256": {"report.md": "of the last time"}})
    (run / "config.toml").write_text('seed = 11\ntask = "strategyqa"\n')
    return run


def prediction(condition: Condition, sample: Sample, right: bool, dice: random.Random) -> Prediction:
    said = sample.answer if right else {"yes": "no", "no": "yes"}.get(sample.answer, "nowhere")
    sure = {"p_yes": round(dice.uniform(0.5, 1) if said == "yes" else dice.uniform(0, 0.5), 3)} if said in ("yes", "no") else {}
    usage = Usage(prompt_tokens=dice.randint(40, 60), completion_tokens=2, cost_usd=0.0002, latency_s=0.1)
    asked = {}
    if condition.mode == "assisted":
        draft = Draft(answer=dice.choice(["yes", "no"]), p_yes=0.5, questions=[f"What is odd? {ATTACK}", "Why?"])
        answers = [Exchange(question=draft.questions[0], answer=f"It leaves 1. {ATTACK}"), Exchange(question="Why?", answer="So it is.")]
        asked = {"draft": draft, "exchanges": answers}
        usage = Usage(prompt_tokens=240, completion_tokens=30, cost_usd=0.0021, latency_s=0.9)
    return Prediction(sample_id=sample.id, answer=said, text=said, usage=usage, **sure, **asked)


def harvested(i: int, sample: Sample) -> list[HarvestRecord]:
    """Every seventh row's teacher errs, every eleventh's fails."""
    draft = HarvestRecord(sample_id=sample.id, stage=HarvestStage.DRAFT, draft=Draft(answer="yes", questions=["What is odd?"]))
    if i % 11 == 5:
        return [draft, HarvestRecord(sample_id=sample.id, stage=HarvestStage.TEACHER, error="UpstreamRejected: no verdict")]
    verdict = sample.answer if i % 7 else {"yes": "no", "no": "yes"}.get(sample.answer, "nowhere")
    reply = TeacherReply(exchanges=[Exchange(question="What is odd?", answer="Not even.")], thought=f"So. {ATTACK}", answer=verdict, text="So it is.")
    usage = Usage(prompt_tokens=30, completion_tokens=20, cost_usd=0.001)
    taught = HarvestRecord(sample_id=sample.id, stage=HarvestStage.TEACHER, reply=reply, backend="replay", usage=usage)
    return [draft, taught, HarvestRecord(sample_id=sample.id, stage=HarvestStage.REWRITE, rewrite=verdict)]


def write_rows(path: Path, rows: Iterable[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
