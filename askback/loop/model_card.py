"""The card of an adapter, or of a model that it was merged into, as the Hugging Face hub reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from askback.contracts.measures import ConditionScore

_SHOWN = ("learning_rate", "epochs", "lora_rank", "lora_alpha", "lora_dropout", "batch_size", "gradient_accumulation", "max_length", "four_bit")
_DPO = ("dpo_beta", "dpo_sft_weight")
_TERMS = "The weights are a derivative of the base model: its licence binds whoever uses them, and so do the terms of the data."


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from."""

    name: str
    """The adapter's."""
    base_model: str
    """On the hub."""
    merged: bool
    training: Mapping[str, Any]
    """The adapter's `training.json`."""
    data: Mapping[str, Any]
    """`tracks/data_card.json`; empty without one."""
    scores: Sequence[ConditionScore] = field(default_factory=list)
    """What was measured with this adapter."""
    previous: Mapping[str, Any] = field(default_factory=dict)
    """The run's `previous.json`; empty without one."""


def markdown(facts: CardFacts) -> str:
    """The card: base model, use, data with licence notes, recipe, losses and scores."""
    parts = [_opening(facts), _use(facts), _data(facts), _recipe(facts.training), _losses(facts.training), _scores(facts), _origin(facts.training)]
    return _head(facts) + "\n".join(line for part in parts if part for line in [*part, ""])


def _head(facts: CardFacts) -> str:
    lines = ["---", f"base_model: {facts.base_model}", f"base_model_relation: {'merge' if facts.merged else 'adapter'}"]
    lines += ["library_name: transformers" if facts.merged else "library_name: peft", "pipeline_tag: text-generation", "language:", "- en"]
    if facts.data:
        lines += ["datasets:", f"- {facts.data['dataset']}"]
    return "\n".join([*lines, "tags:", "- askback", "- distillation", f"- {facts.training['request']['method']}", "---", ""])


def _opening(facts: CardFacts) -> list[str]:
    what = "the base model's weights with a LoRA adapter merged into them, in bf16" if facts.merged else "a LoRA adapter"
    start = facts.training["request"]["init_adapter"]
    went_on = f" It was trained on from the adapter `{start.split('/')[-1]}`." if start else ""
    return [f"# {facts.name}", "", f"This is {what}, for `{facts.base_model}`, trained by askback.{went_on}"]


def _use(facts: CardFacts) -> list[str]:
    loaded = "transformers or vLLM, as any model" if facts.merged else "PEFT, or vLLM with `--enable-lora`, on the base model"
    return ["## Use", "", f"Load it with {loaded}. Prompts must be rendered with the chat template of the base model, as they were in training."]


def _data(facts: CardFacts) -> list[str]:
    training = facts.training
    file = training.get("dataset", training["request"]["dataset"])
    lines = ["## Data", "", f"File `{file}`, {training.get('rows', 'unknown')} rows, SHA-256 `{training['dataset_sha256']}`."]
    if not facts.data:
        return [*lines, "The run holds no data card, so the licence of these rows is not known here.", _TERMS]
    licence = facts.data["licence"]
    teachers = ", ".join(f"{name} ({count})" for name, count in facts.data["teacher"].items()) or "none"
    lines.append(f"Rows made from `{facts.data['dataset']}`; harvested answers by teacher: {teachers}.")
    if facts.previous:
        lines.append(f"Drafts and questions are those of the student `{facts.previous['adapter']}` of the earlier run `{facts.previous['run']}`.")
    return [*lines, f"Licence of the dataset: {licence['dataset']}; {licence['answers']}.", _TERMS]


def _recipe(training: Mapping[str, Any]) -> list[str]:
    request, recipe = training["request"], training["request"]["recipe"]
    names = [*_SHOWN, *(_DPO if request["method"] == "dpo" else ())]
    rows = [f"| {name} | {recipe[name]} |" for name in names if name in recipe]
    return ["## Recipe", "", "| setting | value |", "|---|---|", f"| method | {request['method']} |", *rows, f"| seed | {request['seed']} |"]


def _losses(training: Mapping[str, Any]) -> list[str]:
    metrics = training.get("metrics", {})
    rows = [f"| {name.replace('_', ' ')} | {_number(value)} |" for name, value in metrics.items() if value is not None]
    picture = ["", "![training loss](loss.png)"] if training.get("losses") else []
    return ["## Training", "", "| measure | value |", "|---|---|", *rows, *picture] if rows else []


def _scores(facts: CardFacts) -> list[str]:
    rows = [
        f"| {score.condition.mode} | {score.condition.resolver} | {m.name} | {m.value:.3f} | {m.low:.3f} to {m.high:.3f} | {m.n} |"
        for score in facts.scores
        for m in score.metrics
    ]
    table = ["| mode | answered by | metric | value | 95 % interval | n |", "|---|---|---|---|---|---|", *rows]
    note = ["", "Measured with the adapter on its base."] if facts.merged else []
    return ["## Scores", "", *table, *note] if rows else []


def _origin(training: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in training.get("versions", {}).items())
    made = [f"Trained on {training['device']}."] if training.get("device") else []
    commit = [f"Source at commit `{training['commit']}`."] if training.get("commit") else []
    return ["## Origin", "", *made, *commit, f"Versions: {versions}."]


def _number(value: float | int) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
