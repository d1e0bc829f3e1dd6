"""What a benchmark task is: how it is loaded, prompted, parsed and judged.

The prompts of training and test time come from the same method, `Task.prompt`, so that they cannot drift apart.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Draft, Exchange, Message, Passage, Sample, TeacherReply
from askback.tasks import prompts, teacher_text

COT_ROLES = {"rationale-first": "cot", "answer-first": "cot-answer-first", "multitask": "label"}
"""By form of the track `cot`: the role whose prompt a student of that form is trained on and asked with."""


class Task(ABC):
    """A benchmark. A new task is one module with a subclass, and one folder of prompts."""

    name: str
    choices: tuple[str, ...] = ()
    """The closed set of answers; empty for free answers."""
    hub_dataset: tuple[str, str | None]
    """Dataset on the hub and its configuration, used when no local files are given."""
    local_file_hint: str
    """The official files' names, for messages."""
    answer_tokens: int
    """Tokens that an answer may take in modes without reasoning."""
    hops: int = 1
    """How many pages a question is about, one found through the other: 2 has the retriever look for both."""

    @abstractmethod
    def read(self, row: object) -> Sample:
        """One official row as a Sample; raises InvalidInput naming the field that is wrong."""

    @abstractmethod
    def local_file(self, data: Path, split: str) -> Path:
        """Where the official files keep `split` (`train` or `dev`) under the folder `data`."""

    @abstractmethod
    def parse_answer(self, text: str) -> str | None:
        """The answer in a student's text, in canonical form; None when there is none."""

    @abstractmethod
    def is_correct(self, answer: str | None, sample: Sample) -> bool:
        """Whether `answer` equals the gold answer by the benchmark's own rule."""

    @abstractmethod
    def render_gold(self, sample: Sample) -> str:
        """The dataset's annotations as a teacher's reply: the upper bound of what answers can give."""

    def supporting_facts(self, text: str) -> list[tuple[str, int]]:
        """(title, sentence index) pairs named in a student's text; empty for tasks without them."""
        return []

    def final_answer(self, answer: str, sample: Sample) -> str:
        """`answer` as the student shall write it."""
        return answer

    def prompt(
        self,
        role: str,
        question: str,
        *,
        passages: Sequence[Passage] = (),
        thought: str = "",
        exchanges: Sequence[Exchange] = (),
        draft: Draft | None = None,
        max_questions: int = 2,
    ) -> list[Message]:
        """The chat messages of one role: `direct`, `cot`, `cot-answer-first`, `label`, `rationale`, `context`, `clarify`, `rewrite` or `teacher`.

        `rewrite` continues the dialogue: the clarify prompt, the student's questions, then their answers.
        """
        fields = {"question": question, "thought": thought, "max_questions": "1 or 2" if max_questions > 1 else "1"}
        fields["passages"] = numbered_passages(passages)
        fields["answers"] = numbered([exchange.answer for exchange in exchanges])
        if draft is not None:
            fields |= {"draft": draft.answer, "questions": numbered(draft.questions)}
        message = Message(role="user", content=prompts.render(self.name, role, fields))
        if role != "rewrite":
            return [message]
        opening = self.prompt("clarify", question, passages=passages, max_questions=max_questions)
        asked = Message(role="assistant", content=numbered([exchange.question for exchange in exchanges]))
        return [*opening, asked, message]

    def cot_role(self, form: str) -> str:
        """The role of `prompt` that mode `cot` reads, in training and at test time; raises InvalidInput for an unknown form."""
        if form not in COT_ROLES:
            raise InvalidInput(f"cot: unknown form {form!r}; known forms: {', '.join(COT_ROLES)}")
        return COT_ROLES[form]

    def parse_teacher(self, text: str) -> TeacherReply:
        """A teacher's text as exchanges, thought and verdict; raises UpstreamRejected when it has no verdict."""
        return teacher_text.parse(text, self.parse_answer)

    def teacher_answers(self, text: str) -> list[str]:
        """What a student may read of a teacher's text at test time; raises UpstreamRejected when that cannot be told."""
        return teacher_text.answers(text, self.parse_answer)

    def teacher_exchanges(self, text: str) -> list[Exchange]:
        """The sub-questions of a teacher's text with their answers, without any verdict; empty where it has none."""
        return teacher_text.exchanges(text, self.parse_answer)

    def prompt_version(self, role: str) -> str:
        """Short hash of the role's prompt file, stored with every row that was made with it."""
        return f"{role}-{sha256(prompts.template(self.name, role).encode()).hexdigest()[:8]}"


def numbered(lines: Sequence[str]) -> str:
    """`1. first` and `2. second` on a line each."""
    return "\n".join(f"{i}. {line}" for i, line in enumerate(lines, 1))


def numbered_passages(passages: Sequence[Passage]) -> str:
    """Passages with their sentences numbered from 0, as HotpotQA counts them."""
    return "\n".join(
        f"{passage.title}: " + " ".join(f"[{i}] {sentence.strip()}" for i, sentence in enumerate(passage.sentences)) for passage in passages
    )
