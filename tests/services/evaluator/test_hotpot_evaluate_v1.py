"""The script against an oracle in exact fractions, written from the official rules alone."""

import ast
import json
import random
import string
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from askback.contracts.records import Prediction, Sample
from askback.tasks import task_named
from services.evaluator import hotpot_evaluate_v1 as script
from services.evaluator.metrics.benchmark import HOTPOT
from services.evaluator.metrics.means import means

ROOT = Path(__file__).parents[3]
DEV = ROOT.parent / "shared" / "data" / "hotpotqa" / "dev_distractor.json"
Row = dict[str, Any]
GOLD: list[Row] = [
    {"_id": "a", "answer": "The Eiffel Tower", "supporting_facts": [["Paris", 0], ["Seine", 2]], "type": "bridge", "level": "hard"},
    {"_id": "b", "answer": "yes", "supporting_facts": [["Ärger", 1], ["O'Neill", 0], ["O'Neill", 3]], "type": "comparison", "level": "easy"},
    {"_id": "c", "answer": "no", "supporting_facts": [["Rome", 0], ["Rome", 0], ["Oslo", 1]], "type": "comparison", "level": "hard"},
    {
        "_id": "d",
        "answer": "İstanbul – the “Bosphorus” (a strait)",
        "supporting_facts": [["北京", 4], ["Oslo", 0]],
        "type": "bridge",
        "level": "medium",
    },
    {"_id": "e", "answer": "the", "supporting_facts": [["A", 0], ["B", 0], ["C", 0]], "type": "bridge", "level": "hard"},
    {"_id": "f", "answer": "noanswer", "supporting_facts": [], "type": "bridge", "level": "hard"},
]
for _row in GOLD:
    _row["question"] = "?"


def words(text: str) -> list[str]:
    kept = "".join("" if c in string.punctuation else c for c in text.lower())
    text, word = "", ""
    for c in [*kept, " "]:
        if c.isalnum() or c == "_":
            word += c
        else:
            text, word = text + (" " if word in {"a", "an", "the"} else word) + c, ""
    return text.split()


def f1(precision: Fraction, recall: Fraction) -> Fraction:
    return 2 * precision * recall / (precision + recall) if precision + recall else Fraction(0)


def answer_parts(said: str, gold: str) -> list[Fraction]:
    left, right = words(said), words(gold)
    rest, same = list(right), 0
    for word in left:
        if word in rest:
            rest.remove(word)
            same += 1
    closed = any(side in (["yes"], ["no"], ["noanswer"]) for side in (left, right))
    if not same or (closed and left != right):
        return [Fraction(left == right), Fraction(0), Fraction(0), Fraction(0)]
    precision, recall = Fraction(same, len(left)), Fraction(same, len(right))
    return [Fraction(left == right), f1(precision, recall), precision, recall]


def fact_parts(said: list[Any], gold: list[Any]) -> list[Fraction]:
    left, right = {(t, i) for t, i in said}, {(t, i) for t, i in gold}
    hits = len([fact for fact in left if fact in right])
    precision = Fraction(hits, len(left)) if left else Fraction(0)
    recall = Fraction(hits, len(right)) if right else Fraction(0)
    return [Fraction(not left ^ right), f1(precision, recall), precision, recall]


def oracle(pred: Row, gold: list[Row]) -> dict[str, float]:
    totals = [Fraction(0)] * 12
    for row in gold:
        key, zero = row["_id"], [Fraction(0)] * 4
        answer = answer_parts(pred["answer"][key], row["answer"]) if key in pred["answer"] else zero
        facts = fact_parts(pred["sp"][key], row["supporting_facts"]) if key in pred["sp"] else zero
        precision, recall = answer[2] * facts[2], answer[3] * facts[3]
        joint = [answer[0] * facts[0], f1(precision, recall), precision, recall]
        totals = [total + value for total, value in zip(totals, [*answer, *facts, *joint], strict=True)]
    names = ["em", "f1", "prec", "recall", "sp_em", "sp_f1", "sp_prec", "sp_recall", "joint_em", "joint_f1", "joint_prec", "joint_recall"]
    return {name: float(total / len(gold)) for name, total in zip(names, totals, strict=True)}


