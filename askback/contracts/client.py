"""Typed clients of the five services."""

import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx

from askback.contracts import errors, evaluator, retriever, student, teacher, trainer, trainer_jobs
from askback.contracts.event_stream import read_events
from askback.contracts.records import Usage
from askback.contracts.service_client import ServiceClient, error_of


class TeacherClient(ServiceClient):
    name = "teacher"

    async def chat(self, request: teacher.ChatRequest, run: str = "", *, fresh: bool = False) -> teacher.ChatReply:
        """One chat completion with its provenance, paid for by `run`; raises UpstreamRejected for a text that is not whole.

        `fresh` buys an answer even where one is cached, in whose place it is kept.
        """
        started = time.perf_counter()
        headers = ({"x-askback-run": run} if run else {}) | ({"cache-control": "no-cache"} if fresh else {})
        answer = await self.send("POST", "/v1/chat/completions", request, headers)
        body, header = answer.json(), answer.headers
        _check_whole(body["choices"][0], header.get("x-askback-backend", ""))
        used = body.get("usage") or {}
        usage = Usage(
            prompt_tokens=used.get("prompt_tokens", 0),
            completion_tokens=used.get("completion_tokens", 0),
            cost_usd=float(header.get("x-askback-cost-usd", 0)),
            latency_s=round(time.perf_counter() - started, 4),
        )
        return teacher.ChatReply(
            text=body["choices"][0]["message"]["content"],
            model=body["model"],
            backend=header.get("x-askback-backend", ""),
            cache=header.get("x-cache", ""),
            request_hash=header.get("x-askback-request-hash", ""),
            usage=usage,
            answer_usd=float(header.get("x-askback-answer-usd", usage.cost_usd)),
        )

    async def record(self, request: teacher.RecordingsRequest) -> teacher.RecordingsResponse:
        return await self.call("POST", "/v1/recordings", teacher.RecordingsResponse, request)

    async def backends(self) -> teacher.BackendsResponse:
        return await self.call("GET", "/v1/backends", teacher.BackendsResponse)

    async def activate(self, request: teacher.ActiveBackendRequest) -> teacher.BackendsResponse:
        return await self.call("PUT", "/v1/backends/active", teacher.BackendsResponse, request)

    async def price(self, backend: str = "teacher", prompt_tokens: int = 1000, openai_model: str = "") -> teacher.PriceResponse:
        """What tokens cost at `backend` in calls of `prompt_tokens`, or of `openai_model` at OpenAI's address; raises NotFound."""
        query = httpx.QueryParams(backend=backend, prompt_tokens=prompt_tokens, model=openai_model)
        return await self.call("GET", f"/v1/prices?{query}", teacher.PriceResponse)

    async def cached(self, request: teacher.CachedRequest) -> teacher.CachedResponse:
        return await self.call("POST", "/v1/cached", teacher.CachedResponse, request)

    async def submit_batch(self, request: teacher.BatchRequest) -> teacher.BatchState:
        return await self.call("POST", "/v1/batches", teacher.BatchState, request)

    async def batch(self, batch_id: str) -> teacher.BatchState:
        return await self.call("GET", f"/v1/batches/{batch_id}", teacher.BatchState)

    async def batches(self) -> teacher.BatchesResponse:
        return await self.call("GET", "/v1/batches", teacher.BatchesResponse)

    async def cancel_batch(self, batch_id: str) -> teacher.BatchState:
        return await self.call("POST", f"/v1/batches/{batch_id}/cancel", teacher.BatchState)


def _check_whole(choice: dict[str, Any], backend: str) -> None:
    reason = choice.get("finish_reason")
    if reason == "length":
        raise errors.UpstreamRejected(f"backend {backend!r}: the answer is truncated at its token limit; raise max_tokens")
    if reason not in (None, "stop"):
        raise errors.UpstreamRejected(f"backend {backend!r}: the answer ended with finish_reason {reason!r}, which is not a finished text")
    if not (choice["message"].get("content") or "").strip():
        raise errors.UpstreamRejected(f"backend {backend!r}: the answer holds no text")


