"""Answers in Redis, for several teachers that share what was paid for."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import orjson
import redis
import redis.asyncio
from redis.exceptions import RedisError

from askback.contracts.errors import InvalidInput, ServiceError
from services.teacher.answers.cache import Provenance
from services.teacher.answers.completion import Completion

_PREFIX = "askback:teacher:answer:"


class RedisAnswers:
    """An AnswerStore. As durable as the Redis server is: give it an append-only file, and no eviction."""

    def __init__(self, url: str) -> None:
        """`url` such as `redis://127.0.0.1:6379/2`; raises InvalidInput for another form, without repeating it (it may hold a password)."""
        self._url = url
        try:
            self._redis = redis.asyncio.Redis.from_url(url)
        except ValueError as error:
            raise InvalidInput("TEACHER_CACHE_URL: must be an address such as redis://127.0.0.1:6379/2") from error

    async def find(self, key: str) -> Completion | None:
        """Raises ServiceError when Redis cannot be read: to take that for a miss would pay for what is there."""
        try:
            found: Any = await self._redis.get(_PREFIX + key)
        except RedisError as error:
            raise _unusable("read", error) from error
        return _unpack(found)[0] if found else None

    def keep(self, key: str, completion: Completion, provenance: Provenance) -> asyncio.Task[None]:
        return asyncio.create_task(self._keep(key, completion, provenance))

    async def _keep(self, key: str, completion: Completion, provenance: Provenance) -> None:
        fields = {name: value for name, value in asdict(completion).items() if name != "body"}
        head = orjson.dumps({"completion": fields, "provenance": asdict(provenance)})
        try:
            await self._redis.set(_PREFIX + key, head + b"\n" + completion.body)
        except RedisError as error:
            raise _unusable("written", error) from error

    def all(self, backend: str) -> Iterator[tuple[Completion, Provenance]]:
        """In Redis's own order; a connection of its own, since this blocks and runs in a thread."""
        with redis.Redis.from_url(self._url) as connection:
            for key in connection.scan_iter(match=_PREFIX + "*", count=1000):
                found: Any = connection.get(key)
                if found and (entry := _unpack(found))[1].backend == backend:
                    yield entry

    async def close(self) -> None:
        await self._redis.aclose()


def _unpack(value: bytes) -> tuple[Completion, Provenance]:
    head, _, body = value.partition(b"\n")
    fields = orjson.loads(head)
    return Completion(body=body, **fields["completion"]), Provenance(**fields["provenance"])


def _unusable(what: str, error: Exception) -> ServiceError:
    return ServiceError(f"the cache in Redis cannot be {what}: {error}; see TEACHER_CACHE_URL")
