"""Build an index from a corpus file, or list the indexes: `python -m services.retriever.building build NAME --jsonl FILE`.

The same command goes on where a stopped one was. A running retriever serves the new index as soon as it stands.
"""

import argparse
import os
import re
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from askback.contracts.errors import Conflict, InvalidInput, ServiceError
from services.retriever.building.progress import ProgressLines
from services.retriever.building.stages import index_source, key_of
from services.retriever.corpora.distractor import Distractor
from services.retriever.corpora.hotpotqa_wiki import HotpotqaWiki
from services.retriever.corpora.jsonl import Jsonl
from services.retriever.corpora.source import Source, fingerprint
from services.retriever.embedding.embedder import Embedder
from services.retriever.embedding.sentence_transformers_embedder import load_embedder
from services.retriever.searching.search_index import SearchIndex
from services.retriever.storage.store import IndexStore, Manifest
from services.retriever.vectors.engine import VectorEngine
from services.retriever.vectors.facts import QdrantFacts
from services.retriever.vectors.qdrant_settings import QdrantSettings
from services.retriever.vectors.settings import VectorSettings

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ON_GPU = 256  # texts at a time on a card; on a CPU the embedder's own small batches are as fast


def build(store: IndexStore, name: str, source: Source, limit: int, embedder: Embedder, engine: VectorEngine, batch: int = 0) -> Manifest:
    """Build `source` under `name`, or go on with it; returns the manifest. Raises Conflict while another process builds that name."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"name: {name!r} is no name of an index; take 1 to 64 of a-z, 0-9, dot, underscore and hyphen")
    progress = ProgressLines(sys.stderr)
    with store.building(name) as work:
        key = key_of(source, limit, embedder, engine)
        if standing := store.built(name, key):
            with suppress(Conflict):  # what a search refuses is built again
                manifest = store.manifest(standing)
                SearchIndex.read(standing, manifest, engine)
                store.stand(name, standing)
                return manifest
        manifest = index_source(source, limit, embedder, engine, work, progress, **({"batch": batch} if batch else {}))
        store.adopt(name, work / "index", key, manifest)
        shutil.rmtree(work)
    return manifest


def _build(told: argparse.Namespace) -> str:
    sources: dict[str, type[HotpotqaWiki | Jsonl | Distractor]] = {"wiki": HotpotqaWiki, "jsonl": Jsonl, "hotpotqa": Distractor}
    source = next(make(Path(getattr(told, kind))) for kind, make in sources.items() if getattr(told, kind))
    environment = dict(os.environ)
    for variable, value in (("EMBEDDER", told.embedder), ("EMBEDDER_DEVICE", told.device), ("RETRIEVER_RECALL", told.recall)):
        if value:
            environment[variable] = value
    engine = VectorEngine(VectorSettings.from_environment(environment), QdrantSettings.from_environment(environment))
    fingerprint(source)  # a wrong path is told before a model is loaded
    on_gpu = environment.get("EMBEDDER_DEVICE", "cpu") != "cpu"
    manifest = build(_store(), told.name, source, told.limit, load_embedder(environment), engine, _ON_GPU if on_gpu else 0)
    return f"{told.name}: {manifest.count:,} passages, {_described(manifest)}"


def _described(manifest: Manifest) -> str:
    facts = manifest.vectors
    if isinstance(facts, QdrantFacts):
        return f"vectors in Qdrant's collection {facts.collection}"
    search = f"recall@10 {facts.tuned.recall_verified:.3f} of exact search" if facts.tuned else "exact search"
    return f"{facts.layout} vectors, {search}, {facts.bytes_per_vector:,.0f} bytes of memory a vector"


def _list() -> str:
    store, lines = _store(), []
    for name in store.names():
        try:
            manifest = store.manifest(store.folder(name))
            lines.append(f"{name}: {manifest.count:,} passages, {_described(manifest)}, {manifest.embedder}")
        except ServiceError as error:
            lines.append(f"{name}: {error}")
    return "\n".join(lines) or "no indexes yet; `askback index build NAME --jsonl FILE` makes one"


def _store() -> IndexStore:
    root = Path(os.environ.get("INDEX_DIR") or Path(os.environ.get("ASKBACK_HOME") or "var") / "index")
    return IndexStore(root.resolve())


def _told(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="index", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list")
    build = verbs.add_parser("build")
    build.add_argument("name")
    corpus = build.add_mutually_exclusive_group(required=True)
    for kind in ("wiki", "jsonl", "hotpotqa"):
        corpus.add_argument(f"--{kind}", default="")
    for option in ("embedder", "device", "recall"):
        build.add_argument(f"--{option}", default="")
    build.add_argument("--limit", type=int, default=0)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 done, 2 the user's mistake, 1 ours, 130 stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    told = _told(arguments)
    try:
        print(_build(told) if told.verb == "build" else _list())  # noqa: T201
    except ServiceError as error:
        sys.stderr.write(f"index: {error}\n")
        return 2 if isinstance(error, InvalidInput | Conflict) else 1
    except KeyboardInterrupt:
        sys.stderr.write("index: stopped; the same command goes on from here\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
