"""The whole loop, top to bottom. A stage whose manifest exists is complete and is not done again."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from askback.contracts.errors import InvalidInput, UpstreamUnavailable
from askback.contracts.evaluator import ReportRequest, ScoreRequest, Scores
from askback.contracts.records import HarvestRecord, Probe, Sample
from askback.contracts.student import BASE, PREVIOUS, DefaultAdapterRequest
from askback.loop import data_card, promote, seal, tracks, uncertainty
from askback.loop.choose import HELD_OUT, Choosing, check_id, chosen, held_out_run
from askback.loop.config import RunConfig
from askback.loop.continuing import keep_config, reopen
from askback.loop.engine_check import check_engine
from askback.loop.evaluate import evaluate, load_adapters
from askback.loop.harvest import counts_of, harvest, rows_of, versions_of
from askback.loop.passages import attach_passages
from askback.loop.previous import load_previous, previous_student
from askback.loop.progress import Reporter
from askback.loop.recordings import prepare_teacher
from askback.loop.sample import draw, draw_pool, held_out, least_certain
from askback.loop.score import score
from askback.loop.services import Services
from askback.loop.stages import stages_until
from askback.loop.store import RunStore
from askback.loop.tokenizers_counter import counter_for
from askback.loop.train import falls, train
from askback.tasks import task_named


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
        check_id(self.store.run_id, self.config)
        stages = stages_until(last, self.config)
        with self.store.locked():
            if not self.store.manifest("promote"):
                previous_student(self.config, self.store)
            keep_config(self.config, self.store)
            await check_engine(self.config, self.services.student)
            reopen(self.config, self.store, self.reporter, self.retry_errors, self.redo)
            if self.config.data.held_out:
                seal.check_reopening(self.store, [name for name in stages if not self.store.manifest(name)])
            for name in stages:
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
            "choose": self._choose,
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
        kept = held_out(task, config.data, config.seed)
        if kept:
            held_out_run(self.store).reopen(["evaluate"])  # an earlier run of this id may have left predictions there
        if config.harvest.retrieve:
            splits = [train_samples, dev, kept]
            train_samples, dev, kept = await attach_passages(config, task, splits, self.services.retriever, self.reporter)
        files, asked = ["samples/train.jsonl", "samples/dev.jsonl"], dict[str, object]()
        if by_uncertainty or config.data.probe:
            adapter = await load_previous(config, self.store, self.services.student)
            probes = await uncertainty.ask_all(config, task, train_samples, self.services.student, self.store, self.reporter, adapter)
            known = uncertainty.known(probes)
            train_samples = least_certain(task, train_samples, config.data.train, config.seed, known) if by_uncertainty else train_samples
            asked = {uncertainty.FILE: {"asked": len(probes), "failed": len(probes) - len(known)}}
        written = dict(zip(files, (train_samples, dev), strict=True)) | ({HELD_OUT: kept} if kept else {})
        counts = {name: self.store.write_records(name, samples) for name, samples in written.items()}
        return [*written, *asked], counts | asked

    async def _harvest(self) -> tuple[list[str], dict[str, object]]:
        samples, file = self._samples("train"), "harvest.jsonl"
        await prepare_teacher(self.config, [*samples, *self._tested()], self.services.teacher)
        task = task_named(self.config.task)
        adapter = await load_previous(self.config, self.store, self.services.student)
        student = previous_student(self.config, self.store)
        versions = versions_of(task, self.config.harvest.hint, self.config.harvest.replies)
        rows = rows_of(samples, self.store.read_records(file, HarvestRecord), self.retry_errors, versions)
        with self.reporter.bar("harvest", len(rows)) as bar, self.store.appender(file) as kept:
            await harvest(self.config.harvest, task, rows, self.services, kept.append, bar, self.store.run_id, adapter)
        counts = counts_of(rows) | {"prompts": versions} | ({"previous": student.model_dump()} if student else {})
        self.reporter.say(f"  {counts['done']} of {counts['rows']} rows harvested, {counts['failed']} failed, ${counts['cost_usd']:.4f}")
        if not counts["done"]:
            first = next(record.error for row in rows for record in row.records.values() if record.error)
            raise InvalidInput(f"no row was harvested; the first error: {first}; mend it and run again with --retry-errors")
        return [file], counts

    async def _tracks(self) -> tuple[list[str], dict[str, object]]:
        records = self.store.read_records("harvest.jsonl", HarvestRecord)
        train, tested, counter = self._samples("train"), self._tested(), counter_for(await self._base_model_folder())
        probes = self.store.read_records(uncertainty.FILE, Probe)
        make = partial(tracks.make, self.config, train, tested, records, counter, uncertainty=uncertainty.known(probes))
        corpora = {name: make(variant=name) for name in self.config.variants}
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

    async def _choose(self) -> tuple[list[str], dict[str, object]]:
        await prepare_teacher(self.config, self._samples("held_out"), self.services.teacher)
        names = await self._served(self._measured())
        return await Choosing(self.config, self.store, self.services, self.reporter).choose(names, self.retry_errors)

    async def _evaluate(self) -> tuple[list[str], dict[str, object]]:
        config = self.config.evaluate
        read: dict[str, object] = {"dev_read": seal.read_dev(self.store)} if self.config.data.held_out else {}
        await prepare_teacher(self.config, self._samples("dev"), self.services.teacher)
        names = await self._served(self._measured())
        counts = await evaluate(self.config, self._samples("dev"), names, self.store, self.services.student, self.reporter, self.retry_errors)
        return [f"predictions/{condition.name}.jsonl" for condition in config.conditions], dict(counts) | read

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
        decision = self._decision()
        names = await self._served([decision.adapter])
        if names[decision.adapter] != BASE:
            await self.services.student.promote(DefaultAdapterRequest(name=names[decision.adapter]))
        self.store.write_text("promotion.json", decision.model_dump_json(indent=1) + "\n")
        self.reporter.say(f"  {decision.reason}")
        return ["promotion.json"], {"adapter": decision.adapter}

    async def _report(self) -> tuple[list[str], dict[str, object]]:
        written = await self.services.evaluator.report(ReportRequest(run_id=self.store.run_id))
        return written.files, {"files": len(written.files)}

    def _measured(self) -> list[str]:
        return [*(adapter.name for adapter in self.config.adapters), *([PREVIOUS] if self.config.previous else [])]

    async def _served(self, adapters: Sequence[str]) -> dict[str, str]:
        """The names under which the engine serves `adapters`, the run's own and the previous student, once they are loaded."""
        student = self.services.student
        names = await load_adapters(self.store, [name for name in adapters if name not in (BASE, PREVIOUS)], student)
        return names | ({PREVIOUS: await load_previous(self.config, self.store, student)} if PREVIOUS in adapters else {})

    def _decision(self) -> promote.Promotion:
        """What was chosen on the held-out rows, where the run has any, else by the scores on dev."""
        if self.config.data.held_out:
            seal.check_choice(self.store)
            return chosen(self.config, self.store)
        return promote.decide(self.config.promote, Scores.model_validate_json(self.store.path("scores.json").read_text(encoding="utf-8")))

    def _tested(self) -> list[Sample]:
        """The questions that the student is tested on, of dev and of the held-out rows."""
        return [*self._samples("dev"), *self._samples("held_out")]

    def _samples(self, split: str) -> list[Sample]:
        return self.store.read_records(f"samples/{split}.jsonl", Sample)

    async def _base_model_folder(self) -> str:
        """Where the engine's base model lies; empty without an engine, since tracks are made from files alone."""
        try:
            return (await self.services.student.adapters()).base_model
        except UpstreamUnavailable:
            return ""
