"""Which LoRA adapters are served, and which one is the student. Survives a restart of this service and of the engine.

Names are immutable: an engine's prefix cache keys on the name and would serve stale values for changed weights.
"""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from askback.contracts.errors import Conflict, InvalidInput, NotFound, ServiceError
from askback.contracts.student import BASE, STUDENT, Adapter, AdaptersResponse
from services.student.adapter_check import check_adapter
from services.student.adapter_folders import AdapterSource, LocalFolders, digest_of
from services.student.adapter_state import read_state, write_state
from services.student.engine import Engine

Result = TypeVar("Result")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,299}")


class Adapters:
    """The registry: adapters under `root` (a folder, or a source of folders), their names in the file `state`."""

    def __init__(self, engine: Engine, root: Path | AdapterSource, state: Path, base_model: str, served_base: str, max_rank: int) -> None:
        self._engine = engine
        self._source: AdapterSource = LocalFolders(root) if isinstance(root, Path) else root
        self._file, self._state = state, read_state(state)
        self._base_model, self._served_base, self._max_rank = base_model, served_base, max_rank
        self._loads: Counter[str] = Counter()  # how often the engine was given each adapter by this process
        self._busy: Counter[str] = Counter()  # requests under way on each
        self._idle: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def listing(self) -> AdaptersResponse:
        adapters = [Adapter(name=name, path=path) for name, path in self._state.paths.items()]
        return AdaptersResponse(base_model=self._base_model, default=self._state.default, adapters=adapters, max_rank=self._max_rank)

    async def add(self, adapter: Adapter) -> None:
        """Serve a folder under a new name; the same name with the same weights changes nothing.

        Raises InvalidInput saying what is wrong with the name or folder, Conflict when the name has or had other weights.
        """
        name = adapter.name
        if name in (BASE, STUDENT, self._served_base):
            raise InvalidInput(f"name: {name!r} has a meaning of its own; choose another name")
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"name: {name[:80]!r} must be up to 300 letters, digits, dots, underscores and hyphens")
        async with self._changing[name]:
            folder, digest = await asyncio.to_thread(self._checked, adapter.path)
            if self._state.digests.get(name, digest) != digest:
                raise Conflict(f"adapter {name!r} has other weights already; adapter names are immutable, choose a new one")
            if not (name in self._state.paths and self._loads[name]):
                await self._engine.load(name, str(folder))
                self._loads[name] += 1
            self._state.paths[name], self._state.digests[name] = adapter.path, digest
            self._save()

    async def remove(self, name: str) -> None:
        """Hand `name` out no more, let the requests under way on it finish, then unload it.

        Raises NotFound, Conflict for the default, and what the engine says; an adapter that it kept is listed again.
        """
        self._check_known(name)
        if name == self._state.default:
            raise Conflict(f"adapter {name!r} is the default; make another one the default first")
        path = self._state.paths.pop(name)
        self._save()
        async with self._changing[name]:
            while self._busy[name]:
                self._idle[name].clear()
                await self._idle[name].wait()
            if name in self._state.paths:  # it was added again meanwhile
                return
            try:
                await self._engine.unload(name)
            except ServiceError:
                self._state.paths[name] = path
                self._save()
                raise
            self._loads[name] = 0

    def make_default(self, name: str) -> None:
        """Make `name` the student, for this process and all after it; raises NotFound."""
        if name != BASE:
            self._check_known(name)
        self._state.default = name
        self._save()

    async def prepare(self, adapter: Adapter | None = None) -> None:
        """Add `adapter`; without one, give the engine the default adapter again, which it may have forgotten."""
        if adapter is not None:
            await self.add(adapter)
        elif (name := self._state.default) != BASE:
            await self._serve(name, self._loads[name])

    async def using(self, name: str, call: Callable[[str], Awaitable[Result]]) -> tuple[str, Result]:
        """`call` with the engine's model for adapter `name` (empty: the default one); returns the adapter's name too.

        An engine that was restarted has forgotten its adapters: it is given this one again, once. The adapter stays loaded for as
        long as `call` runs.
        """
        name = self._state.default if name in ("", STUDENT) else name
        if name == BASE:
            return BASE, await call(self._served_base)
        self._check_known(name)
        if not self._loads[name]:
            await self._serve(name, 0)
        loads = self._loads[name]
        try:
            return name, await self._counted(name, call)
        except NotFound:
            self._check_known(name)
            await self._serve(name, loads)
            return name, await self._counted(name, call)

    async def _counted(self, name: str, call: Callable[[str], Awaitable[Result]]) -> Result:
        self._busy[name] += 1
        try:
            return await call(name)
        finally:
            self._busy[name] -= 1
            if not self._busy[name]:
                self._idle[name].set()

    async def _serve(self, name: str, loads: int) -> None:
        """Give the engine adapter `name`, unless another has done so since it was given it for the `loads`th time."""
        async with self._changing[name]:
            self._check_known(name)
            if self._loads[name] == loads:
                folder = await asyncio.to_thread(self._unchanged, name)
                await self._engine.load(name, str(folder))
                self._loads[name] += 1

    def _checked(self, path: str) -> tuple[Path, str]:
        folder = self._source.fetch(path)
        check_adapter(folder, self._base_model, self._max_rank)
        return folder, digest_of(folder)

    def _unchanged(self, name: str) -> Path:
        known = self._state.digests[name]
        folder = self._source.fetch(self._state.paths[name], known)
        check_adapter(folder, self._base_model, self._max_rank)
        if digest_of(folder) != known:
            raise Conflict(f"adapter {name!r}: its weights were changed on disk; load them under a new name")
        return folder

    def _check_known(self, name: str) -> None:
        if name not in self._state.paths:
            raise NotFound(f"no adapter {name!r}; loaded: {', '.join([BASE, *self._state.paths])}")

    def _save(self) -> None:
        write_state(self._file, self._state)
