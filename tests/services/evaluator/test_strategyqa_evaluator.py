"""The plain script is run as people run it: on its own, with the standard library alone."""

import ast
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from askback.contracts.records import Condition, Draft, Prediction, Sample
from askback.tasks import task_named
from services.evaluator import strategyqa_evaluator as script
from services.evaluator.scoring.conditions import condition_score

FILE = Path(script.__file__)
DEV = Path(__file__).parents[4] / "shared" / "data" / "strategyqa" / "dev.jsonl"
GOLD = [{"qid": qid, "question": "Is it so?", "answer": answer} for qid, answer in (("a", True), ("b", True), ("c", False), ("d", False))]
SAID = {"a": True, "b": False, "c": False, "d": "maybe"}


def write(path: Path, content: Any) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def jsonl(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def run(folder: Path, pred: Any, gold: Any, *options: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the script, isolated from this repository and from installed packages."""
    pred = pred if isinstance(pred, Path) else write(folder / "pred", pred)
    gold = gold if isinstance(gold, Path) else write(folder / "gold", gold)
    command = [sys.executable, "-I", "-S", str(FILE), "--pred", str(pred), "--gold", str(gold), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60)
    return done.returncode, done.stdout, done.stderr


def scores(folder: Path, pred: Any, gold: Any = GOLD, *options: str) -> dict[str, Any]:
    code, out, err = run(folder, pred, gold, *options)
    assert code == 0, err
    return dict(json.loads(out))


def refusal(folder: Path, pred: Any, gold: Any = GOLD, *options: str) -> str:
    code, out, err = run(folder, pred, gold, *options)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    return err


def rows(id_field: str = "qid") -> list[dict[str, Any]]:
    return [{id_field: qid, "answer": answer} for qid, answer in SAID.items()]


FORMS = {
    "values": SAID,
    "objects": {qid: {"answer": answer} for qid, answer in SAID.items()},
    "list": rows(),
    "sample_id": rows("sample_id"),
    "id": rows("id"),
    "jsonl": jsonl(rows()),
    "jsonl, blank lines and CRLF": "\n" + jsonl(rows()).replace("\n", "\r\n") + "\n",
    "words": {"a": "Yes.", "b": "NO!", "c": "no", "d": ""},
    "bold": {"a": " **Yes** ", "b": "'false'", "c": "No,", "d": "yes and no"},
    "numbers": {"a": 1, "b": 0, "c": "0", "d": 2},
    "null": {"a": "true", "b": 0.0, "c": "False", "d": None},
    "failed": [*rows()[:3], {"qid": "d", "answer": "no", "error": "UpstreamUnavailable: gone"}],
    "BOM": b"\xef\xbb\xbf" + json.dumps(SAID).encode(),
    "BOM, jsonl": b"\xef\xbb\xbf" + jsonl(rows()).encode(),
}


@pytest.mark.parametrize("pred", FORMS.values(), ids=FORMS)
def test_every_form_of_predictions_gives_the_same_scores(pred: Any, tmp_path: Path) -> None:
    found = scores(tmp_path, pred)
    assert next(iter(found)) == "Accuracy"
    assert (found["Accuracy"], found["balanced_accuracy"], found["p_yes"], found["unparsable"], found["n"]) == (0.5, 0.5, 1 / 3, 0.25, 4)
    cells = {name: count for name, count in found["confusion"].items() if count}
    assert cells == {"yes_yes": 1, "yes_no": 1, "no_no": 1, "no_unparsable": 1}
    assert found["unparsable_rows"] == {"count": 1, "first": ["d"]}
    assert "SARI" not in found and "Recall@10" not in found


@pytest.mark.parametrize("gold", [GOLD, jsonl(GOLD), {row["qid"]: row for row in GOLD}, {row["qid"]: row["answer"] for row in GOLD}])
def test_every_form_of_gold_gives_the_same_scores(gold: Any, tmp_path: Path) -> None:
    assert scores(tmp_path, SAID, gold)["Accuracy"] == 0.5


def test_one_row_of_jsonl_is_a_row_and_not_a_mapping(tmp_path: Path) -> None:
    found = scores(tmp_path, '{"qid": "a", "answer": "yes"}\n', jsonl(GOLD[:1]))
    assert (found["Accuracy"], found["balanced_accuracy"], found["n"]) == (1.0, None, 1)


def test_missing_extra_and_conflicting_rows_are_wrong_and_named(tmp_path: Path) -> None:
    pred = [("a", "yes"), ("a", True), ("b", "yes"), ("b", "no"), ("c", "no"), *((f"x{i}", "no") for i in range(7))]
    found = scores(tmp_path, [{"qid": qid, "answer": answer} for qid, answer in pred])
    assert found["Accuracy"] == 0.5
    assert found["missing"] == {"count": 1, "first": ["d"]}
    assert found["extra"] == {"count": 7, "first": ["x0", "x1", "x2", "x3", "x4"]}
    assert found["duplicate"] == {"count": 2, "first": ["a", "b"], "conflicting": 1}
    assert {name for name, count in found["confusion"].items() if count} == {"yes_yes", "yes_conflicting", "no_no", "no_missing"}
    assert sum(found["confusion"].values()) == found["n"]


def test_a_key_given_twice_in_an_object_is_a_duplicate(tmp_path: Path) -> None:
    found = scores(tmp_path, '{"a": true, "a": false, "b": true, "b": true}')
    assert (found["Accuracy"], found["duplicate"]) == (0.25, {"count": 2, "first": ["a", "b"], "conflicting": 1})


REFUSALS: dict[str, tuple[Any, Any, str]] = {
    "no such file": (Path("/nowhere/pred.json"), GOLD, "/nowhere/pred.json cannot be read"),
    "a folder": (Path("/"), GOLD, "cannot be read"),
    "not JSON": ("hello", GOLD, "is not JSON"),
    "cut off": ('[{"qid": "a", "answer": true}', GOLD, "is not JSON"),
    "one line of JSONL": (jsonl(rows()[:2]) + '{"qid": \n' + jsonl(rows()[2:]), GOLD, "pred line 3 is not JSON"),
    "not UTF-8": (b'{"a": "\xff"}', GOLD, "in UTF-8"),
    "a number of 5,000 digits": ('{"a": ' + "1" * 5000 + "}", GOLD, "is not JSON"),
    "empty": ("", GOLD, "is empty"),
    "only blanks": (" \n\n", GOLD, "is empty"),
    "no rows": ([], GOLD, "is empty"),
    "no keys": ({}, GOLD, "is empty"),
    "a text": ('"yes"', GOLD, "is 'yes'; a row is an object"),
    "a list of values": ([True, False], GOLD, "row 1 is True"),
    "no id": ([{"answer": True}], GOLD, "row 1: field `qid` is missing"),
    "an id that is a number": ([{"qid": 7, "answer": True}], GOLD, "row 1: field `qid` is 7"),
    "a key against its row": ({"a": {"qid": "b", "answer": True}}, GOLD, "row 'a': field `qid` is 'b'"),
    "a field given twice": ('{"a": {"answer": true, "answer": false}}', GOLD, "row 'a': field `answer` is given twice"),
    "no id matches": ({"z": True}, GOLD, "none is in gold, e.g. 'z', not 'a'"),
    "nothing to score": ([{"qid": "a", "text": "yes"}], GOLD, "fields `answer`, `decomposition` and `paragraphs` are missing"),
    "NaN": ('{"a": NaN}', GOLD, "row 'a': field `answer` holds NaN or Infinity"),
    "Infinity": ('[{"qid": "a", "answer": true, "p_yes": -Infinity}]', GOLD, "row 1: field `p_yes` holds NaN or Infinity"),
    "infinite by its size": ('{"qid": "a", "answer": true, "usage": {"cost": [1e999]}}', GOLD, "field `usage` holds NaN or Infinity"),
    "deep nesting": ("[" * 100_000, GOLD, "pred is nested too deeply"),
    "steps that are a text": ({"a": {"answer": True, "decomposition": "Who?"}}, GOLD, "field `decomposition` is 'Who?'; give a list of texts"),
    "gold in words": (SAID, [{"qid": "a", "answer": "yes"}], "gold row 1: field `answer` is 'yes'; gold answers are true or false"),
    "gold in numbers": (SAID, [*GOLD[:1], {"qid": "b", "answer": 1}], "gold row 2: field `answer` is 1;"),
    "gold without answers": (SAID, [{"qid": "a"}], "field `answer` is missing"),
    "gold given twice": (SAID, [*GOLD, GOLD[0]], "gold row 5: field `qid` is 'a', as in an earlier row"),
    "gold empty": (SAID, "", "gold is empty"),
}


@pytest.mark.parametrize(("pred", "gold", "line"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_one_line_that_names_the_place(pred: Any, gold: Any, line: str, tmp_path: Path) -> None:
    assert line in refusal(tmp_path, pred, gold)


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    with large.open("wb") as stream:
        stream.truncate(2**30)
    half = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29)); sys.argv = sys.argv[1:]"
    limited = f"{half}; runpy.run_path({str(FILE)!r}, run_name='__main__')"
    command = [sys.executable, "-I", "-c", limited, "script", "--pred", str(large), "--gold", str(write(tmp_path / "gold", GOLD))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "large.json is larger than 256 MB" in done.stderr and "--max-mb" in done.stderr


def test_max_mb_sets_the_limit_of_what_has_no_size_too(tmp_path: Path) -> None:
    assert "larger than 1 MB" in refusal(tmp_path, Path("/dev/zero"), GOLD, "--max-mb", "1")
    wide = {**SAID, "pad": "x" * 2**20}
    assert "larger than 1 MB" in refusal(tmp_path, wide, GOLD, "--max-mb", "1")
    assert scores(tmp_path, wide, GOLD, "--max-mb", "2")["extra"]["count"] == 1


def test_the_file_works_wherever_it_is_copied_and_has_help(tmp_path: Path) -> None:
    copy = write(tmp_path / "anywhere.py", FILE.read_text(encoding="utf-8"))
    done = subprocess.run([sys.executable, "-I", "-S", str(copy), "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "examples:" in done.stdout and "--retrieved_paragraphs" in done.stdout


def test_the_script_needs_the_standard_library_alone_and_parses_as_python_3_9() -> None:
    tree = ast.parse(FILE.read_text(encoding="utf-8"), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names


def sari(question: str, predicted: list[str], gold: list[str]) -> float:
    return script.sari(script.Row("row", "q", {"question": question, "decomposition": gold}), predicted)


# Worked by hand. Each line is the sum over n = 1 to 4 of add F1, keep F1 and delete precision; an n for which nothing is selected
# and nothing is relevant gives 1 to each.
SARI = [
    ("a b", ["a b"], ["a b"], (4 + 4 + 4) / 12),  # nothing to add or delete, everything kept
    ("a b ?", ["a b?"], ["a b?"], 1.0),  # the question mark is a word of its own
    # n=1: add {c}: P 1, R 1; keep {a}: 1; delete {b}: 1. n=2: add {a c}: 1, keep and delete (of {a b}): 1. n=3, 4: all 1.
    ("a b", ["a c"], ["a c"], 1.0),
    # n=1: add {c} against {d}: 0; keep {a}: 1; delete {b}: 1. n=2: add {a c} against {a d}: 0; keep 0/0: 1; delete {a b}: 1. n=3, 4: all 1.
    ("a b", ["a c"], ["a d"], (0 + 1 + 1 + 0 + 1 + 1 + 6) / 12),
    # n=1: add P 1/2 (c of c, e), R 1/2 (c of c, d): 1/2; keep {a} of relevant {a, b}: P 1, R 1/2: 2/3; delete {b}: gold keeps it: 0.
    # n=2: said {a c, c e}, gold {a b, b c, c d}, question {a b}. add 0; keep selects nothing, of relevant {a b}: P 1, R 0: 0; delete {a b}: 0.
    # n=3: said {a c e}, gold {a b c, b c d}. add 0; keep 1; delete 1. n=4: said none, gold {a b c d}. add P 1, R 0: 0; keep 1; delete 1.
    ("a b", ["a c", "e"], ["a b", "c d"], (1 / 2 + 2 / 3 + 0 + 0 + 0 + 0 + 0 + 1 + 1 + 0 + 1 + 1) / 12),
    # Nothing said. n=1: add 0/0 with R 0: 0; keep P 1, R 0: 0; delete {a, b}: gold deletes b: 1/2. n=2: add R 0: 0; keep 1; delete 1.
    ("a b", [], ["a c"], (0 + 0 + 1 / 2 + 0 + 1 + 1 + 6) / 12),
]


@pytest.mark.parametrize(("question", "predicted", "gold", "expected"), SARI)
def test_sari_matches_cases_worked_by_hand(question: str, predicted: list[str], gold: list[str], expected: float) -> None:
    assert sari(question, predicted, gold) == pytest.approx(expected, abs=1e-12)


EVIDENCE = [
    [[["P-1"]], [["P-2"], "operation"], ["no_evidence"]],
    [[["P-1", "P-3"]], [["P-4"]], ["operation"]],
    [["operation"], ["no_evidence"]],
]


@pytest.mark.parametrize(
    ("paragraphs", "expected"),
    [
        (["P-1", "P-2"], 1.0),  # all of the first annotator's
        (["P-3", "P-4"], 2 / 3),  # two of the second's three, none of the first's
        (["P-1"], 1 / 2),  # one of two is more than one of three
        (["x"] * 9 + ["P-1", "P-2"], 1 / 2),  # the eleventh is not read
        ([], 0.0),
        (["operation", "no_evidence"], 0.0),
    ],
)
def test_recall_is_the_best_annotators_share(paragraphs: list[str], expected: float) -> None:
    assert script.recall_at_10(script.Row("row", "q", {"evidence": EVIDENCE}), paragraphs) == pytest.approx(expected, abs=1e-12)


RICH = [{**row, "question": "a b", "decomposition": ["a c"], "evidence": EVIDENCE} for row in GOLD]


def test_the_official_keys_come_first_and_an_absent_row_counts_nothing(tmp_path: Path) -> None:
    pred = {"a": {"answer": True, "decomposition": ["a c"], "paragraphs": ["P-1"]}, "b": {"answer": True, "decomposition": [], "paragraphs": []}}
    found = scores(tmp_path, pred, RICH)
    assert list(found)[:3] == ["Accuracy", "SARI", "Recall@10"]
    assert found["SARI"] == pytest.approx((1 + 8.5 / 12) / 4, abs=1e-12)
    assert found["Recall@10"] == pytest.approx(1 / 8, abs=1e-12)


@pytest.mark.parametrize("retrieved", [{"a": ["P-1", "P-2"]}, [{"qid": "a", "paragraphs": ["P-1", "P-2"]}]])
def test_retrieved_paragraphs_replace_those_of_the_predictions(retrieved: Any, tmp_path: Path) -> None:
    other = write(tmp_path / "retrieved", retrieved)
    pred = {qid: {"answer": True, "paragraphs": ["P-1"]} for qid in SAID}
    assert scores(tmp_path, pred, RICH, "--retrieved_paragraphs", str(other))["Recall@10"] == pytest.approx(1 / 4)
    assert "retrieved: field `qid`: none is in gold" in refusal(tmp_path, pred, RICH, "--retrieved_paragraphs", str(write(other, {"z": []})))


def test_predictions_without_answers_have_no_accuracy(tmp_path: Path) -> None:
    found = scores(tmp_path, {qid: {"decomposition": ["a c"]} for qid in SAID}, RICH)
    assert found["SARI"] == 1.0 and not found.keys() & {"Accuracy", "balanced_accuracy", "confusion", "unparsable"}


def test_a_metric_that_gold_cannot_give_is_left_out_with_a_note(tmp_path: Path) -> None:
    code, out, err = run(tmp_path, {"a": {"answer": True, "decomposition": ["Who?"]}}, GOLD)
    assert code == 0 and "SARI" not in json.loads(out)
    assert err == "note: SARI is left out, as no gold row has `decomposition`\n"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"evidence": None}, "row 1: field `evidence` is missing, though other rows have it"),
        ({"evidence": [7]}, "row 1: field `evidence` is malformed"),
        ({"evidence": []}, "row 1: field `evidence` is malformed"),
        ({"decomposition": "Who?"}, "row 1: field `decomposition` is 'Who?'"),
        ({"question": None}, "row 1: field `question` is missing"),
    ],
)
def test_gold_that_cannot_score_steps_is_refused(change: dict[str, Any], line: str, tmp_path: Path) -> None:
    pred = {"a": {"answer": True, "decomposition": ["a c"], "paragraphs": ["P-1"]}}
    assert line in refusal(tmp_path, pred, [{**RICH[0], **change}, *RICH[1:]])


answered = st.sampled_from([True, False, "Yes.", "no", "maybe", None])
said_rows = st.lists(st.tuples(st.sampled_from("abcdxyz"), answered, st.sampled_from([["a c"], ["a b c d e?"], [], None])), min_size=1)


@settings(max_examples=100, deadline=None)
@given(said_rows.filter(lambda said: any(qid in "abcd" for qid, _, _ in said)), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(tmp_path_factory: pytest.TempPathFactory, said: list[Any], chance: random.Random) -> None:
    folder = tmp_path_factory.mktemp("order")
    found = []
    for shuffled in (False, True):
        pred, gold = [{"qid": qid, "answer": answer, "decomposition": steps} for qid, answer, steps in said], list(RICH)
        if shuffled:
            chance.shuffle(pred)
            chance.shuffle(gold)
        found.append(json.dumps(script.score(str(write(folder / "pred", pred)), str(write(folder / "gold", jsonl(gold))), None, 1)))
    assert found[0] == found[1]


def test_the_order_of_many_rows_changes_no_last_digit(tmp_path: Path) -> None:
    chance = random.Random(3)
    words = [[" ".join(chance.choices("abcdef", k=6)) for _ in range(3)] for _ in range(200)]
    gold = [{"qid": f"q{i}", "question": a, "answer": True, "decomposition": [b]} for i, (a, b, _) in enumerate(words)]
    pred = [{"qid": f"q{i}", "decomposition": [c]} for i, (_, _, c) in enumerate(words)]
    orders = [chance.sample(range(200), 200) for _ in range(5)]
    assert len({scores(tmp_path, [pred[i] for i in order], [gold[i] for i in order])["SARI"] for order in orders}) == 1


@pytest.mark.skipif(not DEV.exists(), reason="StrategyQA's dev.jsonl is not here")
def test_dev_agrees_with_the_services_own_metrics(tmp_path: Path) -> None:
    task, chance = task_named("strategyqa"), random.Random(7)
    samples: list[Sample] = [task.read(json.loads(line)) for line in DEV.read_text(encoding="utf-8").splitlines()]
    made = [
        Prediction(sample_id=one.id, answer=chance.choice(["yes", "no", "no", None]), draft=Draft(answer="no", questions=other.decomposition[:2]))
        for one, other in zip(samples, chance.sample(samples, len(samples)), strict=True)
    ]
    made[3] = made[3].model_copy(update={"answer": samples[3].answer, "error": "UpstreamUnavailable: gone"})
    made[4] = made[4].model_copy(update={"draft": None})
    rows = [{"qid": said.sample_id, "answer": said.answer, "error": said.error} for said in made]
    rows = [row | ({"decomposition": said.draft.questions} if said.draft and not said.error else {}) for row, said in zip(rows, made, strict=True)]
    found = scores(tmp_path, rows, DEV)
    score = condition_score(task, Condition(adapter="base", mode="assisted"), samples, made, 0)
    own = {metric.name: metric.value for metric in score.metrics}
    theirs = {"accuracy": found["Accuracy"], "balanced_accuracy": found["balanced_accuracy"], "sari": found["SARI"]}
    assert own == pytest.approx(theirs, abs=1e-12)
    assert score.yes_rate == pytest.approx(found["p_yes"], abs=1e-12)
    assert score.unparsable + score.failed == found["unparsable_rows"]["count"]
    cells = {side: score.confusion[f"{side}_unparsable"] + score.confusion[f"{side}_failed"] for side in ("yes", "no")}
    assert cells == {side: found["confusion"][f"{side}_unparsable"] for side in ("yes", "no")}
    assert {cell: score.confusion[cell] for cell in ("yes_yes", "yes_no", "no_yes", "no_no")}.items() <= found["confusion"].items()


@pytest.mark.skipif(not DEV.exists(), reason="StrategyQA's dev.jsonl is not here")
def test_dev_against_itself_is_perfect(tmp_path: Path) -> None:
    found = scores(tmp_path, DEV, DEV)
    assert (found["Accuracy"], found["SARI"], found["missing"]["count"]) == (1.0, 1.0, 0)
