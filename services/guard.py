"""What stands before every service: the check of the caller's key, and the limit on a request's size. Plain ASGI, for speed."""

import hmac
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from askback.contracts.errors import InvalidInput, ServiceError, TooLarge, Unauthorized
from services.wire import error_answer

_OPEN = frozenset({"/healthz", "/readyz", "/"})  # probes carry no keys, nor does a browser that opens a page
_PAGE = "/playground/"  # the page's files; it asks for the key and sends it with each of its own calls
_MIB = 2**20


class Guard:
    """Lets requests through to `app` that carry one of `keys` (any request where there are none) and are not too large."""

    def __init__(self, app: ASGIApp, keys: tuple[str, ...], max_body_bytes: int) -> None:
        self._app, self._max = app, max_body_bytes
        self._keys = [f"Bearer {key}".encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = given = b""
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = value
            elif name == b"authorization":
                given = value
        error = self._complaint(scope["path"], length, given)
        if error is not None:
            await _refuse(scope["path"], error, send)
        else:  # the server holds a body to the length that it announces
            await self._app(scope, receive if length else self._limited(receive), send)

    def _complaint(self, path: str, length: bytes, given: bytes) -> ServiceError | None:
        if self._keys and path not in _OPEN and not path.startswith(_PAGE) and not self._known(given):
            return Unauthorized("this service asks for a key; send `Authorization: Bearer <key>` with a value of its ASKBACK_API_KEY")
        return self._too_large() if length.isdigit() and (len(length) > 18 or int(length) > self._max) else None

    def _known(self, given: bytes) -> bool:
        """Compares with every key in constant time, so that the time tells nothing of them."""
        return sum(hmac.compare_digest(given, key) for key in self._keys) > 0

    def _limited(self, receive: Receive) -> Receive:
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            if message["type"] == "http.request":
                got += len(message.get("body", b""))
                if got > self._max:  # sent in chunks, so its length was not announced
                    raise HTTPException(TooLarge.status, str(self._too_large()))
            return message

        return counted

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the body is larger than {self._max / _MIB:g} MiB; send less at a time, or raise ASKBACK_MAX_BODY_MIB")


async def _refuse(path: str, error: ServiceError, send: Send) -> None:
    status, headers, body = error_answer(error, path)
    await send({"type": "http.response.start", "status": status, "headers": [(k.encode(), v.encode()) for k, v in headers.items()]})
    await send({"type": "http.response.body", "body": body})


def guarded(app: ASGIApp, environment: Mapping[str, str]) -> Guard:
    """`app` behind the keys in ASKBACK_API_KEY (several with commas; none: open) and ASKBACK_MAX_BODY_MIB (16).

    Raises InvalidInput for a bad setting.
    """
    text = environment.get("ASKBACK_MAX_BODY_MIB") or "16"
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 4096):
        raise InvalidInput(f"ASKBACK_MAX_BODY_MIB: {text!r} is not a whole number from 1 to 4096")
    keys = tuple(key.strip() for key in environment.get("ASKBACK_API_KEY", "").split(",") if key.strip())
    return Guard(app, keys, int(text) * _MIB)
