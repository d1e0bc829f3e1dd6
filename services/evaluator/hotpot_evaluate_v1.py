"""HotpotQA's answer, supporting-fact and joint EM, F1, precision and recall, as the official hotpot_evaluate_v1.py gives them.

A plain script: Python 3.9 or newer and its standard library are all that it needs, so that it can be copied anywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import string
import sys
from collections import Counter
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

_EXAMPLES = """%(prog)s PRED GOLD --details, or GOLD PRED: the files are told apart by what they hold.

GOLD is a list (or JSONL) of rows with _id, answer and supporting_facts. PRED is {"answer": {id: text}, "sp": {id: [[title, index], ...]}},
or a list (or JSONL) of rows with _id, answer and sp. Missing and unparsable predictions score 0; of duplicates the last counts.
Exit code: 0, or 2 where a file cannot be scored."""
KEYS = tuple(prefix + name for prefix in ("", "sp_", "joint_") for name in ("em", "f1", "prec", "recall"))
_IDS = ("_id", "id", "qid", "sample_id")
_CLOSED = {"yes", "no", "noanswer"}
_FORM = 'give predictions as {"answer": {id: text}, "sp": {id: [[title, index], ...]}} and gold as the official list of rows'
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class Refused(Exception):
    """A file that cannot be scored; the text is one line that names the file, the place and the remedy."""


class Predictions(NamedTuple):
    """Answers and sets of (title, sentence index) by id; `ids` are all that were seen, the last two hold what could not be used as it stood."""

    answer: dict[str, str]
    sp: dict[str, set[tuple[str, int]]]
    ids: set[str]
    duplicate: list[str]
    unparsable: list[str]


def main() -> int:
    """Score the two files of the command line; the exit code."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], epilog=_EXAMPLES, formatter_class=formatter)
    parser.add_argument("files", nargs=2, type=Path, metavar="FILE", help="predictions and gold, in either order")
    parser.add_argument("--details", action="store_true", help="add `details`: groups of questions, and what is wrong with PRED")
    parser.add_argument("--max-mb", type=int, default=256, help="largest file that is read, in MiB (default 256)")
    options = parser.parse_args()
    try:
        result = evaluate(options.files, options.max_mb << 20)
    except Refused as error:
        sys.stderr.write(f"hotpot_evaluate_v1: {error}\n")
        return 2
    for name, found in result["details"]["counts"].items():
        if found["count"]:
            sys.stderr.write(f"{name.replace('_', ' ')}: {found['count']}, first {json.dumps(found['first'])[1:400].rstrip(']')}\n")
    sys.stdout.write(json.dumps(result if options.details else {key: result[key] for key in KEYS}) + "\n")
    return 0


def evaluate(paths: list[Path], limit: int) -> dict[str, Any]:
    """The twelve official means, each in [0, 1], and `details`; raises Refused."""
    files = []
    for path in paths:
        repeated: list[str] = []
        try:
            data = parsed(text_of(path, limit), repeated)
        except (OSError, RecursionError, MemoryError, ValueError) as error:
            reasons = {RecursionError: "nested too deeply", MemoryError: "does not fit into memory"}
            raise Refused(f"{path}: {reasons.get(type(error)) or getattr(error, 'strerror', '') or error}; {_FORM}") from error
        files.append((holds(path, data), path, data, repeated))
    if files[0][0] == files[1][0]:
        raise Refused(f"{paths[0]} and {paths[1]} are both {files[0][0]}; {_FORM}")
    files.sort(key=lambda file: ("predictions", "gold or predictions", "gold").index(file[0]))
    (_, pred_path, pred, repeated), (_, gold_path, data, _) = files
    gold, found = gold_rows(gold_path, data), predictions_of(pred_path, pred, repeated)
    if (found.ids or found.unparsable) and not any(row["_id"] in found.ids for row in gold):
        here, there = min(found.ids, default="none")[:60], gold[0]["_id"][:60]
        raise Refused(f"{pred_path}: no id is in {gold_path} ({here!r} here, {there!r} there); give the gold file of these predictions")
    values = [row_values(row, found) for row in gold]
    return {**means(values), "details": {"n": len(gold), "counts": counts(gold, found), **groups(gold, values)}}


