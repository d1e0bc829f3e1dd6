"""Recorded passes, one for each shape, and their use as one step of a training's graph."""

import logging
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from services.trainer.model.replayed.pass_inputs import Unknown, filled, signature, tensors
from services.trainer.model.replayed.static_buffers import StaticBuffers, TooSmall
from services.trainer.model.replayed.trained_weights import TrainedWeights
from services.trainer.model.replayed.work import Recorder, Recording, Run, Work

log = logging.getLogger(__name__)

MOST = 24
"""Recordings that are kept; the one unused for longest goes first."""


@dataclass(slots=True)
class _Record:
    recording: Recording
    work: Work


class _Flight:
    """A pass between its forward and its backward half, during which the fixed addresses are its own."""

    def __init__(self, record: _Record, weights: TrainedWeights) -> None:
        self.record, self.landed, self._weights = record, False, weights

    def land(self, grad: Tensor) -> None:
        if self.landed:
            raise RuntimeError("a replayed pass has one backward pass; run its forward pass again")
        self.landed = True
        self._weights.hold()
        self.record.work.grad.copy_(grad)
        self.record.recording.backward()


class _Replayed(torch.autograd.Function):  # type: ignore[misc]
    """`anchor` asks for gradients, since the hidden states do not."""

    @staticmethod
    def forward(ctx: Any, flight: _Flight, anchor: Tensor) -> Tensor:
        ctx.flight = flight
        flight.record.recording.forward()
        return flight.record.work.output.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None]:
        ctx.flight.land(grad)
        return None, None


class Replays:
    """Passes of `run`, whose trained weights are `weights`, recorded at the first of a shape and replayed from then on.

    `state` tells what else a recording depends on. Rows have up to `longest` tokens.
    """

    def __init__(self, run: Run, weights: TrainedWeights, recorder: Recorder, state: Callable[[], Hashable], longest: int) -> None:
        self._run, self._weights, self._recorder, self._state = run, weights, recorder, state
        self._buffers = StaticBuffers(longest)
        self._records: OrderedDict[Hashable, _Record] = OrderedDict()
        self._flight: weakref.ref[_Flight] | None = None
        self.on = True
        """False once something could not be recorded."""
        self._paused = self._warned = False

    def replayed(self, hidden: Tensor, kwargs: dict[str, Any]) -> Tensor | None:
        """`run(hidden, kwargs)`, or None where this pass has to run by itself; raises OutOfMemoryError when memory runs out."""
        if not self.on or self._paused or self._in_flight():
            return None
        if self._weights.moved():
            self._warn("with weights that moved")
            return None
        device = hidden.device.type
        autocast = device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        try:
            key = signature((hidden, kwargs), hidden.device), autocast, self._state()
        except Unknown as unknown:
            self._warn(f"with {unknown}")
            return None
        record = self._records.get(key) or self._recorded(key, hidden, kwargs)
        if record is None:
            return None
        self._records.move_to_end(key)
        with torch.no_grad():
            record.work.hidden.copy_(hidden)
            for (_, fixed), (_, value) in zip(tensors(record.work.kwargs), tensors(kwargs), strict=True):
                fixed.copy_(value)
        flight = _Flight(record, self._weights)
        self._flight = weakref.ref(flight)
        out: Tensor = _Replayed.apply(flight, torch.empty(0, device=hidden.device, requires_grad=True))
        return out

    def _warn(self, what: str) -> None:
        """Say once why a pass is not replayed."""
        if not self._warned:
            log.warning("a pass is not replayed: it comes %s", what)
        self._warned = True

    def _in_flight(self) -> bool:
        """Whether a pass waits for its backward half; one whose graph is gone does not."""
        flight = self._flight() if self._flight else None
        return flight is not None and not flight.landed

    def _recorded(self, key: Hashable, hidden: Tensor, kwargs: dict[str, Any]) -> _Record | None:
        try:
            record = self._tried(hidden, kwargs)
        except torch.OutOfMemoryError:
            self.drop()
            raise
        except Exception as error:  # whatever it is, the passes can run by themselves
            log.warning("passes are not replayed: %s", str(error).strip().split("\n")[0] or type(error).__name__)
            self.on = False
            self.drop()
            return None
        self._records[key] = record
        if len(self._records) > MOST:
            self._records.popitem(last=False)[1].recording.drop()
        return record

    def _tried(self, hidden: Tensor, kwargs: dict[str, Any]) -> _Record:
        """Record over the buffers and the memory that others left; where there is too little of either, without the others."""
        try:
            return self._record(hidden, kwargs)
        except (TooSmall, torch.OutOfMemoryError):
            if not self._records:
                raise
        self.drop()
        return self._record(hidden, kwargs)

    def _record(self, hidden: Tensor, kwargs: dict[str, Any]) -> _Record:
        length, device = hidden.shape[1], hidden.device.type
        names = [(path, self._buffers.view(path, value, length)) for path, value in tensors(kwargs)]
        with torch.no_grad():
            for (_, fixed), (_, value) in zip(names, tensors(kwargs), strict=True):
                fixed.copy_(value)
        work = Work(
            run=self._run,
            weights=self._weights,
            hidden=self._buffers.view("hidden", hidden, length).copy_(hidden.detach()),
            kwargs=filled(kwargs, (fixed for _, fixed in names)),
            output=self._buffers.view("output", hidden, length),
            grad=self._buffers.view("grad", hidden, length).zero_(),
            autocast=(device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)),
        )
        return _Record(self._recorder.record(work), work)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let passes run by themselves."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def drop(self) -> None:
        """Give up all recordings and their memory; a pass in flight loses its backward half."""
        self._flight = None
        for record in self._records.values():
            record.recording.drop()
        self._records.clear()
        self._buffers.drop()
        self._recorder.drop()
