"""Check what TRL really made of the rows, before any step is trained on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import Method
from services.trainer.rows.dataset import REPLIES, Row
from services.trainer.rows.guards import ChatTokenizer, Signal, ends_in_stop

CHECKED = 4096
"""Rows, evenly spread, whose tokens are looked at; more would hold up a large job for minutes. All rows are counted."""
_READ = 1024
_NO_LOSS = -100


class TemplateTokenizer(ChatTokenizer, Protocol):
    """A `ChatTokenizer` over a transformers tokenizer."""

    wrapped: Any


@dataclass
class _Tally:
    max_length: int | None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("rows", "checked", "prompt_tokens", "trained_tokens", "truncated"), 0))
    lines: dict[str, int] = field(default_factory=dict)
    """First line under each count."""

    def add(self, name: str, line: int, count: int = 1) -> None:
        self.counts[name] += count
        self.lines.setdefault(name, line)


def check_trained_rows(trainer: Any, rows: Sequence[Row], tokenizer: TemplateTokenizer, method: Method, signal: Signal) -> dict[str, int]:
    """Hold `trainer.train_dataset` against `rows` and what was measured of them; returns counts for the log.

    Of every row that TRL kept, the prompt's ids must be those that the chat template makes of the prompt at test time, every token of the
    reply and none of the prompt must carry loss, and a stop token must end a reply that was not cut. Raises InvalidInput naming the line.
    """
    tally = _Tally(trainer.args.max_length)
    dataset = trainer.train_dataset
    stride = max(1, -(-len(dataset) // CHECKED))
    look = {Method.SFT: _sft_row, Method.DPO: _dpo_row}[method]
    kept = _kept(dataset, rows, ("prompt", *REPLIES[method]))
    sample: list[tuple[Row, dict[str, Any]]] = []
    for number, pair in enumerate(kept):
        tally.counts["rows"] += 1
        if number % stride == 0:
            sample.append(pair)
        if len(sample) == _READ:
            _look_at(sample, tokenizer, look, tally)
            sample = []
    _look_at(sample, tokenizer, look, tally)
    _check_counts(tally, rows, method, signal)
    return tally.counts


def _kept(dataset: Any, rows: Sequence[Row], names: Sequence[str]) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Each row that TRL kept with what it made of it; TRL keeps the order, so that the rows between were dropped."""
    ahead = iter(rows)
    for start in range(0, len(dataset), _READ):
        columns = dataset[start : start + _READ]
        for at in range(len(columns["prompt"])):
            made = {name: column[at] for name, column in columns.items()}
            row = next((row for row in ahead if row.columns() == {name: made[name] for name in names}), None)
            if row is None:
                raise InvalidInput(f"dataset: TRL's row {start + at + 1} is none of the file's next rows; train without another preparation of them")
            yield row, made


def _look_at(sample: list[tuple[Row, dict[str, Any]]], tokenizer: TemplateTokenizer, look: Any, tally: _Tally) -> None:
    if not sample:
        return
    prompts = [made["prompt"] for _, made in sample]
    expected = tokenizer.wrapped.apply_chat_template(prompts, tokenize=True, add_generation_prompt=True, return_dict=True)["input_ids"]
    for (row, made), prompt_ids in zip(sample, expected, strict=True):
        tally.add("checked", row.line)
        tally.add("prompt_tokens", row.line, len(prompt_ids))
        look(row, made, prompt_ids, tokenizer, tally)


def _sft_row(row: Row, made: dict[str, Any], prompt_ids: list[int], tokenizer: ChatTokenizer, tally: _Tally) -> None:
    ids, labels, start = made["input_ids"], made.get("labels", []), len(prompt_ids)
    _check_prompt(row, ids[:start], prompt_ids)
    if len(labels) != len(ids) or any(label != _NO_LOSS for label in labels[:start]):
        raise InvalidInput(f"dataset:{row.line}: the prompt's tokens carry loss; train with completion_only_loss")
    if not any(label != _NO_LOSS for label in labels):
        raise InvalidInput(f"dataset:{row.line}: no token carries loss; raise max_length or change the row")
    if labels[start:] != ids[start:]:
        raise InvalidInput(f"dataset:{row.line}: a part of completion carries no loss; train without a mask of your own")
    if tally.max_length is not None and len(ids) == tally.max_length and not ends_in_stop(ids[start:], tokenizer):
        tally.add("truncated", row.line)
    else:
        _check_end(row, "completion", ids[start:], tokenizer)
    tally.add("trained_tokens", row.line, len(ids) - start)


def _dpo_row(row: Row, made: dict[str, Any], prompt_ids: list[int], tokenizer: ChatTokenizer, tally: _Tally) -> None:
    _check_prompt(row, made["prompt_ids"], prompt_ids)
    room = None if tally.max_length is None else max(0, tally.max_length - len(prompt_ids))
    replies = [made[f"{name}_ids"] for name in REPLIES[Method.DPO]]
    for name, ids in zip(REPLIES[Method.DPO], replies, strict=True):
        if not ids[:room]:
            raise InvalidInput(f"dataset:{row.line}: no token of {name} carries loss; raise max_length or change the row")
        _check_end(row, name, ids, tokenizer)
        tally.add("trained_tokens", row.line, len(ids[:room]))
    if room is not None and max(map(len, replies)) > room:
        tally.add("truncated", row.line)


def _check_prompt(row: Row, made: list[int], prompt_ids: list[int]) -> None:
    if made != prompt_ids:
        at = next((at for at, (new, old) in enumerate(zip(made, prompt_ids, strict=False)) if new != old), min(len(made), len(prompt_ids)))
        raise InvalidInput(
            f"dataset:{row.line}: prompt: its token {at + 1} in training is not the one that the chat template renders at test time; "
            "use a template that renders the prompt in one way"
        )


def _check_end(row: Row, name: str, ids: list[int], tokenizer: ChatTokenizer) -> None:
    if not ends_in_stop(ids, tokenizer):
        raise InvalidInput(f"dataset:{row.line}: {name}: no stop token at its end carries loss; use a chat template that ends a reply with one")


def _check_counts(tally: _Tally, rows: Sequence[Row], method: Method, signal: Signal) -> None:
    lost = signal.dropped + (signal.masked if method is Method.SFT else 0)
    if tally.counts["rows"] != len(rows) - lost:
        kept = tally.counts["rows"]
        raise InvalidInput(f"dataset: TRL kept {kept} of {len(rows)} rows, and {len(rows) - lost} were counted; raise recipe.max_length")
    if tally.counts["truncated"] > signal.truncated:
        raise InvalidInput(
            f"dataset:{tally.lines['truncated']}: TRL cut {tally.counts['truncated']} replies at {tally.max_length} tokens, and "
            f"{signal.truncated} were counted; raise recipe.max_length"
        )
