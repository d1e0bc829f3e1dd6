"""A fabricated run at its worst for a slide: many conditions, long names, long examples."""

from typing import Any

from askback.contracts.evaluator import Scores
from askback.contracts.measures import Asking, Calibration, CalibrationBin, Comparison, ConditionScore, Cost, Metric, Overlap
from askback.contracts.records import Condition, Draft, Exchange
from services.evaluator.reporting.charts import MatrixChart
from services.evaluator.reporting.examples import KINDS, ExampleRow, Examples
from services.evaluator.reporting.facts import RunFacts
from services.evaluator.reporting.findings import HarvestFindings, StageCount

MODES = ("direct", "cot", "context", "assisted")


def metric(name: str, value: float, n: int = 229, spread: float = 0.064) -> Metric:
    return Metric(name=name, value=value, stderr=spread / 2, low=max(0.0, value - spread), high=value + spread, n=n)


def score(condition: Condition, value: float) -> ConditionScore:
    bins = [CalibrationBin(low=i / 5, high=i / 5 + 0.2, p_yes=i / 5 + 0.1, gold_yes=metric("gold_yes", i / 5 + 0.05, 40)) for i in range(5)]
    gain = compared("base.direct", condition.name, value - 0.5)
    asked = Asking(
        rows=229, questions_per_row=metric("questions_per_row", 1.6), answered=metric("answered", 0.98), novel=metric("novel", 0.8),
        leaking=metric("leaking", 0.01), similarity=metric("similarity", 0.3), coverage=metric("coverage", 0.2), against="base.direct",
        gain=gain, usd_per_point=0.00012, changed={"fixed": 25, "broken": 24, "kept right": 80, "kept wrong": 100},
    )  # fmt: skip
    usd = metric("usd", 0.002 * value, 229, 0.0001)
    tokens = metric("prompt_tokens", 240 * value, 229, 10)
    return ConditionScore(
        condition=condition,
        metrics=[metric("accuracy", value), metric("balanced_accuracy", value), metric("brier", 0.24)],
        unparsable=3,
        failed=1,
        yes_rate=0.4,
        calibration=Calibration(brier=metric("brier", 0.24), expected_error=0.08, bins=bins),
        cost=Cost(prompt_tokens=tokens, completion_tokens=tokens, usd=usd, latency_p50_s=0.4, latency_p95_s=2.5),
        asking=asked if condition.mode in ("context", "assisted") else None,
    )


def compared(a: str, b: str, difference: float) -> Comparison:
    verdict = "no difference shown at n = 229; 80 % power for a difference this large would need n = 22603"
    fields: dict[str, Any] = {"a": a, "b": b, "metric": "accuracy", "n": 229, "verdict": verdict, "p_value": 0.04, "p_target": 0.4, "needed_n": 22603}
    return Comparison(difference=difference, low=difference - 0.09, high=difference + 0.09, p_adjusted=1.0 if difference < 0.1 else 0.001, **fields)


def worst(count: int = 39, name: int = 60, example: int = 300) -> RunFacts:
    """`count` conditions with adapters of `name` characters, and every example's text `example` characters long."""
    conditions = [Condition(adapter="base", mode="direct")]
    for i in range(count - 1):
        mode = MODES[i % 4]
        resolver = "teacher" if mode in ("context", "assisted") else "none"
        conditions.append(Condition(adapter=f"adapter-{i:02}-".ljust(name, "x"), mode=mode, resolver=resolver))
    scores = [score(condition, 0.45 + 0.3 * i / count) for i, condition in enumerate(conditions)]
    against_base = [compared("base.direct", s.condition.name, s.metrics[0].value - 0.45) for s in scores[1:]]
    said = ("Would a <b>long</b> question & a **marked** one stay as they are, `so` that nobody is misled? " * 9)[:example]
    exchanges = [Exchange(question=said, answer=said)] * 2
    rows = [
        ExampleRow(kind, f"{kind}{i}", conditions[-1].name, said, "no", "yes", Draft(answer="no", questions=[said]), exchanges, said)
        for kind in KINDS
        for i in range(3)
    ]  # fmt: skip
    names = [condition.name for condition in conditions]
    losses = [{"step": step, "loss": 2.5 * 0.9**step} for step in range(1, 31)]
    return RunFacts(
        run_id="r".ljust(name, "u"),
        scores=Scores(
            task="strategyqa",
            n=229,
            majority=0.533,
            conditions=scores,
            comparisons=against_base,
            overlaps=[Overlap(against="train", ngram=8, rows=1832, contaminated=4, examples=[("q1", "t1", said[:80])])],
        ),
        harvest=HarvestFindings(
            64,
            55,
            [StageCount("draft", 64, 0), StageCount("teacher", 55, 9)],
            [("teacher", "UpstreamRejected", 9)],
            [("replay", 55)],
            metric("teacher_agreement", 0.87, 55),
            0.25,
            16115,
            {},
        ),
        data_card={
            "filters": [{"filter": "teacher agrees with gold", "before": 55, "after": 48, "classes_before": {"no": 31, "yes": 24}}],
            "tracks": {"direct": {"rows": 40, "classes": {"no": 20, "yes": 20}}},
        },
        trainings={c.adapter: {"rows": 40, "seconds": 60.0, "losses": losses[: 30 - 3 * (i % 4)]} for i, c in enumerate(conditions[1:])},
        manifests=[{"stage": "sample", "counts": {"samples/train.jsonl": 64}}],
        config={"seed": 13},
        examples=Examples(rows, {kind: dict.fromkeys(names, 7) for kind in KINDS}),
    )


def matrix(facts: RunFacts) -> MatrixChart:
    labels = ["gold", *(s.condition.name for s in facts.scores.conditions[:12])]
    values = [[1.0 if i == j else (i + j) / 30 for j in range(len(labels))] for i in range(len(labels))]
    return MatrixChart("agreement", "Agreement", "Who says the same.", "predictions/*.jsonl: answer", labels, values)
