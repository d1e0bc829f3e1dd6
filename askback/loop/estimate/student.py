"""What the student reads and writes: drafts, rewrites and its test. It runs on this machine and costs no dollars."""

from collections.abc import Sequence
from dataclasses import dataclass

from askback.contracts.records import Condition, Message
from askback.loop.config import RunConfig
from askback.loop.estimate.expected import Expected
from askback.loop.estimate.result import StudentItem
from askback.loop.evaluate import seen
from askback.loop.tokenizers_counter import TokenCounter, conversation_tokens
from askback.tasks import Task
from askback.tasks.dialogue import pair
from askback.tasks.task import numbered

_REASONING_TOKENS = 160  # where the student's reasoning is cut off

Turn = tuple[list[Message], str]
"""A prompt and the text that is expected behind it."""


@dataclass(frozen=True)
class Student:
    """Counts the student's turns."""

    config: RunConfig
    task: Task
    counter: TokenCounter

    def items(self, train: Sequence[Expected], dev: Sequence[Expected], held_out: Sequence[Expected] = ()) -> list[StudentItem]:
        """Harvest, choice where rows are held out, and test; choice and test are one item each over all conditions."""
        names = ("draft", "rewrite", "choose", "test") if held_out else ("draft", "rewrite", "test")
        sums = {name: StudentItem(name=name, calls=0, prompt_tokens=0, completion_tokens=0) for name in names}
        # All turns of one question in a row, since they share its passages, whose count the counter still has at hand.
        for one in train:
            sums["draft"] = self._add(sums["draft"], self._draft(one))
            sums["rewrite"] = self._add(sums["rewrite"], self._rewrite(one))
        for name, rows, conditions in (("choose", held_out, self.config.deciding), ("test", dev, self.config.evaluate.conditions)):
            for one in rows:
                sums[name] = self._add(sums[name], [turn for condition in conditions for turn in self._tested(condition, one)])
        return list(sums.values())

    def _add(self, item: StudentItem, turns: Sequence[Turn]) -> StudentItem:
        most = _REASONING_TOKENS + self.task.answer_tokens
        return StudentItem(
            name=item.name,
            calls=item.calls + len(turns),
            prompt_tokens=item.prompt_tokens + sum(conversation_tokens(self.counter, messages) for messages, _ in turns),
            completion_tokens=item.completion_tokens + sum(min(self.counter.count(text), most) for _, text in turns),
        )

    def _draft(self, one: Expected) -> list[Turn]:
        sample, most = one.sample, self.config.harvest.max_questions
        asking = self.task.prompt("clarify", sample.question, passages=sample.passages, max_questions=most)
        return [(self.task.prompt("direct", sample.question, passages=sample.passages), one.draft.answer), (asking, numbered(one.draft.questions))]

    def _rewrite(self, one: Expected) -> list[Turn]:
        sample = one.sample
        exchanges = pair(one.draft.questions, one.answers(self.task))
        return [(self.task.prompt("rewrite", sample.question, passages=sample.passages, exchanges=exchanges), self._answer(one))]

    def _tested(self, condition: Condition, one: Expected) -> list[Turn]:
        sample, thought = seen(condition, one.sample), " ".join(one.answers(self.task))
        if condition.mode in ("assisted", "tutored"):
            return self._draft(one) + self._rewrite(one)
        if condition.mode == "context":
            final = self.task.prompt("context", sample.question, passages=sample.passages, thought=thought)
            return [*self._draft(one), (final, self._answer(one))]
        role = self.task.cot_role(self.config.cot_of(condition.adapter)) if condition.mode == "cot" else "direct"
        written = thought + self._answer(one) if role in ("cot", "cot-answer-first") else self._answer(one)
        return [(self.task.prompt(role, sample.question, passages=sample.passages), written)]

    def _answer(self, one: Expected) -> str:
        return self.task.final_answer(one.sample.answer, one.sample)
