"""The viewer over HTTP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from viewer_runs import every_fate, failed

from askback.contracts.errors import InvalidInput
from askback.contracts.records import HarvestStage
from askback.loop.store import RunStore
from askback.viewer.server import TraceServer, serve_traces


@contextmanager
def serving(store: RunStore) -> Iterator[httpx.Client]:
    with TraceServer(store, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with httpx.Client(base_url=server.url, trust_env=False) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


def test_the_page_loads_its_own_files_alone(tmp_path: Path) -> None:
    with serving(every_fate(tmp_path)) as client:
        for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/row.js", "text/javascript"), ("/page.css", "text/css")):
            response = client.get(path)
            assert response.status_code == 200
            assert response.headers["content-type"] == f"{kind}; charset=utf-8"
            assert "://" not in response.text
            assert "script-src 'self'" in response.headers["content-security-policy"]
        assert client.get("/../pyproject.toml").status_code == 404


def test_the_list_is_filtered_cut_and_counted(tmp_path: Path) -> None:
    with serving(every_fate(tmp_path)) as client:
        got = client.get("/api/rows", params={"status": "failed", "limit": 1, "offset": 1, "at": "broken"}).json()
        assert [row["id"] for row in got["rows"]] == ["mute"]
        assert (got["run"], got["sampled"], got["total"], got["place"]) == ("fates", 7, 2, 0)
        assert ["dropped: class_balance", 1] in got["filters"]["status"]["values"]


def test_a_row_comes_whole(tmp_path: Path) -> None:
    with serving(every_fate(tmp_path)) as client:
        row = client.get("/api/rows/heron").json()
    assert row["draft"] == {"answer": "no", "right": False}
    assert row["questions"] == ["What is it?", "Where is it?"]
    assert row["exchanges"] == [{"question": "What is a heron?", "answer": "A wading bird."}]
    assert row["rewrite"] == {"answer": "yes, it wades", "right": True}
    assert row["diff"][:2] == [["gone", "no"], ["new", "yes, it wades"]]
    assert [(stage["stage"], stage["latency_s"], stage["cost_usd"]) for stage in row["stages"]] == [
        ("draft", 0.5, 0.0),
        ("teacher", 2.0, 0.002),
        ("rewrite", 0.25, 0.0),
    ]


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/api/rows/nobody", 404, "run fates has no row 'nobody'"),
        ("/api/rows?offset=-1", 422, "offset: '-1' is not a whole number from 0 on"),
        ("/api/rows?sort=shoe", 422, "sort: 'shoe' is none of"),
        ("/api/shoes", 404, "no such page"),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path: Path, path: str, status: int, detail: str) -> None:
    with serving(every_fate(tmp_path)) as client:
        response = client.get(path)
    assert response.status_code == status
    assert response.json()["detail"].startswith(detail)


def test_a_page_of_another_name_is_not_let_in(tmp_path: Path) -> None:
    with serving(every_fate(tmp_path)) as client:
        assert client.get("/api/rows", headers={"host": "attacker.example"}).status_code == 422
        assert client.get("/api/rows", headers={"host": f"localhost:{client.base_url.port}"}).status_code == 200


def test_a_run_under_way_is_followed(tmp_path: Path) -> None:
    store = every_fate(tmp_path)
    with serving(store) as client:
        before = client.get("/api/rows?limit=0").json()
        with store.appender("harvest.jsonl") as kept:
            kept.append(failed("later", HarvestStage.TEACHER, "UpstreamRejected: no verdict"))
        after = client.get("/api/rows?limit=0").json()
    assert after["version"] != before["version"]
    assert dict(after["filters"]["status"]["values"])["failed"] == 3


def test_a_taken_port_and_a_missing_run_are_the_users_mistakes(tmp_path: Path) -> None:
    store = every_fate(tmp_path)
    with TraceServer(store, 0) as server, pytest.raises(InvalidInput, match=r"--port: cannot listen on 127\.0\.0\.1:"):
        serve_traces(store, server.server_address[1], open_browser=False)
    with pytest.raises(InvalidInput, match="run gone: no folder"):
        serve_traces(RunStore(tmp_path, "gone"), 0, open_browser=False)
