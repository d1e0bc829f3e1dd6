"""The whole loop, top to bottom. A stage whose manifest exists is complete and is not done again."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from askback.contracts.errors import InvalidInput, UpstreamUnavailable
from askback.contracts.evaluator import ReportRequest, ScoreRequest, Scores
from askback.contracts.records import HarvestRecord, Probe, Sample
from askback.contracts.student import BASE, DefaultAdapterRequest
from askback.loop import data_card, promote, tracks, uncertainty
from askback.loop.config import RunConfig, dump_toml, load_config
from askback.loop.evaluate import evaluate, load_adapters
from askback.loop.harvest import counts_of, harvest, rows_of, versions_of
from askback.loop.passages import attach_passages
from askback.loop.progress import Reporter
from askback.loop.recordings import prepare_teacher
from askback.loop.sample import draw, draw_pool, least_certain
from askback.loop.score import score
from askback.loop.services import Services
from askback.loop.store import RunStore
from askback.loop.tokenizers_counter import counter_for
from askback.loop.train import falls, train
from askback.tasks import task_named

STAGES = ("sample", "harvest", "tracks", "train", "evaluate", "score", "promote", "report")


@dataclass(frozen=True)
class Run:
    """One pass through the loop in one folder."""

    config: RunConfig
    store: RunStore
    services: Services
    reporter: Reporter
    retry_errors: bool = False
    """Try the harvest's failed steps again and redo all that follows; where none failed, the failed predictions and what follows those."""
    redo: tuple[str, ...] = ()
    """Stages to do again."""

    async def until(self, last: str) -> None:
        """Do every stage up to `last` that is not complete yet."""
        with self.store.locked():
            self._keep_config()
            await self._check_base_model()
            self._reopen()
            for name in STAGES[: STAGES.index(last) + 1]:
                await self._stage(name)

    async def _stage(self, name: str) -> None:
        if self.store.manifest(name):
            self.reporter.say(f"{name}: complete")
            return
        stages: dict[str, Callable[[], Awaitable[tuple[list[str], dict[str, object]]]]] = {
            "sample": self._sample,
            "harvest": self._harvest,
            "tracks": self._tracks,
            "train": self._train,
            "evaluate": self._evaluate,
            "score": self._score,
            "promote": self._promote,
            "report": self._report,
        }
        self.reporter.say(f"{name} ...")
        started = time.time()
        files, counts = await stages[name]()
        self.store.complete(name, started, files, counts)

    async def _sample(self) -> tuple[list[str], dict[str, object]]:
        task, config = task_named(self.config.task), self.config
        by_uncertainty = config.data.sampling == "uncertainty"
        train_samples, dev = (draw_pool if by_uncertainty else draw)(task, config.data, config.seed)
        if config.harvest.retrieve:
            train_samples, dev = await attach_passages(config, task, [train_samples, dev], self.services.retriever, self.reporter)
        files, asked = ["samples/train.jsonl", "samples/dev.jsonl"], dict[str, object]()
        if by_uncertainty or config.data.probe:
            probes = await uncertainty.ask_all(config, task, train_samples, self.services.student, self.store, self.reporter)
            known = uncertainty.known(probes)
            train_samples = least_certain(task, train_samples, config.data.train, config.seed, known) if by_uncertainty else train_samples
            asked = {uncertainty.FILE: {"asked": len(probes), "failed": len(probes) - len(known)}}
        counts = {name: self.store.write_records(name, samples) for name, samples in zip(files, (train_samples, dev), strict=True)}
        return [*files, *asked], counts | asked

    async def _harvest(self) -> tuple[list[str], dict[str, object]]:
        samples, file = self._samples("train"), "harvest.jsonl"
        await prepare_teacher(self.config, [*samples, *self._samples("dev")], self.services.teacher)
        task = task_named(self.config.task)
        versions = versions_of(task, self.config.harvest.hint, self.config.harvest.replies)
        rows = rows_of(samples, self.store.read_records(file, HarvestRecord), self.retry_errors, versions)
        with self.reporter.bar("harvest", len(rows)) as bar, self.store.appender(file) as kept:
            await harvest(self.config.harvest, task, rows, self.services, kept.append, bar, self.store.run_id)
        counts = counts_of(rows) | {"prompts": versions}
        self.reporter.say(f"  {counts['done']} of {counts['rows']} rows harvested, {counts['failed']} failed, ${counts['cost_usd']:.4f}")
        if not counts["done"]:
            first = next(record.error for row in rows for record in row.records.values() if record.error)
            raise InvalidInput(f"no row was harvested; the first error: {first}; mend it and run again with --retry-errors")
        return [file], counts

    async def _tracks(self) -> tuple[list[str], dict[str, object]]:
        records = self.store.read_records("harvest.jsonl", HarvestRecord)
        train, dev, counter = self._samples("train"), self._samples("dev"), counter_for(await self._base_model_folder())
        probes = self.store.read_records(uncertainty.FILE, Probe)
        make = partial(tracks.make, self.config, train, dev, records, counter, uncertainty=uncertainty.known(probes))
        corpora = {name: make(variant=name) for name in ("", *self.config.tracks.variants)}
        files = {file: rows for name, made in corpora.items() for file, rows in tracks.write(self.store, made, name).items()}
        corpus = corpora.pop("")
        sampled = uncertainty.facts(self.config.data, train, probes)
        card = data_card.card(self.config, task_named(self.config.task), corpus, records, data_card.file_facts(self.store, files), sampled, corpora)
        self.store.write_json("tracks/data_card.json", card)
        self.store.write_text("tracks/README.md", data_card.markdown(card))
        for step in corpus.steps:
            self.reporter.say(f"  {data_card.sentence(step)}")
        tracks.refuse_empty(corpus)
        for name, made in corpora.items():
            self.reporter.say(f"  variant {name}: {made.accounts['kept']} questions kept")
            tracks.refuse_empty(made, name)
        return list(files), tracks.counts_of(corpus, corpora)

    async def _train(self) -> tuple[list[str], dict[str, object]]:
        jobs = await train(self.config, self.store.run_id, self.services.trainer, self.reporter)
        files = [f"adapters/{job.request.name}/adapter_model.safetensors" for job in jobs]
        return files, {job.request.name: falls(job) for job in jobs}

    async def _evaluate(self) -> tuple[list[str], dict[str, object]]:
        config = self.config.evaluate
        await prepare_teacher(self.config, self._samples("dev"), self.services.teacher)
        names = await load_adapters(self.store, [adapter.name for adapter in self.config.adapters], self.services.student)
        counts = await evaluate(self.config, self._samples("dev"), names, self.store, self.services.student, self.reporter, self.retry_errors)
        return [f"predictions/{condition.name}.jsonl" for condition in config.conditions], dict(counts)

    async def _score(self) -> tuple[list[str], dict[str, object]]:
        request = ScoreRequest(run_id=self.store.run_id, task=self.config.task, seed=self.config.seed)
        scores = await score(request, self.services.evaluator)
        for one in scores.conditions:
            first = one.metrics[0]
            self.reporter.say(
                f"  {one.condition.name:<32} {first.name} {100 * first.value:.1f} %  [{100 * first.low:.1f}, {100 * first.high:.1f}]  n = {first.n}"
            )
        return ["scores.json"], {"conditions": len(scores.conditions), "comparisons": len(scores.comparisons)}

    async def _promote(self) -> tuple[list[str], dict[str, object]]:
        scores = Scores.model_validate_json(self.store.path("scores.json").read_text(encoding="utf-8"))
        decision = promote.decide(self.config.promote, scores)
        names = await load_adapters(self.store, [decision.adapter] if decision.adapter != BASE else [], self.services.student)
        if decision.adapter != BASE:
            await self.services.student.promote(DefaultAdapterRequest(name=names[decision.adapter]))
        self.store.write_text("promotion.json", decision.model_dump_json(indent=1) + "\n")
        self.reporter.say(f"  {decision.reason}")
        return ["promotion.json"], {"adapter": decision.adapter}

    async def _report(self) -> tuple[list[str], dict[str, object]]:
        written = await self.services.evaluator.report(ReportRequest(run_id=self.store.run_id))
        return written.files, {"files": len(written.files)}

    def _samples(self, split: str) -> list[Sample]:
        return self.store.read_records(f"samples/{split}.jsonl", Sample)

    def _keep_config(self) -> None:
        """Write the resolved configuration into the run; a run is never continued with another one."""
        path = self.store.path("config.toml")
        if not path.exists():
            self.store.write_text("config.toml", dump_toml(self.config))
            return
        kept = load_config(path).model_dump()
        changed = [name for name, value in self.config.model_dump().items() if kept[name] != value]
        if changed:
            raise InvalidInput(f"run {self.store.run_id} was started with another `{changed[0]}`; give a new --id, or the configuration in {path}")

    def _reopen(self) -> None:
        """Count as not done what is asked for again, or was made with prompts that have changed since."""
        edited = () if self.redo else self._edited()
        if edited or not self.retry_errors:
            self.store.reopen(self.redo or edited)
            return
        harvest = self.store.manifest("harvest")
        if harvest and not harvest["counts"].get("errors", True):
            self.store.reopen(STAGES[STAGES.index("evaluate") :], keep_predictions=True)
        else:
            self.store.reopen(STAGES[STAGES.index("harvest") :])

    def _edited(self) -> tuple[str, ...]:
        """The stages to do again since a prompt file that the harvest reads was edited; what did not read it is not asked again."""
        manifest = self.store.manifest("harvest")
        task, asked = task_named(self.config.task), self.config.harvest
        now = {str(stage): version for stage, version in versions_of(task, asked.hint, asked.replies).items()}
        then = manifest["counts"].get("prompts", now) if manifest else now
        changed = [version for stage, version in now.items() if then.get(stage) != version]
        if not changed:
            return ()
        self.reporter.say(f"edited since the harvest: {', '.join(changed)}; the steps that read it are done again")
        return STAGES[STAGES.index("harvest") :]

    async def _base_model_folder(self) -> str:
        """Where the engine's base model lies; empty without an engine, since tracks are made from files alone."""
        try:
            return (await self.services.student.adapters()).base_model
        except UpstreamUnavailable:
            return ""

    async def _check_base_model(self) -> None:
        if self.config.base_model:
            served = (await self.services.student.adapters()).base_model
            if served.rstrip("/").rsplit("/", 1)[-1] != self.config.base_model:
                raise InvalidInput(f"base_model: the configuration wants {self.config.base_model!r} and the engine serves {served!r}")
