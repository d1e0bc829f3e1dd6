"""Scores StrategyQA predictions as AI2's leaderboard evaluator does. One file, the standard library alone, Python 3.9 or later."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

ID_FIELDS = ("qid", "sample_id", "id")
LABELS = {"yes": "yes", "true": "yes", "1": "yes", "no": "no", "false": "no", "0": "no"}
EXAMPLES = """examples:
  strategyqa_evaluator.py --pred predictions.json --gold dev.jsonl
  strategyqa_evaluator.py --pred answers.jsonl --gold dev.json --retrieved_paragraphs paragraphs.json"""


class Refusal(Exception):
    """What is wrong with a file: one line with the file, the row, the field and the remedy."""


class Fields(dict[str, Any]):
    """A JSON object; `pairs` are the keys and values of its text, a key given twice included."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


class Row(NamedTuple):
    """One row of a file; `where` opens every message about it."""

    where: str
    qid: str
    fields: dict[str, Any]

    def texts(self, name: str) -> list[str] | None:
        """A field that lists texts; None when absent or null. Raises Refusal when it is anything else."""
        value = self.fields.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise Refusal(f"{self.where}: field `{name}` is {_shown(value)}; give a list of texts, or leave it out")
        return value


class Said(NamedTuple):
    """What is predicted for one question: `label` is yes, no, unparsable, missing or conflicting; a list not given is None."""

    label: str
    decomposition: list[str] | None = None
    paragraphs: list[str] | None = None


def read_rows(path: str, max_mb: int, bare: str) -> dict[str, list[Row]]:
    """Rows by id of a JSON or JSONL file of at most `max_mb` MiB; plain values are field `bare`. Raises Refusal for anything else."""
    rows: dict[str, list[Row]] = {}
    try:
        for row in (_row(where, key, value, bare) for where, key, value in _entries(path, _text(path, max_mb))):
            rows.setdefault(row.qid, []).append(row)
    except (RecursionError, MemoryError) as error:
        raise Refusal(f"{path} is {'nested too deeply' if isinstance(error, RecursionError) else 'too large for memory'}; give plain rows") from None
    if not rows:
        raise Refusal(f"{path} is empty; give a file with at least one row")
    return rows


def _text(path: str, max_mb: int) -> str:
    try:
        with Path(path).open("rb") as stream:
            # A pipe tells no size, so what is read is bounded as well.
            large = Path(path).stat().st_size > max_mb * 2**20
            raw = b"" if large else stream.read(max_mb * 2**20 + 1)
        if large or len(raw) > max_mb * 2**20:
            raise Refusal(f"{path} is larger than {max_mb} MB; give the right file, or allow more with --max-mb")
        return raw.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise Refusal(f"{path} cannot be read ({error}); give a JSON or JSONL file in UTF-8") from None


def _entries(path: str, text: str) -> list[tuple[str, str | None, Any]]:
    """(place, key or None, value) of each row, by what the text holds."""
    try:
        value = _json(path, text if text.strip() else "[]")
    except Refusal as error:
        if "(Extra data" not in str(error):
            raise
        lines = enumerate(text.split("\n"), 1)
        return [(f"{path} line {i}", None, _json(f"{path} line {i}", line)) for i, line in lines if line.strip()]
    if isinstance(value, list):
        return [(f"{path} row {number}", None, row) for number, row in enumerate(value, 1)]
    scored = isinstance(value, Fields) and value.keys() & {"answer", "decomposition", "paragraphs"}
    if not isinstance(value, Fields) or (scored and any(isinstance(value.get(name), str) for name in ID_FIELDS)):
        return [(path, None, value)]
    return [(f"{path} row {_shown(key)}", key, row) for key, row in value.pairs]


def _json(where: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=Fields)
    except ValueError as error:
        raise Refusal(f"{where} is not JSON ({error}); give a JSON list, an object by qid, or JSONL") from None


