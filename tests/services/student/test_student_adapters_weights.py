"""What is refused as an adapter's weights or configuration, and why."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from adapter_files import header_bytes, lora_bytes, lora_header

from askback.contracts.errors import InvalidInput
from services.student.adapter_check import check_adapter

DATA = bytes(2 * 8 * 4 * 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/models/Smol", "r": 8}))
    (tmp_path / "adapter_model.safetensors").write_bytes(lora_bytes())
    return tmp_path


def changed(change: Callable[[dict[str, dict[str, object]]], object]) -> bytes:
    header = lora_header(8)
    change(header)
    return header_bytes(header, DATA)


A, B = lora_header(8)


def test_a_whole_adapter_passes(folder: Path) -> None:
    check_adapter(folder, "Smol", 16)
    (folder / "adapter_model.safetensors").write_bytes(changed(lambda header: header.update({"__metadata__": {"format": "pt"}})))
    check_adapter(folder, "org/Smol", 8)


def test_real_peft_output_passes(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    tensors = {
        f"base_model.model.layers.{i}.q.lora_{side}.weight": torch.ones(*shape) for i in range(3) for side, shape in (("A", (8, 6)), ("B", (5, 8)))
    }
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    check_adapter(folder, "Smol", 16)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header would be 0 bytes"),
        (b"PK\x03\x04" + bytes(200), "header would be"),
        (b"\x80\x04\x95pickle" + bytes(100), "header would be"),
        ((1 << 62).to_bytes(8, "little") + b"{}", "header would be"),
        ((4).to_bytes(8, "little") + b"[1] ", "not a table of tensors"),
        ((8).to_bytes(8, "little") + b'{"a": 1}', "not a table of tensors"),
        ((4).to_bytes(8, "little") + b"{}{}", "not a table of tensors"),
        (header_bytes({}, b""), "holds no LoRA matrix"),
        (lora_bytes()[:-1], "was it copied whole"),
        (lora_bytes() + b"\0", "was it copied whole"),
        (changed(lambda header: header[A].update(data_offsets=[0, 64])), "are not where its header says"),
        (changed(lambda header: header[B].update(data_offsets=[0, 128])), "are not where its header says"),
        (changed(lambda header: header[A].update(data_offsets=[-128, 0])), "not a table of tensors"),
        (changed(lambda header: header[A].update(dtype="F64")), "has type F64"),
        (changed(lambda header: header[A].update(shape=[4, 8])), "has rank 4, and adapter_config.json says r = 8"),
        (changed(lambda header: header[B].update(shape=[8, 4])), "has rank 4"),
        (changed(lambda header: header[A].update(shape=[32])), "not a LoRA matrix"),
        (header_bytes({"x.lora_A.weight": lora_header(8)[A]}, DATA[:128]), "only one of lora_A and lora_B"),
        (header_bytes({"lm_head.weight": lora_header(8)[A]}, DATA[:128]), r"lm_head\.weight is not a LoRA matrix"),
        (header_bytes({"x.lora_magnitude_vector": lora_header(8)[A]}, DATA[:128]), "is not a LoRA matrix"),
    ],
)
def test_what_is_no_lora_in_safetensors_is_refused(folder: Path, content: bytes, message: str) -> None:
    (folder / "adapter_model.safetensors").write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        check_adapter(folder, "Smol", 16)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"r": "8"}, "r: "),
        ({"r": 0}, "r: "),
        ({"r": None}, "r: "),
        ({"peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING"),
        ({"bias": "all"}, "bias 'all'"),
        ({"rank_pattern": {"q": 4}}, "rank_pattern"),
        ({"init_lora_weights": "pissa"}, "'pissa', which changes the base"),
    ],
)
def test_a_configuration_that_the_engine_cannot_follow_is_refused(folder: Path, config: dict[str, object], message: str) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "Smol", "r": 8} | config))
    with pytest.raises(InvalidInput, match=message):
        check_adapter(folder, "Smol", 16)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", "{}", "\x00", "9" * 5000])
def test_a_configuration_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "adapter_config.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"adapter_config\.json"):
        check_adapter(folder, "Smol", 16)


@pytest.mark.parametrize("pickle", ["adapter_model.bin", "adapter_model.pt"])
def test_pickles_instead_of_safetensors_are_refused_by_name(folder: Path, pickle: str) -> None:
    (folder / "adapter_model.safetensors").rename(folder / pickle)
    with pytest.raises(InvalidInput, match=rf"no adapter_model\.safetensors.*{pickle} is not read, because pickles can run code"):
        check_adapter(folder, "Smol", 16)
