"""The five services as the loop sees them."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from askback.contracts.client import EvaluatorClient, RetrieverClient, StudentClient, TeacherClient, TrainerClient
from askback.contracts.errors import UpstreamUnavailable
from askback.contracts.service_client import ServiceClient


@dataclass(frozen=True)
class Services:
    teacher: TeacherClient
    student: StudentClient
    retriever: RetrieverClient
    trainer: TrainerClient
    evaluator: EvaluatorClient

    def all(self) -> list[ServiceClient]:
        return [self.teacher, self.student, self.retriever, self.trainer, self.evaluator]

    async def check(self) -> None:
        """Raise UpstreamUnavailable naming the services that are not ready."""
        ready = await asyncio.gather(*(client.ready() for client in self.all()))
        missing = [client.name for client, is_ready in zip(self.all(), ready, strict=True) if not is_ready]
        if missing:
            raise UpstreamUnavailable(f"not ready: {', '.join(missing)}; start the services (`make up`, or `make compose-up`)")


async def connect(stack: AsyncExitStack, urls: Mapping[str, str], api_key: str = "") -> Services:
    """Clients for `urls` that carry `api_key`, closed with `stack`."""
    return Services(
        teacher=await stack.enter_async_context(TeacherClient.at(urls["teacher"], api_key=api_key)),
        student=await stack.enter_async_context(StudentClient.at(urls["student"], api_key=api_key)),
        retriever=await stack.enter_async_context(RetrieverClient.at(urls["retriever"], api_key=api_key)),
        trainer=await stack.enter_async_context(TrainerClient.at(urls["trainer"], api_key=api_key)),
        evaluator=await stack.enter_async_context(EvaluatorClient.at(urls["evaluator"], api_key=api_key)),
    )
