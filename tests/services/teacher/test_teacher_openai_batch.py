"""OpenAI's Batch API through the SDK, against a server that fails on demand."""

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from askback.contracts.errors import NotFound, ServiceError, UpstreamRejected, UpstreamUnavailable
from services.teacher.batch.openai_batch import OpenAIBatchUpstream
from services.teacher.batch.upstream import UpstreamBatch
from services.teacher.config import OpenAISpec
from tests.services.teacher.fake_batch_upstream import FakeBatchUpstream

KEY = "sk-very-secret"


@pytest.fixture
async def fake() -> AsyncIterator[FakeBatchUpstream]:
    async with FakeBatchUpstream() as fake:
        yield fake


@pytest.fixture
async def upstream(fake: FakeBatchUpstream) -> AsyncIterator[OpenAIBatchUpstream]:
    upstream = OpenAIBatchUpstream(spec(fake.url), KEY, max_retries=0)
    yield upstream
    await upstream.close()


def spec(url: str) -> OpenAISpec:
    return OpenAISpec(name="paid", kind="openai", model="big", base_url=url, batch=True, timeout_s=5)


async def lines(*some: bytes) -> AsyncIterator[bytes]:
    for line in some:
        yield line


async def uploaded(upstream: OpenAIBatchUpstream) -> str:
    return await upstream.upload("askback-job.jsonl", lines(b'{"a":1}\n', b'{"b":2}\n'))


async def read(upstream: OpenAIBatchUpstream, file_id: str) -> list[bytes]:
    return [line async for line in upstream.download(file_id)]


async def test_a_file_is_uploaded_under_its_name_with_the_key(fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream) -> None:
    file_id = await uploaded(upstream)
    assert fake.files == {file_id: b'{"a":1}\n{"b":2}\n'} and fake.names == {file_id: "askback-job.jsonl"}
    assert fake.keys == {f"Bearer {KEY}"}


async def test_a_batch_is_created_with_the_jobs_mark_and_found_by_it(fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream) -> None:
    file_id = await uploaded(upstream)
    assert await upstream.find("job", file_id) is None
    made = await upstream.create("job", file_id)
    await upstream.create("another", "file-1")
    assert fake.batches[made.id]["metadata"] == {"askback_batch": "job"}
    assert await upstream.find("job", "file-gone") == made == UpstreamBatch("batch-1", "in_progress")


async def test_a_batch_is_found_by_its_file_where_metadata_is_not_kept(fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream) -> None:
    fake.keeps_metadata = False
    file_id = await uploaded(upstream)
    made = await upstream.create("job", file_id)
    assert await upstream.find("job", file_id) == made
    assert await upstream.find("job", "file-other") is None


async def test_every_page_of_the_list_is_searched(fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream) -> None:
    fake.page = 2
    file_id = await uploaded(upstream)
    made = [await upstream.create(f"job-{number}", file_id) for number in range(5)]
    assert await upstream.find("job-0", "") == made[0]
    assert fake.calls.count("list") == 3


async def test_a_server_that_ignores_pages_is_not_searched_for_ever(fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream) -> None:
    batch = {"id": "batch-9", "object": "batch", "status": "completed", "input_file_id": "f", "metadata": None}
    fake.troubles = [("list", (200, {"object": "list", "data": [batch]}, {}))] * 3
    assert await upstream.find("job", "file-1") is None
    assert fake.calls.count("list") == 2


async def test_status_tells_files_counts_and_errors(fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream) -> None:
    await upstream.create("job", await upstream.upload("f", lines(b'{"custom_id":"request-0","body":{"messages":[{"content":"x"}]}}\n')))
    fake.finish()
    done = await upstream.status("batch-1")
    assert done == UpstreamBatch("batch-1", "completed", 1, "file-output-batch-1", "")
    faults = [{"code": "invalid_json_line", "message": "not JSON", "line": 7}, {"code": None, "message": None, "line": None}]
    fake.batches["batch-1"] |= {"status": "failed", "errors": {"object": "list", "data": faults}}
    failed = await upstream.status("batch-1")
    assert failed.errors == (("invalid_json_line", "not JSON (line 7 of the file)"), ("failed", "the upstream gave no reason"))


