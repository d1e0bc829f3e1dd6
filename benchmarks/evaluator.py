"""The evaluator on one core: HotpotQA's whole dev set scored by the script, and the paired bootstrap beside scipy's."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the file can be run by its path

from benchmarks.command_line import BenchmarkFailed, report, rounded, say
from services.evaluator.stats.intervals import RESAMPLES
from services.evaluator.stats.paired import bootstrap_difference

_EXAMPLES = """examples:
  %(prog)s               7,405 rows, about ten seconds
  %(prog)s --rows 200    does it run at all

The last line is JSON. Exit code: 0 when every claim holds, 1 when one does not.
"""
_SCRIPT = Path(__file__).parents[1] / "services" / "evaluator" / "hotpot_evaluate_v1.py"
_MOST_SCORING_S, _MOST_BOOTSTRAP_S = 2.0, 5.0
_SEED = 0
Values = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=7405, help="questions (default 7405, the official dev set)")
    rows = parser.parse_args().rows
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    raise SystemExit(report(lambda: run(rows)))


def run(rows: int) -> dict[str, Any]:
    """The last line: seconds of each; `ok` when the bounds hold and all intervals lie within a fifth of a standard error of the peer's."""
    scoring_s = _scoring_seconds(rows)
    say(f"scoring: {scoring_s:.2f} s")
    draw = np.random.default_rng(_SEED)
    # F1 has few distinct values, the Brier score of P(yes) has as many as there are rows.
    pairs = {"f1": (_f1_values(rows, draw), _f1_values(rows, draw)), "brier": (draw.random(rows) ** 2, draw.random(rows) ** 2)}
    found = {name: _compared(a, b) for name, (a, b) in pairs.items()}
    return {
        "name": "evaluator",
        "ours": {"scoring_s": rounded(scoring_s), "bootstrap_s": {name: rounded(part["ours_s"]) for name, part in found.items()}},
        "peer": {"name": "scipy.stats.bootstrap", "bootstrap_s": {name: rounded(part["peer_s"]) for name, part in found.items()}},
        "ratio": {name: rounded(part["peer_s"] / part["ours_s"]) for name, part in found.items()},
        "apart_in_standard_errors": {name: rounded(part["apart"]) for name, part in found.items()},
        "rows": rows,
        "resamples": RESAMPLES,
        "ok": scoring_s <= _MOST_SCORING_S and all(part["ours_s"] <= _MOST_BOOTSTRAP_S and part["apart"] <= 0.2 for part in found.values()),
    }


def _compared(a: Values, b: Values) -> dict[str, float]:
    """Seconds of both sides, and by how many standard errors their intervals' ends differ."""
    begin = time.perf_counter()
    ours = bootstrap_difference(a.tolist(), b.tolist(), _SEED)
    middle = time.perf_counter()
    found = stats.bootstrap((b - a,), np.mean, n_resamples=RESAMPLES, batch=500, method="percentile", rng=_SEED)
    end = time.perf_counter()
    peer = (float(found.confidence_interval.low), float(found.confidence_interval.high))
    apart = max(abs(x - y) for x, y in zip(ours, peer, strict=True)) / float((b - a).std() / len(a) ** 0.5)
    return {"ours_s": middle - begin, "peer_s": end - middle, "apart": apart}


def _scoring_seconds(rows: int) -> float:
    """Of the whole process, from its start to its end."""
    with tempfile.TemporaryDirectory() as folder:
        gold, pred = Path(folder) / "gold.json", Path(folder) / "pred.json"
        _write_files(rows, gold, pred)
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-I", str(_SCRIPT), str(pred), str(gold)], capture_output=True, text=True, check=False)  # noqa: S603
        seconds = time.perf_counter() - begin
    if done.returncode or not 0 < json.loads(done.stdout)["joint_f1"] < 1:
        raise BenchmarkFailed(f"the script gave exit code {done.returncode}: {(done.stderr or done.stdout)[-500:]}")
    return seconds


def _write_files(rows: int, gold: Path, pred: Path) -> None:
    """Rows of about the official size, 6 kB: ten pages of four sentences, two of which are supporting facts."""
    dice = random.Random(_SEED)  # noqa: S311
    words = ["".join(dice.choices("abcdefghijklmnop", k=6)) for _ in range(2000)]
    questions: list[dict[str, Any]] = []
    answers, facts = {}, {}
    for i in range(rows):
        pages = [[" ".join(dice.choices(words, k=2)), [" ".join(dice.choices(words, k=20)) for _ in range(4)]] for _ in range(10)]
        supporting = [[pages[0][0], 0], [pages[1][0], dice.randrange(4)]]
        answer = dice.choice(["yes", "no", " ".join(dice.choices(words, k=3))])
        row = {"_id": f"q{i}", "question": "?", "answer": answer, "supporting_facts": supporting, "context": pages}
        questions.append({**row, "type": "bridge", "level": "hard"})
        answers[f"q{i}"] = dice.choice([answer, f"the {answer}", answer.split()[0], "yes"])
        facts[f"q{i}"] = [*supporting[: dice.choice([1, 2])], [pages[dice.randrange(10)][0], 0]]
    gold.write_text(json.dumps(questions), encoding="utf-8")
    pred.write_text(json.dumps({"answer": answers, "sp": facts}), encoding="utf-8")


def _f1_values(rows: int, draw: np.random.Generator) -> Values:
    """F1 of answers of one to six words, some of which are shared."""
    said, wanted = draw.integers(1, 7, rows), draw.integers(1, 7, rows)
    shared = draw.integers(0, np.minimum(said, wanted) + 1)
    return np.asarray(2 * shared / (said + wanted), dtype=np.float64)


if __name__ == "__main__":
    main()
