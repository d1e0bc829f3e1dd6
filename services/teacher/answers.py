"""Paid answers: the cache and the ledger, written together so that no answer is kept without its price or the other way round."""

import time
from dataclasses import replace

from askback.contracts.records import Record
from services.teacher.backend import Completion
from services.teacher.database import Database


class BackendUsage(Record):
    """What a backend's paid calls came to. Cached answers cost nothing and are not counted."""

    backend: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


class UsageResponse(Record):
    total: BackendUsage
    backends: list[BackendUsage]


class PaidAnswers:
    """Answers by request key, and one ledger row per paid call."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, key: str) -> Completion | None:
        """The kept answer, now free of charge."""
        rows = self._database.read("SELECT text, model, prompt_tokens, completion_tokens FROM answers WHERE key = ?", (key,))
        return Completion(*rows[0]) if rows else None

    def keep(self, key: str, backend: str, completion: Completion) -> None:
        """Book the call, and keep the answer unless it has a problem. Durable on return; blocks for an fsync."""
        now = time.time()
        used = (completion.prompt_tokens, completion.completion_tokens)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO ledger (created_at, backend, model, key, prompt_tokens, completion_tokens, cost_usd, problem)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (now, backend, completion.model, key, *used, completion.cost_usd, completion.problem),
            )
            if not completion.problem:
                connection.execute(
                    "INSERT OR REPLACE INTO answers (key, backend, model, text, prompt_tokens, completion_tokens, created_at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (key, backend, completion.model, completion.text, *used, now),
                )

    def usage(self) -> UsageResponse:
        """Totals of the ledger by backend."""
        rows = self._database.read(
            "SELECT backend, count(*), sum(prompt_tokens), sum(completion_tokens), sum(cost_usd) FROM ledger GROUP BY backend ORDER BY backend"
        )
        backends = [BackendUsage(backend=b, calls=n, prompt_tokens=p, completion_tokens=c, cost_usd=usd) for b, n, p, c, usd in rows]
        total = BackendUsage(
            backend="total",
            calls=sum(row.calls for row in backends),
            prompt_tokens=sum(row.prompt_tokens for row in backends),
            completion_tokens=sum(row.completion_tokens for row in backends),
            cost_usd=sum(row.cost_usd for row in backends),
        )
        return UsageResponse(total=total, backends=backends)


def free(completion: Completion) -> Completion:
    """The same answer for one who did not pay for it."""
    return replace(completion, cost_usd=0.0)
