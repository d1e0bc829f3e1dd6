"""Rows that the trainer's tests train on."""

from collections.abc import Callable
from typing import Any

Writer = Callable[..., str]
"""Writes rows into a run and returns the path relative to it."""


def sft_row(number: int) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": f"Is {number} even?"}],
        "completion": [{"role": "assistant", "content": "no" if number % 2 else "yes"}],
        "sample_id": f"s{number}",
        "label": "no" if number % 2 else "yes",
    }


def dpo_row(number: int) -> dict[str, Any]:
    row = sft_row(number)
    right = row.pop("completion")
    wrong = [{"role": "assistant", "content": "yes" if number % 2 else "no"}]
    return {**row, "chosen": right, "rejected": wrong}
