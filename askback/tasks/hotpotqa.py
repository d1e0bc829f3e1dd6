"""HotpotQA (Yang et al. 2018), distractor setting: short answers over two pages, with supporting facts."""

import re
import string
from collections import Counter
from pathlib import Path
from typing import Any

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Passage, Sample
from askback.tasks.shared_words import longest_shared_run, weight
from askback.tasks.task import Task

_EVIDENCE = re.compile(r"^\s*Evidence\s*:\s*(?P<facts>.*)$", re.IGNORECASE | re.MULTILINE)
_FACT = re.compile(r"\s*(?P<title>[^;]+?)\s*\[(?P<index>\d+)\]")
_MARKED = re.compile(r"(?:the answer is|answer\s*:)\s*(?P<answer>[^\n]+)", re.IGNORECASE)


class HotpotQA(Task):
    name = "hotpotqa"
    hub_dataset = ("hotpotqa/hotpot_qa", "distractor")
    local_file_hint = "train.json and dev.json (distractor format)"
    answer_tokens = 64
    hops = 2

    def local_file(self, data: Path, split: str) -> Path:
        for name in (f"{split}.json", f"{split}_distractor.json", f"hotpot_{split}_distractor_v1.json", f"hotpot_{split}_v1.1.json"):
            if (data / name).exists():
                return data / name
        return data / f"{split}.json"

    def read(self, row: Any) -> Sample:
        row = _official(row)
        context = row.get("context") or []
        try:
            passages = [Passage(id=title, title=title, sentences=sentences) for title, sentences in context]
            facts = [(title, index) for title, index in row.get("supporting_facts") or []]
            return Sample(
                id=row["_id"],
                task=self.name,
                question=row["question"].strip(),
                answer=row["answer"],
                facts=_facts(passages, facts),
                passages=passages,
                supporting_facts=facts,
                kind=row.get("type") or "",
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidInput("`context` must list [title, [sentences]] and `supporting_facts` [title, index]; the rest are texts") from error

    def parse_answer(self, text: str) -> str | None:
        text = _EVIDENCE.sub("", text)
        marked = _MARKED.findall(text)
        answer = marked[-1] if marked else next((line for line in text.splitlines() if line.strip()), "")
        return answer.strip().rstrip(".") or None

    def supporting_facts(self, text: str) -> list[tuple[str, int]]:
        match = _EVIDENCE.search(text)
        found = [(fact["title"], int(fact["index"])) for fact in _FACT.finditer(match["facts"])] if match else []
        return list(dict.fromkeys(found))

    def final_answer(self, answer: str, sample: Sample) -> str:
        evidence = "; ".join(f"{title} [{index}]" for title, index in sample.supporting_facts)
        return f"{answer}\nEvidence: {evidence}" if evidence else answer

    def is_correct(self, answer: str | None, sample: Sample) -> bool:
        return answer is not None and normalize_answer(answer) == normalize_answer(sample.answer)

    def render_gold(self, sample: Sample) -> str:
        if not sample.facts:
            raise InvalidInput(f"row {sample.id} has no `supporting_facts` in its `context`, so the gold teacher has nothing to answer with")
        asked: dict[str, list[str]] = {}
        for fact in sample.facts:
            asked.setdefault(_lead(sample, fact), []).append(fact)
        steps = ["\n".join([f"Q{i}. Which page mentions {lead}?", *facts]) for i, (lead, facts) in enumerate(asked.items(), 1)]
        return "\n".join([*steps, f"Final answer: {sample.question}", f"The answer is {sample.answer}."])


def _lead(sample: Sample, fact: str) -> str:
    """What of `sample` leads to `fact`: words that the question and the fact share, else another page that the fact names, else its own.

    A lead that would tell the answer is passed over while there is another.
    """
    titles = sorted({title for title, _ in sample.supporting_facts}, key=len, reverse=True)
    own = next(title for title in titles if fact.startswith(f"{title}: "))
    shared = longest_shared_run(sample.question, fact)
    others = [title for title in titles if title != own and _stands_in(title, fact)]
    wanted = [shared] * (weight(shared) > 1) + others + [own] + [shared] * bool(shared)
    return next((lead for lead in wanted if _stands_in(lead, sample.question) or not _stands_in(sample.answer, lead)), own)


def _stands_in(part: str, text: str) -> bool:
    return f" {normalize_answer(part)} " in f" {normalize_answer(text)} "


def _facts(passages: list[Passage], supporting: list[tuple[str, int]]) -> list[str]:
    """Supporting sentences with their titles; a few official rows point past a paragraph's end, and those give none."""
    sentences = {(passage.title, i): sentence.strip() for passage in passages for i, sentence in enumerate(passage.sentences)}
    return [f"{title}: {sentences[title, index]}" for title, index in supporting if (title, index) in sentences]


def normalize_answer(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces, as the official hotpot_evaluate_v1.py does."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def answer_f1(answer: str | None, gold: str) -> float:
    """Token F1 of the official hotpot_evaluate_v1.py: 0 when one side is yes/no/noanswer and the other differs."""
    left, right = normalize_answer(answer or ""), normalize_answer(gold)
    if left != right and {left, right} & {"yes", "no", "noanswer"}:
        return 0.0
    common = sum((Counter(left.split()) & Counter(right.split())).values())
    if not common:
        return 0.0
    precision, recall = common / len(left.split()), common / len(right.split())
    return 2 * precision * recall / (precision + recall)


def _official(row: Any) -> dict[str, Any]:
    """The official JSON shape; the hub's copy has `id` and columns instead of pairs."""
    if isinstance(row, dict) and "id" in row and isinstance(row.get("context"), dict):
        context, facts = row["context"], row["supporting_facts"]
        row = row | {
            "_id": row["id"],
            "context": list(zip(context["title"], context["sentences"], strict=True)),
            "supporting_facts": list(zip(facts["title"], facts["sent_id"], strict=True)),
        }
    if not isinstance(row, dict):
        raise InvalidInput("the row is not an object")
    for field in ("_id", "question", "answer"):
        if not isinstance(row.get(field), str) or not row[field].strip():
            raise InvalidInput(f"field `{field}` is missing or empty; HotpotQA rows have _id, question, answer, context and supporting_facts")
    return row
