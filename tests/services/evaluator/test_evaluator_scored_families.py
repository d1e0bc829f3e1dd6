"""A run whose adapters were trained with several seeds, scored as a whole."""

import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from askback.contracts.evaluator import Scores
from askback.contracts.records import Condition, Draft, Prediction, Record, Sample
from askback.tasks import task_named
from services.evaluator.scoring.comparisons import comparisons
from services.evaluator.scoring.pooling import pooled
from services.evaluator.scoring.scores import score_run
from services.evaluator.storage.run_folder import open_run

SEEDS = (13, 14, 15)
MODES = {"direct": "none", "assisted": "teacher"}
FAMILY = [Condition(adapter=f"talk-s{seed}", mode=mode, resolver=MODES[mode], family="talk", seed=seed) for seed in SEEDS for mode in MODES]
SHARES = {"base.direct": 0.5, "talk.direct": 0.55, "talk.assisted.teacher": 0.9}


def write_family_run(run: Path, write_rows: Callable[[Path, Iterable[Record]], None]) -> None:
    dice = random.Random(3)
    samples = [Sample(id=f"q{i}", task="strategyqa", question=f"Is {i} odd?", answer="yes" if i % 2 else "no") for i in range(80)]
    write_rows(run / "samples" / "dev.jsonl", samples)
    for condition in [Condition(adapter="base", mode="direct"), *FAMILY]:
        rows = [_said(sample, condition, dice.random() < SHARES[condition.pool]) for sample in samples]
        write_rows(run / "predictions" / f"{condition.name}.jsonl", rows)
        (run / "predictions" / f"{condition.name}.condition.json").write_text(condition.model_dump_json())


def _said(sample: Sample, condition: Condition, right: bool) -> Prediction:
    said = sample.answer if right else {"yes": "no", "no": "yes"}[sample.answer]
    draft = Draft(answer="yes", questions=["What is an odd number?"]) if condition.mode == "assisted" else None
    return Prediction(sample_id=sample.id, answer=said, text=said, p_yes=0.8 if said == "yes" else 0.2, draft=draft)


def test_a_run_with_families_has_pools_gains_and_targets(runs_dir: Path, write_rows: Callable[[Path, Iterable[Record]], None]) -> None:
    write_family_run(runs_dir / "seeds", write_rows)
    scores = score_run(open_run(runs_dir, "seeds"), task_named("strategyqa"), 0)
    assert [(pool.name, pool.seeds) for pool in scores.pooled] == [("talk.direct", 3), ("talk.assisted.teacher", 3)]
    found = {(c.a, c.b): c for c in scores.pooled_comparisons}
    assert set(found) == {("base.direct", "talk.direct"), ("base.direct", "talk.assisted.teacher"), ("talk.direct", "talk.assisted.teacher")}
    assert "is better" in found["talk.direct", "talk.assisted.teacher"].verdict
    assert scores.comparisons == [], "one seed of several is compared with nothing"
    assert all(c.p_target is not None for c in scores.pooled_comparisons)
    gains = {score.condition.name: score.asking.against for score in scores.conditions if score.asking}
    assert gains == {f"talk-s{seed}.assisted.teacher": f"talk-s{seed}.direct" for seed in SEEDS}
    assert Scores.model_validate_json((runs_dir / "seeds" / "scores.json").read_text()) == scores


def test_all_pairs_of_39_conditions_take_seconds() -> None:
    draw = np.random.default_rng(0)
    conditions = [Condition(adapter=f"a{i}-s{s}", mode="direct", family=f"a{i}", seed=s) for i in range(13) for s in range(3)]
    right = {condition.name: (draw.random(229) < 0.6).astype(float).tolist() for condition in conditions}
    begin = time.process_time()
    assert len(comparisons(right, "accuracy", 0)) == 741
    assert len(pooled(conditions, right, "accuracy")[1]) == 78
    assert time.process_time() - begin < 10
