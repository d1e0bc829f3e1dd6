"""What the run cost: the harvest, the training, and each question at test time."""

from typing import Any

from askback.contracts.measures import Cost
from askback.contracts.spending import Spent
from services.evaluator.reporting.charts import AnyChart
from services.evaluator.reporting.document import Block, Figure, Paragraph, Section, Table
from services.evaluator.reporting.facts import RunFacts


def cost_section(facts: RunFacts, figures: dict[str, AnyChart]) -> Section | None:
    """Dollars and tokens of the harvest, and of a question at test time; None where neither is known."""
    blocks: list[Block] = []
    if facts.harvest and facts.harvest.spent:
        rows = [_spent(name, one) for name, one in facts.harvest.spent.items()]
        header = ["step", "answers", "prompt tokens", "completion tokens", "US dollars"]
        blocks.append(Table("Harvest: what its answers cost when they were bought", header, rows, "harvest.jsonl: usage, cache"))
    priced = [[f"`{s.condition.name}`", *_cost(s.cost)] for s in facts.scores.conditions if s.cost]
    if priced:
        header = [
            "condition",
            "n",
            "prompt tokens [95 %]",
            "completion tokens [95 %]",
            "US dollars [95 %]",
            "seconds, median",
            "seconds, 95th percentile",
        ]
        blocks.append(Table("Test time: mean of a question, draft and exchange included", header, priced, "scores.json: conditions[].cost"))
    if "cost" in figures:
        blocks.append(Figure(figures["cost"]))
    if priced:
        blocks.append(Paragraph("Local and recorded answers cost 0 dollars. Seconds hold the wait for other questions asked at the same time."))
    return Section("cost", "Cost", blocks) if blocks else None


def training_section(facts: RunFacts, figures: dict[str, AnyChart]) -> Section | None:
    """Loss curves, and what each adapter was trained with; None without a training."""
    trained = [row for name, training in facts.trainings.items() if (row := _training(name, training))]
    if not trained:
        return None
    header = ["adapter", "method", "corpus", "rows", "epochs", "learning rate", "rank", "seed", "steps", "first loss", "last loss", "seconds"]
    blocks: list[Block] = [Table("Adapters", header, trained, "adapters/<name>/training.json")]
    if "training_loss" in figures:
        blocks.insert(0, Figure(figures["training_loss"]))
    return Section("training", "Training", blocks)


def _spent(name: str, one: Spent) -> list[str]:
    return [name, f"{one.records:,}", f"{one.prompt_tokens:,}", f"{one.completion_tokens:,}", f"{one.cost_usd:.4f}"]


def _cost(cost: Cost) -> list[str]:
    tokens = [f"{m.value:,.1f} [{m.low:,.1f}, {m.high:,.1f}]" for m in (cost.prompt_tokens, cost.completion_tokens)]
    usd = f"{cost.usd.value:.5f} [{cost.usd.low:.5f}, {cost.usd.high:.5f}]" if cost.usd.value else "0"
    return [str(cost.usd.n), *tokens, usd, f"{cost.latency_p50_s:.2f}", f"{cost.latency_p95_s:.2f}"]


def _training(name: str, training: dict[str, Any]) -> list[str]:
    losses, request = training.get("losses") or [], training.get("request") or {}
    recipe = request.get("recipe") or {}
    told = [request.get("method"), request.get("dataset"), training.get("rows"), recipe.get("epochs"), recipe.get("learning_rate")]
    told += [recipe.get("lora_rank"), request.get("seed")]
    ends = [f"{losses[-1]['step']}", f"{losses[0]['loss']:.3f}", f"{losses[-1]['loss']:.3f}"] if losses else ["–"] * 3
    seconds = training.get("seconds")
    return [f"`{name}`", *(_told(one) for one in told), *ends, f"{seconds:,.0f}" if isinstance(seconds, int | float) else "–"]


def _told(value: object) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)
