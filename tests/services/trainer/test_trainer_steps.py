"""What a step learns depends on its rows alone: not on the passes it is made of, and not on an interruption."""

import json
from pathlib import Path

import pytest
from trainer_recorder import EagerRecorder
from trainer_rows import dpo_row, sft_row
from trainer_stack import make_tiny_model
from transformers import TrainerCallback

from askback.contracts.trainer import Method, Recipe, TrainRequest
from services.trainer.learning.checkpoints import last_checkpoint
from services.trainer.learning.fitting import fit
from services.trainer.learning.trl_trainers import as_written, build_trainer, pad_lengths, regroup, row_lengths
from services.trainer.model.fused import RECOMPUTE_LAYER, embed_on_host
from services.trainer.model.peft_adapter import lora_config
from services.trainer.model.replayed import replay_layers
from services.trainer.model.transformers_model import HubTokenizer, load_base
from services.trainer.rows.dataset import read_dataset

RECIPE = Recipe(epochs=2, learning_rate=5e-3, lora_rank=4, batch_size=4, gradient_accumulation=1, max_length=64)
ROUNDING = 5e-3  # of bf16, which adds up in another order
ROWS = {Method.SFT: sft_row, Method.DPO: dpo_row}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    make_tiny_model(folder, [str(sft_row(number)) for number in range(24)])
    return folder


def trainer(base: Path, output: Path, method=Method.SFT, steps=-1, passes=None, **recipe):
    rows = output.parent / f"{method}.jsonl"
    rows.write_text("".join(json.dumps(ROWS[method](number**2)) + "\n" for number in range(18)))
    request = TrainRequest(run_id="r", name="a", dataset="x", method=method, recipe=RECIPE.model_copy(update=recipe), seed=3)
    model = load_base(str(base), request.recipe.four_bit)
    tokenizer = HubTokenizer(str(base)).wrapped
    built = build_trainer(request, model, lora_config(request.recipe), tokenizer, read_dataset(rows, method), [], output, gpu=False)
    assert fit(built, request.recipe, None, None) is None  # nothing is fitted without a card
    if passes:
        regroup(built, *passes)
    built.args.max_steps = steps
    return built