class StudentClient(ServiceClient):
    name = "student"

    async def clarify(self, request: student.ClarifyRequest) -> student.ClarifyResponse:
        return await self.call("POST", "/v1/clarify", student.ClarifyResponse, request)

    async def answer(self, request: student.AnswerRequest) -> student.AnswerResponse:
        return await self.call("POST", "/v1/answer", student.AnswerResponse, request)

    async def ask(self, request: student.AskRequest) -> student.AskResponse:
        return await self.call("POST", "/v1/ask", student.AskResponse, request)

    async def adapters(self) -> student.AdaptersResponse:
        return await self.call("GET", "/v1/adapters", student.AdaptersResponse)

    async def load(self, adapter: student.Adapter) -> student.AdaptersResponse:
        return await self.call("POST", "/v1/adapters", student.AdaptersResponse, adapter)

    async def unload(self, name: str) -> student.AdaptersResponse:
        return await self.call("DELETE", f"/v1/adapters/{name}", student.AdaptersResponse)

    async def promote(self, request: student.DefaultAdapterRequest) -> student.AdaptersResponse:
        return await self.call("PUT", "/v1/adapters/default", student.AdaptersResponse, request)


class RetrieverClient(ServiceClient):
    name = "retriever"

    async def index(self, request: retriever.IndexRequest) -> retriever.IndexResponse:
        return await self.call("PUT", "/v1/indexes", retriever.IndexResponse, request)

    async def search(self, request: retriever.SearchRequest) -> retriever.SearchResponse:
        return await self.call("POST", "/v1/search", retriever.SearchResponse, request)

    async def multihop(self, request: retriever.MultihopRequest) -> retriever.MultihopResponse:
        return await self.call("POST", "/v1/search/multihop", retriever.MultihopResponse, request)


class TrainerClient(ServiceClient):
    name = "trainer"

    async def submit(self, request: trainer.TrainRequest) -> trainer.Job:
        return await self.call("POST", "/v1/jobs", trainer.Job, request)

    async def job(self, job_id: str) -> trainer.Job:
        return await self.call("GET", f"/v1/jobs/{job_id}", trainer.Job)

    async def events(self, job_id: str, after_step: int = 0) -> AsyncIterator[trainer_jobs.JobEvent]:
        """The job as it is and after every change, until it is over; each loss comes once, from the step after `after_step` on.

        Raises the service's own error, and UpstreamUnavailable when the connection ends before the job: go on from the last step seen.
        """
        path = f"/v1/jobs/{job_id}/events"
        try:
            async with self._http.stream("GET", path, headers={"last-event-id": str(after_step)}) as answer:
                if answer.is_error:
                    await answer.aread()
                    raise error_of(answer, self.name)
                async for name, data in read_events(answer.aiter_lines()):
                    if name == "error":
                        raise error_of(httpx.Response(500, text=data), self.name)
                    event = trainer_jobs.JobEvent.model_validate_json(data)
                    yield event
                    if event.over:
                        return
        except httpx.HTTPError as error:
            raise errors.UpstreamUnavailable(f"{self.name} ended {path}: {error or type(error).__name__}; ask again") from error
        raise errors.UpstreamUnavailable(f"{self.name} ended {path} before the job; ask again")

    async def submit_merge(self, job_id: str) -> trainer_jobs.Merge:
        return await self.call("POST", f"/v1/jobs/{job_id}/merge", trainer_jobs.Merge)

    async def merge(self, job_id: str) -> trainer_jobs.Merge:
        return await self.call("GET", f"/v1/jobs/{job_id}/merge", trainer_jobs.Merge)


class EvaluatorClient(ServiceClient):
    name = "evaluator"

    async def submit(self, request: evaluator.ScoreRequest) -> evaluator.ScoreJob:
        return await self.call("POST", "/v1/scores", evaluator.ScoreJob, request)

    async def job(self, job_id: str) -> evaluator.ScoreJob:
        return await self.call("GET", f"/v1/scores/{job_id}", evaluator.ScoreJob)

    async def leaderboard(self, task: str = "") -> evaluator.Leaderboard:
        """All scored runs, or those of one task."""
        return await self.call("GET", f"/v1/leaderboard?{urlencode({'task': task})}", evaluator.Leaderboard)

    async def report(self, request: evaluator.ReportRequest) -> evaluator.ReportResponse:
        return await self.call("POST", "/v1/reports", evaluator.ReportResponse, request)
