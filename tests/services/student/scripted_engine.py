"""An engine that answers from rules, keeps count, and can forget its adapters as a restarted one does."""

import math
from collections.abc import Callable, Sequence

from askback.contracts.errors import NotFound
from askback.contracts.records import Message, Usage
from services.student.engine import Generation, Sampling

QUESTIONS = "1. What is the Amazon?\n2. Where does it flow?"


class ScriptedEngine:
    def __init__(self, p_yes: Callable[[str, str], float] = lambda model, text: 0.7, free_text: str = "It is so.\nThe answer is yes") -> None:
        self._p_yes = p_yes
        self.free_text = free_text
        self.questions = QUESTIONS
        self.question_of: Callable[[str], str] = lambda regex: self.questions
        """The text of one who must write what fits `regex`."""
        self.served = {"student-base"}
        self.paths: dict[str, str] = {}
        self.calls: list[tuple[str, list[Message], Sampling]] = []

    async def generate(self, model: str, messages: Sequence[Message], sampling: Sampling) -> Generation:
        if model not in self.served:
            raise NotFound(f"The model `{model}` does not exist.")
        self.calls.append((model, list(messages), sampling))
        usage = Usage(prompt_tokens=10, completion_tokens=2, latency_s=0.5)
        if sampling.choices:
            p = self._p_yes(model, messages[-1].content)
            logprobs = {"yes": math.log(p * 0.9), "no": math.log((1 - p) * 0.9), "y": math.log(0.1)}
            return Generation(text="yes" if p > 0.5 else "no", usage=usage, first_token=logprobs)
        return Generation(text=self.question_of(sampling.regex) if sampling.regex else self.free_text, usage=usage)

    async def load(self, name: str, path: str) -> None:
        self.served.add(name)
        self.paths[name] = path

    async def unload(self, name: str) -> None:
        self.served.discard(name)

    async def healthy(self) -> bool:
        return True

    def restart(self) -> None:
        self.served = {"student-base"}
