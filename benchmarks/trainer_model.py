"""A random model of Qwen2.5-7B's shape on local disk, and training rows of given lengths for it."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

from askback.contracts.records import Message
from services.trainer.model.transformers_model import HubTokenizer
from services.trainer.rows.dataset import Row

SEVEN_B: dict[str, Any] = {
    "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
    "vocab_size": 152064, "max_position_embeddings": 32768, "rope_theta": 1000000.0, "tie_word_embeddings": False,
}  # fmt: skip
TINY: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 49152,
}  # fmt: skip
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_WORDS = ("river", "stone", "paper", "green", "house", "light", "under", "water", "music", "table", "north", "glass", "horse", "bread", "cloud")


def write_model(folder: Path, tokenizer: Path, shape: dict[str, Any]) -> None:
    """Random bf16 weights of `shape` and the tokenizer of `tokenizer`; nothing where the folder is whole already."""
    if (folder / "tokenizer.json").is_file():
        return
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(Qwen2Config(**shape, bos_token_id=0, eos_token_id=2), dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="4GB")
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 0, "eos_token_id": 2}))
    for name in reversed(TOKENIZER):  # tokenizer.json last
        if (tokenizer / name).is_file():
            shutil.copy(tokenizer / name, folder / name)


def rows_of(tokenizer: HubTokenizer, low: int, high: int, count: int) -> list[Row]:
    """`count` rows of `low` to `high` tokens, a third of each the reply, 40 tokens at the most."""
    source = random.Random(1)  # noqa: S311 - the same rows for both sides

    def text(words: int) -> str:
        return " ".join(source.choice(_WORDS) for _ in range(words))

    def row(number: int) -> Row:
        wanted = source.randint(low, high)
        reply = [Message(role="assistant", content=text(min(wanted // 3, 40)))]
        prompt = [Message(role="user", content=text(1))]
        for _ in range(3):  # the template's own tokens are not known beforehand
            length = len(tokenizer.encode(tokenizer.render([*prompt, *reply], generation_prompt=False)))
            words = len(prompt[0].content.split()) + wanted - length
            prompt = [Message(role="user", content=text(max(1, words)))]
        return Row(number, prompt, {"completion": reply})

    return [row(number) for number in range(1, count + 1)]
