"""What an estimate says: tokens and dollars by what they are for, and from what they were told."""

from collections.abc import Iterable

from pydantic import Field

from askback.contracts.records import Record
from askback.contracts.teacher import PriceResponse


class Amount(Record):
    """Calls with their tokens and dollars. Dollars are null where the price is not known, and where no batches are offered."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    online_usd: float | None = 0.0
    batch_usd: float | None = 0.0
    other_online_usd: float | None = 0.0
    """The same tokens at the other model's price; 0 without one."""
    other_batch_usd: float | None = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @classmethod
    def of(cls, amounts: Iterable["Amount"]) -> "Amount":
        """Their sum; a sum with an unknown part is unknown. What cannot go in a batch is in the batches' sum at its online price."""
        listed = list(amounts)
        plain = {name: _sum([getattr(amount, name) for amount in listed]) for name in cls.model_fields}
        batches = {kind: _batches(listed, f"{kind}batch_usd", f"{kind}online_usd") for kind in ("", "other_")}
        return cls.model_validate(plain | {f"{kind}batch_usd": dollars for kind, dollars in batches.items()})


def _batches(amounts: list[Amount], batch: str, online: str) -> float | None:
    """None where no part can go in a batch."""
    if amounts and all(getattr(amount, batch) is None for amount in amounts):
        return None
    return _sum([getattr(amount, online) if getattr(amount, batch) is None else getattr(amount, batch) for amount in amounts])


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


class Item(Record):
    """One thing that is paid for."""

    name: str
    whole: Amount
    """As if nothing were there."""
    left: Amount
    """Without what the run has done and what the teacher has in its cache."""


class StudentItem(Record):
    """What the student reads and writes on this machine, at no cost."""

    name: str
    calls: int
    prompt_tokens: int
    completion_tokens: int


class PlanLine(Record):
    """One of the plan's settings. Its tokens a row are prompt and completion together."""

    name: str
    rows: int
    tokens_a_row: int
    prompt_share: float
    here_online_usd: float | None
    """At the price of this estimate."""
    here_batch_usd: float | None
    gpt4_online_usd: float
    """At the price that the plan was written with."""
    gpt4_batch_usd: float


class Comparison(Record):
    """What was estimated before anything ran, with stand-ins for every draft, and what was then counted, over the same replies."""

    replies: int
    estimated_prompt_tokens: int
    counted_prompt_tokens: int
    estimated_completion_tokens: int
    counted_completion_tokens: int
    billed_prompt_tokens: int
    """As the backend told them; 0 for backends that tell none."""
    billed_completion_tokens: int
    billed_usd: float
    """Answers from the cache cost nothing again."""

    @property
    def difference(self) -> float:
        """By what share of the counted tokens the estimate is too high; negative where it is too low."""
        counted = self.counted_prompt_tokens + self.counted_completion_tokens
        return (self.estimated_prompt_tokens + self.estimated_completion_tokens - counted) / counted if counted else 0.0


class Estimate(Record):
    """Tokens and dollars of a run before anything is spent."""

    name: str
    task: str
    teacher: str
    """Backend that answers, in the harvest and at test time."""
    rows: int = 0
    dev_rows: int = 0
    held_out_rows: int = 0
    """Rows of train that the run chooses by."""
    price: PriceResponse
    """Of that backend."""
    other_price: PriceResponse | None
    """Of another model at OpenAI's address."""
    items: list[Item]
    total: Item
    student: list[StudentItem] = Field(default_factory=list)
    counted_by: str = ""
    """What counted the teacher's tokens."""
    student_counted_by: str = ""
    drafts: dict[str, int] = Field(default_factory=dict)
    """How many drafts came from where."""
    replies: dict[str, int] = Field(default_factory=dict)
    """How many completion lengths came from where."""
    done: int
    """Replies of the teacher that the run has already."""
    repeated: int
    """Test questions that an earlier condition with the same adapter asks, word for word."""
    cached: int | None
    """Exact prompts that the teacher has in its cache; null where answers are recorded and cost nothing."""
    plan: list[PlanLine] = Field(default_factory=list)
    comparison: Comparison | None = None
    notes: list[str] = Field(default_factory=list)

    @property
    def spending_price(self) -> PriceResponse:
        """What the plan's settings are priced at: the backend's price, or the other model's where the backend is free."""
        free = not self.price.prompt_usd_per_million and self.price.prompt_usd_per_million is not None
        return self.other_price if free and self.other_price else self.price

    def as_text(self) -> str:
        """A plain table, columns aligned."""
        from askback.loop.estimate.table import text_of

        return text_of(self)
