"""From passages on disk to an index: embeddings, vectors, words, and the facts that the manifest tells."""

import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from askback.contracts.records import Passage
from services.retriever.building.passages import read_corpus, write_passages
from services.retriever.building.progress import Progress, silent
from services.retriever.corpora.passages import indexed_text
from services.retriever.corpora.source import Source, fingerprint
from services.retriever.embedding.embedder import BATCH, Embedder, embed_passages
from services.retriever.storage.arrays import write_array
from services.retriever.storage.passage_file import PassageFile
from services.retriever.storage.store import FORMAT, VECTORS, WORDS, Manifest
from services.retriever.vectors.engine import VectorEngine
from services.retriever.vectors.facts import FileFacts, QdrantFacts, VectorFacts
from services.retriever.words.postings import merge, spill

BLOCK = 2_048
"""Passages a file of the scratch folder: what a killed build does again."""

_SLICE = 256  # texts between two lines of progress
_HALF_FROM = 100_000  # passages from which embeddings wait in half precision, to halve the disk that a build needs


def index_source(
    source: Source, limit: int, embedder: Embedder, engine: VectorEngine, work: Path, progress: Progress, batch: int = BATCH
) -> Manifest:
    """Build the index of `source` in `work`/index, going on from what an earlier call with the same arguments left there.

    Raises InvalidInput for a corpus that cannot be read, and whatever the embedder raises. The caller writes the manifest last.
    """
    scratch, out = work / "scratch", work / "index"
    _begin(work, key_of(source, limit, embedder, engine))
    checksum = read_corpus(source, limit, scratch, out, progress)
    return _index(checksum, fingerprint(source), embedder, engine, scratch, out, progress, batch)


def key_of(source: Source, limit: int, embedder: Embedder, engine: VectorEngine) -> str:
    """What names a build by all that goes into it: builds of one key are the same."""
    parts = [f"format {FORMAT}", fingerprint(source), f"limit {limit}", embedder.identity, embedder.passage_prefix, engine.told]
    return sha256("\n".join(parts).encode()).hexdigest()[:32]


def index_passages(passages: Sequence[Passage], embedder: Embedder, engine: VectorEngine, out: Path) -> Manifest:
    """Index `passages` in the empty folder `out`, at one go."""
    scratch = out / "scratch"
    scratch.mkdir()
    manifest = _index(write_passages(passages, out), "", embedder, engine, scratch, out, silent, BATCH)
    for folder in (scratch, out / VECTORS / "work"):
        shutil.rmtree(folder)
    return manifest


def _begin(work: Path, key: str) -> None:
    note = work / "begun"
    if note.exists() and note.read_text(encoding="utf-8") == key and (work / "index").is_dir():
        return
    for old in work.iterdir():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for folder in ("scratch", "index"):
        (work / folder).mkdir()
    note.write_text(key, encoding="utf-8")


def _index(
    checksum: str, source: str, embedder: Embedder, engine: VectorEngine, scratch: Path, out: Path, progress: Progress, batch: int
) -> Manifest:
    passages = PassageFile(out)
    shards = _embed(passages, embedder, scratch, progress, batch)
    facts = engine.build(shards, out / VECTORS, progress)
    _count_words(passages, scratch, out / WORDS, progress)
    return _manifest(passages, checksum, source, embedder, facts, out)


def _embed(passages: PassageFile, embedder: Embedder, scratch: Path, progress: Progress, batch: int) -> list[Path]:
    folder = scratch / "embeddings"
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{start:010}.npy" for start in range(0, len(passages), BLOCK)]
    dtype = np.float16 if len(passages) >= _HALF_FROM else np.float32
    for start, path in zip(range(0, len(passages), BLOCK), paths, strict=True):
        if path.exists():
            continue
        parts = []
        for first in range(start, min(start + BLOCK, len(passages)), _SLICE):
            chunk = passages[first : min(first + _SLICE, start + BLOCK)]
            parts.append(embed_passages(embedder, [indexed_text(passage) for passage in chunk], batch))
            progress("embedding", first + len(chunk), len(passages))
        write_array(path, np.concatenate(parts).astype(dtype))
    return paths


def _count_words(passages: PassageFile, scratch: Path, out: Path, progress: Progress) -> None:
    if out.exists():
        return
    folder = scratch / "words"
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{start:010}.npz" for start in range(0, len(passages), BLOCK)]
    for start, path in zip(range(0, len(passages), BLOCK), paths, strict=True):
        if not path.exists():
            spill(passages[start : start + BLOCK], path)
        progress("counting words", min(start + BLOCK, len(passages)), len(passages))
    merge(paths, out, lambda done, total: progress("sorting words", done, total))


def _manifest(passages: PassageFile, checksum: str, source: str, embedder: Embedder, facts: VectorFacts | QdrantFacts, out: Path) -> Manifest:
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.relative_to(out).parts[0] not in (VECTORS, "scratch")]
    return Manifest(
        format=FORMAT,
        count=len(passages),
        checksum=checksum,
        embedder=embedder.identity,
        passage_prefix=embedder.passage_prefix,
        dimension=facts.dimension,
        source=source,
        vectors=facts,
        files={str(path.relative_to(out)): FileFacts.of(path) for path in files},
    )
