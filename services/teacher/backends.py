"""The configured backends by name, and which of them is active."""

from collections.abc import Mapping
from typing import Protocol

from askback.contracts.errors import InvalidInput, NotFound, UpstreamUnavailable
from askback.contracts.teacher import Backend as BackendInfo
from askback.contracts.teacher import BackendsResponse
from services.teacher.answers.completion import Completion
from services.teacher.answers.recorded_backend import RecordedBackend
from services.teacher.config import ACTIVE_ALIAS, BackendSpec, OpenAISpec, TeacherConfig
from services.teacher.flights import Emit
from services.teacher.money.prices import Price, flat_price
from services.teacher.request.asked import Asked
from services.teacher.selection import ActiveBackend
from services.teacher.upstream.order import order_of
from services.teacher.upstream.purchase import Keep, Purchaser, Purpose


class PaidBackend(Protocol):
    """A backend whose answers are kept."""

    name: str
    missing: str
    """What keeps it from answering; empty when it can be asked."""
    price: Price | None
    """None when it is not known."""

    async def buy(self, asked: Asked, key: str, emit: Emit | None, keep: Keep | None) -> Completion:
        """A new answer, streamed to `emit` where given; see Purchaser.buy."""
        ...


class OpenAIBackend:
    """A backend of kind `openai`."""

    def __init__(self, spec: OpenAISpec, price: Price | None, purchaser: Purchaser, missing: str = "") -> None:
        """`missing` says what keeps it from answering, such as a key that is not set."""
        self.name, self.missing, self.price = spec.name, missing, price
        self._spec, self._purchaser = spec, purchaser

    async def buy(self, asked: Asked, key: str, emit: Emit | None, keep: Keep | None) -> Completion:
        """See PaidBackend."""
        if self.missing:
            raise UpstreamUnavailable(f"backend {self.name!r}: {self.missing}; set it and start the teacher again")
        order = order_of(asked, self._spec, self.price, stream=emit is not None)
        return await self._purchaser.buy(order, Purpose(asked.run, key), emit, keep)


class Backends:
    """Every backend of the backends file."""

    def __init__(self, config: TeacherConfig, built: Mapping[str, RecordedBackend | PaidBackend], active: ActiveBackend) -> None:
        """`built` holds one backend for each name in `config`."""
        self._specs, self._built, self._active = config.by_name(), built, active

    def __getitem__(self, name: str) -> RecordedBackend | PaidBackend:
        return self._built[name]

    def spec(self, model: str) -> BackendSpec:
        """The backend that a request's `model` names; raises NotFound listing the names."""
        name = self._active.name if model == ACTIVE_ALIAS else model
        if name not in self._specs:
            raise NotFound(f"no backend {name[:80]!r}; known: {', '.join(self.models())}")
        return self._specs[name]

    def recorded(self, model: str) -> RecordedBackend:
        """The backend of recordings that `model` names; raises NotFound, or InvalidInput for one of another kind."""
        backend = self._built[self.spec(model).name]
        if not isinstance(backend, RecordedBackend):
            raise InvalidInput(f"backend {backend.name!r} is of kind openai; recordings belong to a backend of kind replay or gold")
        return backend

    def fallbacks(self, spec: BackendSpec) -> list[BackendSpec]:
        """Who is asked when `spec` has no answer, in order."""
        return [self._specs[name] for name in spec.fallback]

    def priced(self, model: str) -> tuple[BackendSpec, Price | None]:
        """The backend that `model` names with its price, None when that is not known; raises NotFound."""
        spec = self.spec(model)
        backend = self._built[spec.name]
        return spec, flat_price(0, 0) if isinstance(backend, RecordedBackend) else backend.price

    def models(self) -> list[str]:
        """All that a request's `model` may be."""
        return [ACTIVE_ALIAS, *self._specs]

    def activate(self, name: str) -> None:
        """Make `name` the backend behind the model `teacher`, also after a restart; blocks for an fsync. Raises NotFound."""
        if name not in self._specs:
            raise NotFound(f"no backend {name[:80]!r}; known: {', '.join(self._specs)}")
        self._active.set(name)

    def describe(self) -> BackendsResponse:
        """The backends without their keys."""
        active = self._active.name
        return BackendsResponse(
            backends=[
                BackendInfo(
                    name=spec.name,
                    kind=spec.kind,
                    model=spec.model,
                    fallback=spec.fallback,
                    active=spec.name == active,
                    missing=self._built[spec.name].missing,
                )
                for spec in self._specs.values()
            ]
        )
