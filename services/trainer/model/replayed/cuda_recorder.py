"""Record a pass as two CUDA graphs, which the card runs without waiting for the host between its kernels.

All recordings share one pool of memory: one at a time is under way, and nothing but the fixed addresses outlives it.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from services.trainer.model.replayed.work import Work


class CudaRecording:
    """The two graphs of a pass, replayed on the stream that is current then."""

    def __init__(self) -> None:
        self._forward, self._backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()

    @property
    def graphs(self) -> tuple[Any, Any]:
        return self._forward, self._backward

    def forward(self) -> None:
        self._forward.replay()

    def backward(self) -> None:
        self._backward.replay()

    def drop(self) -> None:
        torch.cuda.synchronize()
        for graph in self.graphs:
            with suppress(RuntimeError):  # of a pool that a broken capture gave back already
                graph.reset()


class CudaRecorder:
    """`work.Recorder` on the current card."""

    def __init__(self) -> None:
        self._device = torch.cuda.current_device()
        self._stream = torch.cuda.Stream()
        self._pool: Any = None
        self._keeper: Any = None

    def record(self, work: Work) -> CudaRecording:
        recording = CudaRecording()
        with torch.cuda.stream(torch.cuda.current_stream()):  # which a capture that fails does not restore
            try:
                self._open()
                self._warm(work)
                forward, backward = recording.graphs
                with self._capture(forward):
                    out = work.forward()
                with self._capture(backward):
                    work.backward(out)
            except Exception as error:
                if _of_memory(error):
                    raise torch.OutOfMemoryError(f"recording a pass: {error}") from error
                raise
        return recording

    def _open(self) -> None:
        """Make the pool, if there is none: an empty graph keeps it while no recording does."""
        if self._keeper is not None:
            return
        self._pool, self._keeper = torch.cuda.graph_pool_handle(), torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an empty graph
            with self._capture(self._keeper):
                pass

    @contextmanager
    def _capture(self, graph: Any) -> Iterator[None]:
        # Gradients are computed by a thread of torch's own, and other threads may use the card meanwhile.
        capture = torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local")
        capture.__enter__()
        try:
            yield
        finally:
            try:
                capture.__exit__(None, None, None)
            except Exception:
                self._release()
                raise

    def _release(self) -> None:
        """Give back the pool for a capture that did not end in order, which keeps it and goes on taking allocations for it."""
        with suppress(RuntimeError):  # where the allocations have ended
            torch._C._cuda_endAllocateToPool(self._device, self._pool)
        with suppress(RuntimeError):
            torch._C._cuda_releasePool(self._device, self._pool)

    def _warm(self, work: Work) -> None:
        """One pass by itself, so that kernels are loaded and libraries have their workspaces, which a capture must not ask for.

        Its memory is the recordings': once there are some, the card has no room for a pass beside them.
        """
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # nothing can be freed while allocations go to the pool
        with self._allocating():
            work.gradients(work.forward())
        torch.cuda.synchronize()

    @contextmanager
    def _allocating(self) -> Iterator[None]:
        """Run on the recordings' stream, with what is allocated there in their pool, by whichever thread."""
        with torch.cuda.stream(self._stream):
            torch._C._cuda_beginAllocateCurrentStreamToPool(self._device, self._pool)
            try:
                yield
            finally:
                torch._C._cuda_endAllocateToPool(self._device, self._pool)
                torch._C._cuda_releasePool(self._device, self._pool)

    def drop(self) -> None:
        if self._keeper is None:
            return
        torch.cuda.synchronize()
        with suppress(RuntimeError):
            self._keeper.reset()
        self._pool = self._keeper = None
        torch._C._cuda_clearCublasWorkspaces()  # those of the recordings' stream lie in the pool
        torch.cuda.empty_cache()


def _of_memory(error: BaseException | None) -> bool:
    """Whether `error` is or followed from memory that ran out: the end of a broken capture complains of the capture alone."""
    while error is not None and not isinstance(error, torch.OutOfMemoryError):
        error = error.__context__
    return error is not None
