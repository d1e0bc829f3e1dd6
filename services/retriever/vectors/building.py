"""The build of an index of vectors in stages, each of which a killed build finds done or begins again."""

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from askback.contracts.errors import Conflict
from askback.contracts.records import Record
from services.retriever.vectors import faiss_lists, faiss_training, reading
from services.retriever.vectors.appended import AppendedRows
from services.retriever.vectors.cascade import AT, Depth
from services.retriever.vectors.choice import LEARNT_FROM, Plan, choose_plan
from services.retriever.vectors.facts import FileFacts, Tuned, VectorFacts, check_files
from services.retriever.vectors.faiss_index import FaissIndex
from services.retriever.vectors.held_out import held_out_queries, with_exact
from services.retriever.vectors.scalar_codes import ScalarCodes
from services.retriever.vectors.settings import Layout, VectorSettings
from services.retriever.vectors.shards import Shards, sample
from services.retriever.vectors.tuning import choose

Progress = Callable[[str, int, int], None]
"""(stage, done, total); a total of 0 is unknown."""
_WORK, _PLAN, _FACTS = "work", "plan.json", "facts.json"
_RANGES_FROM = 100_000


class _Begun(Record):
    """What a build was begun with: another vector or setting begins it anew."""

    plan: Plan
    vectors: str
    seed: int
    block: int
    recall: float


def build(shards: Sequence[Path], out: Path, settings: VectorSettings, progress: Progress) -> VectorFacts:
    """Index the unit vectors of `shards` (.npy, float16 or float32, in order) in `out`. Called again after a kill, it goes on.

    Only the samples that are learnt from and one block of vectors are held, besides what the index itself holds in memory.
    Raises InvalidInput for files that are no vectors, and for a memory that cannot hold them.
    """
    rows = Shards(shards)
    plan = choose_plan(rows.count, rows.dimension, settings)
    begun = _Begun(plan=plan, vectors=rows.fingerprint(), seed=settings.seed, block=settings.block, recall=settings.recall)
    if done := _done(out, begun):
        return done
    _begin(out, begun)
    tuned = None
    if plan.layout is Layout.EXACT:
        _write_exact(rows, out, settings, progress)
    else:
        _write_lists(rows, out, plan, settings, progress)
        tuned = _tune(rows, out, plan, settings, progress)
    facts = _facts(out, plan, settings, tuned)
    part = out / _WORK / _FACTS
    part.write_text(facts.model_dump_json(), encoding="utf-8")
    part.replace(out / _FACTS)
    for path in (out / _WORK).iterdir():
        if path.name != _PLAN:
            path.unlink()
    return facts


def _begin(out: Path, begun: _Begun) -> None:
    """Leave what a like build left, or make `out` empty."""
    if _begun(out) == begun and not (out / _FACTS).exists():
        return
    if out.exists():
        shutil.rmtree(out)
    (out / _WORK).mkdir(parents=True)
    (out / _WORK / _PLAN).write_text(begun.model_dump_json(), encoding="utf-8")


def _begun(out: Path) -> _Begun | None:
    with suppress(OSError, ValueError):
        return _Begun.model_validate_json((out / _WORK / _PLAN).read_bytes())
    return None


def _done(out: Path, begun: _Begun) -> VectorFacts | None:
    """The facts of a like build that ended and whose files still are what they were."""
    with suppress(OSError, ValueError, Conflict):
        facts = VectorFacts.model_validate_json((out / _FACTS).read_bytes())
        check_files(out, facts)
        return facts if _begun(out) == begun else None
    return None


def _write_exact(rows: Shards, out: Path, settings: VectorSettings, progress: Progress) -> None:
    part = out / _WORK / reading.EXACT
    FaissIndex.flat(np.concatenate([block for _, block in rows.blocks(settings.block)])).write(part)
    part.replace(out / reading.EXACT)
    progress("vectors", rows.count, rows.count)


def _write_lists(rows: Shards, out: Path, plan: Plan, settings: VectorSettings, progress: Progress) -> None:
    work = out / _WORK
    trained = work / "trained.faiss"
    if (out / reading.LISTS).exists():
        return
    if not trained.exists():
        _learn(rows, out, plan, settings, progress)
    _append(rows, out, plan, settings, progress)
    part = work / reading.LISTS
    lists, codes = (AppendedRows(work / name, dtype, width).read() for name, dtype, width in _work_files(plan))
    faiss_lists.pack(faiss_lists.read_trained(trained), lists[:, 0].astype(np.int64), codes, part)
    part.replace(out / reading.LISTS)


