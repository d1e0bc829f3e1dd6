"""The base model, its tokenizer and the step report, by transformers and torch."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GenerationConfig, TrainerCallback
from transformers.utils import is_flash_attn_2_available

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Message
from askback.contracts.trainer import LossPoint
from services.trainer.model.fused import use_liger
from services.trainer.model.torch_card import on_gpu, peak_memory_gib
from services.trainer.records.progress import ProgressWriter


class HubTokenizer:
    """A transformers tokenizer as `guards.ChatTokenizer`."""

    def __init__(self, base_model: str) -> None:
        self.wrapped = AutoTokenizer.from_pretrained(base_model)
        if not self.wrapped.chat_template:
            raise InvalidInput(f"BASE_MODEL: {base_model} has no chat template; use an instruction-tuned model")
        self.stop_ids = _stop_ids(base_model, self.wrapped.eos_token_id)

    def render(self, messages: Sequence[Message], *, generation_prompt: bool) -> str:
        conversation = [message.model_dump() for message in messages]
        return str(self.wrapped.apply_chat_template(conversation, tokenize=False, add_generation_prompt=generation_prompt))

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.wrapped(text, add_special_tokens=False)["input_ids"]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.wrapped.decode(ids, skip_special_tokens=False))


class StepReport(TrainerCallback):  # type: ignore[misc]
    """Hands every step's loss to the job's progress."""

    def __init__(self, progress: ProgressWriter) -> None:
        self._progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        losses = [LossPoint(step=entry["step"], loss=entry["loss"]) for entry in state.log_history if "loss" in entry]
        self._progress.begin(state.global_step, state.max_steps, losses)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        if "loss" in logs:
            tokens = int(float(logs.get("num_tokens", 0)))
            self._progress.step(state.global_step, float(logs["loss"]), tokens, round(peak_memory_gib(), 2))


def use_threads() -> None:
    """All cores, unless OMP_NUM_THREADS says otherwise."""
    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(os.cpu_count() or 1)


def load_base(base_model: str, four_bit: bool) -> Any:
    """The base model for causal language modelling; `four_bit` loads NF4 with double quantisation."""
    sharded = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    options: dict[str, Any] = {"dtype": torch.bfloat16 if four_bit or on_gpu() or _cpu_has_bf16() else torch.float32}
    if four_bit:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            bnb_4bit_quant_storage=torch.bfloat16 if sharded else torch.uint8,  # FSDP shards only tensors of one floating type
        )
    if on_gpu():
        options["attn_implementation"] = "flash_attention_2" if is_flash_attn_2_available() else "sdpa"
    if on_gpu() and not sharded:
        options["device_map"] = {"": torch.cuda.current_device()}
    model = AutoModelForCausalLM.from_pretrained(base_model, **options)
    if four_bit:
        _keep_weights_unpacked(model)
    model.config.use_cache = False
    if on_gpu():
        use_liger(model)
    return model


def _cpu_has_bf16() -> bool:
    # With the instructions a step takes a quarter less time than in float32 and the losses agree to one percent; without
    # them torch emulates bf16, which is far slower. The adapter's weights are float32 either way.
    return bool(torch.cpu._is_avx512_bf16_supported())


def _keep_weights_unpacked(model: Any) -> None:
    # On CPUs with AVX512-BF16 an inference repacks NF4 weights in place, and the kernel for repacked weights has no
    # gradient: every later training step would be silently wrong.
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False


def _stop_ids(base_model: str, eos_id: int | None) -> frozenset[int]:
    ids = {eos_id}
    if (Path(base_model) / "generation_config.json").is_file() or not Path(base_model).is_dir():
        named = GenerationConfig.from_pretrained(base_model).eos_token_id
        ids |= set(named) if isinstance(named, list) else {named}
    return frozenset(token for token in ids if token is not None)
