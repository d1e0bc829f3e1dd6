"""A run that holds rows out, and an engine that knows the answers of some splits under some adapters."""

from pathlib import Path
from typing import Any

from scripted_engine import ScriptedEngine

from askback.contracts.records import Sample
from askback.loop.config import parse_config
from askback.loop.progress import Reporter
from askback.loop.run import Run
from askback.loop.services import Services
from askback.loop.store import RunStore
from askback.tasks import task_named
from askback.tasks.datafile import load_local

DATA = Path(__file__).parents[2] / "data" / "sample" / "strategyqa"
TASK = task_named("strategyqa")
CONDITIONS = ["base.direct", "direct.direct", "context.direct"]
RAW: dict[str, Any] = {
    "name": "t",
    "task": "strategyqa",
    "seed": 3,
    "data": {"path": str(DATA), "recordings": ["teacher.jsonl"], "train": 30, "dev": 20, "held_out": 40},
    "adapters": [{"name": "direct", "track": "direct"}, {"name": "context", "track": "context"}],
    "evaluate": {"conditions": CONDITIONS},
}


def choosing_run(tmp_path: Path, services: Services, retry_errors: bool = False, redo: tuple[str, ...] = (), **sections: Any) -> Run:
    config = parse_config(RAW | sections, "t")
    return Run(config, RunStore(tmp_path / "runs", "r1"), services, Reporter(), retry_errors, redo)


def rows(run: Run, split: str) -> list[Sample]:
    return run.store.read_records(f"samples/{split}.jsonl", Sample)


def knowing(engine: ScriptedEngine, **adapter_of: str) -> None:
    """Make the engine right on the questions of `train` and `dev` under the adapter that is named for each; else it says yes."""
    gold = {sample.question: (split, sample.answer) for split in adapter_of for sample in load_local(TASK, DATA, split)}

    def p_yes(model: str, text: str) -> float:
        split, answer = next((found for question, found in gold.items() if question in text), ("", "yes"))
        if split and f"-{adapter_of[split]}-" in model:
            return 0.9 if answer == "yes" else 0.1
        return 0.8

    engine._p_yes = p_yes
