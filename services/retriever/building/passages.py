"""The first stage: the corpus as passages on disk."""

import os
from array import array
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import IO, Any

import numpy as np

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Passage, Record
from services.retriever.building.progress import Progress
from services.retriever.corpora.passages import line_of
from services.retriever.corpora.source import Source
from services.retriever.storage.arrays import Array, Hashes, hash_of
from services.retriever.storage.passage_file import PASSAGES, write_offsets
from services.retriever.storage.titles import TitleKeys

_SAVE_S = 2.0
_REPORT = 50_000


class _Read(Record):
    """How far the corpus has been read: whole blocks, and where the passages of the last of them end."""

    blocks: int = 0
    passages: int = 0
    bytes: int = 0


def read_corpus(source: Source, limit: int, scratch: Path, out: Path, progress: Progress) -> str:
    """Write the passages of `source` (the first `limit`; 0 for all) to `out`; returns the SHA-256 of passages.jsonl.

    A rerun goes on where a killed one was two seconds before. Raises InvalidInput for an id that stands for two passages.
    """
    raw, done = scratch / "passages.raw", scratch / "passages.done"
    if not done.exists():
        _collect(source, limit, raw, scratch / "read.json", progress)
        done.write_text(_settle(raw, out, progress), encoding="ascii")
    return done.read_text(encoding="ascii")


def write_passages(passages: Sequence[Passage], out: Path) -> str:
    """Write `passages` to `out` as they are; returns the SHA-256 of passages.jsonl."""
    lines = [line_of(passage) for passage in passages]
    (out / PASSAGES).write_bytes(b"".join(lines))
    write_offsets(out, [len(line) for line in lines])
    TitleKeys.of(passage.title for passage in passages).write(out)
    return sha256(b"".join(lines)).hexdigest()


def _collect(source: Source, limit: int, raw: Path, saved: Path, progress: Progress) -> None:
    read = _Read()
    with suppress(OSError, ValueError):
        read = _Read.model_validate_json(saved.read_bytes())
    raw.touch()
    if raw.stat().st_size < read.bytes:
        read = _Read()
    size, written = source.path.stat().st_size, monotonic()
    with raw.open("r+b") as file:
        file.truncate(read.bytes)
        file.seek(read.bytes)
        for block in source.blocks(read.blocks):
            if limit and read.passages >= limit:
                break
            passages = block.passages[: limit - read.passages] if limit else block.passages
            for passage in passages:
                if not (passage.title + passage.text).strip():
                    raise InvalidInput(f"{source.path}: passage {passage.id!r} has neither title nor text; give it one of them")
            file.writelines(map(line_of, passages))
            read = _Read(blocks=read.blocks + 1, passages=read.passages + len(passages), bytes=file.tell())
            if monotonic() - written > _SAVE_S:
                _save(file, read, saved)
                written = monotonic()
            progress("reading", read.passages, limit or round(read.passages * size / max(block.at, 1)))
        _save(file, read, saved)
    if not read.passages:
        raise InvalidInput(f"{source.path} holds no passages; name the corpus file")


def _save(file: IO[bytes], read: _Read, saved: Path) -> None:
    """Bring the passages to disk before the note that says so."""
    file.flush()
    os.fsync(file.fileno())
    part = saved.with_suffix(".part")
    part.write_text(read.model_dump_json(), encoding="utf-8")
    part.replace(saved)


def _settle(raw: Path, out: Path, progress: Progress) -> str:
    """Drop equal repetitions and write what finds a passage by its position and title; holds about 40 bytes a passage."""
    ids, titles, lengths, digest = array("Q"), TitleKeys(), array("q"), sha256()
    total = raw.stat().st_size
    with raw.open("rb") as file:
        for line in file:
            passage = Passage.model_validate_json(line)
            titles.add(len(ids), passage.title)
            ids.append(hash_of(passage.id))
            lengths.append(len(line))
            digest.update(line)
            if len(ids) % _REPORT == 0:
                progress("settling", len(ids), round(len(ids) * total / file.tell()))
    sizes = np.frombuffer(lengths, np.int64)
    kept = _first_of_each(raw, np.frombuffer(ids, np.uint64), sizes)
    target = out / PASSAGES
    target.unlink(missing_ok=True)
    if kept.all():
        os.link(raw, target)
    else:
        digest = _copy(raw, kept, target)
    write_offsets(out, sizes[kept])
    titles.write(out, kept)
    return digest.hexdigest()


def _first_of_each(raw: Path, ids: Hashes, sizes: Array) -> Array:
    """Which rows stay; raises InvalidInput when rows of one id differ."""
    kept = np.ones(len(ids), dtype=bool)
    order = np.argsort(ids, kind="stable")
    again = np.flatnonzero(ids[order][1:] == ids[order][:-1]) + 1
    starts = np.cumsum(sizes) - sizes
    with raw.open("rb") as file:
        for row in again.tolist():
            lines = [_at(file, int(starts[order[place]]), int(sizes[order[place]])) for place in (row - 1, row)]
            if lines[0] != lines[1]:
                raise InvalidInput(f"id {Passage.model_validate_json(lines[1]).id!r} stands for two passages; ids must be unique")
            kept[order[row]] = False
    return kept


def _at(file: IO[bytes], start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _copy(raw: Path, kept: Array, target: Path) -> Any:
    digest = sha256()
    with raw.open("rb") as file, target.open("wb") as out:
        for line, stays in zip(file, kept.tolist(), strict=True):
            if stays:
                out.write(line)
                digest.update(line)
    return digest
