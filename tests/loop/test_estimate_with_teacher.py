"""The estimate over the teacher's real routes: what the harvest bought is known to be there."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from estimate_questions import TASK, Words, config, drafted, question_row, words_for, write_harvest, write_rows

from askback.contracts.client import TeacherClient
from askback.contracts.records import Draft
from askback.contracts.teacher import ChatRequest
from askback.loop.config import load_config
from askback.loop.estimate import estimate
from askback.loop.services import Services
from services.teacher.__main__ import compose
from services.teacher.answers.completion import Completion
from services.teacher.answers.provenance import provenance_of
from services.teacher.app import Parts, create_app
from services.teacher.request.asked import read_request
from services.teacher.request.canonical import request_key

ROOT = Path(__file__).parents[2]
BACKENDS = """
active = "paid"
[[backends]]
name = "paid"
kind = "openai"
model = "gpt-4o-mini"
batch = true
[[backends]]
name = "own"
kind = "openai"
model = "mine"
base_url = "http://127.0.0.1:9/v1"
"""


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    (tmp_path / "teacher.toml").write_text(BACKENDS)
    parts = compose({"TEACHER_CONFIG": str(tmp_path / "teacher.toml"), "ASKBACK_HOME": str(tmp_path / "var")})
    yield parts
    await parts.closing.aclose()


@pytest.fixture
def teacher(parts: Parts) -> TeacherClient:
    return TeacherClient(httpx.AsyncClient(transport=httpx.ASGITransport(create_app(parts)), base_url="http://teacher"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split, numbers in (("train", range(1, 5)), ("dev", range(11, 13))):
        write_rows(tmp_path / "data" / f"{split}.jsonl", [question_row(number) for number in numbers])
    return tmp_path / "data"


async def test_what_the_harvest_bought_under_another_id_is_not_paid_again(parts: Parts, teacher: TeacherClient, data: Path, tmp_path: Path) -> None:
    write_harvest(tmp_path / "runs", "first", drafted(1, "Why?"), drafted(2, "Why?"))
    messages = TASK.prompt("teacher", "Is thing 2 a thing?", draft=Draft(answer="no", questions=["Why?"]))
    sent = ChatRequest(model="paid", messages=messages, metadata={"question_id": "q2"}).model_dump_json()
    asked = read_request(sent.encode())
    await parts.store.keep(request_key("paid", "gpt-4o-mini", asked.meaning), Completion(b"{}", "gpt-4o-mini"), provenance_of(asked, "paid"))
    found = await estimate(config(data, ["base.assisted.teacher"]), None, teacher, Words(), tmp_path / "runs", "", words_for)
    assert found.cached == 1
    assert {item.name: (item.whole.calls, item.left.calls) for item in found.items} == {"harvest": (4, 3), "test base.assisted.teacher": (2, 2)}
    assert (found.price.prompt_usd_per_million, found.price.completion_usd_per_million, found.price.batch_factor) == (0.15, 0.6, 0.5)


async def test_a_server_without_a_known_price(teacher: TeacherClient, data: Path, tmp_path: Path) -> None:
    found = await estimate(config(data, harvest={"teacher": "own"}), None, teacher, Words(), tmp_path, "", words_for)
    assert found.total.whole.online_usd is None
    assert [note for note in found.notes if "model 'mine' of backend 'own'; set price_per_million_prompt_usd" in note]


async def test_the_demo_costs_nothing(services: Services, tmp_path: Path) -> None:
    demo = load_config(ROOT / "configs" / "demo.toml")
    demo = demo.model_copy(update={"data": demo.data.model_copy(update={"path": str(ROOT / demo.data.path)})})
    found = await estimate(demo, None, services.teacher, Words(), tmp_path, "", words_for)
    assert (found.rows, found.total.whole.online_usd, found.cached, found.other_price) == (24, 0.0, None, None)
    assert found.replies["recorded answers"] > 40