def text_of(path: Path, limit: int) -> str:
    """What the file holds, its size and first byte looked at before; raises ValueError, or OSError, with what is wrong."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.peek(1).replace(b"\xef\xbb\xbf", b"", 1).lstrip()[:1]
        if size <= limit and start not in (b"", b"{", b"["):
            raise ValueError(f"not JSON in UTF-8, it begins with {start!r}")
        # A pipe has no size, hence the second look.
        content = b"" if size > limit else file.read(limit + 1)
    if max(size, len(content)) > limit:
        raise ValueError(f"larger than {limit >> 20} MiB; check that it is the right file, or raise --max-mb")
    return content.decode("utf-8-sig")


def parsed(text: str, repeated: list[str]) -> Any:
    """JSON, or JSONL as a list; keys that stand twice in one object are added to `repeated`. Raises ValueError, or RecursionError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) < len(pairs):
            repeated.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return found

    constants: dict[str, str] = {}
    decoder = json.JSONDecoder(object_pairs_hook=unique, parse_constant=lambda name: float(constants.setdefault(name, name)))
    try:
        data = decoder.decode(text if text.strip() else "[]")
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise
        repeated.clear()
        data = decoder.decode("[" + ",\n".join(line for line in text.split("\n") if line.strip()) + "]")
    if not data:
        raise ValueError("empty")
    if constants:
        row, name = [*(_nonfinite(data) or ()), "?", "?"][:2][:: 1 if isinstance(data, list) else -1]
        raise ValueError(f"row {row}, field `{name}` is {min(constants)}, which is not JSON; put a text or a whole number there")
    return [data] if any(name in data for name in _IDS) else data


