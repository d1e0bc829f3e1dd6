"""OpenAI's Batch API over the official SDK.

The SDK is imported with the first batch: that takes 0.4 s and 35 MiB, and a teacher without batches stays below 80 MiB.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from askback.contracts.errors import NotFound, ServiceError, UpstreamRejected, UpstreamUnavailable
from services.teacher.batch.upstream import UpstreamBatch
from services.teacher.config import OpenAISpec
from services.teacher.pacing.retry_after import retry_after_s

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

_MARK = "askback_batch"
_AGAIN = frozenset({408, 409, 425, 429})
_PAGE = 100  # batches in one page of the upstream's list


class OpenAIBatchUpstream:
    """A BatchUpstream at OpenAI, or any server that speaks its Batch API."""

    def __init__(self, spec: OpenAISpec, key: str, max_retries: int = 2) -> None:
        """`key` is sent as a bearer token; empty for servers without keys. Calls that change nothing are tried `max_retries` times more."""
        self._spec, self._key, self._max_retries = spec, key, max_retries
        self._client: AsyncOpenAI | None = None

    async def upload(self, name: str, lines: AsyncIterator[bytes]) -> str:
        """See BatchUpstream. The file stands on disk meanwhile, since it may be larger than what this process should hold."""
        client = await self._open()
        with tempfile.TemporaryFile() as file:
            async for line in lines:
                file.write(line)
            file.seek(0)
            with self._errors():
                found = await client.files.create(file=(name, file), purpose="batch")
        return self._text(found, "id")

    async def find(self, job_id: str, file_id: str) -> UpstreamBatch | None:
        """See BatchUpstream. Known by the mark in its metadata, or by its file where a server keeps no metadata."""
        client, seen = await self._open(), set[str]()
        with self._errors():
            page = await client.batches.list(limit=_PAGE)
            while True:
                if not isinstance(page.data, list):  # else a proxy's answer would pass for an empty list, and a batch be made twice
                    raise ValueError("no list of batches")
                for batch in page.data:
                    if (batch.metadata or {}).get(_MARK) == job_id or batch.input_file_id == file_id:
                        return self._batch(batch)
                fresh = {batch.id for batch in page.data} - seen  # none where a server knows no pages and begins again
                if not fresh or not page.has_next_page():
                    return None
                seen |= fresh
                page = await page.get_next_page()

    async def create(self, job_id: str, file_id: str) -> UpstreamBatch:
        """See BatchUpstream. The SDK must not try again by itself: the API has no idempotency key, so that would start two batches."""
        client = (await self._open()).with_options(max_retries=0)
        with self._errors():
            batch = await client.batches.create(
                input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h", metadata={_MARK: job_id}
            )
        return self._batch(batch)

    async def status(self, batch_id: str) -> UpstreamBatch:
        """See BatchUpstream."""
        client = await self._open()
        with self._errors():
            batch = await client.batches.retrieve(batch_id)
        return self._batch(batch)

    async def cancel(self, batch_id: str) -> None:
        """See BatchUpstream."""
        client = await self._open()
        with self._errors():
            await client.batches.cancel(batch_id)

    async def download(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """See BatchUpstream. Split at line feeds alone: the SDK's own lines end at U+2028 too, which JSON may hold as it is."""
        client = await self._open()
        rest = b""
        with self._errors():
            async with client.files.with_streaming_response.content(file_id) as answer:
                async for piece in answer.iter_bytes():
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield line
        if rest.strip():
            yield rest

    async def close(self) -> None:
        """See BatchUpstream."""
        if self._client is not None:
            await self._client.close()

    async def _open(self) -> "AsyncOpenAI":
        if self._client is None:
            self._client = await asyncio.to_thread(self._build)
        return self._client

    def _build(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        spec = self._spec
        return AsyncOpenAI(api_key=self._key or "none", base_url=spec.base_url, timeout=spec.timeout_s, max_retries=self._max_retries)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from httpx2 import HTTPError
        from openai import APIConnectionError, APIStatusError, OpenAIError

        where = f"backend {self._spec.name!r}: {self._spec.base_url}"
        try:
            yield
        except APIStatusError as error:
            raise self._refusal(error) from None
        except (APIConnectionError, HTTPError) as error:
            cause = type(error.__cause__ or error).__name__
            raise UpstreamUnavailable(f"{where} cannot be reached ({cause})") from None
        except (OpenAIError, ValueError, AttributeError) as error:  # the SDK stumbles over what is no JSON, or other than it should be
            raise UpstreamUnavailable(f"{where} answered with what cannot be read ({type(error).__name__})") from None

    def _refusal(self, error: "APIStatusError") -> ServiceError:
        status, code = error.status_code, error.code
        kind: type[ServiceError] = UpstreamRejected
        if status == 404:
            kind = NotFound
        elif (status >= 500 or status in _AGAIN) and code != "insufficient_quota":
            kind = UpstreamUnavailable
        said = " ".join(str(error.message).split())
        said = said.replace(self._key, "***") if self._key else said  # some servers repeat the key
        refusal = kind(f"backend {self._spec.name!r}: {self._spec.base_url} answered {status}: {said[:300]}")
        refusal.retry_after_s = retry_after_s(error.response.headers) if kind is UpstreamUnavailable else None
        return refusal

    def _batch(self, found: Any) -> UpstreamBatch:
        """The SDK does not check what arrives."""
        counts, errors = getattr(found, "request_counts", None), getattr(found, "errors", None)
        completed = getattr(counts, "completed", None)
        return UpstreamBatch(
            id=self._text(found, "id"),
            status=self._text(found, "status"),
            completed=completed if type(completed) is int else 0,
            output_file_id=getattr(found, "output_file_id", None) or "",
            error_file_id=getattr(found, "error_file_id", None) or "",
            errors=tuple((str(error.code or "failed"), self._place(error)) for error in getattr(errors, "data", None) or ()),
        )

    @staticmethod
    def _place(error: Any) -> str:
        return str(error.message or "the upstream gave no reason") + (f" (line {error.line} of the file)" if error.line else "")

    def _text(self, found: Any, field: str) -> str:
        value = getattr(found, field, None)
        if not isinstance(value, str) or not value:
            raise UpstreamUnavailable(f"backend {self._spec.name!r}: {self._spec.base_url} answered without {field}")
        return value
