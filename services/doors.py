"""What the services' plain ASGI doors share: a request's id and deadline, and what its caller is told of an error."""

import itertools
import logging
import math
import secrets

from starlette.exceptions import HTTPException

from askback.contracts.errors import InvalidInput, ServiceError, TooLarge

_LONGEST_ID = 128
_PROCESS = secrets.token_hex(10).encode()  # a random name for each request would cost more than the rest of its log line
_COUNTER = itertools.count(0x1000)


def identifier_of(given: bytes | None) -> bytes:
    """The caller's request id (`x-request-id`) if it is a sane one, else a new one."""
    if given and len(given) <= _LONGEST_ID and given.isascii() and given.decode().isprintable():
        return given
    return b"%s%x" % (_PROCESS, next(_COUNTER))


def deadline_of(given: bytes | None) -> float | None:
    """Seconds that `x-askback-deadline-s` gives a request; None without it. Raises InvalidInput for anything else."""
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < 86400:
        raise InvalidInput("x-askback-deadline-s: must be a number of seconds above 0")
    return seconds


def shown(error: Exception, service: str, logger: logging.Logger) -> ServiceError:
    """What the caller of `service` is told of `error`; one that is no ServiceError is logged and told without its text."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, HTTPException):  # the guard's, from within the reading of a body without an announced length
        return TooLarge(error.detail)
    logger.error("the request failed", exc_info=error)
    return ServiceError(f"the {service} failed; its log says why")
