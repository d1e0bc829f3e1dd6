"""Logs of a service: a line of JSON for each event, or plain lines on a terminal, each with the id of the request it belongs to."""

import logging
import os
import sys
from collections.abc import Mapping
from contextvars import ContextVar

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

_REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """The id of the request in whose behalf this runs; empty outside of one."""
    return _REQUEST_ID.get()


def set_request_id(identifier: str) -> None:
    """Name the request that the current task serves; tasks that it starts inherit the name."""
    _REQUEST_ID.set(identifier)


def configure_logging(environment: Mapping[str, str]) -> None:
    """Log to stderr at LOG_LEVEL, as LOG_FORMAT says: `json`, or `text`, which is the default on a terminal."""
    handler = logging.StreamHandler(sys.stderr)
    form = environment.get("LOG_FORMAT") or ("text" if sys.stderr.isatty() else "json")
    handler.setFormatter(_TEXT if form == "text" else _JSON)
    handler.addFilter(_with_request_id)
    logging.basicConfig(level=environment.get("LOG_LEVEL", "INFO").upper(), handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line for every call to a neighbour says nothing


_JSON = JsonFormatter(
    "{asctime}{levelname}{name}{message}{request_id}",
    style="{",
    rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
    reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's, the message again with colours
    static_fields={"pid": os.getpid()},
)
_TEXT = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")


def _with_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id()
    return True
