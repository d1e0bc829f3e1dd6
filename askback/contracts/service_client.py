"""What the typed clients of all services have in common. An error answer is raised as the class that the service raised."""

from collections.abc import Mapping
from types import TracebackType
from typing import TypeVar

import httpx
from pydantic import BaseModel

from askback.contracts import errors
from askback.contracts.connections import LentConnections

Response = TypeVar("Response", bound=BaseModel)
Client = TypeVar("Client", bound="ServiceClient")

_MOST_CONNECTIONS = 256
LONGEST_CALL_S = 600.0  # a CPU engine with a full queue answers late; whoever wants less passes its own http client


def api_key_in(environment: Mapping[str, str]) -> str:
    """The key that a client sends: the first of those that the services ask for, in ASKBACK_API_KEY; empty for none."""
    return environment.get("ASKBACK_API_KEY", "").split(",")[0].strip()


class ServiceClient:
    """One service over HTTP."""

    name = "service"

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @classmethod
    def at(cls: type[Client], base_url: str, timeout_s: float = LONGEST_CALL_S, api_key: str = "") -> Client:
        """Client for the service at `base_url`, such as `http://127.0.0.1:8002`, with the key that it asks for."""
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        timeout, connections = httpx.Timeout(timeout_s, connect=5.0), LentConnections(_MOST_CONNECTIONS)
        return cls(httpx.AsyncClient(base_url=base_url, headers=headers, timeout=timeout, transport=connections))

    async def __aenter__(self: Client) -> Client:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.aclose()

    async def ready(self) -> bool:
        """Whether the service answers and says that it can serve."""
        try:
            return (await self._http.get("/readyz", timeout=5.0)).status_code == 200
        except httpx.HTTPError:
            return False

    async def call(self, verb: str, path: str, response: type[Response], body: BaseModel | None = None) -> Response:
        """Send `body`, return the answer as `response`; raises the service's own error, or UpstreamUnavailable."""
        answer = await self.send(verb, path, body)
        return response.model_validate_json(answer.content)

    async def send(self, verb: str, path: str, body: BaseModel | None = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """As `call`, with the raw answer."""
        content = body.model_dump_json() if body is not None else None
        headers = dict(headers or {}) | ({"content-type": "application/json"} if content else {})
        try:
            answer = await self._http.request(verb, path, content=content, headers=headers)
        except httpx.TimeoutException as error:
            raise errors.UpstreamUnavailable(f"{self.name} did not answer {verb} {path} in time") from error
        except httpx.HTTPError as error:
            raise errors.UpstreamUnavailable(f"{self.name} at {self._http.base_url} cannot be reached: {error or type(error).__name__}") from error
        if answer.is_error:
            raise error_of(answer, self.name)
        return answer


def error_of(answer: httpx.Response, name: str) -> errors.ServiceError:
    """The error that the service called `name` answered, as the class that it raised."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    kind = body.get("error")
    if isinstance(kind, dict):  # OpenAI's error shape: {"error": {"type": NAME, "message": TEXT}}
        body = {"error": kind.get("type"), "detail": kind.get("message")}
    fallback = errors.UpstreamUnavailable if answer.status_code >= 500 else errors.InvalidInput
    raised = errors.ERRORS.get(str(body.get("error")), fallback)
    return raised(str(body.get("detail") or f"{name} answered {answer.status_code}"))