class StopAfter(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step >= self.step


def losses(trained):
    return [entry["loss"] for entry in trained.state.log_history if "loss" in entry]


@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("passes", [(2, 2), (1, 4)])
def test_a_step_in_several_passes_is_the_same_step(base, tmp_path, method, passes):
    whole = trainer(base, tmp_path / "whole", method)
    whole.train()
    split = trainer(base, tmp_path / "split", method, passes=passes)
    split.train()
    assert len(losses(whole)) == 10  # 18 rows in steps of 4, twice
    if method is Method.SFT:  # DPO's loss is a mean over pairs in TRL, so the last, smaller step of an epoch weighs its passes alike
        assert losses(split) == pytest.approx(losses(whole), rel=ROUNDING)
    assert losses(split)[:4] == pytest.approx(losses(whole)[:4], rel=ROUNDING)


@pytest.mark.parametrize("four_bit", [False, True], ids=["full", "nf4"])
@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("stopped", [3, 7])
def test_an_interrupted_training_goes_on_with_the_same_losses(base, tmp_path, method, four_bit, stopped):
    whole = trainer(base, tmp_path / "whole", method, four_bit=four_bit, passes=(2, 2))
    whole.train()
    cut = trainer(base, tmp_path / "cut", method, four_bit=four_bit, passes=(2, 2))
    cut.add_callback(StopAfter(stopped))
    cut.train()
    checkpoint = last_checkpoint(tmp_path / "cut")
    resumed = trainer(base, tmp_path / "cut", method, four_bit=four_bit, passes=(2, 2))
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert losses(resumed) == pytest.approx(losses(whole), rel=1e-5)


def test_gradient_checkpointing_changes_no_loss(base, tmp_path):
    plain = trainer(base, tmp_path / "plain")
    plain.train()
    saving = trainer(base, tmp_path / "saving", gradient_checkpointing=True)
    assert all(getattr(layer, RECOMPUTE_LAYER) for layer in saving.model.get_base_model().model.layers)
    saving.train()
    assert losses(saving) == pytest.approx(losses(plain), rel=ROUNDING)


def test_a_layer_that_saves_memory_is_computed_twice_a_pass(base, tmp_path):
    saving = trainer(base, tmp_path / "saving", passes=(2, 1), gradient_checkpointing=True)
    layers = saving.model.get_base_model().model.layers
    calls = []
    layers[0].self_attn.register_forward_pre_hook(lambda *_: calls.append(1))
    saving.train()
    assert len(calls) == 2 * saving.state.global_step


@pytest.mark.parametrize("method", Method)
def test_padded_passes_change_no_loss(base, tmp_path, method):
    plain = trainer(base, tmp_path / "plain", method)
    plain.train()
    padded = trainer(base, tmp_path / "padded", method)
    longest = max(row_lengths(padded.train_dataset))
    assert pad_lengths(padded) == -(-longest // 8) * 8
    shapes = {batch["input_ids"].shape[1] for batch in padded.get_train_dataloader()}
    assert all(tokens % 8 == 0 and tokens <= pad_lengths(padded) for tokens in shapes)
    padded.train()
    assert losses(padded) == pytest.approx(losses(plain), rel=ROUNDING)


@pytest.mark.parametrize("method", Method)
def test_replayed_passes_change_no_loss_nor_do_interruptions(base, tmp_path, method):
    def replayed(folder):
        built = trainer(base, tmp_path / folder, method, passes=(2, 2))
        pad_lengths(built)
        layers, recorder = built.model.get_base_model().model.layers, EagerRecorder()
        assert replay_layers(built.model, layers, recorder, lambda: 0, longest=64, device="cpu")
        return built, recorder

    plain = trainer(base, tmp_path / "plain", method, passes=(2, 2))
    plain.train()
    whole, recorder = replayed("whole")
    whole.train()
    assert losses(whole) == pytest.approx(losses(plain), rel=ROUNDING)
    assert sum(recorder.replays) >= 18 - 1  # all passes but the first
    cut, _ = replayed("cut")
    cut.add_callback(StopAfter(3))
    cut.train()
    resumed, recorder = replayed("cut")
    resumed.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "cut")))
    assert losses(resumed) == pytest.approx(losses(whole), rel=1e-5)
    assert sum(recorder.replays) > 0


def test_every_module_is_in_training_mode(base, tmp_path):
    model = trainer(base, tmp_path / "a").model
    model.train()
    assert all(module.training for module in model.modules())


def test_cards_share_the_rows_of_a_step():
    assert as_written(Recipe(batch_size=4, gradient_accumulation=8)) == (4, 8)
    assert as_written(Recipe(batch_size=4, gradient_accumulation=8, gpus=2)) == (4, 4)
    assert as_written(Recipe(batch_size=4, gradient_accumulation=1, gpus=4)) == (1, 1)
    assert as_written(Recipe(batch_size=4, gradient_accumulation=3, gpus=2)) == (3, 2)


def test_an_embedding_on_the_host_changes_no_loss_and_is_in_no_checkpoint(base, tmp_path):
    plain = trainer(base, tmp_path / "plain", four_bit=True)
    plain.train()
    hosted = trainer(base, tmp_path / "hosted", four_bit=True)
    assert embed_on_host(hosted.model, smallest=0)
    assert not any("embed_tokens" in name for name, _ in hosted.model.named_parameters())
    hosted.train()
    assert losses(hosted) == pytest.approx(losses(plain), rel=ROUNDING)
    assert last_checkpoint(tmp_path / "hosted")


def test_an_embedding_that_is_small_or_the_output_layer_too_stays_where_it_is(base, tmp_path):
    model = trainer(base, tmp_path / "small").model
    assert not embed_on_host(model, smallest=1e9)
    model.get_output_embeddings().weight = model.get_input_embeddings().weight
    assert not embed_on_host(model, smallest=0)
