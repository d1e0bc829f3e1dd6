"""The order in which a card is asked to record, and what is put right when it fails; a hand-written card stands in for CUDA."""

from contextlib import contextmanager

import pytest
import torch

from services.trainer.model.replayed.cuda_recorder import CudaRecorder


class Graph:
    def __init__(self, card):
        self.card = card

    def replay(self):
        self.card.told.append("replay")

    def reset(self):
        self.card.told.append("reset")


class Card:
    """Tells in `told` what it was asked for; `broken` is raised by the end of the next capture, as after an operation that cannot be captured."""

    def __init__(self):
        self.told, self.stream_now, self.broken, self.pools = [], "main", None, 0

    def CUDAGraph(self):
        return Graph(self)

    def Stream(self):
        return "side"

    def current_stream(self):
        return self.stream_now

    def current_device(self):
        return 0

    def graph_pool_handle(self):
        self.pools += 1
        return (0, self.pools)

    @contextmanager
    def stream(self, stream):
        before, self.stream_now = self.stream_now, stream
        try:
            yield
        finally:
            self.stream_now = before

    @contextmanager
    def graph(self, graph, pool, stream, capture_error_mode):
        self.told.append(f"capture in {pool[1]}")
        self.stream_now = stream
        self.route = pool
        try:
            yield
        finally:
            if self.broken:
                raise self.broken
            self.route, self.stream_now = None, "main"

    def begin(self, device, pool):
        assert self.stream_now == "side"
        self.route = pool
        self.told.append(f"route to {pool[1]}")

    def end(self, device, pool):
        if self.route != pool:
            raise RuntimeError("not recording to that pool")
        self.route = None
        self.told.append("end")

    def release(self, device, pool):
        self.told.append("release")

    def synchronize(self):
        pass

    def empty_cache(self):
        self.told.append("empty")

    def clear(self):
        self.told.append("clear workspaces")


class Work:
    """A pass that tells the card; `failing` is the forward pass, counted from 0, that raises `error`."""

    def __init__(self, card, failing=None, error=None):
        self.card, self.failing, self.error, self.passes = card, failing, error, 0

    def forward(self):
        number, self.passes = self.passes, self.passes + 1
        self.card.told.append("forward")
        if number == self.failing:
            raise self.error
        return "out"

    def gradients(self, out):
        self.card.told.append("gradients")

    def backward(self, out):
        self.card.told.append("backward")


@pytest.fixture
def card(monkeypatch):
    card = Card()
    for name in (
        "CUDAGraph", "Stream", "current_stream", "current_device", "graph_pool_handle", "stream", "graph", "synchronize", "empty_cache",
    ):  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, getattr(card, name))
    for name, does in {
        "_cuda_beginAllocateCurrentStreamToPool": card.begin, "_cuda_endAllocateToPool": card.end, "_cuda_releasePool": card.release,
        "_cuda_clearCublasWorkspaces": card.clear,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch._C, name, does, raising=False)
    return card


def test_a_pass_is_warmed_up_in_the_pool_and_then_captured_in_it(card):
    recorder = CudaRecorder()
    recording = recorder.record(Work(card))
    warm = ["empty", "route to 1", "forward", "gradients", "end", "release"]
    captured = ["capture in 1", "forward", "capture in 1", "backward"]
    assert card.told == ["capture in 1", *warm, *captured]
    recorder.record(Work(card))
    assert card.told[len(warm) + 5 :] == [*warm, *captured], "the pool was made again"
    assert card.stream_now == "main"
    recording.forward()
    recording.backward()
    assert card.told[-2:] == ["replay", "replay"]


def test_the_memory_is_given_up_with_the_last_recording(card):
    recorder = CudaRecorder()
    recorder.drop()
    assert card.told == [], "there is nothing to give up"
    recording = recorder.record(Work(card))
    card.told.clear()
    recording.drop()
    recorder.drop()
    assert card.told == ["reset", "reset", "reset", "clear workspaces", "empty"]
    recorder.record(Work(card))
    assert "capture in 2" in card.told


@pytest.mark.parametrize("failing", [0, 1])
def test_memory_that_runs_out_is_told_as_such_and_all_is_as_before(card, failing):
    recorder = CudaRecorder()
    with pytest.raises(torch.OutOfMemoryError):
        recorder.record(Work(card, failing, torch.OutOfMemoryError("full")))
    assert (card.stream_now, card.route) == ("main", None)
    recorder.record(Work(card))


@pytest.mark.parametrize(
    ("first", "told"), [(torch.OutOfMemoryError("full"), torch.OutOfMemoryError), (RuntimeError("a wait for the card"), RuntimeError)]
)
def test_a_capture_that_breaks_gives_back_stream_and_pool(card, first, told):
    recorder = CudaRecorder()
    recorder.record(Work(card))
    card.broken = RuntimeError("operation failed due to a previous error during capture")
    card.told.clear()
    with pytest.raises(told) as caught:
        recorder.record(Work(card, 1, first))
    assert type(caught.value) is told
    assert card.told[-2:] == ["end", "release"], "the pool stays with a capture that is gone"
    assert (card.stream_now, card.route) == ("main", None)
