import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.trainer import FitPlan, Recipe, Sharding
from services.trainer.learning.out_of_memory import explained, next_smaller

CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 16 bytes. Error code 12"
)
PLAN = FitPlan(micro_batch=2, gradient_accumulation=16, layers={"none": 2}, budget_gib=8, peak_gib=7, rows_per_s=1, reason="")


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


CARD = OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB")

LADDER: list[tuple[dict[str, Any], str, str]] = [
    ({"batch_size": 8}, "recipe.batch_size", "use batch_size 4 and gradient_accumulation 2"),
    ({"batch_size": 4, "gradient_accumulation": 8}, "recipe.batch_size", "use batch_size 2 and gradient_accumulation 16"),
    ({"batch_size": 3}, "recipe.batch_size", "use batch_size 1 and gradient_accumulation 3"),
    ({"batch_size": 9, "gradient_accumulation": 2}, "recipe.batch_size", "use batch_size 3 and gradient_accumulation 6"),
    ({"batch_size": 2}, "recipe.batch_size", "use batch_size 1 and gradient_accumulation 2"),
    ({"batch_size": 8, "gpus": 4}, "recipe.batch_size", "use batch_size 1 and gradient_accumulation 8"),
    ({"batch_size": 1}, "recipe.gradient_checkpointing", "use gradient_checkpointing = true"),
    ({"batch_size": 1, "gradient_checkpointing": False}, "recipe.gradient_checkpointing", "use gradient_checkpointing = true"),
    ({"batch_size": 1, "gradient_checkpointing": True}, "recipe.four_bit", "use four_bit = true"),
    (
        {"batch_size": 1, "gradient_checkpointing": True, "four_bit": True},
        "BASE_MODEL",
        "use a smaller base model or leave out the longest rows (70 tokens)",
    ),
]


@pytest.mark.parametrize(("fields", "field", "remedy"), LADDER)
def test_each_rung_names_the_next_smaller_setting(fields: dict[str, Any], field: str, remedy: str) -> None:
    recipe = Recipe(max_length=128, **fields)
    error = explained(CPU, recipe, None, longest=70)
    assert isinstance(error, InvalidInput)
    assert str(error).startswith(f"{field}: out of memory with ") and str(error).endswith(f" of 70 tokens; {remedy}")
    assert next_smaller(recipe, None, longest=70) == remedy


def test_following_the_line_ends_and_never_changes_the_step() -> None:
    recipe = Recipe(batch_size=12, gradient_accumulation=3, max_length=128)
    seen = []
    while "smaller base model" not in (remedy := next_smaller(recipe, None)):
        seen.append(remedy)
        words = remedy.replace(" = true", " True").removeprefix("use ").split(" and ")
        recipe = Recipe.model_validate({**recipe.model_dump(), **dict(word.split() for word in words)})
        assert recipe.batch_size * recipe.gradient_accumulation == 36
    assert [remedy.split()[1] for remedy in seen] == ["batch_size", "batch_size", "batch_size", "gradient_checkpointing", "four_bit"]


def test_the_line_says_what_was_tried() -> None:
    recipe = Recipe(batch_size=8, max_length=512)
    assert str(explained(MemoryError(), recipe, None)) == (
        "recipe.batch_size: out of memory with 8 rows of 512 tokens; use batch_size 4 and gradient_accumulation 2"
    )
    assert "with 1 row of 512 tokens" in str(explained(MemoryError(), Recipe(batch_size=1, max_length=512), None))
    assert "with 8 rows of 512 tokens" in str(explained(MemoryError(), recipe, None, longest=2000))


def test_a_fitted_job_is_not_told_to_make_its_batch_smaller() -> None:
    recipe = Recipe(batch_size=32, max_length=128)
    assert str(explained(CARD, recipe, PLAN)) == "recipe.four_bit: out of memory with 2 rows of 128 tokens; use four_bit = true"
    forbidden = recipe.model_copy(update={"gradient_checkpointing": False})
    assert next_smaller(forbidden, PLAN) == "use gradient_checkpointing = true"
    assert str(explained(CARD, recipe.model_copy(update={"four_bit": True}), PLAN)) == (
        "BASE_MODEL: out of memory with 2 rows of 128 tokens; use a smaller base model or shorter rows"
    )


@pytest.mark.parametrize("error", [CARD, MemoryError("one row does not fit the 7.5 GiB that the card has to give")])
def test_a_card_that_ran_out_before_the_fit_had_a_plan_needs_a_smaller_model(error: Exception) -> None:
    recipe = Recipe(batch_size=32, max_length=128)
    assert str(explained(error, recipe, None)) == "recipe.four_bit: out of memory before one row of 128 tokens fitted; use four_bit = true"
    as_written = recipe.model_copy(update={"fit": False})
    assert str(explained(error, as_written, None)).endswith("with 32 rows of 128 tokens; use batch_size 16 and gradient_accumulation 2")
    sharded = recipe.model_copy(update={"gpus": 2, "sharding": Sharding.FSDP})
    assert str(explained(error, sharded, None)).endswith("with 16 rows of 128 tokens; use batch_size 8 and gradient_accumulation 4")


@pytest.mark.parametrize(
    "error",
    [
        CPU,
        CARD,
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_that_ran_out_is_known_by_its_error(error: Exception) -> None:
    assert explained(error, Recipe(), None)
    wrapped = ValueError("the data loader failed")
    wrapped.__cause__ = error
    assert explained(wrapped, Recipe(), None)


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: device-side assert triggered"), ValueError("CUDA out of memory"), OSError(errno.ENOSPC, "disk full")]
)
def test_other_errors_are_not_explained(error: Exception) -> None:
    error.__context__ = error.__cause__ = KeyError("x")
    assert explained(error, Recipe(), None) is None


REAL_STEP = """
import resource, sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from askback.contracts.trainer import Recipe
from services.trainer.learning.out_of_memory import explained

torch.set_num_threads(1)
shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
model = LlamaForCausalLM(LlamaConfig(vocab_size=16384, **shape))

def step(rows):
    ids = torch.zeros((rows, 256), dtype=torch.long)
    model(input_ids=ids, labels=ids).loss.backward()

step(1)  # threads and buffers of every size are there before memory is counted
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**28, held + 2**28))
recipe = Recipe(batch_size=64, max_length=256)
try:
    step(recipe.batch_size)
except Exception as error:
    print(type(error).__name__, "can't allocate" in str(error), explained(error, recipe, None))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
def test_a_real_step_that_runs_out_of_memory_is_explained() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", REAL_STEP],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.stdout.strip() == (
        "RuntimeError True recipe.batch_size: out of memory with 64 rows of 256 tokens; use batch_size 32 and gradient_accumulation 2"
    ), ran.stderr[-2000:]
