"""A folder of StrategyQA questions, a run's configuration, a teacher that tells prices, and a counter of words."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from askback.contracts.client import TeacherClient
from askback.contracts.records import Draft, HarvestRecord, HarvestStage, Usage
from askback.contracts.teacher import Backend, BackendsResponse, CachedRequest, CachedResponse, PriceResponse
from askback.loop.config import RunConfig, parse_config
from askback.tasks import task_named

TASK = task_named("strategyqa")


class Words:
    """One token a word."""

    name = "words"

    def count(self, text: str) -> int:
        return len(text.split())


def words_for(model: str, otherwise: object) -> Words:
    return Words()


def backend(name: str, kind: str = "openai", active: bool = False) -> Backend:
    return Backend(name=name, kind=kind, model="gpt-x" if kind == "openai" else "recorded", fallback=[], active=active)


def price(name: str, model: str, prompt: float | None, completion: float | None, batch: float | None = None) -> PriceResponse:
    return PriceResponse(backend=name, model=model, prompt_usd_per_million=prompt, completion_usd_per_million=completion, batch_factor=batch)


@dataclass
class PricedTeacher(TeacherClient):
    """`paid` costs $10 and $20 a million and has batches, `other` $1 and $2 without, `replay` nothing; gpt-4 is known, gpt-x is not."""

    active: str = "paid"
    known: bool = True
    """Whether the price of `paid` is."""
    in_cache: set[str] = field(default_factory=set)
    """Question ids."""
    asked_about: list[CachedRequest] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    async def backends(self) -> BackendsResponse:
        listed = [backend("paid"), backend("other"), backend("replay", "replay")]
        return BackendsResponse(backends=[one.model_copy(update={"active": one.name == self.active}) for one in listed])

    async def price(self, backend: str = "teacher", prompt_tokens: int = 1000, openai_model: str = "") -> PriceResponse:
        self.sizes.append(prompt_tokens)
        if openai_model:
            return price("", openai_model, *((30.0, 60.0, 0.5) if openai_model == "gpt-4" else (None, None, 0.5)))
        if backend == "paid":
            return price("paid", "gpt-x", *((10.0, 20.0, 0.5) if self.known else (None, None, 0.5)))
        return price("other", "gpt-x", 1.0, 2.0) if backend == "other" else price("replay", "recorded", 0.0, 0.0)

    async def cached(self, request: CachedRequest) -> CachedResponse:
        self.asked_about.append(request)
        return CachedResponse(cached=[body["metadata"]["question_id"] in self.in_cache for body in request.requests])


def teacher(**fields: Any) -> PricedTeacher:
    made = PricedTeacher(**fields)
    TeacherClient.__init__(made, httpx.AsyncClient())
    return made


def question_row(number: int, decomposed: bool = True, facts: bool = True) -> dict[str, Any]:
    return {
        "qid": f"q{number}",
        "question": f"Is thing {number} a thing?",
        "answer": number % 2 == 0,
        "decomposition": [f"What is thing {number}?", f"Is #1 {number} a thing?", "And a third one?"] if decomposed else [],
        "facts": [f"Thing {number} is known."] if facts else [],
    }


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def recording(number: int, verdict: str = "yes", model: str = "gpt-4") -> dict[str, Any]:
    text = f"Q1. What is thing {number}?\nIt is one.\nFinal answer: Is it?\nThe answer is {verdict}."
    return {"qid": f"q{number}", "question": f"Is thing {number} a thing?", "completion": text, "model": model}


def config(folder: Path, conditions: Sequence[str] = ("base.direct",), harvest: dict[str, Any] | None = None, **tables: Any) -> RunConfig:
    raw: dict[str, Any] = {
        "name": "small",
        "task": "strategyqa",
        "data": {"path": str(folder), "train": 100, "dev": 100, **tables.pop("data", {})},
        "harvest": {"teacher": "paid", **(harvest or {})},
        "adapters": [{"name": "dialogue", "track": "dialogue"}],
        "evaluate": {"conditions": list(conditions)},
        **tables,
    }
    return parse_config(raw, "test")


def drafted(number: int, *questions: str, version: str = "") -> HarvestRecord:
    draft = Draft(answer="no", questions=list(questions))
    version = version or TASK.prompt_version("clarify")
    return HarvestRecord(sample_id=f"q{number}", stage=HarvestStage.DRAFT, draft=draft, prompt_version=version)


def replied(number: int, text: str, backend: str = "paid", **usage: Any) -> HarvestRecord:
    return HarvestRecord(
        sample_id=f"q{number}",
        stage=HarvestStage.TEACHER,
        reply=TASK.parse_teacher(text),
        backend=backend,
        prompt_version=TASK.prompt_version("teacher"),
        usage=Usage(**usage),
    )


def write_harvest(runs: Path, run: str, *records: HarvestRecord, torn: str = "") -> Path:
    path = runs / run / "harvest.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(record.model_dump_json() + "\n" for record in records) + torn)
    return path
