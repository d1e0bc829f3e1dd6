"""The calls that a run makes to its teacher: the harvest's, second tries, and those of the test."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from askback.contracts.records import Condition, Message
from askback.contracts.student import Resolver
from askback.loop.config import HarvestConfig
from askback.loop.estimate.expected import Expected
from askback.loop.harvest import Row
from askback.loop.harvest.steps import hint_index, hint_messages, teacher_messages
from askback.loop.tiktoken_counter import chat_tokens
from askback.loop.tokenizers_counter import TokenCounter
from askback.tasks import Task

_ASKING_TEACHER = (Resolver.TEACHER, Resolver.TEACHER_NEAREST, Resolver.BOTH)


@dataclass(frozen=True)
class Call:
    """One chat completion."""

    sample_id: str
    prompt: int
    """Tokens."""
    completion: int
    exact: tuple[Message, ...] = ()
    """The prompt where it is known word for word."""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Count:
    """Counts calls."""

    task: Task
    counter: TokenCounter
    mean_completion: int
    """For replies whose length nothing tells."""

    def harvest(self, expected: Sequence[Expected]) -> list[Call]:
        """One call a row."""
        return [self._call(one, teacher_messages(self.task, one.row)) for one in expected]

    def hints(self, expected: Sequence[Expected], config: HarvestConfig) -> list[Call]:
        """Second tries, one for each row whose first verdict is expected to differ from gold."""
        wrong = [one for one in expected if one.disagrees(self.task)]
        return [self._call(one, hint_messages(self.task, one.row), sample_index=hint_index(config)) for one in wrong]

    def more(self, expected: Sequence[Expected], number: int) -> list[Call]:
        """The `number`th further replies, one a row, as long as the first."""
        return [self._call(one, teacher_messages(self.task, one.row), sample_index=str(number)) for one in expected]

    def counted(self, row: Row) -> list[Call]:
        """What the teacher was asked and answered in a harvested row; a reply that could not be read left no text to count."""
        asked = {"teacher": teacher_messages(self.task, row), "hint": hint_messages(self.task, row)}
        replies = {str(stage): record.reply for stage, record in row.records.items()}
        return [
            Call(row.sample.id, chat_tokens(self.counter, messages), self.counter.count(reply.text))
            for name, messages in asked.items()
            if (reply := replies.get(name)) is not None
        ]

    def _call(self, one: Expected, messages: Sequence[Message], **metadata: str) -> Call:
        completion = self.mean_completion if one.reply is None else self.counter.count(one.reply)
        exact = tuple(messages) if one.exact else ()
        return Call(one.sample.id, chat_tokens(self.counter, messages), completion, exact, {"question_id": one.sample.id, **metadata})


def mean_completion(expected: Sequence[Expected], counter: TokenCounter, otherwise: int) -> int:
    """Mean tokens of the replies that are known; `otherwise` where none is."""
    known = [counter.count(one.reply) for one in expected if one.reply is not None]
    return round(sum(known) / len(known)) if known else otherwise


def asks_teacher(condition: Condition) -> bool:
    """Whether the teacher is asked once for each test question: for its answers, or for its questions."""
    return condition.mode == "tutored" or (condition.asks and condition.resolver in _ASKING_TEACHER)
