"""What TRL really makes of rows, by its own trainers over a tiny random model with the real tokenizer."""

from copy import copy, deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trainer_rows import dpo_row, sft_row

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Message
from askback.contracts.trainer import Method
from services.trainer.rows import guards
from services.trainer.rows.dataset import REPLIES, Row
from services.trainer.rows.trained_rows import check_trained_rows

SMOL = Path(__file__).parents[3] / "var" / "models" / "SmolLM2-135M-Instruct"
pytestmark = pytest.mark.skipif(not (SMOL / "tokenizer.json").is_file(), reason=f"no tokenizer in {SMOL}; `make unit` builds it")

ROOMY = 64


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from services.trainer.model.transformers_model import HubTokenizer

    return HubTokenizer(str(SMOL))


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    """A random Llama of the tokenizer's vocabulary: hidden 16, 1 layer."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    wrapped = tokenizer.wrapped
    special = {"eos_token_id": wrapped.eos_token_id, "pad_token_id": wrapped.pad_token_id, "bos_token_id": wrapped.bos_token_id}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(wrapped), **special, **shape))


def with_template(tokenizer: Any, template: str) -> Any:
    """The tokenizer with another chat template."""
    other = copy(tokenizer)
    other.wrapped = deepcopy(tokenizer.wrapped)
    other.wrapped.chat_template = template
    return other


def rows_of(method: Method, count: int, long: int = 0) -> list[Row]:
    """`count` rows from line 1, of which the last `long` have long replies."""
    made = []
    for number in range(1, count + 1):
        fields = (sft_row if method is Method.SFT else dpo_row)(number)
        replies = {name: [Message(**message) for message in fields[name]] for name in REPLIES[method]}
        if number > count - long:
            replies = {name: [Message(role="assistant", content=f"{said[0].content} as all know" * 4)] for name, said in replies.items()}
        made.append(Row(number, [Message(**message) for message in fields["prompt"]], replies))
    return made


def built(method: Method, model: Any, tokenizer: Any, rows: list[Row], folder: Path, max_length: int, **options: Any) -> Any:
    """TRL's own trainer over `rows`."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    common = {"output_dir": str(folder), "report_to": "none", "use_cpu": True, "bf16": False, "max_length": max_length, **options}
    given = {"train_dataset": Dataset.from_list([row.columns() for row in rows]), "processing_class": tokenizer.wrapped}
    if method is Method.SFT:
        return SFTTrainer(model=deepcopy(model), args=SFTConfig(**common), **given)
    return DPOTrainer(model=deepcopy(model), ref_model=deepcopy(model), args=DPOConfig(**common), **given)


@pytest.mark.parametrize("method", Method)
def test_whole_rows_pass_and_are_counted(method: Method, model: Any, tokenizer: Any, tmp_path: Path) -> None:
    rows = rows_of(method, 5)
    signal = guards.measure(rows, tokenizer, ROOMY)
    counts = check_trained_rows(built(method, model, tokenizer, rows, tmp_path, ROOMY), rows, tokenizer, method, signal)
    assert (counts["rows"], counts["checked"], counts["truncated"]) == (5, 5, 0)
    replies = len(REPLIES[method])
    assert counts["trained_tokens"] == signal.tokens - replies * counts["prompt_tokens"] == 5 * replies * 3  # the word, the stop token, a line break


@pytest.mark.parametrize("method", Method)
def test_rows_that_are_cut_or_dropped_are_those_that_were_counted(method: Method, model: Any, tokenizer: Any, tmp_path: Path) -> None:
    rows = rows_of(method, 4, long=2)
    rows.insert(1, Row(9, [Message(role="user", content="Is it even? " * 20)], rows[0].replies))
    prompt = len(tokenizer.encode(tokenizer.render(rows[0].prompt, generation_prompt=True)))
    length = prompt + 6
    signal = guards.measure(rows, tokenizer, length)
    assert (signal.truncated, signal.dropped, signal.lines) == (2, 1, {"truncated": [3, 4], "dropped": [9]})
    trainer = built(method, model, tokenizer, rows, tmp_path, length)
    counts = check_trained_rows(trainer, rows, tokenizer, method, signal)
    assert (counts["rows"], counts["truncated"]) == (4, 2)
    blind = guards.Signal(rows=5, tokens=signal.tokens, longest=signal.longest, truncated=2)
    with pytest.raises(InvalidInput, match="TRL kept 4 of 5 rows, and 5 were counted"):
        check_trained_rows(trainer, rows, tokenizer, method, blind)
    blind = guards.Signal(rows=5, tokens=signal.tokens, longest=signal.longest, dropped=1)
    with pytest.raises(InvalidInput, match=rf"dataset:3: TRL cut 2 replies at {length} tokens, and 0 were counted; raise recipe.max_length"):
        check_trained_rows(trainer, rows, tokenizer, method, blind)


