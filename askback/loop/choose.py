"""Stage `choose`: measure on the held-out rows of train, and decide there what is promoted, before dev is read.

Predictions, scores and report of the held-out rows lie in a run folder of their own beside the run, so that the evaluator treats them as
any run, and so that nothing of them is taken for a figure on dev.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from askback.contracts.errors import InvalidInput
from askback.contracts.evaluator import ReportRequest, ScoreRequest, Scores
from askback.contracts.records import Sample
from askback.contracts.student import BASE, PREVIOUS
from askback.loop.config import RunConfig, dump_toml
from askback.loop.evaluate import evaluate
from askback.loop.progress import Reporter
from askback.loop.promote import Promotion, decide, gain_of
from askback.loop.score import score
from askback.loop.services import Services
from askback.loop.store import RunStore

FILE = "choice.json"
HELD_OUT = "samples/held_out.jsonl"
_SUFFIX = ".held-out"
_LONGEST_ID = 128  # of the evaluator's requests


def held_out_run(store: RunStore) -> RunStore:
    """The run folder beside the run in which its held-out rows are measured."""
    return RunStore(store.folder.parent, f"{store.run_id}{_SUFFIX}")


def check_id(run_id: str, config: RunConfig) -> None:
    """Raise InvalidInput for the id of another run's held-out part, and for one that leaves no room for a held-out part's name."""
    if run_id.endswith(_SUFFIX):
        raise InvalidInput(f"--id: {run_id!r} is the held-out part of run {run_id.removesuffix(_SUFFIX)!r}; continue that one")
    if config.data.held_out and len(run_id) + len(_SUFFIX) > _LONGEST_ID:
        raise InvalidInput(f"--id: {run_id!r} is too long for a run with data.held_out; give at most {_LONGEST_ID - len(_SUFFIX)} characters")


@dataclass(frozen=True)
class Choosing:
    """What one choice is made with."""

    config: RunConfig
    store: RunStore
    """The run, which gets `choice.json`."""
    services: Services
    reporter: Reporter

    async def choose(self, names: Mapping[str, str], retry_errors: bool) -> tuple[list[str], dict[str, object]]:
        """Ask, score, report and decide on the held-out rows; returns the run's files and counts. What was answered before is kept.

        `names` are the served names of the adapters.
        """
        store, started = held_out_run(self.store), time.time()
        with store.locked():
            asked = self._prepare(store)
            samples = store.read_records("samples/dev.jsonl", Sample)
            student, payer = self.services.student, self.store.run_id
            counts = await evaluate(asked, samples, dict(names), store, student, self.reporter, retry_errors, payer)
            store.complete("evaluate", started, [f"predictions/{condition.name}.jsonl" for condition in asked.evaluate.conditions], dict(counts))
            request = ScoreRequest(run_id=store.run_id, task=asked.task, seed=asked.seed)
            decision = decide(asked.promote, await score(request, self.services.evaluator))
            await self.services.evaluator.report(ReportRequest(run_id=store.run_id))
        self.store.write_text(FILE, decision.model_dump_json(indent=1) + "\n")
        self.reporter.say(f"  on {len(samples)} held-out rows: {decision.reason}")
        return [FILE], {"adapter": decision.adapter, "rows": len(samples), "measured_in": store.run_id} | counts

    def _prepare(self, store: RunStore) -> RunConfig:
        """Make the held-out rows the test questions of their run; returns its configuration."""
        conditions = self.config.evaluate.model_copy(update={"conditions": self.config.deciding})
        asked = self.config.model_copy(update={"evaluate": conditions})
        store.write_text("config.toml", dump_toml(asked))
        # The training rows stand beside them, so that the evaluator counts how many held-out rows overlap with them.
        for there, here in ((HELD_OUT, "samples/dev.jsonl"), ("samples/train.jsonl", "samples/train.jsonl")):
            store.write_records(here, self.store.read_records(there, Sample))
        return asked


def chosen(config: RunConfig, store: RunStore) -> Promotion:
    """The choice that was made on the held-out rows, with the dev figures of what was chosen beside its reason."""
    choice = Promotion.model_validate_json(store.path(FILE).read_text(encoding="utf-8"))
    rows = len(store.read_records(HELD_OUT, Sample))
    told = [f"chosen on {rows} held-out training rows: {choice.reason}", *_on_dev(config, store, choice)]
    return choice.model_copy(update={"reason": "; ".join(told)})


def _on_dev(config: RunConfig, store: RunStore, choice: Promotion) -> list[str]:
    if not config.evaluate.conditions:
        return ["dev was not read"]
    if choice.adapter in (BASE, PREVIOUS):  # nobody was chosen, so there is no gain to tell
        return []
    scores = Scores.model_validate_json(store.path("scores.json").read_text(encoding="utf-8"))
    return [f"on dev, read once: {gain_of(choice.condition, config.promote.baseline, scores)}"]