def _row(where: str, key: str | None, value: Any, bare: str) -> Row:
    fields = Fields([(bare, value)]) if key is not None and not isinstance(value, Fields) else value
    if not isinstance(fields, Fields):
        raise Refusal(f"{where} is {_shown(fields)}; a row is an object with `qid` and `answer`")
    for name, count in Counter(name for name, _ in fields.pairs).items():
        if count > 1:
            raise Refusal(f"{where}: field `{name}` is given twice; keep one")
        if not _finite(fields[name]):
            raise Refusal(f"{where}: field `{name}` holds NaN or Infinity; give a finite number or null")
    qid = key if key is not None else next((fields[name] for name in ID_FIELDS if name in fields), None)
    if not isinstance(qid, str) or fields.get("qid", qid) != qid:
        raise Refusal(f"{where}: field `qid` is {_shown(fields.get('qid', qid))}; give the question's id as a text, the row's key if it has one")
    return Row(where, qid, fields)


def _finite(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def _shown(value: Any) -> str:
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else "missing" if value is None else repr(value)[:60]


def label(value: Any) -> str:
    """`yes`, `no` or `unparsable`: true, 1, "Yes." and "TRUE" are yes alike; a sentence is unparsable."""
    if isinstance(value, str):
        return LABELS.get(value.strip().strip(" .!,;\"'*`").lower(), "unparsable")
    return ("yes" if value else "no") if isinstance(value, (bool, int, float)) and value in (0, 1) else "unparsable"


def gold_row(rows: list[Row]) -> Row:
    """The one row of a gold id. Raises Refusal for an id given twice and for an answer that is not true or false."""
    row, answer = rows[-1], rows[-1].fields.get("answer")
    if len(rows) > 1:
        raise Refusal(f"{row.where}: field `qid` is {_shown(row.qid)}, as in an earlier row; keep one of them")
    if not isinstance(answer, bool):
        raise Refusal(f"{row.where}: field `answer` is {_shown(answer)}; gold answers are true or false")
    return row


def settled(rows: list[Row]) -> Said:
    """The one prediction of a question; rows that disagree cancel each other, and a row with an `error` answers nothing."""
    labels = ["unparsable" if row.fields.get("error") is not None else label(row.fields.get("answer")) for row in rows]
    said = [Said(labels[i], row.texts("decomposition"), row.texts("paragraphs")) for i, row in enumerate(rows)]
    return Said("missing") if not said else said[0] if said.count(said[0]) == len(said) else Said("conflicting")


def sari(gold: Row, predicted: list[str]) -> float:
    """SARI of one decomposition in [0, 1]: add F1, keep F1 and delete precision over sets of 1- to 4-grams, with 0/0 as 1."""
    if not isinstance(gold.fields.get("question"), str):
        raise Refusal(f"{gold.where}: field `question` is {_shown(gold.fields.get('question'))}; SARI needs the question's text")
    wholes = (gold.fields["question"], " ".join(predicted), " ".join(gold.texts("decomposition") or []))
    source, said, target = (text.replace("?", " ?").split() for text in wholes)
    total = 0.0
    for n in range(1, 5):
        old, new, aim = ({tuple(words[i : i + n]) for i in range(len(words) + 1 - n)} for words in (source, said, target))
        total += _f1(len((new - old) & aim), len(new - old), len(aim - old)) + _f1(len(old & new & aim), len(old & new), len(old & aim))
        total += len(old - new - aim) / len(old - new) if old - new else 1.0
    return total / 12


def _f1(right: int, selected: int, relevant: int) -> float:
    precision, recall = right / selected if selected else 1.0, right / relevant if relevant else 1.0
    return 2 * precision * recall / (precision + recall) if precision * recall > 0 else 0.0


def recall_at_10(gold: Row, paragraphs: list[str]) -> float:
    """Share of an annotator's evidence among the first 10 paragraphs, for the annotator with the largest share."""
    try:
        found = [{name for step in steps for item in step if isinstance(item, list) for name in item} for steps in gold.fields["evidence"]]
        return max(len(one.intersection(paragraphs[:10])) / len(one) if one else 0.0 for one in found)
    except (TypeError, ValueError):
        raise Refusal(f"{gold.where}: field `evidence` is malformed; give annotators, each of steps, each of lists of paragraph ids") from None


def answer_scores(gold: dict[str, Row], said: dict[str, Said]) -> dict[str, Any]:
    """Scores of the answers; cell `yes_no` of the confusion counts questions whose gold is yes and whose prediction is no."""
    cells = Counter((label(row.fields["answer"]), said[qid].label) for qid, row in gold.items())
    sizes = Counter(label(row.fields["answer"]) for row in gold.values())
    yes, no, lost = (cells["yes", found] + cells["no", found] for found in ("yes", "no", "unparsable"))
    return {
        "Accuracy": (cells["yes", "yes"] + cells["no", "no"]) / len(gold),
        "balanced_accuracy": sum(cells[side, side] / sizes[side] for side in sizes) / 2 if len(sizes) == 2 else None,
        "p_yes": yes / (yes + no) if yes + no else None,
        "confusion": {f"{a}_{b}": cells[a, b] for a in ("yes", "no") for b in ("yes", "no", "unparsable", "missing", "conflicting")},
        "unparsable": lost / len(gold),
        "unparsable_rows": named([qid for qid, one in said.items() if one.label == "unparsable"]),
    }


def listed_scores(gold: dict[str, Row], said: dict[str, Said]) -> dict[str, float]:
    """SARI and Recall@10, each where predictions and gold have its field; a question without a usable prediction counts 0."""
    scores: dict[str, float] = {}
    for name, rate, given, field in (("SARI", sari, 1, "decomposition"), ("Recall@10", recall_at_10, 2, "evidence")):
        without = [row.where for row in gold.values() if row.fields.get(field) is None]
        found: dict[str, Any] = {qid: one[given] for qid, one in said.items() if one[given] is not None}
        if found and len(without) == len(gold):
            sys.stderr.write(f"note: {name} is left out, as no gold row has `{field}`\n")
        elif found and without:
            raise Refusal(f"{without[0]}: field `{field}` is missing, though other rows have it; add it")
        elif found:
            scores[name] = math.fsum(rate(gold[qid], value) for qid, value in found.items()) / len(gold)
    return scores


def named(ids: list[str]) -> dict[str, Any]:
    """How many, and the first five in alphabetical order."""
    return {"count": len(ids), "first": sorted(ids)[:5]}


def score(pred: str, gold_path: str, retrieved: str | None, max_mb: int) -> dict[str, Any]:
    """Everything that is printed. Raises Refusal when a file cannot be scored."""
    gold = {qid: gold_row(rows) for qid, rows in read_rows(gold_path, max_mb, "answer").items()}
    groups = read_rows(pred, max_mb, "answer")
    found = read_rows(retrieved, max_mb, "paragraphs") if retrieved else groups
    for path, ids in ((pred, groups.keys()), (retrieved, found.keys())):
        if not ids & gold.keys():
            raise Refusal(f"{path}: field `qid`: none is in gold, e.g. {_shown(min(ids))}, not {_shown(min(gold))}; give the same split")
    said = {qid: settled(groups.get(qid, []))._replace(paragraphs=settled(found.get(qid, [])).paragraphs) for qid in gold}
    answers = answer_scores(gold, said) if any("answer" in row.fields for rows in groups.values() for row in rows) else {}
    scores = {**{name: answers[name] for name in answers if name == "Accuracy"}, **listed_scores(gold, said)}
    if not scores:
        raise Refusal(f"{pred}: fields `answer`, `decomposition` and `paragraphs` are missing; give at least one that gold can score")
    twice = {**named([qid for qid in groups if len(groups[qid]) > 1]), "conflicting": sum(one.label == "conflicting" for one in said.values())}
    lists = {"missing": named(list(gold.keys() - groups.keys())), "extra": named(list(groups.keys() - gold.keys())), "duplicate": twice}
    return {**scores, **answers, "n": len(gold), **lists}


def main() -> None:
    """Prints the scores as one JSON object and ends with 0; on a refusal ends with 2 and one line on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pred", required=True, help="{qid: answer}, {qid: row}, or a list or JSONL of rows with qid and answer")
    parser.add_argument("--gold", required=True, help="a list, JSONL or {qid: row} whose answers are true or false")
    parser.add_argument("--retrieved_paragraphs", help="{qid: [paragraph id, ...]}; takes the place of --pred's `paragraphs`")
    parser.add_argument("--max-mb", type=int, default=256, help="largest file to read, in MiB (default 256); memory is several times that")
    try:
        args = parser.parse_args()
        sys.stdout.write(json.dumps(score(args.pred, args.gold, args.retrieved_paragraphs, args.max_mb), indent=2) + "\n")
    except Refusal as refusal:
        parser.exit(2, " ".join(str(refusal).split()) + "\n")


if __name__ == "__main__":
    main()
