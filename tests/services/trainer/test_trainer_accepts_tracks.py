"""TRL reads the files of the stage tracks as they are: one step on each, by a tiny random model with the real tokenizer."""

import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from askback.contracts.records import Draft, HarvestRecord, HarvestStage, Sample
from askback.contracts.trainer import Method, Recipe
from askback.loop import tracks
from askback.loop.config import parse_config
from askback.loop.store import RunStore
from askback.loop.tokenizers_counter import WordEstimate
from askback.tasks import task_named
from services.trainer.rows import guards
from services.trainer.rows.dataset import read_dataset
from services.trainer.rows.trained_rows import check_trained_rows

SMOL = Path(__file__).parents[3] / "var" / "models" / "SmolLM2-135M-Instruct"
pytestmark = pytest.mark.skipif(not (SMOL / "tokenizer.json").is_file(), reason=f"no tokenizer in {SMOL}; `make unit` builds it")

TASKS = ("strategyqa", "hotpotqa")
COT_FORMS = ("rationale-first", "answer-first", "multitask")
SFT_FILES = [*((form, "cot") for form in COT_FORMS), *((COT_FORMS[0], track) for track in ("direct", "context", "dialogue"))]
RIVERS = ("Rhine", "Danube", "Elbe", "Loire")


def row(task: str, number: int) -> dict[str, Any]:
    """An official row; the gold answers of the yes/no task alternate."""
    river = RIVERS[number]
    if task == "strategyqa":
        return {"qid": f"s{number}", "question": f"Would the {river} fill {number + 2} lakes?", "answer": number % 2 == 0}
    context = [[f"Town {number}", [f"It lies on the {river}.", " It is old."]], ["Elsewhere", ["It is dry."]]]
    question = f"Which river has the town of mayor {number} on it?"
    return {"_id": f"h{number}", "question": question, "answer": river, "context": context, "supporting_facts": [[f"Town {number}", 0]]}


def harvested(sample: Sample) -> list[HarvestRecord]:
    """A row through the harvest: a wrong draft, and the teacher's right answer."""
    wrong = {"yes": "no", "no": "yes"}.get(sample.answer, "Thames")
    text = f"Q1. Where is it?\nIn the north.\nQ2. How long is it?\nLong.\nTHOUGHT: So much for {sample.id}.\nThe answer is {sample.answer}."
    reply = task_named(sample.task).parse_teacher(text)
    outputs: list[tuple[HarvestStage, dict[str, Any]]] = [
        (HarvestStage.DRAFT, {"draft": Draft(answer=wrong, questions=["Where?"])}),
        (HarvestStage.TEACHER, {"reply": reply, "backend": "paid"}),
        (HarvestStage.REWRITE, {"rewrite": sample.answer}),
    ]
    return [HarvestRecord(sample_id=sample.id, stage=stage, **output) for stage, output in outputs]


def write_tracks(folder: Path, name: str, cot: str) -> Path:
    """The files of four rows of the task `name`; returns their folder."""
    config = parse_config(
        {
            "name": "t",
            "task": name,
            "tracks": {"cot": cot},
            "adapters": [{"name": "a", "track": "direct"}],
            "evaluate": {"conditions": ["base.direct"]},
        },
        "t",
    )
    samples = [task_named(name).read(row(name, number)) for number in range(len(RIVERS))]
    records = [record for sample in samples for record in harvested(sample)]
    store = RunStore(folder, f"{name}-{cot}")
    tracks.write(store, tracks.make(config, samples, [], records, WordEstimate()))
    return store.path("tracks")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """The folder of the tracks by task and form of the track `cot`."""
    folder = tmp_path_factory.mktemp("runs")
    return {(name, cot): write_tracks(folder, name, cot) for name in TASKS for cot in COT_FORMS}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(SMOL)


@pytest.fixture
def model(tokenizer: Any) -> Any:
    """A random Llama of the tokenizer's vocabulary: hidden 16, 2 layers."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **special, **shape))


def loaded(file: Path, cache: Path) -> Any:
    from datasets import load_dataset

    return load_dataset("json", data_files=str(file), split="train", cache_dir=str(cache))


def one_step(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "out"),
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
    }


def assert_finite_step(trainer: Any) -> None:
    trainer.train()
    (step,) = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert math.isfinite(step["loss"]) and step["loss"] > 0


def learnt(trainer: Any, tokenizer: Any) -> list[str]:
    """What the rows of the first batch put their loss on."""
    labels = next(iter(trainer.get_train_dataloader()))["labels"]
    return [tokenizer.decode([token for token in line if token != -100]) for line in labels.tolist()]


def assert_nothing_lost(trainer: Any, file: Path, method: Method) -> None:
    """The rows pass the guards, before and after TRL prepared them."""
    from services.trainer.model.transformers_model import HubTokenizer

    hub, rows = HubTokenizer(str(SMOL)), read_dataset(file, method)
    signal = guards.measure(rows, hub, trainer.args.max_length)
    guards.check(signal, Recipe(max_length=trainer.args.max_length))
    counts = check_trained_rows(trainer, rows, hub, method, signal)
    assert (counts["checked"], counts["truncated"]) == (len(rows), 0)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(("cot", "track"), SFT_FILES)
def test_sft_trains_on_the_completions_of(
    name: str, cot: str, track: str, files: dict[tuple[str, str], Path], model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    from trl import SFTConfig, SFTTrainer

    file = files[name, cot] / f"{track}.jsonl"
    said = {json.loads(line)["completion"][0]["content"] for line in file.read_text().splitlines()}
    dataset = loaded(file, tmp_path)
    assert len(dataset) >= len(RIVERS)
    trainer = SFTTrainer(model=model, args=SFTConfig(**one_step(tmp_path)), train_dataset=dataset, processing_class=tokenizer)
    texts = learnt(trainer, tokenizer)
    assert len(texts) == 2
    assert {text.split("<|im_end|>")[0] for text in texts} <= said
    assert_nothing_lost(trainer, file, Method.SFT)
    assert_finite_step(trainer)


@pytest.mark.parametrize("name", TASKS)
def test_dpo_trains_on_the_pairs_of(name: str, files: dict[tuple[str, str], Path], model: Any, tokenizer: Any, tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer

    file = files[name, COT_FORMS[0]] / "preference.jsonl"
    dataset = loaded(file, tmp_path)
    assert len(dataset) == len(RIVERS)
    sides = {"model": model, "ref_model": deepcopy(model)}  # a reference is else fetched by the name that a random model lacks
    trainer = DPOTrainer(**sides, args=DPOConfig(**one_step(tmp_path)), train_dataset=dataset, processing_class=tokenizer)
    mask = next(iter(trainer.get_train_dataloader()))["completion_mask"]
    assert mask.shape[0] == 4 and all(0 < line.sum() < line.numel() for line in mask)
    assert_nothing_lost(trainer, file, Method.DPO)
    assert_finite_step(trainer)


@pytest.mark.parametrize("name", TASKS)
def test_the_plain_files_are_loaded_too(name: str, files: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    support = {"supporting_sentences"} if name == "hotpotqa" else set()
    for track, columns in (("direct", {"question", "answer"}), ("cot", {"question", "cot", "answer"})):
        dataset = loaded(files[name, COT_FORMS[0]] / "plain" / f"{track}.jsonl", tmp_path)
        assert (len(dataset), set(dataset.column_names)) == (len(RIVERS), columns | support)
