"""The data card for readers."""

from collections.abc import Mapping
from typing import Any

from askback.loop.data_card.variants import further, variants
from askback.loop.dataset_card import head

_FORMS = {
    "direct": "question → answer",
    "cot": "question → thought and answer",
    "context": "question and thought → answer",
    "dialogue": "question → clarifying questions; their answers → answer (one row per student turn)",
    "preference": "the teacher's answer over the student's wrong draft (DPO)",
    "plain/direct": "{question, answer}",
    "plain/cot": "{question, cot, answer}",
    "dropped": "{sample_id, reason} of every question that was harvested and is in no track",
}
_COT_FORMS = {
    "rationale-first": "question → thought, answer",
    "answer-first": "question → answer, thought",
    "multitask": "[label] question → answer; [rationale] question → thought (two rows per question)",
}


def markdown(data: Mapping[str, Any]) -> str:
    """The card for readers, headed by the YAML that the hub reads."""
    parts = [_opening(data), _accounts(data), _filters(data), _tracks(data), *variants(data), _origins(data), _files(data)]
    return head(data) + "\n".join(line for part in parts for line in [*part, ""])


def _opening(data: Mapping[str, Any]) -> list[str]:
    licence = data["licence"]
    teachers = ", ".join(f"{name} ({count})" for name, count in data["teacher"].items()) or "none"
    return [
        f"# Data card: {data['task']}",
        "",
        f"Dataset `{data['dataset']}`, source `{data['source']}`, seed {data['seed']}, {data['harvested']} harvested rows, answered by {teachers}.",
        _sampled(data["sampling"]),
        "Rows carry `sample_id` (the dataset's id) and `label` (the gold answer) beside TRL's conversational fields.",
        f"Licence of the dataset: {licence['dataset']}; {licence['answers']}.",
    ]


def _sampled(facts: Mapping[str, Any]) -> str:
    if facts["by"] != "uncertainty":
        return "The questions are a stratified random sample."
    failed = f" ({facts['failed']} without an answer)" if facts["failed"] else ""
    return (
        f"The questions are those of each stratum that the student was least certain about, of {facts['asked']} asked{failed}: median uncertainty"
        f" {facts['median_of_taken']} against {facts['median_of_asked']} of all, from 0 (sure) to 1. They are harder than a random sample."
    )


def _accounts(data: Mapping[str, Any]) -> list[str]:
    counts = data["accounts"]
    dropped = counts["dropped"]
    reasons = [f"| dropped: `{reason}` | {number} |" for reason, number in dropped.items()]
    head_lines = ["## Where the questions went", "", "| questions | number |", "|---|---|", f"| sampled | {counts['sampled']} |"]
    return [*head_lines, f"| kept | {counts['kept']} |", *reasons, f"| failed | {counts['failed']} |", f"| pending | {counts['pending']} |"]


def _filters(data: Mapping[str, Any]) -> list[str]:
    limits = ", ".join(f"{name} {limit}" for name, limit in data["tokens"]["limits"].items())
    table = ["| filter | rows before | rows after | classes before | classes after |", "|---|---|---|---|---|"]
    for step in data["filters"]:
        classes = f"{_words(step.get('classes_before'))} | {_words(step.get('classes_after'))}"
        table.append(f"| {step['filter']} | {step['before']} | {step['after']} | {classes} |")
    notes = f"Overlap is held against {data['dev_questions']} dev questions. Tokens are counted by {data['tokens']['counted_by']}; limits: {limits}."
    return ["## Filters", "", *table, "", notes, *further(data["further_replies"])]


def _tracks(data: Mapping[str, Any]) -> list[str]:
    forms = _FORMS | {"cot": _COT_FORMS[data["settings"]["cot"]]}
    table = ["## Tracks", "", "| track | form | rows | questions | classes |", "|---|---|---|---|---|"]
    for name, track in data["tracks"].items():
        table.append(f"| `{name}` | {forms[name]} | {track['rows']} | {track['questions']} | {_words(track['classes'])} |")
    return table


def _origins(data: Mapping[str, Any]) -> list[str]:
    models = "; ".join(f"{backend}: {_words(counts)}" for backend, counts in data["teacher_models"].items()) or "none"
    harvested = "; ".join(f"{stage}: {', '.join(f'`{v}`' for v in versions) or '–'}" for stage, versions in data["harvest_prompts"].items())
    rows = ", ".join(f"`{version}`" for version in data["prompts"].values())
    table = ["| stage | records | prompt tokens | completion tokens | dollars |", "|---|---|---|---|---|"]
    for stage, cost in data["cost"].items():
        table.append(f"| {stage} | {cost['records']} | {cost['prompt_tokens']} | {cost['completion_tokens']} | {cost['cost_usd']:.4f} |")
    hints = data["hints"]
    told = (
        [f"Second tries with the gold answer as a hint: {hints['tried']}; {hints['used']} of them in use, {hints['kept']} in the tracks."]
        if hints
        else []
    )
    lines = [
        *told,
        f"Teacher models, with their answers: {models}.",
        f"Prompt versions of the harvest: {harvested}.",
        f"Prompt versions of the rows: {rows}.",
    ]
    return ["## Origin and cost", "", *lines, "", *table]


def _files(data: Mapping[str, Any]) -> list[str]:
    table = ["## Files", "", "| file | holds | rows | SHA-256 |", "|---|---|---|---|"]
    for name, facts in data["files"].items():
        track = name.removesuffix(".jsonl")
        holds = _FORMS.get(track) or _FORMS.get(track.rpartition("/")[2], "")
        table.append(f"| `{name}` | {holds} | {facts['rows']} | `{facts['sha256']}` |")
    return table


def sentence(step: Mapping[str, Any]) -> str:
    """One filter in a line: rows and classes before and after."""
    before, after = (_words(step.get(f"classes_{when}")) for when in ("before", "after"))
    return f"{step['filter']}: {step['before']} → {step['after']} rows ({before} → {after})"


def _words(counts: Mapping[str, int] | None) -> str:
    return ", ".join(f"{name} {count}" for name, count in (counts or {}).items()) or "–"
