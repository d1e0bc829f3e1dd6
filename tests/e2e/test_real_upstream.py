"""The teacher in front of a real vLLM server, asked with the official client."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from conftest import FIRST_PORT, Workspace

pytestmark = pytest.mark.e2e
QUESTION: list[Any] = [{"role": "user", "content": "Name three rivers."}]
ASKED: dict[str, Any] = {"model": "engine", "messages": QUESTION, "temperature": 0, "max_tokens": 200}


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{int(FIRST_PORT) + 1}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_a_stream_of_vllm_is_passed_on_kept_and_served_plain(client: openai.OpenAI) -> None:
    live = client.chat.completions.with_raw_response.create(**ASKED, stream=True, stream_options={"include_usage": True})
    assert live.headers["x-cache"] == "miss"
    chunks = list(live.parse())
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    usage = chunks[-1].usage
    assert len(chunks) > 5 and text and usage is not None and usage.completion_tokens > 5
    plain = client.chat.completions.with_raw_response.create(**ASKED)
    answer = plain.parse()
    assert (plain.headers["x-cache"], answer.choices[0].message.content, answer.model) == ("hit", text, "student-base")
    assert answer.usage is not None and answer.usage.completion_tokens == usage.completion_tokens


def test_logprobs_of_vllm_survive_the_cache(client: openai.OpenAI) -> None:
    wanted: dict[str, Any] = ASKED | {"logprobs": True, "top_logprobs": 2, "stop": ["2", "three"]}
    first, second = (client.chat.completions.with_raw_response.create(**wanted) for _ in range(2))
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert first.content == second.content
    logprobs = second.parse().choices[0].logprobs
    assert logprobs is not None and logprobs.content and len(logprobs.content[0].top_logprobs) == 2


def test_what_vllm_refuses_is_refused_in_its_words(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="answered 400") as caught:
        client.chat.completions.create(**ASKED | {"temperature": -1})
    assert caught.value.status_code == 502
