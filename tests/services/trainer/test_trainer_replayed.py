"""Replayed passes give what the layers give one after another, and step aside where they would not."""

import pytest
import torch
from test_trainer_fused import assert_same
from trainer_lora_model import packed_tiny, tiny
from trainer_recorder import EagerRecorder
from transformers import Qwen2Config

from services.trainer.learning.fit.layer_savings import LayerSavings
from services.trainer.model.fused import fuse_layers, fuse_mlps
from services.trainer.model.replayed import MOST, replay_layers
from services.trainer.model.replayed.pass_inputs import Unknown, filled, same, signature, tensors

LONGEST = 32


class Replayed:
    """A tiny model whose passes are replayed by `recorder`; its first pass is run, which goes layer by layer."""

    def __init__(self, model=None, recorder=None, longest=LONGEST):
        self.model, self.recorder = model or tiny(), recorder or EagerRecorder()
        self.model.train()
        fuse_layers(self.model)
        self.savings = LayerSavings(self.model, fuse_mlps(self.model))
        self.replays = replay_layers(self.model, self.savings.layers, self.recorder, lambda: self.savings.rung, longest, device="cpu")
        if self.replays:
            loss_of(self.model, 2, 4).backward()
            self.model.zero_grad()


def loss_of(model, rows, tokens, padded=0):
    """The loss of `rows` rows, the first with `padded` tokens that do not count."""
    ids = torch.randint(0, 300, (rows, tokens), generator=torch.Generator().manual_seed(rows * 100 + tokens))
    mask = torch.ones_like(ids)
    labels = ids.clone()
    if padded:
        mask[0, -padded:], labels[0, -padded:] = 0, -100
    return model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss


def gradients(model):
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad}


PASSES = [(3, 11, 0), (2, 16, 3), (3, 11, 0), (1, 24, 5), (2, 16, 3), (1, 24, 5)]


def steps(model, rate=0.1):
    """Losses and gradients of three steps of two passes each, by plain gradient descent."""
    losses, found = [], {}
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    for number in range(0, len(PASSES), 2):
        for one in PASSES[number : number + 2]:
            loss = loss_of(model, *one) / 2
            loss.backward()
            losses.append(loss.detach())
        found |= {f"{number}.{name}": gradient for name, gradient in gradients(model).items()}
        with torch.no_grad():
            for weight in trained:
                weight -= rate * weight.grad
        model.zero_grad()
    return torch.stack(losses), found


@pytest.mark.parametrize("rung", [0, 1, 3])
@pytest.mark.parametrize("make", [tiny, lambda: tiny(Qwen2Config), packed_tiny], ids=["llama", "qwen2", "nf4"])
def test_losses_and_gradients_are_those_of_passes_layer_by_layer(make, rung):
    theirs = steps(make().train())
    ours = Replayed(make())
    ours.savings.apply(rung)
    assert_same(steps(ours.model), theirs)
    assert ours.recorder.replays == [2, 2, 2]


def narrow(model):
    """With the base's weights in bf16, as on a GPU."""
    for weight in model.parameters():
        if not weight.requires_grad:
            weight.data = weight.data.bfloat16()
    return model


def test_losses_and_gradients_under_autocast_are_those_of_passes_layer_by_layer():
    plain, ours = narrow(tiny()).train(), Replayed(narrow(tiny()))
    fuse_layers(plain)
    fuse_mlps(plain)
    for savings in (0, 4):
        ours.savings.apply(savings)
        found = []
        for model in (plain, ours.model):
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(model, 3, 11)
            loss.backward()
            found.append((loss.detach(), gradients(model)))
            model.zero_grad()
        assert_same(*found)
    loss_of(ours.model, 3, 11).backward()
    assert ours.recorder.replays == [1, 1, 1], "one without autocast is another"


def test_a_recording_holds_for_one_rung():
    ours = Replayed()
    for rung in (0, 2, 0, 4, 2):
        ours.savings.apply(rung)
        loss_of(ours.model, 2, 8).backward()
    assert ours.recorder.replays == [2, 2, 1]


