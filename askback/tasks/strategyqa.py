"""StrategyQA (Geva et al. 2021): yes/no questions whose reasoning steps are implicit."""

import re
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Sample
from askback.tasks.task import Task

_YES_NO = re.compile(r"\b(yes|no|true|false)\b", re.IGNORECASE)
_MARKED = re.compile(r"answer(?:\s+is|\s*:)\s*(?:(?:most )?(?:likely|probably)\s+)?\W*(yes|no|true|false)\b", re.IGNORECASE)
_CANONICAL = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}


class StrategyQA(Task):
    name = "strategyqa"
    choices = ("yes", "no")
    hub_dataset = ("tasksource/strategy-qa", None)
    local_file_hint = "train.jsonl and dev.jsonl"
    answer_tokens = 4

    def local_file(self, data: Path, split: str) -> Path:
        return data / f"{split}.jsonl"

    def read(self, row: Any) -> Sample:
        for field in ("qid", "question", "answer"):
            if not isinstance(row, dict) or field not in row:
                raise InvalidInput(f"field `{field}` is missing; StrategyQA rows have qid, question and answer")
        if not isinstance(row["answer"], bool):
            raise InvalidInput(f"field `answer` is {row['answer']!r}; it must be true or false")
        for field in ("qid", "question"):
            if not isinstance(row[field], str) or not row[field].strip():
                raise InvalidInput(f"field `{field}` is {row[field]!r}; it must be a text that is not empty")
        return Sample(
            id=row["qid"],
            task=self.name,
            question=row["question"].strip(),
            answer="yes" if row["answer"] else "no",
            facts=_texts(row, "facts"),
            decomposition=_texts(row, "decomposition"),
        )

    def parse_answer(self, text: str) -> str | None:
        """An answer behind `answer:` or `answer is`, else a text that opens with yes or no."""
        marked = _MARKED.findall(text)
        if marked:
            return _CANONICAL[marked[-1].lower()]
        opening = _YES_NO.match(text.strip().lstrip("*\"' "))
        return _CANONICAL[opening[1].lower()] if opening else None

    def is_correct(self, answer: str | None, sample: Sample) -> bool:
        return answer == sample.answer

    def render_gold(self, sample: Sample) -> str:
        if not sample.facts:
            raise InvalidInput(f"row {sample.id} has no `facts`, so the gold teacher has nothing to answer with")
        facts = sample.facts
        questions = (sample.decomposition + ["What else is known?"] * len(facts))[: len(facts)]
        steps = [f"Q{i}. {question}\n{fact}" for i, (question, fact) in enumerate(zip(questions, facts, strict=True), 1)]
        return "\n".join([*steps, f"Final answer: {sample.question}", f"The answer is {sample.answer}."])


def _texts(row: dict[str, Any], field: str) -> list[str]:
    """A list of texts; the hub's copy stores `facts` as one text."""
    value = row.get(field) or []
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise InvalidInput(f"field `{field}` must be a list of texts")
    return value
