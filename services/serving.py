"""What every service's HTTP face shares: health routes, errors as `{"error", "detail"}`, and the server's start."""

import gc
import os
import sys
from collections.abc import Awaitable, Callable, Mapping

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from askback import __version__
from askback.contracts.errors import ERRORS, InvalidInput, ServiceError
from services.guard import guarded
from services.logs import configure_logging
from services.metered import Metered
from services.prometheus_metrics import HttpMetrics
from services.wire import error_answer

Readiness = Callable[[], Awaitable[str]]
"""Returns an empty text when the service can serve, else what is missing."""


async def always_ready() -> str:
    return ""


def create_service(name: str, router: APIRouter, ready: Readiness = always_ready) -> FastAPI:
    """A FastAPI application with `router`, `/healthz` (alive) and `/readyz` (can serve)."""
    app = FastAPI(title=f"askback {name}", version=__version__)
    app.include_router(router)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok", "service": name, "version": __version__}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        missing = await ready()
        return JSONResponse({"status": missing or "ready", "service": name}, status_code=503 if missing else 200)

    return app


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return _answer(request, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    return _answer(request, InvalidInput(f"{field}: {first['msg']}"))


async def _http_error(request: Request, error: Exception) -> Response:
    """The framework's own refusals: no such route, another verb, a body that is too large."""
    assert isinstance(error, HTTPException)
    kinds = {kind.status: kind for kind in ERRORS.values()}
    kind = kinds.get(error.status_code, InvalidInput)
    answer = _answer(request, kind(f"{request.method} {request.url.path}: {error.detail}"))
    answer.status_code = error.status_code
    answer.headers.update(error.headers or {})
    return answer


def _answer(request: Request, error: ServiceError) -> Response:
    status, headers, body = error_answer(error, request.url.path)
    return Response(body, status, headers)


def face(app: ASGIApp, environment: Mapping[str, str]) -> Metered:
    """`app` as callers meet it: behind the guard, and counted. Raises InvalidInput for a bad setting."""
    return Metered(guarded(app, environment), HttpMetrics(environment))


def serve(app: ASGIApp, default_port: int) -> None:
    """Run the face of `app` on ASKBACK_HOST (loopback by default) and PORT until a signal ends it."""
    configure_logging(os.environ)
    port = os.environ.get("PORT", str(default_port))
    if not port.isdigit():
        sys.exit(f"PORT: {port!r} is not a number")  # exit code 1, one line: the service was deployed wrongly
    try:
        public = face(app, os.environ)
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    host = os.environ.get("ASKBACK_HOST", "127.0.0.1")
    gc.collect()
    gc.freeze()  # what is loaded now stays: walking through it again would hold up all requests for 50 ms
    uvicorn.run(
        public, host=host, port=int(port), access_log=False, log_config=None, server_header=False, proxy_headers=False, timeout_graceful_shutdown=8
    )
