"""Index folders under one root. `NAME` is a link to a build in `.builds/NAME/`, so that one rename swaps the whole index."""

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from askback.contracts.errors import Conflict, NotFound
from askback.contracts.records import Record
from services.retriever.vectors.facts import FileFacts, QdrantFacts, VectorFacts

FORMAT = 2
WORDS, VECTORS = "bm25", "vectors"
"""Folders of an index, beside its passages."""

_BUILDS, _WORK, _MANIFEST = ".builds", "work", "manifest.json"


class Manifest(Record):
    """What an index was built from. It is written last: a folder without it is no index."""

    format: int
    """Version of the layout and of the text that is indexed per passage."""
    count: int
    checksum: str
    """SHA-256 of passages.jsonl."""
    embedder: str
    passage_prefix: str
    dimension: int
    metric: Literal["inner_product"] = "inner_product"
    source: str = ""
    """Kind, size and hash of the corpus file; empty for passages that came in a request."""
    vectors: VectorFacts | QdrantFacts
    files: dict[str, FileFacts]
    """Of passages and words; those of the vectors are in `vectors`."""


class IndexStore:
    """The indexes under `root`, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """Names of all indexes, complete or not."""
        if not self._root.is_dir():
            return []
        return sorted(path.name for path in self._root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def folder(self, name: str) -> Path:
        """Folder of the build that `name` stands for now; raises NotFound naming the known indexes."""
        known = self.names()
        if name not in known:  # membership of the listing also keeps paths out
            raise NotFound(f"index: no index {name!r}; known indexes: {', '.join(known) or 'none yet, send one to PUT /v1/indexes'}")
        return (self._root / name).resolve()

    def manifest(self, folder: Path) -> Manifest:
        """The manifest in `folder`; raises Conflict when it is missing or unreadable."""
        try:
            manifest = Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
        except FileNotFoundError as error:
            raise Conflict(f"{_MANIFEST} is missing, so its build did not end; index the passages again") from error
        except ValidationError as error:
            raise Conflict(f"{_MANIFEST} is not a manifest of format {FORMAT}; index the passages again") from error
        if manifest.format != FORMAT:
            raise Conflict(f"{_MANIFEST} has format {manifest.format}, this service reads format {FORMAT}; index the passages again")
        return manifest

    @contextmanager
    def writing(self, name: str) -> Iterator[None]:
        """Holds all other writers of `name` off, in this process and in others; waits for its turn."""
        builds = self._root / _BUILDS / name
        builds.mkdir(parents=True, exist_ok=True)
        with (builds / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def building(self, name: str) -> Iterator[Path]:
        """The folder in which a long build of `name` works and finds what an earlier one left; raises Conflict while another one runs."""
        builds = self._root / _BUILDS / name
        (builds / _WORK).mkdir(parents=True, exist_ok=True)
        with (builds / "build.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(f"index {name!r} is being built by another process; wait for it, or stop it") from None
            yield builds / _WORK

    def publish(self, name: str, build: Callable[[Path], Manifest]) -> Manifest:
        """Let `build` fill a new folder, then make `name` stand for it at once. The caller holds `writing(name)`.

        When `build` raises, the old index stays and nothing of the new one is left.
        """
        builds = self._root / _BUILDS / name
        folder = builds / uuid.uuid4().hex
        folder.mkdir()
        try:
            manifest = build(folder)
            _write_last(folder, manifest)
            self._point(name, folder)
        except BaseException:
            shutil.rmtree(folder)
            raise
        self._forget_others(name, folder)
        return manifest

    def built(self, name: str, key: str) -> Path | None:
        """The build of `key` that `name` has, complete, whether or not it stands for it yet."""
        folder = self._root / _BUILDS / name / key
        return folder if (folder / _MANIFEST).exists() else None

    def adopt(self, name: str, folder: Path, key: str, manifest: Manifest) -> None:
        """Make `name` stand for what was built in `folder`, as the build of `key`. The caller holds `building(name)`."""
        with self.writing(name):
            shutil.rmtree(folder / VECTORS / _WORK, ignore_errors=True)
            _write_last(folder, manifest)
            target = self._root / _BUILDS / name / key
            if target.exists():
                target.rename(target.parent / uuid.uuid4().hex)
            folder.rename(target)
            self._point(name, target)
            self._forget_others(name, target)

    def stand(self, name: str, folder: Path) -> None:
        """Make `name` stand for its complete build in `folder`."""
        with self.writing(name):
            self._point(name, folder)
            self._forget_others(name, folder)

    def _forget_others(self, name: str, kept: Path) -> None:
        _sync(self._root)
        for old in kept.parent.iterdir():
            if old.is_dir() and not old.is_symlink() and old not in (kept, kept.parent / _WORK):
                shutil.rmtree(old)

    def _point(self, name: str, folder: Path) -> None:
        link, target = folder.parent / "link", self._root / name
        link.unlink(missing_ok=True)
        link.symlink_to(folder.relative_to(self._root))
        if target.is_dir() and not target.is_symlink():  # a folder that was copied here; a rename cannot replace it
            target.rename(folder.parent / uuid.uuid4().hex)
        link.replace(target)


def _write_last(folder: Path, manifest: Manifest) -> None:
    """Bring all files of the build to disk, then the manifest."""
    for path in [*folder.rglob("*"), folder]:
        _sync(path)
    aside = folder / f"{_MANIFEST}.part"
    aside.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    _sync(aside)
    aside.replace(folder / _MANIFEST)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
