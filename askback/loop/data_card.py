"""The data card beside the tracks: what the rows are, where they come from, what each filter took away."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from askback.contracts.records import Trace
from askback.loop.config import RunConfig
from askback.loop.tracks import Row
from askback.tasks import Task

_FORMS = {
    "direct": "question → answer",
    "cot": "question → thought, answer",
    "context": "question and thought → answer",
    "dialogue": "question → clarifying questions; their answers → answer (one row per student turn)",
    "preference": "the teacher's answer over the student's wrong draft (DPO)",
}


def card(config: RunConfig, task: Task, traces: Sequence[Trace], steps: list[dict[str, Any]], tracks: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """The card as data; `markdown` renders it."""
    return {
        "task": config.task,
        "source": config.data.path or task.hub_dataset[0],
        "seed": config.seed,
        "teacher": dict(Counter(trace.backend for trace in traces)),
        "prompts": {role: task.prompt_version(role) for role in ("clarify", "teacher", "rewrite", "direct", "cot", "context")},
        "harvested": len(traces),
        "filters": steps,
        "tracks": {name: {"rows": len(rows), "classes": _classes(task, rows)} for name, rows in tracks.items()},
    }


def _classes(task: Task, rows: Sequence[Row]) -> dict[str, int]:
    return dict(sorted(Counter(row.label for row in rows).items())) if task.choices else {}


def markdown(data: Mapping[str, Any]) -> str:
    """The card for readers."""
    teachers = ", ".join(f"{name} ({count})" for name, count in data["teacher"].items()) or "none"
    lines = [
        f"# Data card: {data['task']}",
        "",
        f"Source `{data['source']}`, seed {data['seed']}, {data['harvested']} harvested rows, answered by {teachers}.",
        "Rows carry `sample_id` (the dataset's id) and `label` (the gold answer) beside TRL's conversational fields.",
        "",
        "| filter | rows before | rows after | classes before | classes after |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {s['filter']} | {s['before']} | {s['after']} | {_words(s.get('classes_before'))} | {_words(s.get('classes_after'))} |"
        for s in data["filters"]
    ]
    lines += ["", "| track | form | rows | classes |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {_FORMS[name]} | {track['rows']} | {_words(track['classes'])} |" for name, track in data["tracks"].items()]
    prompts = ", ".join(f"`{version}`" for version in data["prompts"].values())
    return "\n".join([*lines, "", f"Prompt versions: {prompts}.", ""])


def sentence(step: Mapping[str, Any]) -> str:
    """One filter in a line: rows and classes before and after."""
    before, after = (_words(step.get(f"classes_{when}")) for when in ("before", "after"))
    return f"{step['filter']}: {step['before']} → {step['after']} rows ({before} → {after})"


def _words(counts: Mapping[str, int] | None) -> str:
    return ", ".join(f"{name} {count}" for name, count in (counts or {}).items()) or "–"
