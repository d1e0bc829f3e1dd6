"""Serve the page and its two documents on loopback: `GET /api/rows?…` and `GET /api/rows/ID`.

The list is filtered, sorted and cut here and not in the page, since 4,000 rows with their passages are tens of megabytes.
"""

import json
import sys
import threading
import webbrowser
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from askback.contracts.errors import InvalidInput, NotFound, ServiceError
from askback.loop.progress import Reporter
from askback.loop.store import RunStore
from askback.viewer import documents
from askback.viewer.query import Query, find
from askback.viewer.traces import RunTraces

_HOST = "127.0.0.1"
_MOST_ROWS = 500
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/row.js": ("row.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
# A trace holds what models wrote; even if the page escaped it badly, the browser would run and load nothing but the page's own files.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def serve_traces(store: RunStore, port: int, open_browser: bool) -> None:
    """Serve the run's traces on http://127.0.0.1:`port`/ until interrupted; port 0 takes a free one.

    Raises InvalidInput for a run that does not exist or has no harvest, and for a port that is taken.
    """
    with TraceServer(store, port) as server:
        Reporter().say(f"traces of run {store.run_id} at {server.url} (Ctrl-C ends)")
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()  # a browser in the terminal would block
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


class TraceServer(ThreadingHTTPServer):
    """Listens from its construction on; `serve_forever` answers."""

    daemon_threads = True

    def __init__(self, store: RunStore, port: int) -> None:
        """Raises InvalidInput as `serve_traces` does."""
        self._traces = RunTraces(store)
        self._traces.read()
        self._reading = threading.Lock()
        try:
            super().__init__((_HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InvalidInput(f"--port: cannot listen on {_HOST}:{port}: {error}; --port 0 takes a free one") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """As the base, but for a browser that went away before it had its answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.server_address[1]}/"

    def is_named(self, host: str) -> bool:
        """Whether a request is meant for this server; a page elsewhere that resolves its own name to loopback is not let in."""
        return host in {f"{name}:{self.server_address[1]}" for name in (_HOST, "localhost")}

    def rows(self, fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """The list for a URL's query; raises InvalidInput naming the field that is wrong."""
        query, offset, limit = Query.parse(fields), _count(fields, "offset", 0), _count(fields, "limit", 100)
        with self._reading:
            rows, version = self._traces.read()
        return documents.page(
            self._traces.run_id, version, len(rows), find(rows, query), offset, min(limit, _MOST_ROWS), (fields.get("at") or [""])[0]
        )

    def row(self, sample_id: str) -> dict[str, Any]:
        """One row; raises NotFound for an id that is not in the run."""
        with self._reading:
            rows, _ = self._traces.read()
        for row in rows:
            if row.sample.id == sample_id:
                return documents.whole(row)
        raise NotFound(f"run {self._traces.run_id} has no row {sample_id!r}")


def _count(fields: Mapping[str, Sequence[str]], name: str, default: int) -> int:
    text = (fields.get(name) or [str(default)])[0]
    if not text.isdecimal() or len(text) > 9:
        raise InvalidInput(f"{name}: {text!r} is not a whole number from 0 on")
    return int(text)


class _Handler(BaseHTTPRequestHandler):
    server: TraceServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        try:
            if not self.server.is_named(self.headers.get("Host", "")):
                raise InvalidInput(f"Host: this server answers to {self.server.url} alone")
            if url.path in _FILES:
                name, kind = _FILES[url.path]
                self._send(200, kind, files("askback.viewer").joinpath(name).read_bytes())
            else:
                self._send_json(200, self._document(url.path, url.query))
        except ServiceError as error:
            self._send_json(error.status, {"error": type(error).__name__, "detail": str(error)})

    def _document(self, path: str, query: str) -> dict[str, Any]:
        if path == "/api/rows":
            return self.server.rows(parse_qs(query))
        if path.startswith("/api/rows/"):
            return self.server.row(unquote(path.removeprefix("/api/rows/")))
        raise NotFound(f"no such page: {path}")

    def _send_json(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(document).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (_HEADERS | {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows where the page is, and the page shows its errors."""