def _learn(rows: Shards, out: Path, plan: Plan, settings: VectorSettings, progress: Progress) -> None:
    work = out / _WORK
    learnt_from = rows.rows(sample(rows.count, max(plan.lists * LEARNT_FROM, _RANGES_FROM), settings.seed))
    centroids = faiss_training.learn_centroids(
        learnt_from, plan.lists, work, settings.seed, _threads(settings), lambda done, total: progress("centroids", done, total)
    )
    ranges = ScalarCodes.fit(learnt_from[:_RANGES_FROM], plan.bits)
    np.save(out / reading.RANGES, np.stack([ranges.low, ranges.step]))
    trained = faiss_training.learn_codes(centroids, plan.subquantisers, learnt_from, settings.seed)
    faiss_lists.write_trained(trained, work / "trained.part")
    (work / "trained.part").replace(work / "trained.faiss")


def _threads(settings: VectorSettings) -> int:
    return settings.build_threads or len(os.sched_getaffinity(0))


def _work_files(plan: Plan) -> tuple[tuple[str, type, int], ...]:
    return ("lists.i32", np.int32, 1), ("lists.u8", np.uint8, plan.subquantisers // 2)


def _append(rows: Shards, out: Path, plan: Plan, settings: VectorSettings, progress: Progress) -> None:
    """Bring every vector to its list, code and finer forms, block by block."""
    trained = faiss_lists.read_trained(out / _WORK / "trained.faiss")
    low, step = np.load(out / reading.RANGES, allow_pickle=False)
    finer = ScalarCodes(low, step, plan.bits)
    lists, codes = (AppendedRows(out / _WORK / name, dtype, width) for name, dtype, width in _work_files(plan))
    fine, halves = AppendedRows(out / reading.CODES, np.uint8, finer.width), AppendedRows(out / reading.HALVES, np.float16, plan.dimension)
    kept = [lists, codes, *(file for file, name in ((fine, reading.CODES), (halves, reading.HALVES)) if name in reading.FILES[plan.layout])]
    start = min(file.count for file in kept)
    start = start if start == rows.count else start // settings.block * settings.block
    for file in kept:
        file.truncate(start)
    for low, block in rows.blocks(settings.block, start):
        numbers, coded = faiss_lists.encode(trained, block, _threads(settings))
        lists.append(numbers[:, None])
        codes.append(coded)
        if fine in kept:
            fine.append(finer.encode(block))
        if halves in kept:
            halves.append(block)
        progress("vectors", low + len(block), rows.count)


def _tune(rows: Shards, out: Path, plan: Plan, settings: VectorSettings, progress: Progress) -> Tuned:
    queries, source = held_out_queries(rows, settings.queries, 2 * settings.held_out, settings.seed)
    held_out = with_exact(queries, rows, AT, settings.block, lambda done, total: progress("exact", done, total))
    index = reading.open_cascade(out, plan.layout, plan.bits, rows.count, Depth(1, 1, 1), 1)
    found = choose(index, held_out, plan.lists, settings.recall, lambda done, total: progress("tuning", done, total))
    return Tuned(
        **vars(found.depth),
        recall_target=settings.recall,
        recall_chosen=found.recall_chosen,
        recall_verified=found.recall_verified,
        queries=len(held_out.queries) // 2,
        queries_from=source,
        cpu_ms=found.cpu_ms,
    )


def _facts(out: Path, plan: Plan, settings: VectorSettings, tuned: Tuned | None) -> VectorFacts:
    files = {name: FileFacts.of(out / name) for name in reading.FILES[plan.layout]}
    held = sum(facts.bytes for name, facts in files.items() if name != reading.HALVES)
    return VectorFacts(
        **plan.model_dump(),
        bytes_per_vector=held / plan.count,
        disk_bytes_per_vector=sum(facts.bytes for facts in files.values()) / plan.count,
        seed=settings.seed,
        tuned=tuned,
        files=files,
    )
