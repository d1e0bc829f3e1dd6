"""Read files that anyone may have written, in bounded memory. `place` is the file as messages name it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from askback.contracts.errors import Conflict, InvalidInput

MOST_BYTES = 512 << 20
MOST_LINE_BYTES = 16 << 20
MOST_ROWS = 500_000  # short rows take fifty times their bytes as objects, so that a limit in bytes alone is none


def lines_of(file: Path, place: str, most_bytes: int) -> Iterator[tuple[int, str, bool]]:
    """Number, text and whether it is whole (the last line may lack its newline), of every line that is not blank.

    Raises InvalidInput for a file over `most_bytes`, which is not read then, for a line over 16 MiB, too many lines, or text that is not
    UTF-8; and Conflict when the file changed meanwhile.
    """
    with _opened(file, place, most_bytes) as stream:
        before, read, rows = _state(stream), 0, 0
        while line := stream.readline(MOST_LINE_BYTES + 1):
            read += len(line)
            rows += 1
            if len(line) > MOST_LINE_BYTES:
                raise InvalidInput(f"{place}:{rows}: a line over {MOST_LINE_BYTES >> 20} MiB; write one JSON object a line")
            if rows > MOST_ROWS:
                raise InvalidInput(f"{place}: more than {MOST_ROWS} lines; score a part of them")
            if read > most_bytes:  # a pipe has no size to look at before
                raise _too_large(place, read, most_bytes)
            if line.strip():
                yield rows, _decoded(line, f"{place}:{rows}"), line.endswith(b"\n")
        if _state(stream) != before:
            raise Conflict(f"{place}: changed while it was read; ask again when its writer is done")


def refuse_large(file: Path, place: str, most_bytes: int) -> None:
    """Raise InvalidInput for a file over `most_bytes`, without opening it."""
    if (size := file.stat().st_size) > most_bytes:
        raise _too_large(place, size, most_bytes)


def text_of(file: Path, place: str) -> str:
    """A whole document of at most 16 MiB; raises InvalidInput as `lines_of` does."""
    with _opened(file, place, MOST_LINE_BYTES, "check that it is the right file") as stream:
        content = stream.read(MOST_LINE_BYTES + 1)
    if len(content) > MOST_LINE_BYTES:
        raise _too_large(place, len(content), MOST_LINE_BYTES, "check that it is the right file")
    return _decoded(content, place)


def _opened(file: Path, place: str, most_bytes: int, remedy: str = "") -> BinaryIO:
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InvalidInput(f"{place}: cannot be read ({error.strerror}); check that it is a file which the evaluator may read") from error
    size = os.fstat(stream.fileno()).st_size
    if size > most_bytes:
        stream.close()
        raise _too_large(place, size, most_bytes, remedy)
    return stream


def _too_large(place: str, size: int, most_bytes: int, remedy: str = "") -> InvalidInput:
    remedy = remedy or "check that it is the right file, or raise EVALUATOR_MAX_MB"
    return InvalidInput(f"{place}: has {size / 2**20:.1f} MiB, more than the limit of {most_bytes / 2**20:g}; {remedy}")


def _state(stream: BinaryIO) -> tuple[int, int]:
    found = os.fstat(stream.fileno())
    return found.st_size, found.st_mtime_ns


def _decoded(content: bytes, place: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{place}: not UTF-8 text ({error.reason} at byte {error.start}); write the file again") from error
