"""The data card as data: what the rows are, where they come from, what each filter took away, what they cost."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from askback.contracts.records import FURTHER, OPTIONAL, HarvestRecord, HarvestStage
from askback.contracts.spending import Spent, spent
from askback.loop.config import RunConfig, TracksConfig
from askback.loop.dataset_card import Licence
from askback.loop.store import RunStore
from askback.loop.tracks import Corpus, Row
from askback.tasks import Task

_LICENCES = {"strategyqa": Licence("mit", "MIT"), "hotpotqa": Licence("cc-by-sa-4.0", "CC BY-SA 4.0")}
_UNKNOWN = Licence("unknown", "not known")
_ANSWERS = "the teacher's answers stand under the terms of its provider"
_STRATIFIED = {"by": "stratified"}


def card(
    config: RunConfig,
    task: Task,
    corpus: Corpus,
    records: Sequence[HarvestRecord],
    files: Mapping[str, Mapping[str, Any]],
    sampling: Mapping[str, Any] = _STRATIFIED,
    variants: Mapping[str, Corpus] | None = None,
) -> dict[str, Any]:
    """The card as data, which `markdown` renders. `records` are all harvest records, paid for whether used or not.

    `sampling` says how the questions were sampled, as `uncertainty.facts` does.

    `variants` are the corpora that were made from the same harvest in other ways.

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
        "sampling": dict(sampling),
        "teacher": dict(Counter(trace.backend for trace in corpus.traces)),
        "hints": _hints(corpus, records) if config.harvest.hint else {},
        "teacher_models": _models(records),
        "harvest_prompts": _versions(records),
        "prompts": {role: task.prompt_version(role) for role in _roles(task, [config.tracks_of(name) for name in ("", *(variants or {}))])},
        "further_replies": corpus.further,
        "harvested": len(corpus.traces),
        "settings": config.tracks_of("").model_dump(),
        "dev_questions": len(around.dev),
        "tokens": {"counted_by": around.counter.name, "limits": dict(around.limits)},
        "filters": corpus.steps,
        "cost": _cost(records),
        "files": {name: dict(facts) for name, facts in files.items()},
    } | ({"variants": {name: _variant(config, task, name, one) for name, one in variants.items()}} if variants else {})


def _variant(config: RunConfig, task: Task, name: str, corpus: Corpus) -> dict[str, Any]:
    return {
        "changes": config.tracks.variants[name],
        "settings": config.tracks_of(name).model_dump(),
        "accounts": corpus.accounts,
        "filters": corpus.steps,
        "further_replies": corpus.further,
        "limits": dict(corpus.surroundings.limits),
        "tracks": {track: _track(task, rows) for track, rows in corpus.tracks.items()},
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


def _roles(task: Task, settings: Sequence[TracksConfig]) -> list[str]:
    """The prompts that stand in the rows of tracks that were made with these settings."""
    cot = [role for one in settings for role in (task.cot_role(one.cot), *(["rationale"] if one.cot == "multitask" else []))]
    return ["clarify", "rewrite", "direct", *dict.fromkeys(cot), "context"]


def _models(records: Sequence[HarvestRecord]) -> dict[str, dict[str, int]]:
    """By backend: the models that answered, with their numbers of answers."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        if record.stage in (HarvestStage.TEACHER, HarvestStage.HINT, *FURTHER) and record.backend:
            found[record.backend][record.model] += 1
    return {backend: dict(sorted(models.items())) for backend, models in sorted(found.items())}


def _hints(corpus: Corpus, records: Sequence[HarvestRecord]) -> dict[str, int]:
    """Questions that were tried a second time, whose second reply is in use, and of these the kept ones."""
    tried = {record.sample_id for record in records if record.stage is HarvestStage.HINT}
    used, kept = (sum(trace.hinted for trace in traces) for traces in (corpus.traces, corpus.selection.kept))
    return {"tried": len(tried), "used": used, "kept": kept}


def _stages(records: Sequence[HarvestRecord]) -> list[HarvestStage]:
    """Every step, and those that a row may go without where there were any."""
    tried = {record.stage for record in records}
    return [stage for stage in HarvestStage if stage in tried or stage not in OPTIONAL]


def _versions(records: Sequence[HarvestRecord]) -> dict[str, list[str]]:
    """By stage: the prompt versions that the harvest was made with, more than one when a prompt was edited on the way."""
    return {stage.value: sorted({r.prompt_version for r in records if r.stage is stage and r.prompt_version}) for stage in _stages(records)}


def _cost(records: Sequence[HarvestRecord]) -> dict[str, dict[str, float]]:
    """By stage and in total: records, tokens and dollars."""
    nothing = Spent(records=0, prompt_tokens=0, completion_tokens=0, cost_usd=0.0)
    found = spent(records)
    return {step: found.get(step, nothing).model_dump() for step in [*(stage.value for stage in _stages(records)), "total"]}
