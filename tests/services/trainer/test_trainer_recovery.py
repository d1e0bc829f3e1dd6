import logging
import threading

import pytest

from askback.contracts.errors import UpstreamUnavailable
from services.trainer.recovery import recovering


def test_it_looks_again_and_again_until_the_block_ends_and_says_a_failure_once(caplog: pytest.LogCaptureFixture) -> None:
    looked = threading.Semaphore(0)
    count = [0]

    def look() -> None:
        count[0] += 1
        looked.release()
        if count[0] <= 3:
            raise UpstreamUnavailable("redis is away")

    with caplog.at_level(logging.WARNING), recovering(look, every_s=0.01):
        for _ in range(6):
            assert looked.acquire(timeout=5)
    ended = count[0]
    assert [record.getMessage() for record in caplog.records] == ["cannot look for jobs that were left: redis is away"]
    threading.Event().wait(0.05)
    assert count[0] == ended
