"""What every service's HTTP face shares: health routes, errors as `{"error", "detail"}`, and the server's start."""

import logging
import os
import sys
from collections.abc import Awaitable, Callable

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from askback.contracts.errors import InvalidInput, ServiceError

Readiness = Callable[[], Awaitable[str]]
"""Returns an empty text when the service can serve, else what is missing."""


async def always_ready() -> str:
    return ""


def create_service(name: str, router: APIRouter, ready: Readiness = always_ready) -> FastAPI:
    """A FastAPI application with `router`, `/healthz` (alive) and `/readyz` (can serve)."""
    app = FastAPI(title=f"askback {name}")
    app.include_router(router)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok", "service": name}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        missing = await ready()
        return JSONResponse({"status": missing or "ready", "service": name}, status_code=503 if missing else 200)

    return app


async def _service_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return _answer(error)


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    return _answer(InvalidInput(f"{field}: {first['msg']}"))


def _answer(error: ServiceError) -> JSONResponse:
    headers = {"retry-after": "1"} if error.status == 503 else None
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status_code=error.status, headers=headers)


def serve(app: FastAPI, default_port: int) -> None:
    """Run `app` on ASKBACK_HOST (loopback by default) and PORT until a signal ends it."""
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO").upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line for every call to a neighbour says nothing
    port = os.environ.get("PORT", str(default_port))
    if not port.isdigit():
        sys.exit(f"PORT: {port!r} is not a number")  # exit code 1, one line: the service was deployed wrongly
    uvicorn.run(app, host=os.environ.get("ASKBACK_HOST", "127.0.0.1"), port=int(port), access_log=False, timeout_graceful_shutdown=8)
