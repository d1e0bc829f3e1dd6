"""Errors that keep their class across HTTP.

    ServiceError (500)
    ├── InvalidInput (422)         the caller's mistake; the text names the field and the remedy
    ├── NotFound (404)             an id, adapter, index or recording that does not exist
    ├── Conflict (409)             the resource is busy or exists with other content
    ├── BudgetExceeded (402)       a dollar limit would be passed
    ├── UpstreamRejected (502)     an upstream answered, and the answer is unusable
    └── UpstreamUnavailable (503)  an upstream cannot be reached; the same call may succeed later

A service answers `{"error": CLASS NAME, "detail": TEXT}` with the status in brackets; `contracts.client` raises the same
class on the other side.
"""


class ServiceError(Exception):
    """Root of all errors that cross a service border."""

    status = 500


class InvalidInput(ServiceError):
    """The caller's mistake; exit code 2 on the command line."""

    status = 422


class NotFound(ServiceError):
    """The named resource does not exist."""

    status = 404


class Conflict(ServiceError):
    """The resource exists in a state that forbids the request."""

    status = 409


class BudgetExceeded(ServiceError):
    """Serving the request could pass a dollar limit."""

    status = 402


class UpstreamRejected(ServiceError):
    """An upstream answered with something that cannot be used."""

    status = 502


class UpstreamUnavailable(ServiceError):
    """An upstream cannot be reached now."""

    status = 503


_TREE = (ServiceError, InvalidInput, NotFound, Conflict, BudgetExceeded, UpstreamRejected, UpstreamUnavailable)
ERRORS: dict[str, type[ServiceError]] = {error.__name__: error for error in _TREE}
