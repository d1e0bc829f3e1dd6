"""The data card beside the tracks: what the rows are, where they come from, what each filter took away, what they cost."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from askback.contracts.records import HarvestRecord, HarvestStage
from askback.loop.config import RunConfig
from askback.loop.dataset_card import Licence, head
from askback.loop.store import RunStore
from askback.loop.tracks import Corpus, Row
from askback.tasks import Task

_LICENCES = {"strategyqa": Licence("mit", "MIT"), "hotpotqa": Licence("cc-by-sa-4.0", "CC BY-SA 4.0")}
_UNKNOWN = Licence("unknown", "not known")
_ANSWERS = "the teacher's answers stand under the terms of its provider"
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


def card(config: RunConfig, task: Task, corpus: Corpus, records: Sequence[HarvestRecord], files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The card as data; `markdown` renders it. `records` are all harvest records, paid for whether used or not.

    A local source is named by its folder alone, since cards are published and paths name people.
    """
    around, licence = corpus.surroundings, _LICENCES.get(config.task, _UNKNOWN)
    return {
        "task": config.task,
        "source": f"local files, {Path(config.data.path).name}" if config.data.path else task.hub_dataset[0],
        "dataset": task.hub_dataset[0],
        "licence": {"dataset": licence.name, "id": licence.id, "answers": _ANSWERS},
        "seed": config.seed,
        "base_model": config.base_model,
        "accounts": corpus.accounts,
        "tracks": {name: _track(task, rows) for name, rows in corpus.tracks.items()},
        "teacher": dict(Counter(trace.backend for trace in corpus.traces)),
        "teacher_models": _models(records),
        "harvest_prompts": _versions(records),
        "prompts": {role: task.prompt_version(role) for role in _roles(task, config)},
        "harvested": len(corpus.traces),
        "settings": config.tracks.model_dump(),
        "dev_questions": len(around.dev),
        "tokens": {"counted_by": around.counter.name, "limits": dict(around.limits)},
        "filters": corpus.steps,
        "cost": _cost(records),
        "files": {name: dict(facts) for name, facts in files.items()},
    }


def file_facts(store: RunStore, files: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """By name under `tracks/`: the rows, bytes and SHA-256 of each file that was written."""
    facts = {}
    for name, rows in files.items():
        content = store.path(name).read_bytes()
        facts[name.removeprefix("tracks/")] = {"rows": rows, "bytes": len(content), "sha256": sha256(content).hexdigest()}
    return facts


def _track(task: Task, rows: Sequence[Row]) -> dict[str, Any]:
    classes = dict(sorted(Counter(row.label for row in rows).items())) if task.choices else {}
    return {"rows": len(rows), "questions": len({row.sample_id for row in rows}), "classes": classes}


def _roles(task: Task, config: RunConfig) -> list[str]:
    """The prompts that stand in the rows."""
    cot = [task.cot_role(config.tracks.cot), *(["rationale"] if config.tracks.cot == "multitask" else [])]
    return ["clarify", "rewrite", "direct", *cot, "context"]


def _models(records: Sequence[HarvestRecord]) -> dict[str, dict[str, int]]:
    """By backend: the models that answered, with their numbers of answers."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        if record.stage is HarvestStage.TEACHER and record.backend:
            found[record.backend][record.model] += 1
    return {backend: dict(sorted(models.items())) for backend, models in sorted(found.items())}


def _versions(records: Sequence[HarvestRecord]) -> dict[str, list[str]]:
    """By stage: the prompt versions that the harvest was made with, more than one when a prompt was edited on the way."""
    return {stage.value: sorted({r.prompt_version for r in records if r.stage is stage and r.prompt_version}) for stage in HarvestStage}


def _cost(records: Sequence[HarvestRecord]) -> dict[str, dict[str, float]]:
    """By stage and in total: records, tokens and dollars."""
    of_stage = {stage.value: [record.usage for record in records if record.stage is stage] for stage in HarvestStage}
    of_stage["total"] = [record.usage for record in records]
    return {
        stage: {
            "records": len(usages),
            "prompt_tokens": sum(usage.prompt_tokens for usage in usages),
            "completion_tokens": sum(usage.completion_tokens for usage in usages),
            "usd": round(sum(usage.cost_usd for usage in usages), 6),
        }
        for stage, usages in of_stage.items()
    }


def markdown(data: Mapping[str, Any]) -> str:
    """The card for readers, headed by the YAML that the hub reads."""
    parts = [_opening(data), _accounts(data), _filters(data), _tracks(data), _origins(data), _files(data)]
    return head(data) + "\n".join(line for part in parts for line in [*part, ""])


def _opening(data: Mapping[str, Any]) -> list[str]:
    licence = data["licence"]
    teachers = ", ".join(f"{name} ({count})" for name, count in data["teacher"].items()) or "none"
    return [
        f"# Data card: {data['task']}",
        "",
        f"Dataset `{data['dataset']}`, source `{data['source']}`, seed {data['seed']}, {data['harvested']} harvested rows, answered by {teachers}.",
        "Rows carry `sample_id` (the dataset's id) and `label` (the gold answer) beside TRL's conversational fields.",
        f"Licence of the dataset: {licence['dataset']}; {licence['answers']}.",
    ]


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
    return ["## Filters", "", *table, "", notes]


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
        table.append(f"| {stage} | {cost['records']} | {cost['prompt_tokens']} | {cost['completion_tokens']} | {cost['usd']:.4f} |")
    lines = [
        f"Teacher models, with their answers: {models}.",
        f"Prompt versions of the harvest: {harvested}.",
        f"Prompt versions of the rows: {rows}.",
    ]
    return ["## Origin and cost", "", *lines, "", *table]


def _files(data: Mapping[str, Any]) -> list[str]:
    table = ["## Files", "", "| file | holds | rows | SHA-256 |", "|---|---|---|---|"]
    for name, facts in data["files"].items():
        holds = _FORMS.get(name.removesuffix(".jsonl"), "")
        table.append(f"| `{name}` | {holds} | {facts['rows']} | `{facts['sha256']}` |")
    return table


def sentence(step: Mapping[str, Any]) -> str:
    """One filter in a line: rows and classes before and after."""
    before, after = (_words(step.get(f"classes_{when}")) for when in ("before", "after"))
    return f"{step['filter']}: {step['before']} → {step['after']} rows ({before} → {after})"


def _words(counts: Mapping[str, int] | None) -> str:
    return ", ".join(f"{name} {count}" for name, count in (counts or {}).items()) or "–"
