"""Adapters behind a URL, such as `s3://bucket/adapters`: copied aside and renamed into a cache of this machine."""

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]

from askback.contracts.errors import InvalidInput, ServiceError, UpstreamUnavailable
from services.student.adapter_check import CONFIG, LONGEST_CONFIG, WEIGHTS
from services.student.adapter_folders import outside

_CHUNK = 2**22
_PART = re.compile(r"[\w.=+@-][\w .=+@-]*")  # what no file system gives another meaning, as `?`, `*` or `::` have
_ASIDE = ".partial-"


class FsspecAdapters:
    """The adapters under `url`. Two files of each are copied, the weights up to `max_bytes`."""

    def __init__(self, url: str, cache: Path, max_bytes: int = 4 * 2**30) -> None:
        """Raises InvalidInput for a URL whose protocol is unknown or lacks its package."""
        try:
            self._files, self._base = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise InvalidInput(f"ADAPTERS_DIR: {url.split('://')[0]}:// cannot be used: {error}") from error
        self._scheme = url.split("://")[0]
        self._cache = cache.resolve()
        self._cache.mkdir(parents=True, exist_ok=True)
        self._most = {CONFIG: LONGEST_CONFIG, WEIGHTS: max_bytes}
        for left in self._cache.glob(f"{_ASIDE}*"):  # of a copy that a kill ended
            shutil.rmtree(left, ignore_errors=True)

    def fetch(self, path: str, digest: str = "") -> Path:
        """See AdapterSource. With a known `digest` whose copy is here, nothing is read from the URL."""
        parts = path.split("/")
        if not all(_PART.fullmatch(part) and part not in (".", "..") for part in parts):
            raise outside(path)
        if digest and (kept := self._place(path, digest)).is_dir():
            return kept
        aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=self._cache))
        try:
            digests = {name: self._copy(path, name, aside / name) for name in self._most}
            target = self._place(path, digests[WEIGHTS])
            aside.chmod(0o755)  # the engine may run as another user
            if not target.is_dir():
                aside.rename(target)
            return target
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _place(self, path: str, digest: str) -> Path:
        key = hashlib.sha256(path.encode()).hexdigest()[:12]
        return self._cache / f"{path.rsplit('/', 1)[-1]}-{key}-{digest[:32]}"

    def _copy(self, path: str, name: str, target: Path) -> str:
        """Copy one file and flush it to the disk; returns its SHA-256."""
        source, shown = f"{self._base.rstrip('/')}/{path}/{name}", f"{self._scheme}://{self._base}/{path}/{name}"
        try:
            if int(self._files.info(source).get("size") or 0) > self._most[name]:
                raise self._too_large(shown, name)
            with self._files.open(source, "rb") as stream:
                return self._drain(stream, target, shown, name)
        except ServiceError:
            raise
        except (FileNotFoundError, IsADirectoryError) as error:
            raise InvalidInput(f"path: {path} has no {name}; adapters are PEFT folders with safetensors weights") from error
        except Exception as error:  # every file system has errors of its own
            raise UpstreamUnavailable(f"ADAPTERS_DIR: {shown} cannot be read: {type(error).__name__}: {error}") from error

    def _drain(self, stream: Any, target: Path, shown: str, name: str) -> str:
        digest, got = hashlib.sha256(), 0
        with target.open("wb") as file:
            while piece := stream.read(_CHUNK):
                got += len(piece)
                if got > self._most[name]:
                    raise self._too_large(shown, name)
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        return digest.hexdigest()

    def _too_large(self, shown: str, name: str) -> InvalidInput:
        return InvalidInput(f"path: {shown} is larger than {self._most[name]} bytes, the most for {name}")
