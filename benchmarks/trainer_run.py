"""One measured training in a process of its own: `python -m benchmarks.trainer_run JSON`, started by benchmarks/trainer.py."""

import gc
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import BitsAndBytesConfig, TrainerCallback
from trl import SFTConfig, SFTTrainer

from askback.contracts.trainer import Recipe, TrainRequest
from benchmarks.trainer_model import rows_of
from services.trainer.learning.fitting import fit
from services.trainer.learning.trl_trainers import build_trainer, step_rows
from services.trainer.model.peft_adapter import lora_config
from services.trainer.model.torch_card import GIB, is_first, on_gpu, use_card
from services.trainer.model.transformers_model import HubTokenizer, load_base

WARMING = 2
TRL_BATCH = 8
"""transformers' default of `per_device_train_batch_size`."""


class Clock(TrainerCallback):  # type: ignore[misc]
    """Seconds and tokens of the steps after the first `WARMING`."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.tokens: list[int] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if on_gpu():
            torch.cuda.synchronize()
        self.at.append(time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        if "num_tokens" in logs:
            self.tokens.append(int(float(logs["num_tokens"])))

    def figures(self, rows_a_step: int) -> dict[str, Any]:
        steps = len(self.at) - WARMING
        seconds = (self.at[-1] - self.at[WARMING - 1]) / steps
        tokens = (self.tokens[-1] - self.tokens[WARMING - 1]) / steps
        peak = torch.cuda.max_memory_reserved() / GIB if on_gpu() else 0.0
        return {
            "tokens_per_s": round(tokens / seconds), "rows_per_s": round(rows_a_step / seconds, 2), "step_s": round(seconds, 3),
            "peak_gib": round(peak, 2), "steps": steps,
        }  # fmt: skip


def ours(task: dict[str, Any]) -> dict[str, Any]:
    """The service's own way: its recipe, its trainer, its fit."""
    recipe = Recipe.model_validate(task["recipe"])
    use_card(task["cap_gb"])
    tokenizer = HubTokenizer(task["model"])
    rows = rows_of(tokenizer, *task["lengths"], count=step_rows(recipe) * (WARMING + task["steps"]))
    request = TrainRequest(run_id="benchmark", name="ours", dataset="rows", recipe=recipe)
    base = load_base(task["model"], recipe.four_bit)
    clock, begun = Clock(), time.perf_counter()
    with tempfile.TemporaryDirectory() as output:
        trainer = build_trainer(request, base, lora_config(recipe), tokenizer.wrapped, rows, [clock], Path(output), on_gpu())
        plan = fit(trainer, recipe, None, task["cap_gb"], os.environ.get("ASKBACK_REPLAY") != "0")
        fitted = time.perf_counter() - begun
        trainer.args.max_steps, trainer.args.save_strategy = WARMING + task["steps"], "no"
        trainer.train()
    return clock.figures(step_rows(recipe)) | {"fit_s": round(fitted, 1), "plan": plan.model_dump() if plan else None}


def trl_defaults(task: dict[str, Any]) -> dict[str, Any]:
    """SFTTrainer as its documentation starts it, with QLoRA; where memory runs out, with half the batch and twice the accumulation."""
    use_card(task["cap_gb"])
    rows = rows_of(HubTokenizer(task["model"]), *task["lengths"], count=TRL_BATCH * (WARMING + task["steps"]))
    data = Dataset.from_list([row.columns() for row in rows])
    batch = TRL_BATCH
    while True:
        try:
            return _trl(task, data, batch)
        except torch.OutOfMemoryError:
            if batch == 1:
                return {"out_of_memory": True}
            batch //= 2
            gc.collect()
            torch.cuda.empty_cache()


def _trl(task: dict[str, Any], data: Any, batch: int) -> dict[str, Any]:
    recipe = Recipe.model_validate(task["recipe"])
    four_bit = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16)
    clock = Clock()
    with tempfile.TemporaryDirectory() as output:
        arguments = SFTConfig(
            output_dir=output, max_steps=WARMING + task["steps"], learning_rate=recipe.learning_rate, per_device_train_batch_size=batch,
            gradient_accumulation_steps=TRL_BATCH // batch, model_init_kwargs={"dtype": "bfloat16"}, logging_steps=1, save_strategy="no",
            disable_tqdm=True, use_cpu=not on_gpu(),
        )  # fmt: skip
        adapter = LoraConfig(r=recipe.lora_rank, lora_alpha=recipe.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM")
        SFTTrainer(
            model=task["model"], args=arguments, train_dataset=data, peft_config=adapter, callbacks=[clock],
            quantization_config=four_bit if recipe.four_bit else None,
        ).train()  # fmt: skip
    return clock.figures(TRL_BATCH) | {"batch": batch}


def bf16_peak(task: dict[str, Any]) -> dict[str, Any]:
    """Multiply-adds per second of a large product of random bf16 matrices, times two."""
    size = 8192
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(40):
        a @ b
    torch.cuda.synchronize()
    return {"flop_per_s": 40 * 2 * size**3 / (time.perf_counter() - begun)}


def main() -> None:
    task = json.loads(sys.argv[1])
    result = {"ours": ours, "trl": trl_defaults, "peak": bf16_peak}[task["side"]](task)
    if is_first():
        Path(task["result"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
