"""The YAML head of a data card, as the Hugging Face hub reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True)
class Licence:
    """A licence by the hub's identifier and by its usual name."""

    id: str
    name: str


def head(data: Mapping[str, Any]) -> str:
    """The card's YAML between `---` lines: one configuration per file with rows, `direct` by default."""
    filled = {name: facts["rows"] for name, facts in data["files"].items() if facts["rows"]}
    lines = [
        "---",
        f"pretty_name: {data['task']} tracks by askback",
        f"license: {data['licence']['id']}",
        "language:",
        "- en",
        "task_categories:",
        "- question-answering",
        "- text-generation",
        "tags:",
        "- askback",
        "- distillation",
        "source_datasets:",
        f"- {data['dataset']}",
        "size_categories:",
        f"- {_size(sum(filled.values()))}",
        *_configurations(filled),
        "---",
        "",
    ]
    return "\n".join(lines)


def _configurations(filled: Mapping[str, int]) -> list[str]:
    lines = ["configs:"] if filled else []
    for name in filled:
        title = name.removesuffix(".jsonl").replace("/", "-")
        lines += [f"- config_name: {title}", f"  data_files: {name}", *(["  default: true"] if title == "direct" else [])]
    return lines


def _size(rows: int) -> str:
    return next((name for limit, name in _SIZES if rows < limit), "n>1M")
