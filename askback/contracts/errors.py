"""Errors that keep their class across HTTP.

    ServiceError (500)
    ├── InvalidInput (422)         the caller's mistake; the text names the field and the remedy
    │   └── TooLarge (413)         the body is over the service's limit
    ├── Unauthorized (401)         the service wants a key and got none, or another
    ├── NotFound (404)             an id, adapter, index or recording that does not exist
    ├── Conflict (409)             the resource is busy or exists with other content
    ├── BudgetExceeded (402)       a dollar limit would be passed
    ├── NotCached (504)            only a cached answer was wanted, and there is none
    ├── UpstreamRejected (502)     an upstream answered, and the answer is unusable
    └── UpstreamUnavailable (503)  an upstream cannot be reached; the same call may succeed later
        ├── TooManyRequests (429)  the service's queue is full
        └── DeadlineExceeded (504) the call's time was over before the upstream answered

A service answers `{"error": CLASS NAME, "detail": TEXT}` with the status in brackets; `contracts.client` raises the same
class on the other side.
"""


class ServiceError(Exception):
    """Root of all errors that cross a service border."""

    status = 500
    retry_after_s: float | None = None
    """Seconds after which the same call may succeed, where the raiser knows; sent as Retry-After."""


class InvalidInput(ServiceError):
    """The caller's mistake; exit code 2 on the command line."""

    status = 422


class TooLarge(InvalidInput):
    """The request's body is over the service's limit."""

    status = 413


class Unauthorized(ServiceError):
    """The service asks for a bearer key."""

    status = 401


class NotFound(ServiceError):
    """The named resource does not exist."""

    status = 404


class Conflict(ServiceError):
    """The resource exists in a state that forbids the request."""

    status = 409


class BudgetExceeded(ServiceError):
    """Serving the request could pass a dollar limit."""

    status = 402


class NotCached(ServiceError):
    """The caller would have a cached answer alone, and there is none."""

    status = 504


class UpstreamRejected(ServiceError):
    """An upstream answered with something that cannot be used."""

    status = 502


class UpstreamUnavailable(ServiceError):
    """An upstream cannot be reached now."""

    status = 503


class TooManyRequests(UpstreamUnavailable):
    """The service serves and queues as many requests as it may."""

    status = 429


class DeadlineExceeded(UpstreamUnavailable):
    """The call's time was over before the upstream answered."""

    status = 504


_TREE = (
    ServiceError,
    InvalidInput,
    TooLarge,
    Unauthorized,
    NotFound,
    Conflict,
    BudgetExceeded,
    NotCached,
    UpstreamRejected,
    UpstreamUnavailable,
    TooManyRequests,
    DeadlineExceeded,
)
ERRORS: dict[str, type[ServiceError]] = {error.__name__: error for error in _TREE}
