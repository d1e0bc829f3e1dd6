"""Schemas of the teacher service. Chat requests and answers follow OpenAI's chat completions API."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from askback.contracts.records import Message, Record, Usage


class ChatRequest(BaseModel):
    """An OpenAI chat completion request. Unknown fields are passed on to the backend as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str = "teacher"
    """Backend to use; `teacher` means the active one."""
    messages: list[Message] = Field(min_length=1)
    metadata: dict[str, str] = Field(default_factory=dict)
    """`question_id` lets recorded backends find an answer; never sent upstream."""


class ChatReply(Record):
    """A chat completion as the client returns it: the text and where it came from."""

    text: str
    model: str
    backend: str
    cache: str
    """`hit`, `miss` or `coalesced`."""
    request_hash: str
    usage: Usage
    """What this very request took: no dollars for an answer out of the cache."""
    answer_usd: float = 0.0
    """What the answer cost when it was bought."""


class Recording(Record):
    """A recorded answer to a question."""

    question_id: str
    question: str
    completion: str
    model: str = "recorded"
    sample_index: int = 0
    """Position among several recorded answers to one question."""
    request_hash: str = ""
    """Hash of the request that it answered, where known; an equal request finds it whatever question it asks."""


class RecordingsRequest(Record):
    """Recorded answers for a backend of kind `replay` or `gold`; an equal key is overwritten."""

    backend: str
    recordings: list[Recording]


class RecordingsResponse(Record):
    stored: int


class Backend(Record):
    """A configured backend, without its key."""

    name: str
    kind: str
    model: str
    fallback: list[str]
    active: bool
    missing: str = ""
    """What keeps the backend from answering, such as a key that is not set; empty when it can be asked."""


class BackendsResponse(Record):
    backends: list[Backend]


class ActiveBackendRequest(Record):
    name: str


class BudgetRequest(Record):
    """A new limit for a budget."""

    limit_usd: float | None = Field(ge=0, le=1e9, allow_inf_nan=False)
    """Dollars that may be spent in all, those spent already included; null lifts the limit."""


class BudgetState(Record):
    """A budget in dollars. `spent_usd` + `reserved_usd` never passes `limit_usd`, unless the limit was lowered below it."""

    name: str
    """`total`, or `run:` and the run's id."""
    limit_usd: float | None
    """None: no limit."""
    spent_usd: float
    reserved_usd: float
    """What calls under way could cost at most."""


class PriceResponse(Record):
    """What tokens cost in calls of a given prompt size. Dollars are null where the price is not known."""

    backend: str
    """The backend that was asked for; empty for the price of a model at OpenAI's own address."""
    model: str
    prompt_usd_per_million: float | None
    """What is charged for each call as such is spread over its prompt."""
    completion_usd_per_million: float | None
    batch_factor: float | None
    """What a batch costs of that, such as 0.5; null where no batches are offered."""


class CachedRequest(Record):
    """Which of these requests would be answered without a purchase?"""

    model: str = "teacher"
    """Backend to ask; `teacher` means the active one. Its fallbacks do not count."""
    requests: list[dict[str, Any]] = Field(max_length=1000)
    """Bodies as for /v1/chat/completions; their own `model` is not read."""


class CachedResponse(Record):
    cached: list[bool]
    """For each request in order, whether its answer is in the cache, or recorded for a backend of kind `replay` or `gold`."""


class UsageRow(Record):
    """What a set of upstream calls came to. Cached and recorded answers make no call and are not counted."""

    name: str
    """What the calls share: a run, a backend, a model, a UTC date such as 2026-03-31, or `total`."""
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    estimated_usd: float
    """The part of `cost_usd` booked at its upper bound, since it is unknown what the calls cost."""


class UsageResponse(Record):
    """The ledger, summed up in five ways; each list is sorted by name."""

    total: UsageRow
    by_run: list[UsageRow]
    by_backend: list[UsageRow]
    by_model: list[UsageRow]
    by_day: list[UsageRow]
    budgets: list[BudgetState]


class BatchRequest(Record):
    """Chat completion requests that may wait for a day and cost half."""

    backend: str = "teacher"
    """Name of a backend that offers batches; `teacher` means the active one."""
    requests: list[dict[str, Any]]
    """Bodies as for /v1/chat/completions; `model` may be left out, and `stream` is ignored."""
    run: str = ""
    """The run that pays; empty for none."""


class BatchError(Record):
    """One kind of failure in a batch."""

    kind: str
    """The upstream's error code, or `status` and its number."""
    count: int
    example: str
    """The first failure of this kind."""


BatchStatus = Literal["created", "uploaded", "submitted", "fetching", "completed", "failed", "expired", "cancelled"]


class BatchState(Record):
    """A batch. In the last four statuses it is over: every answer that it brought is in the cache and paid for."""

    id: str
    backend: str
    model: str
    run: str
    status: BatchStatus
    cancel_requested: bool = False
    requests: int
    """`cached` + `duplicates` + `sent`."""
    cached: int
    """Had an answer already."""
    duplicates: int
    """Stand twice in this batch, or are under way in another one."""
    sent: int
    """Bought here. When the batch is over: `answered` + `unusable` + `failed` + `unanswered`."""
    answered: int
    unusable: int
    """Answered with what cannot be used, such as a text cut off at its token limit; paid for and not kept."""
    failed: int
    """Refused by the upstream, at no cost."""
    unanswered: int
    """Left without a word when the batch ended early."""
    cost_usd: float
    """Booked so far."""
    errors: list[BatchError]
    """Failures by kind, the most frequent first."""
    problem: str = ""
    """What keeps the batch from going on, such as an upstream that cannot be reached; empty when nothing does."""
    created_at: float
    """Unix time in seconds."""
    finished_at: float | None = None


class BatchesResponse(Record):
    """All batches, the newest first."""

    batches: list[BatchState]
