"""The whole student service over HTTP on a free port, with a scripted engine and neighbours that answer from rules."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from services.guard import guarded


@contextmanager
def served(app: FastAPI, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of `app` behind the guard, as `services.serving.serve` runs it."""
    server = uvicorn.Server(uvicorn.Config(guarded(app, environment), host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        end = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < end and thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