def test_a_second_pass_before_the_first_ones_backward_goes_layer_by_layer():
    plain, ours = tiny().train(), Replayed()
    found = []
    for model in (plain, ours.model):
        first, second = loss_of(model, 2, 8), loss_of(model, 2, 8, padded=2)
        (first + second).backward()
        found.append(((first + second).detach(), gradients(model)))
    assert_same(found[1], found[0])
    assert ours.recorder.replays == [1]


def test_a_pass_that_never_gets_its_backward_stops_no_other():
    ours = Replayed()
    loss_of(ours.model, 2, 8)
    loss_of(ours.model, 2, 8).backward()
    assert ours.recorder.replays == [2]


def test_a_second_backward_of_a_pass_is_refused():
    ours = Replayed()
    loss = loss_of(ours.model, 2, 8)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="run its forward pass again"):
        loss.backward()


def test_passes_without_gradients_or_training_or_adapter_go_layer_by_layer():
    ours, plain = Replayed(), tiny()
    with torch.no_grad():
        torch.testing.assert_close(loss_of(ours.model, 2, 8), loss_of(plain, 2, 8))
    with ours.model.disable_adapter(), plain.disable_adapter():
        torch.testing.assert_close(loss_of(ours.model, 2, 8), loss_of(plain, 2, 8))
    ours.model.eval()
    torch.testing.assert_close(loss_of(ours.model, 2, 8), loss_of(plain, 2, 8))
    assert ours.recorder.recordings == []


def test_hidden_states_that_ask_for_gradients_go_layer_by_layer():
    ours = Replayed()
    ours.model.enable_input_require_grads()
    loss_of(ours.model, 2, 8).backward()
    assert ours.recorder.recordings == []


def test_the_reference_between_a_pass_and_its_backward_changes_nothing():
    plain, ours = tiny().train(), Replayed()
    found = []
    for model in (plain, ours.model):
        loss = loss_of(model, 2, 8)
        with torch.no_grad(), model.disable_adapter():
            loss_of(model, 2, 8)
        loss.backward()
        found.append((loss.detach(), gradients(model)))
    assert_same(found[1], found[0])


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (lambda: tiny(lora_dropout=0.1), "dropout"),
        (lambda: tiny(use_dora=True), "none of LoRA's plain ones"),
        (lambda: tiny(modules_to_save=["lm_head"]), "weights outside the decoder layers are trained"),
        (lambda: tiny(target_modules=["lm_head"]), "no decoder layer is trained"),
    ],
)
def test_a_model_that_cannot_be_replayed_says_why(model, told, caplog):
    with caplog.at_level("INFO"):
        assert Replayed(model()).replays is None
    assert told in caplog.text


def test_attention_that_draws_random_numbers_is_not_replayed(caplog):
    model = tiny()
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.1
    with caplog.at_level("INFO"):
        assert Replayed(model).replays is None
    assert "the layers draw random numbers" in caplog.text


def test_layers_that_are_called_differently_are_not_replayed(caplog):
    mixed = {"use_sliding_window": True, "sliding_window": 4, "layer_types": ["full_attention", "sliding_attention"]}
    with caplog.at_level("INFO"):
        ours = Replayed(tiny(lambda **shape: Qwen2Config(**shape, **mixed)))
    loss_of(ours.model, 2, 8).backward()
    assert ours.recorder.recordings == []
    assert "called differently" in caplog.text


def test_gradients_stay_where_they_are():
    ours = Replayed()
    loss_of(ours.model, 2, 8).backward()
    trained = [weight for weight in ours.model.parameters() if weight.requires_grad]
    held = [weight.grad for weight in trained]
    assert any(gradient.any() for gradient in held)
    ours.model.zero_grad(set_to_none=True)
    assert all(weight.grad is gradient and not gradient.any() for weight, gradient in zip(trained, held, strict=True))


def test_gradients_that_were_taken_away_come_back_zero_and_others_are_added_to():
    plain, ours = tiny().train(), Replayed()
    for weight in ours.model.parameters():
        weight.grad = None
    loss_of(ours.model, 2, 8).backward()
    loss_of(plain, 2, 8).backward()
    assert_same((torch.zeros(()), gradients(ours.model)), (torch.zeros(()), gradients(plain)))
    for model in (ours.model, plain):
        for weight in model.parameters():
            weight.grad = torch.ones_like(weight) if weight.requires_grad else None
        loss_of(model, 2, 8).backward()
    assert_same((torch.zeros(()), gradients(ours.model)), (torch.zeros(()), gradients(plain)))
    assert ours.recorder.replays == [2]


