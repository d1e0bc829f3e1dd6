"""Counts the tokens of an answer as it passes, without parsing it."""

import re

_COUNTED = re.compile(rb'"completion_tokens": ?(\d+)')  # in a text the quotes would be escaped
_EVENT = b"data: {"
_OPENING = b'"delta":{"role":'  # a chat's first event, which brings no token


class TokenCount:
    """Reads the pieces of one answer. A stream that says no count is counted by its events, one token each."""

    def __init__(self) -> None:
        self._said: int | None = None
        self._events = 0

    def read(self, piece: bytes) -> None:
        """Take in one piece, or the whole."""
        self._events += piece.count(_EVENT) - piece.count(_OPENING)
        at = piece.rfind(b'"completion_tokens"')
        found = _COUNTED.match(piece, at) if at >= 0 else None
        if found:
            self._said = int(found[1])

    @property
    def tokens(self) -> int:
        """Completion tokens so far."""
        return self._events if self._said is None else self._said
