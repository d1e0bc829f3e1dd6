"""The teacher: which backend answers a request, from the cache or anew, and what it cost."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from askback.contracts.errors import InvalidInput, NotFound, ServiceError, UpstreamRejected, UpstreamUnavailable
from askback.contracts.teacher import Backend as BackendInfo
from askback.contracts.teacher import BackendsResponse, ChatRequest, RecordingsRequest
from services.teacher.answers import PaidAnswers, UsageResponse, free
from services.teacher.backend import Backend, Completion
from services.teacher.canonical import request_key
from services.teacher.config import ACTIVE_ALIAS, BackendSpec, OpenAISpec, TeacherConfig
from services.teacher.flights import Flights
from services.teacher.recordings import Recordings
from services.teacher.selection import ActiveBackend

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """A completion and where it came from. `completion.cost_usd` is what this very request cost."""

    completion: Completion
    backend: str
    cache: str
    """`hit`, `miss` or `coalesced`."""
    request_hash: str


class Teacher:
    """Configured backends behind one cache."""

    def __init__(
        self,
        config: TeacherConfig,
        backends: Mapping[str, Backend],
        answers: PaidAnswers,
        recordings: Recordings,
        active: ActiveBackend,
        missing: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`backends` holds one backend for each name in `config`; `missing` says of some what keeps them from answering."""
        self._missing = missing
        self._specs = config.by_name()
        self._backends = backends
        self._answers = answers
        self._recordings = recordings
        self._active = active
        self._flights: Flights[Completion] = Flights()

    async def chat(self, request: ChatRequest) -> Answer:
        """Answer from the named backend, else from its fallbacks in order.

        A fallback is asked on NotFound and UpstreamUnavailable alone: a rejected request would be rejected again, or worse,
        answered by someone the caller did not mean. When all fail, raises UpstreamUnavailable if a later try may succeed,
        else NotFound.
        """
        spec = self.spec(request.model)
        failures: list[ServiceError] = []
        for name in (spec.name, *spec.fallback):
            try:
                return await self._ask(self._specs[name], request)
            except (NotFound, UpstreamUnavailable) as error:
                failures.append(error)
        unavailable = any(isinstance(error, UpstreamUnavailable) for error in failures)
        raise (UpstreamUnavailable if unavailable else NotFound)("; ".join(str(error) for error in failures)) from failures[-1]

    async def _ask(self, spec: BackendSpec, request: ChatRequest) -> Answer:
        key = request_key(spec.name, spec.model, request)
        if not isinstance(spec, OpenAISpec):  # a recording is as near as the cache
            return Answer(await self._backends[spec.name].complete(request), spec.name, "miss", key)
        # No await between the look into the cache and the flight, or an answer that lands in between would be paid for twice.
        kept = self._answers.find(key)
        if kept is not None:
            return Answer(kept, spec.name, "hit", key)
        completion, joined = await self._flights.run(key, lambda: self._buy(spec.name, key, request))
        return Answer(free(completion) if joined else completion, spec.name, "coalesced" if joined else "miss", key)

    async def _buy(self, name: str, key: str, request: ChatRequest) -> Completion:
        """One upstream call, booked and kept; raises UpstreamRejected for an answer that was paid for and cannot be used."""
        completion = await self._backends[name].complete(request)
        await asyncio.to_thread(self._answers.keep, key, name, completion)
        if completion.problem:
            raise UpstreamRejected(f"backend {name!r}: {completion.problem}")
        return completion

    async def record(self, request: RecordingsRequest) -> int:
        """Store recordings; raises InvalidInput when the backend is not one of recordings."""
        spec = self.spec(request.backend)
        if isinstance(spec, OpenAISpec):
            raise InvalidInput(f"backend {spec.name!r} is of kind openai; recordings belong to a backend of kind replay or gold")
        return await asyncio.to_thread(self._recordings.store, spec.name, request.recordings)

    async def activate(self, name: str) -> None:
        """Make `name` the backend behind the model `teacher`, also after a restart."""
        if name not in self._specs:
            raise self._unknown(name)
        await asyncio.to_thread(self._active.set, name)

    def spec(self, model: str) -> BackendSpec:
        """The backend that a request's `model` names; raises NotFound listing the names."""
        name = self._active.name if model == ACTIVE_ALIAS else model
        if name not in self._specs:
            raise self._unknown(name)
        return self._specs[name]

    def backends(self) -> BackendsResponse:
        active = self._active.name
        return BackendsResponse(
            backends=[
                BackendInfo(
                    name=s.name, kind=s.kind, model=s.model, fallback=s.fallback, active=s.name == active, missing=self._missing.get(s.name, "")
                )
                for s in self._specs.values()
            ]
        )

    def models(self) -> list[str]:
        """All that a request's `model` may be."""
        return [ACTIVE_ALIAS, *self._specs]

    def usage(self) -> UsageResponse:
        return self._answers.usage()

    async def settle(self, timeout_s: float) -> None:
        """Before the end: wait for answers under way, since their callers may be gone and the calls are paid for."""
        left = await self._flights.settle(timeout_s)
        if left:
            logger.warning("%d upstream calls were still under way at the end; their answers are not kept", left)

    def _unknown(self, name: str) -> NotFound:
        return NotFound(f"no backend {name[:80]!r}; known: {', '.join(self.models())}")