def test_the_recording_unused_for_longest_is_given_up():
    ours = Replayed()
    for tokens in [*range(8, 8 + MOST), 8, 8 + MOST]:
        loss_of(ours.model, 1, tokens).backward()
    dropped = [number for number, one in enumerate(ours.recorder.recordings) if one.dropped]
    assert dropped == [1]
    loss_of(ours.model, 1, 8).backward()
    assert ours.recorder.replays[0] == 3


def test_a_pass_longer_than_foretold_is_recorded_over_larger_addresses():
    ours = Replayed(longest=8)
    for tokens in (8, 16, 8, 16):
        loss_of(ours.model, 2, tokens).backward()
    assert [one.dropped for one in ours.recorder.recordings] == [True, False, False]
    assert ours.recorder.replays == [1, 2, 1]


def test_what_cannot_be_recorded_is_run_and_not_tried_again(caplog):
    plain, ours = tiny().train(), Replayed(recorder=EagerRecorder(None, RuntimeError("operation not permitted\nwhen capturing")))
    for tokens in (8, 9, 8):
        torch.testing.assert_close(loss_of(ours.model, 2, tokens), loss_of(plain, 2, tokens))
    assert not ours.replays.on
    assert ours.recorder.replays == [1]
    assert ours.recorder.drops == 1
    assert caplog.text.count("passes are not replayed: operation not permitted") == 1
    assert "when capturing" not in caplog.text


def test_a_recording_that_finds_no_memory_takes_that_of_the_others():
    ours = Replayed(recorder=EagerRecorder(None, torch.OutOfMemoryError("full")))
    loss_of(ours.model, 2, 8).backward()
    loss_of(ours.model, 2, 9).backward()
    assert [one.dropped for one in ours.recorder.recordings] == [True, False]
    assert ours.replays.on


def test_memory_that_runs_out_for_one_recording_alone_is_told_and_replays_go_on():
    ours = Replayed(recorder=EagerRecorder(torch.OutOfMemoryError("full")))
    with pytest.raises(torch.OutOfMemoryError):
        loss_of(ours.model, 2, 8)
    loss_of(ours.model, 2, 8).backward()
    assert ours.recorder.replays == [1]


def test_a_weight_that_moved_is_not_read_from_its_old_place():
    plain, ours = tiny().train(), Replayed()
    loss_of(ours.model, 2, 8).backward()
    for model in (plain, ours.model):
        weight = next(weight for name, weight in model.named_parameters() if "lora_B" in name)
        weight.data = weight.data * 3
    torch.testing.assert_close(loss_of(ours.model, 2, 8), loss_of(plain, 2, 8))
    assert ours.recorder.replays == [1]


def test_paused_replays_run_layer_by_layer_and_dropped_ones_are_recorded_again():
    ours = Replayed()
    with ours.replays.paused():
        loss_of(ours.model, 2, 8).backward()
    assert ours.recorder.recordings == []
    loss_of(ours.model, 2, 8).backward()
    ours.replays.drop()
    loss_of(ours.model, 2, 8).backward()
    assert ours.recorder.replays == [1, 1]


def test_arguments_are_told_apart_by_all_but_their_numbers():
    cpu, one = torch.device("cpu"), torch.zeros(2, 3)
    kwargs = {"mask": None, "places": (one, one + 1), "cached": False}
    assert signature(kwargs, cpu) == signature({"mask": None, "places": (one + 2, one), "cached": False}, cpu)
    for other in ({"mask": one}, {"places": (one, one.half())}, {"places": (one, one[:1])}, {"cached": 0}, {"more": 1}):
        assert signature(kwargs, cpu) != signature(kwargs | other, cpu)
    for unknown in ([one], object(), one.clone().requires_grad_(), one.to("meta")):
        with pytest.raises(Unknown):
            signature({"a": unknown}, cpu)
    assert [path for path, _ in tensors(kwargs)] == [("places", 0), ("places", 1)]
    put = filled(kwargs, iter([one, one]))
    assert put["places"][1] is one
    assert same(kwargs, dict(kwargs))
    assert not same(kwargs, put)
