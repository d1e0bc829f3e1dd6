"""A lock that dies by itself: held as long as its holder renews it in time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from askback.contracts.errors import UpstreamUnavailable


class Lease:
    """One lease, just taken, of `life_s` seconds; renewed in a thread every third of its life while it is `kept`."""

    def __init__(self, renew: Callable[[], bool], life_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`renew` returns whether the lease is still this holder's, and raises UpstreamUnavailable when that cannot be told."""
        self._renew, self._life_s, self._clock = renew, life_s, clock
        self._renewed = clock()
        self._lost = False
        self._ended = threading.Event()

    @property
    def held(self) -> bool:
        """Whether nobody else can have the lease; once False, always False."""
        if self._clock() - self._renewed >= self._life_s:
            self._lost = True
        return not self._lost

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease until the block ends."""
        keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._ended.set()
            keeper.join()

    def _keep(self) -> None:
        while not self._ended.wait(self._life_s / 3) and self.held:
            begun = self._clock()
            try:
                if not self._renew():
                    self._lost = True
            except UpstreamUnavailable:
                continue  # it may answer again in time; `held` knows when it is too late
            self._renewed = begun
