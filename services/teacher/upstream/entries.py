"""How a bought answer is booked."""

from services.teacher.answers.completion import Completion
from services.teacher.money.ledger import Entry, Kind


def entry_of(completion: Completion, *, run: str, backend: str, request_hash: str, kind: Kind, estimated: bool, problem: str) -> Entry:
    """The ledger's entry for `completion`; the rest is as in Entry."""
    return Entry(
        created_at=completion.created_at,
        run=run,
        backend=backend,
        model=completion.model,
        request_hash=request_hash,
        kind=kind,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        cost_usd=completion.cost_usd,
        estimated=estimated,
        problem=problem,
    )
