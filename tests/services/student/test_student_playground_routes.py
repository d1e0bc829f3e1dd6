"""The playground's files over HTTP: what is served, under which policy, and what a key still guards."""

from collections.abc import Callable

import httpx
import pytest
from neighbours import Neighbours
from scripted_engine import ScriptedEngine

from services.guard import guarded
from services.student.adapters import Adapters
from services.student.app import create_app


@pytest.fixture
def http(engine: ScriptedEngine, open_adapters: Callable[[], Adapters]) -> httpx.AsyncClient:
    app = guarded(create_app(engine, open_adapters(), Neighbours().resolvers()), {"ASKBACK_API_KEY": "one"})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://student")


async def test_the_page_and_all_that_it_names_open_without_a_key_and_under_a_strict_policy(http: httpx.AsyncClient) -> None:
    page = await http.get("/")
    named = [part.split('"')[0] for part in page.text.split('"/playground/')[1:]]
    modules = ["page.js", "api.js", "exchange.js"]
    for path, kind in [("/", "text/html"), *((f"/playground/{name}", "text/") for name in [*named, *modules])]:
        answer = await http.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'" and {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
        assert policy["frame-ancestors"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert set(named) == {"page.css", "page.js"}


@pytest.mark.parametrize(
    "path",
    ["/playground/nothing.js", "/playground/__init__.py", "/playground/playground_routes.py", "/playground/../app.py", "/playground/%2e%2e/app.py"],
)
async def test_nothing_else_lies_there(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code in (401, 404) and "import" not in answer.text


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/v1/ask"),
        ("GET", "/v1/adapters"),
        ("GET", "/openapi.json"),
        ("GET", "/playground"),
        ("GET", "//v1/adapters"),
        ("DELETE", "/v1/adapters/a"),
    ],
)
async def test_the_key_guards_all_the_rest(http: httpx.AsyncClient, verb: str, path: str) -> None:
    assert (await http.request(verb, "http://student" + path)).status_code == 401


async def test_no_way_leads_from_the_pages_folder_to_a_guarded_route(http: httpx.AsyncClient) -> None:
    for path in ("/playground/%2e%2e/v1/adapters", "/playground/..%2fv1%2fadapters", "/playground//v1/adapters"):
        answer = await http.get(path)
        assert answer.status_code in (401, 404) and "base_model" not in answer.text


async def test_the_page_is_no_part_of_the_described_interface(http: httpx.AsyncClient) -> None:
    described = (await http.get("/openapi.json", headers={"authorization": "Bearer one"})).json()["paths"]
    assert "/" not in described and set(described["/v1/ask"]["post"]["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