async def test_cancel_asks_for_the_end(fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream) -> None:
    made = await upstream.create("job", await uploaded(upstream))
    await upstream.cancel(made.id)
    assert (await upstream.status(made.id)).status == "cancelling"


async def test_results_are_split_at_line_feeds_alone(fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream) -> None:
    odd = '{"text":"a\u2028b\x85c\x0b"}'.encode()
    fake.files["out"] = odd + b"\n\n" + b'{"long":"%s"}\n' % (b"x" * 300_000) + b"last"
    first, second, third = await read(upstream, "out")
    assert (first, len(second), third) == (odd, 300_011, b"last")


async def test_a_download_that_breaks_off_is_told_from_one_that_ends(fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream) -> None:
    fake.files["out"] = b"line\n" * 1000
    fake.troubles = [("download", "cut")]
    with pytest.raises(UpstreamUnavailable, match="backend 'paid'"):
        await read(upstream, "out")
    assert len(await read(upstream, "out")) == 1000


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (400, UpstreamRejected),
        (401, UpstreamRejected),
        (403, UpstreamRejected),
        (404, NotFound),
        (408, UpstreamUnavailable),
        (409, UpstreamUnavailable),
        (429, UpstreamUnavailable),
        (500, UpstreamUnavailable),
        (503, UpstreamUnavailable),
        ("drop", UpstreamUnavailable),
        ("html", UpstreamUnavailable),
        ((200, {}, {}), UpstreamUnavailable),
        ((429, {"error": {"message": "no money", "code": "insufficient_quota"}}, {}), UpstreamRejected),
    ],
)
@pytest.mark.parametrize("call", ["upload", "create", "status"])
async def test_troubles_keep_their_kind_and_hide_the_key(
    fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream, call: str, trouble: Any, kind: type[ServiceError]
) -> None:
    file_id = await uploaded(upstream)
    made = await upstream.create("job", file_id)
    fake.troubles = [(call, trouble)]
    with pytest.raises(kind) as caught:
        await {"upload": lambda: uploaded(upstream), "create": lambda: upstream.create("job", file_id), "status": lambda: upstream.status(made.id)}[
            call
        ]()
    assert type(caught.value) is kind and "backend 'paid'" in str(caught.value)
    assert KEY not in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("trouble", ["html", (200, {}, {}), (200, {"data": {}}, {}), (200, {"data": [1]}, {})])
async def test_what_is_no_list_does_not_pass_for_an_empty_one(fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream, trouble: Any) -> None:
    fake.troubles = [("list", trouble)]
    with pytest.raises(UpstreamUnavailable):
        await upstream.find("job", "file-1")


async def test_retry_after_is_passed_on(fake: FakeBatchUpstream, upstream: OpenAIBatchUpstream) -> None:
    fake.troubles = [("status", (429, {}, {"retry-after": "7"}))]
    with pytest.raises(UpstreamUnavailable) as caught:
        await upstream.status("batch-1")
    assert caught.value.retry_after_s == 7


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    upstream = OpenAIBatchUpstream(spec("http://127.0.0.1:9/v1"), KEY, max_retries=0)
    with pytest.raises(UpstreamUnavailable, match="cannot be reached"):
        await upstream.status("batch-1")
    await upstream.close()


async def test_the_sdk_tries_again_what_changes_nothing_and_never_a_creation(fake: FakeBatchUpstream) -> None:
    upstream = OpenAIBatchUpstream(spec(fake.url), KEY, max_retries=2)
    file_id = await uploaded(upstream)
    again = (500, {}, {"retry-after-ms": "1"})
    fake.troubles = [("create", "drop"), ("status", again), ("status", again)]
    with pytest.raises(UpstreamUnavailable):
        await upstream.create("job", file_id)
    assert fake.calls.count("create") == len(fake.batches) == 1
    assert (await upstream.status("batch-1")).status == "in_progress"
    assert fake.calls.count("status") == 3
    await upstream.close()


def test_the_sdk_is_not_loaded_before_the_first_batch() -> None:
    code = "import services.teacher.batch.batch_routes, services.teacher.batch.openai_batch, sys; print('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
