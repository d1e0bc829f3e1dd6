"""Approximate search beside FAISS's plain indexes: recall at 10 against exact search, queries a second on one core, bytes, and time to build."""

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the file can be run by its path

from benchmarks.command_line import report, rounded, say
from benchmarks.retriever_embeddings import real_embeddings
from benchmarks.retriever_peers import HNSW_EF, Figures, Search, flat, hnsw, measure, peak_gb, searched
from benchmarks.retriever_vectors import Model, fit, write
from benchmarks.retriever_verdict import FULL_SIZE, Full, at_full_size, beside_peers
from services.retriever.vectors.building import build
from services.retriever.vectors.cascade import AT, Depth
from services.retriever.vectors.facts import VectorFacts
from services.retriever.vectors.held_out import HeldOut, with_exact
from services.retriever.vectors.reading import open_cascade, read
from services.retriever.vectors.settings import Layout, VectorSettings
from services.retriever.vectors.shards import Shards, sample
from services.retriever.vectors.tuning import choose

_EXAMPLES = """examples:
  %(prog)s                           1,000,000 vectors; half an hour on two quiet cores, most of it HNSW's build
  %(prog)s --without-hnsw            without it, ten minutes
  %(prog)s --size 20000              does it run at all
  %(prog)s --full                    5,233,329 vectors, ours alone: an hour, 15 GB of disk, 6 GB of memory

The vectors are drawn from a model of real embeddings: those of --corpus, a file in HotpotQA's format, which are kept in --work with
the vectors and the index, so that a second run is shorter. The last line is JSON. Exit code: 0 when every claim holds, 1 when one does not.
"""
_ROOT = Path(__file__).parents[1]
_REAL, _SAMPLE = _ROOT.parent / "shared" / "data" / "hotpotqa" / "train_distractor.json", _ROOT / "data" / "sample" / "hotpotqa" / "train.json"
_TUNING, _QUERIES, _SLOW_QUERIES, _ROUNDS, _SEED = 4000, 1000, 50, 5, 0
_LOWER = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1_000_000, help="vectors (default 1000000)")
    parser.add_argument("--full", action="store_true", help=f"{FULL_SIZE} vectors and the claims for them")
    parser.add_argument("--without-hnsw", action="store_true", help="leave out the peer that takes longest to build")
    parser.add_argument("--corpus", type=Path, default=_REAL if _REAL.exists() else _SAMPLE, help="paragraphs and questions (default %(default)s)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "askback-retriever", help="default %(default)s")
    arguments = parser.parse_args()
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # for the build, whose threads would spin on a core that others want
    raise SystemExit(report(lambda: run(arguments)))


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The last line."""
    size = FULL_SIZE if arguments.full else arguments.size
    folder = arguments.work / str(size)
    folder.mkdir(parents=True, exist_ok=True)
    model, real, drawn = fit(*real_embeddings(arguments.corpus, arguments.work), _SEED)
    say(f"real {real}\ndrawn {drawn}, question's cosine {model.asked:.3f}")
    shards = write(model, size, folder, _SEED)
    rows = Shards(shards)
    np.save(folder / "questions.npy", _questions(rows, model, _TUNING, _SEED + 1))
    asked = with_exact(_questions(rows, model, _QUERIES, _SEED + 2), rows, AT, 65_536, lambda done, total: None)
    common = {
        "corpus": arguments.corpus.name,
        "size": size,
        "vectors": {"real": asdict(real), "drawn": asdict(drawn), "question_to_passage": rounded(model.asked)},
    }
    if arguments.full:
        return at_full_size(_full(shards, folder, asked), common)
    facts, build_s, built_gb = _in_a_child(_build, shards, folder / "index", folder / "questions.npy", Layout.DISK)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    ours = _ours(folder / "index", facts, rows, folder / "questions.npy")
    peers, built = _peers(rows, arguments.without_hnsw)
    found = measure({**ours, **peers}, asked.queries, asked.exact, _ROUNDS, frozenset({"Flat"}), _SLOW_QUERIES)
    for name, figures in found.items():
        say(f"{name}: {figures}")
    return beside_peers(found, facts, {"ours": build_s, **built}, built_gb, common)


def _questions(rows: Shards, model: Model, count: int, seed: int) -> Any:
    return model.questions(rows.rows(sample(rows.count, count, seed)), seed)


def _build(shards: list[Path], out: Path, questions: Path, layout: Layout) -> tuple[VectorFacts, float, float]:
    """Facts, seconds and the most memory in GB; the seconds of an index that is there already say nothing."""
    begin = time.perf_counter()
    said = [0.0]

    def progress(stage: str, done: int, total: int) -> None:
        if done == total or time.perf_counter() - said[-1] > 20:
            said.append(time.perf_counter())
            say(f"{said[-1] - begin:7.1f} s {stage} {done}/{total}")

    facts = build(shards, out, VectorSettings(layout=layout, queries=questions), progress)
    return facts, time.perf_counter() - begin, peak_gb()


def _ours(folder: Path, facts: VectorFacts, rows: Shards, questions: Path) -> dict[str, Search]:
    """Our search as the build tuned it, tuned to a lower target, and without its middle codes; on questions that are not asked afterwards."""
    assert facts.tuned is not None
    say(f"tuned {facts.tuned}")
    depth = Depth(facts.tuned.probes, facts.tuned.candidates, facts.tuned.kept)
    index = open_cascade(folder, Layout.DISK, facts.bits, facts.count, depth, 1)
    held_out = with_exact(np.load(questions), rows, AT, 65_536, lambda done, total: None)
    lower = choose(index, held_out, facts.lists, _LOWER, lambda done, total: None)
    say(f"tuned to {_LOWER}: {lower}")
    small = open_cascade(folder, Layout.SMALL, facts.bits, facts.count, depth, 1)
    return {"disk 0.95": _at_ten(index.at(lower.depth)), "disk 0.98": _at_ten(index), "small 0.98": _at_ten(small)}


def _at_ten(index: Any) -> Search:
    return lambda vectors: index.search(vectors, AT)


def _peers(rows: Shards, without_hnsw: bool) -> tuple[dict[str, Search], dict[str, float]]:
    """FAISS's own, and the seconds that each took to build on one core."""
    begin = time.perf_counter()
    peers = {"Flat": searched(flat((block for _, block in rows.blocks(65_536)), rows.dimension), AT)}
    middle = time.perf_counter()
    if without_hnsw:
        return peers, {"Flat": middle - begin}
    graph = hnsw((block for _, block in rows.blocks(65_536)), rows.dimension)
    peers.update({f"HNSW32 ef {ef}": searched(graph, AT, ef) for ef in HNSW_EF})
    return peers, {"Flat": middle - begin, "HNSW32": time.perf_counter() - middle}


def _full(shards: list[Path], folder: Path, asked: HeldOut) -> Full:
    facts, build_s, build_gb = _in_a_child(_build, shards, folder / "index", folder / "questions.npy", Layout.AUTO)
    ready_s, figures, anonymous_gb, mapped_gb = _in_a_child(_search, folder / "index", facts, asked)
    return Full(facts, build_s, build_gb, ready_s, figures, anonymous_gb, mapped_gb)


def _search(folder: Path, facts: VectorFacts, asked: HeldOut) -> tuple[float, Figures, float, float]:
    """Seconds until the index answers, figures of a warm search, and GB that are the process's own and mapped."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    begin = time.perf_counter()
    index = read(folder, facts)
    index.search(asked.queries[:1], AT)
    ready_s = time.perf_counter() - begin
    index.search(asked.queries, AT)
    figures = measure({"ours": _at_ten(index)}, asked.queries, asked.exact, 1, frozenset(), 1)["ours"]
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return ready_s, figures, int(lines["RssAnon"].split()[0]) * 1024 / 1e9, int(lines["RssFile"].split()[0]) * 1024 / 1e9


def _in_a_child(work: Any, *arguments: Any) -> Any:
    """`work` in a process of its own, whose memory can be told from ours."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


if __name__ == "__main__":
    main()
