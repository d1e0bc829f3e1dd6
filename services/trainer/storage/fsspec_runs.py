"""Runs behind a URL, such as `s3://bucket/runs`: what a job reads is copied aside and renamed, what it leaves is uploaded."""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import fsspec  # type: ignore[import-untyped]

from askback.contracts.errors import InvalidInput, ServiceError, UpstreamUnavailable
from services.trainer.storage.runs import RECORD, Owner, outside, parsed

_UPLOADING = "uploading.json"
_PART = re.compile(r"[\w.=+@-]*[\w=+@-][\w .=+@-]*")  # what no file system gives another meaning, as `..`, `?`, `*` or `::` have


class UrlRuns:
    """The runs under `url`; copies are kept in `cache` for as long as their originals do not change."""

    def __init__(self, url: str, cache: Path) -> None:
        """Raises InvalidInput for a URL whose protocol is unknown or lacks its package."""
        self._scheme = url.split("://")[0]
        try:
            self._files, base = fsspec.core.url_to_fs(url, use_listings_cache=False)  # other machines write there too
        except (ValueError, ImportError) as error:
            raise InvalidInput(f"RUNS_DIR: {self._scheme}:// cannot be used: {error}") from error
        self._base, self._cache = base.rstrip("/"), cache.resolve()

    def exists(self, run: str) -> bool:
        with self._answers(run, "read"):
            return bool(self._files.isdir(f"{self._base}/{run}"))

    def file(self, field: str, run: str, relative: str) -> Path:
        *_, name = _parts(field, relative)
        return self._copies(run, relative.removesuffix(name).rstrip("/"), (name,)) / name

    def folder(self, field: str, run: str, relative: str, names: Sequence[str]) -> Path:
        _parts(field, relative)
        return self._copies(run, relative, names)

    def owner(self, run: str, relative: str) -> Owner | None:
        folder = f"{self._base}/{run}/{relative}"
        with self._answers(f"{run}/{relative}", "read"):
            for name in (RECORD, _UPLOADING):
                if self._files.isfile(f"{folder}/{name}"):
                    content = parsed(Path(relative) / name, self._files.cat_file(f"{folder}/{name}"))
                    return Owner(str(content.get("job_id") or ""), name == RECORD)
            return Owner("", False) if self._files.exists(folder) else None

    def target(self, run: str, relative: str) -> Path:
        return self._cache / "made" / run / relative

    def publish(self, aside: Path, run: str, relative: str, record: str = RECORD) -> None:
        """Upload the folder and remove it here. `uploading.json` tells until the end whose the half of a folder is."""
        last, folder = aside / record, f"{self._base}/{run}/{relative}"
        owner = {"job_id": parsed(last, last.read_bytes()).get("job_id")}
        with self._answers(f"{run}/{relative}", "written"):
            self._files.makedirs(folder, exist_ok=True)
            self._files.pipe_file(f"{folder}/{_UPLOADING}", json.dumps(owner).encode())
            for path in sorted(aside.iterdir(), key=lambda path: (path == last, path.name)):
                self._files.put_file(str(path), f"{folder}/{path.name}")
            self._files.rm_file(f"{folder}/{_UPLOADING}")
        shutil.rmtree(aside)

    def _copies(self, run: str, relative: str, names: Sequence[str]) -> Path:
        """A folder with copies of those files of the run's folder `relative` that are there."""
        source = "/".join(part for part in (self._base, run, relative) if part)
        with self._answers(f"{run}/{relative}", "read"):
            versions = self._versions(source, names)
            target = self._cache / f"{Path(relative).name or run}-{hashlib.sha256(repr((source, versions)).encode()).hexdigest()[:32]}"
            if target.is_dir():
                return target
            self._cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".partial-", dir=self._cache, ignore_cleanup_errors=True) as made:
                aside = Path(made) / "copy"
                aside.mkdir()
                for name in versions:
                    self._files.get_file(f"{source}/{name}", str(aside / name))
                if self._versions(source, names) != versions:
                    raise UpstreamUnavailable(f"RUNS_DIR: {run}/{relative} changed while it was read; try again")
                return _settled(aside, target)

    def _versions(self, source: str, names: Sequence[str]) -> dict[str, str]:
        """Of each file that is there, what changes with it."""
        return {name: self._files.ukey(f"{source}/{name}") for name in names if self._files.isfile(f"{source}/{name}")}

    @contextmanager
    def _answers(self, path: str, what: str) -> Iterator[None]:
        try:
            yield
        except ServiceError:
            raise
        except Exception as error:  # every file system has errors of its own
            raise UpstreamUnavailable(f"RUNS_DIR: {self._scheme}://{self._base}/{path} cannot be {what}: {type(error).__name__}: {error}") from error


def _parts(field: str, relative: str) -> list[str]:
    parts = relative.split("/")
    if not all(_PART.fullmatch(part) for part in parts):
        raise outside(field, relative)
    return parts


def _settled(aside: Path, target: Path) -> Path:
    """Rename the copy; another process may have made the same one meanwhile."""
    try:
        return aside.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        return target