def _nonfinite(value: Any, path: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
    """The way to a NaN or an infinity in `value`: keys, and positions counted from 1."""
    if isinstance(value, float) and value - value != 0:
        return path
    children = value.items() if isinstance(value, dict) else enumerate(value, 1) if isinstance(value, list) else ()
    return next((found for key, child in children if (found := _nonfinite(child, (*path, key)))), None)


def holds(path: Path, data: Any) -> str:
    """`gold`, `predictions`, or `gold or predictions` for rows that could be both; raises Refused for anything else."""
    if isinstance(data, dict) and (isinstance(data.get("answer"), dict) or isinstance(data.get("sp"), dict)):
        return "predictions"
    if not isinstance(data, list):
        raise Refused(f"{path}: neither gold nor predictions; {_FORM}")
    names = {name for row in data if isinstance(row, dict) for name in row}
    if "sp" in names or "supporting_facts" not in names:
        return "predictions"
    return "gold" if names & {"question", "context", "type", "level"} else "gold or predictions"


def gold_rows(path: Path, data: list[Any]) -> list[dict[str, Any]]:
    """Rows with `_id`, `answer`, `supporting_facts` (a set) and what else they have; raises Refused with the row and the field."""
    rows = []
    for number, row in enumerate(data, 1):
        row = {"_id": row.get("id"), **row, "supporting_facts": fact_set(row.get("supporting_facts"))} if isinstance(row, dict) else {}
        for name in ("_id", "answer", "supporting_facts"):
            if not isinstance(row.get(name), (str, set)):
                kind = "list of [title, index]" if name == "supporting_facts" else "text"
                raise Refused(f"{path}: row {number}, field `{name}` is no {kind}; take the official file")
        rows.append(row)
    return rows


def predictions_of(path: Path, data: Any, repeated: list[str]) -> Predictions:
    """Predictions of any form; raises Refused where the official `answer` or `sp` is no object or stands twice."""
    parts: dict[str, dict[str, Any]] = {"answer": {}, "sp": {}}
    ids, duplicate, nameless = set(), dict.fromkeys(repeated), []
    for name in parts if isinstance(data, dict) else ():
        parts[name] = data.get(name, {})
        if not isinstance(parts[name], dict) or name in repeated:
            raise Refused(f"{path}: field `{name}` {'stands twice' if name in repeated else 'is no object'}; {_FORM}")
        ids |= set(parts[name])
    for number, row in enumerate(data if isinstance(data, list) else (), 1):
        key = next((row[name] for name in _IDS if name in row), None) if isinstance(row, dict) else None
        if not isinstance(key, str):
            nameless.append(f"row {number}")
            continue
        duplicate.update({key: None} if key in ids else {})
        ids.add(key)
        for part, name in (("answer", "answer"), ("sp", "sp" if "sp" in row else "supporting_facts")):
            parts[part].pop(key, None)
            parts[part].update({key: row[name]} if name in row else {})
    answer = {key: value for key, value in parts["answer"].items() if isinstance(value, str)}
    sp = {key: facts for key, value in parts["sp"].items() if (facts := fact_set(value)) is not None}
    lost = [key for name, used in (("answer", answer), ("sp", sp)) for key in parts[name] if key not in used]
    return Predictions(answer, sp, ids, [key for key in duplicate if key in ids], [*nameless, *dict.fromkeys(lost)])


def fact_set(value: Any) -> set[tuple[str, int]] | None:
    """(title, index) pairs of a list of them; None for any other shape."""
    if not isinstance(value, list) or not all(isinstance(entry, list) and len(entry) == 2 for entry in value):
        return None
    # JSON's 1.0 is the index 1 for the official script, too.
    whole = all(type(index) is int or (isinstance(index, float) and index.is_integer()) for _, index in value)
    return {(title, index) for title, index in value} if whole and all(isinstance(title, str) for title, _ in value) else None


def row_values(row: dict[str, Any], found: Predictions) -> tuple[float, ...]:
    """One row's values in the order of KEYS."""
    key, gold = row["_id"], row["supporting_facts"]
    answer = facts = (0.0, 0.0, 0.0, 0.0)
    if key in found.answer:
        left, right = normalized(found.answer[key]), normalized(row["answer"])
        said, wanted = left.split(), right.split()
        same = 0 if left != right and not _CLOSED.isdisjoint((left, right)) else sum((Counter(said) & Counter(wanted)).values())
        answer = (float(left == right), *_f1(same / max(1, len(said)), same / max(1, len(wanted))))
    if key in found.sp:
        hits = len(found.sp[key] & gold)
        facts = (float(found.sp[key] == gold), *_f1(hits / max(1, len(found.sp[key])), hits / max(1, len(gold))))
    return (*answer, *facts, answer[0] * facts[0], *_f1(answer[2] * facts[2], answer[3] * facts[3]))


def normalized(text: str) -> str:
    """Lower case, then no punctuation, then no articles, then single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def _f1(precision: float, recall: float) -> tuple[float, float, float]:
    return (2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0), precision, recall


def means(values: list[tuple[float, ...]]) -> dict[str, float]:
    """Mean of each of KEYS: added up row by row and divided once, as `sum` would not since Python 3.12."""
    return {key: list(accumulate(row[i] for row in values))[-1] / len(values) for i, key in enumerate(KEYS)}


def groups(gold: list[dict[str, Any]], values: list[tuple[float, ...]]) -> dict[str, Any]:
    """`n` and the means of each kind of question, by what it is told apart by."""
    found: dict[str, dict[str, list[tuple[float, ...]]]] = {}
    for i, row in enumerate(gold):
        answer, hops = normalized(row["answer"]), len({title for title, _ in row["supporting_facts"]})
        labels = {"by_answer_type": answer if answer in ("yes", "no") else "span", "by_hops": str(hops)}
        for name, label in {**{f"by_{name}": str(row.get(name) or "unknown") for name in ("type", "level")}, **labels}.items():
            found.setdefault(name, {}).setdefault(label, []).append(values[i])
    return {name: {label: {"n": len(part), **means(part)} for label, part in sorted(parts.items())} for name, parts in found.items()}


def counts(gold: list[dict[str, Any]], found: Predictions) -> dict[str, dict[str, Any]]:
    """How many ids, and which come first, of each thing that is wrong; a row of no use is not also missing."""
    ids, lost = Counter(row["_id"] for row in gold), set(found.unparsable)
    named = {
        "missing_answer": [key for key in ids if key not in found.answer and key not in lost],
        "missing_sp": [key for key in ids if key not in found.sp and key not in lost],
        "extra": sorted(found.ids - ids.keys()),
        "duplicate": found.duplicate,
        "unparsable": found.unparsable,
        "duplicate_in_gold": [key for key, count in ids.items() if count > 1],
    }
    return {name: {"count": len(keys), "first": keys[:5]} for name, keys in named.items()}


if __name__ == "__main__":
    raise SystemExit(main())
