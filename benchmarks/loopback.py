"""Ports and single requests on the loopback."""

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fetch(url: str, body: dict[str, Any] | None = None) -> bytes:
    """Body of the answer to a GET, or to a POST of `body` as JSON; raises OSError on any answer but 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)  # and no proxy settings of the environment
    try:
        content = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", parts.path or "/", content, {"content-type": "application/json"})
        answer = connection.getresponse()
        received = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"{url}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"{url}: {answer.status} {received[:200].decode(errors='replace')}")
    return received