def perfect(gold: list[Row]) -> Row:
    return {"answer": {row["_id"]: row["answer"] for row in gold}, "sp": {row["_id"]: row["supporting_facts"] for row in gold}}


def damaged(gold: list[Row], dice: random.Random) -> Row:
    """Predictions of which each answer and each list of facts is damaged in one of several ways, some of them left out."""
    spoil: list[Callable[[str], str]] = [
        str, str.upper, lambda t: f"  The {t}.", lambda t: t[: len(t) // 2], lambda t: f"{t} {t}", lambda t: " ".join(reversed(t.split())),
        lambda _: "yes", lambda _: "No!", lambda _: "no answer", lambda _: "noanswer", lambda _: "", lambda t: "".join(dice.sample(t, len(t))),
        lambda t: t.replace(" ", "-"), lambda t: f"yes {t}", lambda t: "\u00a0".join(t.split()), lambda t: f"an{t} ‘a’ ÉTÉ the_{t}",
    ]  # fmt: skip
    pred: Row = {"answer": {}, "sp": {}}
    for row in gold:
        if dice.random() < 0.95:
            pred["answer"][row["_id"]] = dice.choice(spoil)(row["answer"])
        if dice.random() < 0.95:
            facts = [fact for fact in row["supporting_facts"] if dice.random() < 0.8]
            facts += [[dice.choice(["Paris", "Oslo", "北京"]), dice.randrange(4)] for _ in range(dice.choice([0, 0, 1, 3]))]
            pred["sp"][row["_id"]] = facts + facts[: dice.randrange(2)]
    return pred


def write(folder: Path, name: str, data: Any) -> Path:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def score(folder: Path, pred: Any, gold: Any = GOLD) -> Row:
    return script.evaluate([write(folder, "pred.json", pred), write(folder, "gold.json", gold)], 1 << 30)


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(ROOT / "services/evaluator/hotpot_evaluate_v1.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def close(found: Row, expected: dict[str, float]) -> None:
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12, rel=0)


CASES: dict[str, Row] = {
    "perfect": perfect(GOLD),
    "no prediction": {"answer": {}, "sp": {}},
    "empty texts": {"answer": {row["_id"]: "" for row in GOLD}, "sp": {row["_id"]: [] for row in GOLD}},
    "partial": {"answer": {"a": "tower"}, "sp": {"a": [["Paris", 0]], "b": [["O'Neill", 0]]}},
    "closed": {"answer": {"a": "yes", "b": "yes it is", "c": "No.", "d": "noanswer", "f": "no answer"}, "sp": {"c": [["Oslo", 1]]}},
    "unicode": {"answer": {"d": "istanbul bosphorus", "a": "EIFFEL\u2009TOWER"}, "sp": {"d": [["北京", 4]], "b": [["Ärger", 1]]}},
    "articles": {"answer": {"a": "an Eiffel a Tower", "e": "a", "d": "a theatre an"}, "sp": {"e": [["A", 0], ["A", 0], ["D", 1]]}},
    "punctuation": {"answer": {"a": "the-Eiffel, Tower!?", "b": "(yes)", "c": "n.o."}, "sp": {}},
    "whole numbers as 1.0": {"answer": {}, "sp": {"a": [["Paris", 0.0], ["Seine", 2.0]]}},
}


@pytest.mark.parametrize("pred", CASES.values(), ids=CASES)
def test_a_case_equals_the_oracle(pred: Row, tmp_path: Path) -> None:
    close(score(tmp_path, pred), oracle(pred, GOLD))


def test_perfect_is_one_but_where_nothing_can_be_shared(tmp_path: Path) -> None:
    found = score(tmp_path, perfect(GOLD))
    assert (found["em"], found["sp_em"], found["joint_em"]) == (1.0, 1.0, 1.0)
    assert found["f1"] == 5 / 6  # an answer that is an article alone has no words


@pytest.mark.parametrize("seed", range(40))
def test_damaged_small_gold_equals_the_oracle(seed: int, tmp_path: Path) -> None:
    pred = damaged(GOLD, random.Random(seed))
    close(score(tmp_path, pred), oracle(pred, GOLD))


@pytest.mark.skipif(not DEV.is_file(), reason="../shared/data/hotpotqa is not here")
def test_3000_damaged_predictions_equal_the_oracle(tmp_path: Path) -> None:
    gold = json.loads(DEV.read_text(encoding="utf-8"))
    short = [{name: value for name, value in row.items() if name != "context"} for row in gold]
    for seed in range(20):
        pred = damaged(gold, random.Random(seed))
        close(score(tmp_path, pred, short), oracle(pred, gold))


def as_records(row: Row, pred: Row) -> tuple[Sample, Prediction]:
    """The service's records of one question; its predictions always have both halves, and an answer that is no text is None."""
    sample = Sample(id=row["_id"], task="hotpotqa", question="?", answer=row["answer"], supporting_facts=row["supporting_facts"])
    return sample, Prediction(sample_id=row["_id"], answer=pred["answer"].get(row["_id"]), supporting_facts=pred["sp"].get(row["_id"], []))


def service_means(rows: list[Row], pred: Row) -> dict[str, float]:
    samples, predictions = zip(*(as_records(row, pred) for row in rows), strict=True)
    found = {metric.name: metric.value for metric in means(task_named("hotpotqa"), samples, predictions, 0)}
    return {key: found[name] for key, name in zip(script.KEYS, HOTPOT, strict=True)}


@pytest.mark.parametrize("seed", range(5))
def test_the_service_agrees(seed: int, tmp_path: Path) -> None:
    pred = damaged(GOLD, random.Random(seed))
    rows = [row for row in GOLD if row["_id"] in pred["sp"]]
    close(score(tmp_path, pred, rows), service_means(rows, pred))


@pytest.mark.skipif(not DEV.exists(), reason="HotpotQA's dev_distractor.json is not here")
@pytest.mark.parametrize("seed", range(3))
def test_the_service_agrees_on_dev(seed: int, tmp_path: Path) -> None:
    gold = [{name: value for name, value in row.items() if name != "context"} for row in json.loads(DEV.read_text())]
    pred = damaged(gold, random.Random(seed))
    close(score(tmp_path, pred, gold), service_means(gold, pred))


def test_either_order_and_alone_with_the_standard_library(tmp_path: Path) -> None:
    pred, gold = write(tmp_path, "p", CASES["partial"]), write(tmp_path, "g", GOLD)
    first, second = run(pred, gold), run(gold, pred)
    assert first.returncode == 0, first.stderr
    assert (first.stdout, first.stderr) == (second.stdout, second.stderr)
    assert list(json.loads(first.stdout)) == list(oracle(CASES["partial"], GOLD))
    close(json.loads(first.stdout), oracle(CASES["partial"], GOLD))
    assert 'missing answer: 5, first "b", "c", "d", "e", "f"\n' in first.stderr


def test_it_is_python_3_9() -> None:
    ast.parse(Path(script.__file__).read_text(encoding="utf-8"), feature_version=(3, 9))


def rows_of(pred: Row, key: str, facts: str) -> list[Row]:
    ids = dict.fromkeys([*pred["answer"], *pred["sp"]])
    columns = (("answer", "answer"), (facts, "sp"))
    return [{key: i} | {name: pred[part][i] for name, part in columns if i in pred[part]} for i in ids]


@pytest.mark.parametrize(("key", "facts"), [("_id", "sp"), ("id", "supporting_facts"), ("qid", "sp"), ("sample_id", "supporting_facts")])
@pytest.mark.parametrize("lines", [False, True])
def test_predictions_as_rows(key: str, facts: str, lines: bool, tmp_path: Path) -> None:
    pred = damaged(GOLD, random.Random(3))
    rows = rows_of(pred, key, facts)
    text = "\ufeff" + "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n" if lines else json.dumps(rows)
    close(score(tmp_path, text), oracle(pred, GOLD))


def test_one_line_and_gold_as_lines(tmp_path: Path) -> None:
    pred = {"answer": {"a": "tower"}, "sp": {"a": [["Paris", 0]]}}
    close(score(tmp_path, json.dumps(rows_of(pred, "id", "sp")[0]), "\n".join(map(json.dumps, GOLD))), oracle(pred, GOLD))


def test_what_is_wrong_is_counted_and_named(tmp_path: Path) -> None:
    rows = [
        {"_id": "a", "answer": "x", "sp": []},
        {"_id": "a", "answer": "the eiffel tower", "sp": [["Paris", 0], ["Seine", 2]]},
        {"_id": "b", "answer": None, "sp": [["Ärger", 1]]},
        {"_id": "c", "answer": "no", "sp": [["Rome", "0"]]},
        {"_id": "d", "answer": "x"},
        {"_id": "z", "answer": "x", "sp": []},
        {"answer": "whose?"},
        "text",
    ]
    found = score(tmp_path, rows)
    counts = {name: (part["count"], part["first"]) for name, part in found["details"]["counts"].items()}
    assert counts == {
        "missing_answer": (2, ["e", "f"]),
        "missing_sp": (3, ["d", "e", "f"]),
        "extra": (1, ["z"]),
        "duplicate": (1, ["a"]),
        "unparsable": (4, ["row 7", "row 8", "b", "c"]),
        "duplicate_in_gold": (0, []),
    }
    used = {"answer": {"a": "Eiffel tower", "c": "no", "d": "x"}, "sp": {"a": [["Paris", 0], ["Seine", 2]], "b": [["Ärger", 1]]}}
    close(found, oracle(used, GOLD))


@pytest.mark.parametrize(
    "facts", [[[1, 0]], [["Rome", "0"]], [["Rome", True]], [["Rome", 0.5]], [["Rome"]], ["Rome"], "Rome", None, {"Rome": 0}, [[["Rome"], 0]]]
)
def test_facts_of_the_wrong_shape_are_unparsable(facts: Any, tmp_path: Path) -> None:
    found = score(tmp_path, {"answer": {"c": "no"}, "sp": {"c": facts}})
    assert found["details"]["counts"]["unparsable"] == {"count": 1, "first": ["c"]}
    assert found["sp_recall"] == 0 and found["em"] == 1 / 6


def test_a_repeated_key_is_a_duplicate_and_the_last_counts(tmp_path: Path) -> None:
    found = score(tmp_path, '{"answer": {"b": "no", "b": "yes"}, "sp": {"b": [], "b": [["x", 0]]}}')
    assert found["details"]["counts"]["duplicate"] == {"count": 1, "first": ["b"]}
    assert found["em"] == 1 / 6


def test_gold_rows_that_repeat_count_twice(tmp_path: Path) -> None:
    gold = [*GOLD, GOLD[0]]
    found = score(tmp_path, CASES["partial"], gold)
    close(found, oracle(CASES["partial"], gold))
    assert found["details"]["counts"]["duplicate_in_gold"] == {"count": 1, "first": ["a"]}


def test_details_are_the_scores_of_each_group(tmp_path: Path) -> None:
    pred = CASES["closed"]
    done = run(write(tmp_path, "p", pred), write(tmp_path, "g", GOLD), "--details")
    details = json.loads(done.stdout)["details"]
    assert details["n"] == 6
    assert {name: {label: part["n"] for label, part in details[name].items()} for name in details if name.startswith("by_")} == {
        "by_type": {"bridge": 4, "comparison": 2},
        "by_level": {"easy": 1, "hard": 4, "medium": 1},
        "by_answer_type": {"no": 1, "span": 4, "yes": 1},
        "by_hops": {"0": 1, "2": 4, "3": 1},
    }
    close(details["by_type"]["comparison"], oracle(pred, [row for row in GOLD if row["type"] == "comparison"]))
    close(details["by_hops"]["3"], oracle(pred, [GOLD[4]]))


PRED = {"answer": {"a": "x"}, "sp": {}}
REFUSALS: dict[str, tuple[Any, Any, str]] = {
    "not JSON": ("yes", GOLD, "pred.json: not JSON in UTF-8, it begins with b'y'"),
    "cut JSON": ('{"answer": {"a": ', GOLD, "pred.json: Expecting value: line 1 column 18"),
    "cut line": ('{"id": "a", "answer": "x"}\n{"id": \n', GOLD, "pred.json: Expecting value: line 2"),
    "empty": (" \n", GOLD, "pred.json: empty"),
    "empty list": (PRED, [], "gold.json: empty"),
    "two gold": (GOLD, GOLD, "are both gold; "),
    "two predictions": (PRED, PRED, "are both predictions; "),
    "could be both": (
        [{"_id": "a", "answer": "x", "supporting_facts": []}] * 2,
        [{"_id": "a", "answer": "x", "supporting_facts": []}],
        "are both gold or",
    ),
    "other object": ({"data": []}, GOLD, "pred.json: neither gold nor predictions"),
    "no id": ({"answer": {"q": "x"}, "sp": {}}, GOLD, "('q' here, 'a' there); give the gold file"),
    "rows without ids": ([{"answer": "x"}], GOLD, "('none' here"),
    "answer no object": ({"answer": ["x"], "sp": {"a": []}}, GOLD, "pred.json: field `answer` is no object"),
    "answer twice": ('{"answer": {"a": "x"}, "answer": {}, "sp": {}}', GOLD, "pred.json: field `answer` stands twice"),
    "NaN": ('{"answer": {"a": NaN}, "sp": {}}', GOLD, "pred.json: row a, field `answer` is NaN"),
    "infinity in a row": ('[{"_id": "b"}, {"_id": "a", "sp": [["Rome", -Infinity]]}]', GOLD, "pred.json: row 2, field `sp` is -Infinity"),
    "deep": ('{"answer": ' + "[" * 200_000, GOLD, "pred.json: nested too deeply"),
    "endless number": ('{"answer": {"a": ' + "1" * 5000 + '}, "sp": {}}', GOLD, "pred.json: Exceeds the limit"),
    "gold without answer": (PRED, [GOLD[0], {**GOLD[1], "answer": None}], "gold.json: row 2, field `answer` is no text; take the official file"),
    "gold of no rows": (PRED, [GOLD[0], 3], "gold.json: row 2, field `_id` is no text"),
    "gold facts": (PRED, [{**GOLD[0], "supporting_facts": [["Paris"]]}], "gold.json: row 1, field `supporting_facts` is no list of [title, index]"),
}


@pytest.mark.parametrize(("pred", "gold", "said"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_one_line(pred: Any, gold: Any, said: str, tmp_path: Path) -> None:
    done = run(write(tmp_path, "pred.json", pred), write(tmp_path, "gold.json", gold))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert said in done.stderr


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    gold, latin = write(tmp_path, "gold.json", GOLD), tmp_path / "latin.json"
    latin.write_bytes('{"answer": {"a": "é"}}'.encode("latin-1"))
    for path, said in ((tmp_path / "none.json", "No such file"), (tmp_path, "Is a directory"), (latin, "can't decode byte 0xe9 in position 18")):
        done = run(path, gold)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert f"{path}: " in done.stderr and said in done.stderr


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.write(b'[{"_id": "')
        file.truncate(5 << 30)
    done = run(huge, write(tmp_path, "gold.json", GOLD))
    assert done.returncode == 2 and "huge.json: larger than 256 MiB" in done.stderr and "--max-mb" in done.stderr
    done = run("/dev/zero", huge)
    assert done.returncode == 2 and "/dev/zero: not JSON" in done.stderr