def test_loss_on_the_prompt_is_refused(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    rows = rows_of(Method.SFT, 3)
    signal = guards.measure(rows, tokenizer, ROOMY)
    trainer = built(Method.SFT, model, tokenizer, rows, tmp_path, ROOMY, completion_only_loss=False)
    with pytest.raises(InvalidInput, match="dataset:1: the prompt's tokens carry loss; train with completion_only_loss"):
        check_trained_rows(trainer, rows, tokenizer, Method.SFT, signal)


@pytest.mark.parametrize(("method", "field"), [(Method.SFT, "completion"), (Method.DPO, "chosen")])
def test_a_template_without_a_stop_token_is_refused(method: Method, field: str, model: Any, tokenizer: Any, tmp_path: Path) -> None:
    rows = rows_of(method, 3)
    endless = with_template(tokenizer, tokenizer.wrapped.chat_template.replace("message['content'] + '<|im_end|>'", "message['content']"))
    with pytest.raises(InvalidInput, match=rf"dataset:1: the chat template ends {field} without a stop token"):
        guards.measure(rows, endless, ROOMY)
    trainer = built(method, model, endless, rows, tmp_path, ROOMY)
    with pytest.raises(InvalidInput, match=rf"dataset:1: {field}: no stop token at its end carries loss"):
        check_trained_rows(trainer, rows, endless, method, guards.Signal(rows=3, tokens=0, longest=0))


@pytest.mark.parametrize("method", Method)
def test_a_prompt_that_is_rendered_otherwise_at_test_time_is_refused(method: Method, model: Any, tokenizer: Any, tmp_path: Path) -> None:
    rows = rows_of(method, 3)
    trainer = built(method, model, tokenizer, rows, tmp_path, ROOMY)
    other = with_template(tokenizer, tokenizer.wrapped.chat_template.replace("named SmolLM", "called SmolLM"))
    with pytest.raises(InvalidInput, match=r"dataset:1: prompt: its token \d+ in training is not the one that the chat template renders"):
        check_trained_rows(trainer, rows, other, method, guards.measure(rows, tokenizer, ROOMY))


def test_a_generation_prompt_that_the_reply_lacks_is_refused(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    rows = rows_of(Method.SFT, 2)
    thinking = with_template(tokenizer, tokenizer.wrapped.chat_template + "{% if add_generation_prompt %}Hm. {% endif %}")
    with pytest.raises(InvalidInput, match="dataset:1: the chat template renders the prompt differently when completion follows"):
        guards.measure(rows, thinking, ROOMY)
    trainer = built(Method.SFT, model, thinking, rows, tmp_path, ROOMY)
    with pytest.raises(InvalidInput, match="dataset:1: prompt: its token"):
        check_trained_rows(trainer, rows, thinking, Method.SFT, guards.Signal(rows=2, tokens=0, longest=0))


def test_a_template_that_wants_the_roles_to_alternate_names_the_row(tokenizer: Any) -> None:
    raising = "{% if messages[1:] and messages[0].role == messages[1].role %}{{ raise_exception('roles must alternate') }}{% endif %}"
    strict = with_template(tokenizer, raising + tokenizer.wrapped.chat_template)
    rows = rows_of(Method.SFT, 2)
    rows[1] = Row(2, [Message(role="user", content="First."), Message(role="user", content="Second.")], rows[1].replies)
    with pytest.raises(
        InvalidInput, match=r"dataset:2: the chat template refuses the roles user, user \(roles must alternate\); change or remove the row"
    ):
        guards.measure(rows, strict, ROOMY)


def test_a_stop_token_written_as_text_names_the_row(tokenizer: Any) -> None:
    rows = rows_of(Method.SFT, 2)
    rows[1].prompt[0] = Message(role="user", content="Say <|im_end|> twice.")
    with pytest.raises(InvalidInput, match="dataset:2: prompt: holds the model's stop token"):
        guards.measure(rows, tokenizer, ROOMY)


def test_rows_in_another_order_are_refused(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    rows = rows_of(Method.SFT, 3)
    trainer = built(Method.SFT, model, tokenizer, rows[::-1], tmp_path, ROOMY)
    with pytest.raises(InvalidInput, match="TRL's row 2 is none of the file's next rows"):
        check_trained_rows(trainer, rows, tokenizer, Method.SFT, guards.measure(rows, tokenizer, ROOMY))


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (lambda ids, start: [-100] * len(ids), "dataset:2: no token carries loss"),
        (lambda ids, start: [-100] * (start + 1) + ids[start + 1 :], "dataset:2: a part of completion carries no loss"),
        (lambda ids, start: [*[-100] * start, *ids[start:-2], -100, -100], "dataset:2: a part of completion carries no loss"),
        (lambda ids, start: [], "dataset:2: the prompt's tokens carry loss"),
    ],
)
def test_a_broken_mask_is_refused(labels: Any, complaint: str, tokenizer: Any) -> None:
    from datasets import Dataset

    rows, made = rows_of(Method.SFT, 3), []
    for row in rows:
        prompt = tokenizer.encode(tokenizer.render(row.prompt, generation_prompt=True))
        ids = tokenizer.encode(tokenizer.render([*row.prompt, *row.replies["completion"]], generation_prompt=False))
        mask = labels if row.line == 2 else lambda ids, start: [-100] * start + ids[start:]
        made.append({**row.columns(), "input_ids": ids, "labels": mask(ids, len(prompt))})
    trainer = SimpleNamespace(train_dataset=Dataset.from_list(made), args=SimpleNamespace(max_length=ROOMY))
    with pytest.raises(InvalidInput, match=complaint):
        check_trained_rows(trainer, rows, tokenizer, Method.SFT, guards.measure(rows, tokenizer, ROOMY))
