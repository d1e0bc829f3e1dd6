"""Look again and again for the jobs of dead workers, so that no worker has to start for them to go on."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from askback.contracts.errors import ServiceError
from services.trainer.core import Enqueue, Jobs

log = logging.getLogger(__name__)

EVERY_S = 15.0


def recover_jobs(jobs: Jobs, enqueue: Enqueue) -> None:
    """Enqueue what nobody holds, and say so."""
    recovered = jobs.recover(enqueue)
    if recovered:
        log.warning("enqueued what no worker held: %s", ", ".join(recovered))


@contextmanager
def recovering(look: Callable[[], None], every_s: float = EVERY_S) -> Iterator[None]:
    """Call `look` every `every_s` seconds, in a thread, until the block ends. What fails is tried again, and logged once for as long as it fails."""
    ended = threading.Event()
    thread = threading.Thread(target=_keep_looking, args=(look, every_s, ended), name="recovery", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(every_s)


def _keep_looking(look: Callable[[], None], every_s: float, ended: threading.Event) -> None:
    complaint = ""
    while not ended.wait(every_s):
        try:
            look()
            complaint = ""
        except (ServiceError, OSError) as error:
            if str(error) != complaint:
                log.warning("cannot look for jobs that were left: %s", error)
            complaint = str(error)
