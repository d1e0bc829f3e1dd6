"""The requests of a batch: each checked, and those that must be bought brought to the lines of the upstream's file."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from askback.contracts.errors import InvalidInput
from services.teacher.answers.cache import AnswerStore, RecentAnswers
from services.teacher.answers.provenance import provenance_of
from services.teacher.batch.rows import BatchRow, BatchRows
from services.teacher.batch.upstream import BatchOffer
from services.teacher.config import ACTIVE_ALIAS
from services.teacher.money.ledger import picodollars
from services.teacher.money.prices import BATCH_FACTOR
from services.teacher.request.asked import Asked, read_request
from services.teacher.request.canonical import request_key
from services.teacher.upstream.order import order_of

# Both limits: https://platform.openai.com/docs/api-reference/batch/create, input_file_id.
MAX_REQUESTS = 50_000
MAX_FILE_BYTES = 200_000_000
_AT_A_TIME = 50  # some milliseconds of work, after which other requests get their turn


@dataclass
class Ordered:
    """A batch's requests by what becomes of them."""

    rows: list[BatchRow] = field(default_factory=list)
    """Those that must be bought."""
    bound: int = 0
    """The most that those can cost, in 1e-12 dollars."""
    cached: int = 0
    duplicates: int = 0


class BatchOrders:
    """Reads requests against what is answered and what is under way."""

    def __init__(self, store: AnswerStore, recent: RecentAnswers, rows: BatchRows) -> None:
        self._store, self._recent, self._rows = store, recent, rows

    async def read(self, requests: Sequence[dict[str, Any]], offer: BatchOffer) -> Ordered:
        """What to buy of `requests`.

        Raises InvalidInput naming `requests[i]` and the field, or the upstream's limit that is passed, and BudgetExceeded when
        the price is not known.
        """
        if not 0 < len(requests) <= MAX_REQUESTS:
            raise InvalidInput(f"requests: there are {len(requests)}, and a batch takes from 1 to {MAX_REQUESTS:,}; send several batches")
        ordered, keys, size = Ordered(), set[str](), 0
        for start in range(0, len(requests), _AT_A_TIME):
            read = [_read(number, requests[number], offer) for number in range(start, min(start + _AT_A_TIME, len(requests)))]
            answered, busy = await self._answered([key for _, key, _ in read]), self._rows.under_way([key for _, key, _ in read])
            for number, key, asked in read:
                if key in answered:
                    ordered.cached += 1
                elif key in busy or key in keys:
                    ordered.duplicates += 1
                else:
                    keys.add(key)
                    ordered.rows.append(_row(number, key, asked, offer))
                    ordered.bound += picodollars(ordered.rows[-1].usd)
                    size += len(ordered.rows[-1].line)
            if size > MAX_FILE_BYTES:
                raise InvalidInput(
                    f"requests: together they are larger than the {MAX_FILE_BYTES:,} bytes that a batch may have; send several batches"
                )
            await asyncio.sleep(0)
        return ordered

    async def _answered(self, keys: Sequence[str]) -> set[str]:
        unknown = [key for key in dict.fromkeys(keys) if self._recent.find(key) is None]
        found = await asyncio.gather(*(self._store.find(key) for key in unknown))
        return set(keys) - {key for key, completion in zip(unknown, found, strict=True) if completion is None}


def _read(number: int, request: dict[str, Any], offer: BatchOffer) -> tuple[int, str, Asked]:
    """(number, key, request); raises InvalidInput."""
    try:
        asked = read_request(orjson.dumps(request))
    except (InvalidInput, orjson.JSONEncodeError) as error:
        raise InvalidInput(f"requests[{number}]: {error}") from None
    if asked.model not in (ACTIVE_ALIAS, offer.spec.name):
        raise InvalidInput(f"requests[{number}]: model: is {asked.model[:80]!r}, and the batch is for {offer.spec.name!r}; leave it out")
    return number, request_key(offer.spec.name, offer.spec.model, asked.meaning), asked


def _row(number: int, key: str, asked: Asked, offer: BatchOffer) -> BatchRow:
    try:
        order = order_of(asked, offer.spec, offer.price, stream=False)
    except InvalidInput as error:
        raise InvalidInput(f"requests[{number}]: {error}") from None
    line = b'{"custom_id":"%s","method":"POST","url":"/v1/chat/completions","body":%s}\n' % (custom_id(number).encode(), order.body)
    return BatchRow(number, key, order.usd * BATCH_FACTOR, provenance_of(asked, offer.spec.name), line)


def custom_id(number: int) -> str:
    """The name of the request with this number in files to and from the upstream."""
    return f"request-{number}"


def number_of(name: Any) -> int | None:
    """The number in a name that `custom_id` made; None for any other."""
    digits = name.removeprefix("request-") if isinstance(name, str) else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else None
