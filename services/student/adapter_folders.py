"""Where adapters come from: a folder of this machine, or a URL from which they are copied."""

from hashlib import file_digest
from pathlib import Path
from typing import Protocol

from askback.contracts.errors import InvalidInput
from services.student.adapter_check import FILES, WEIGHTS


class AdapterSource(Protocol):
    """Gives adapters as folders of this machine, which the engine must see at the same place. Blocks while it copies."""

    def fetch(self, path: str, digest: str = "") -> Path:
        """The folder of the adapter at relative `path`; `digest` of its weights, where known, may spare a copy.

        Raises InvalidInput for a path outside the root or without an adapter's files, UpstreamUnavailable when the root cannot be read.
        """
        ...


class LocalFolders:
    """Adapters under the folder `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def fetch(self, path: str, digest: str = "") -> Path:
        """See AdapterSource. A link that leads out of the root is a path outside of it."""
        folder = self._inside(Path(path), path)
        for name in FILES:
            self._inside(folder / name, f"{path}/{name}")
        return folder

    def _inside(self, place: Path, shown: str) -> Path:
        if "\0" in shown or shown.startswith("/"):
            raise outside(shown)
        resolved = (self._root / place).resolve()
        if not resolved.is_relative_to(self._root) or resolved == self._root:
            raise outside(shown)
        return resolved


def outside(path: str) -> InvalidInput:
    return InvalidInput(f"path: {path!r} is outside the adapters folder; give a path relative to it")


def digest_of(folder: Path) -> str:
    """SHA-256 of an adapter's weights, in hexadecimal."""
    with (folder / WEIGHTS).open("rb") as weights:
        return file_digest(weights, "sha256").hexdigest()


def adapters_at(place: str, cache: Path) -> AdapterSource:
    """The source at `place`, a folder or a URL such as `s3://bucket/adapters`, whose adapters are copied to `cache`."""
    if place.startswith("file://"):
        return LocalFolders(Path(place.removeprefix("file://")))
    if "://" not in place:
        return LocalFolders(Path(place))
    from services.student.fsspec_adapters import FsspecAdapters  # a library that a folder does not need

    return FsspecAdapters(place, cache)
