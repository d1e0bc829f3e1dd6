"""The written-out passes give what PEFT's own layers give, in full precision and over NF4."""

import copy

import pytest
import torch
from trainer_lora_model import packed_tiny, tiny
from transformers import LlamaConfig, Qwen2Config

from services.trainer.model.fused import RECOMPUTE, fuse_layers, fuse_mlps


def loss_and_gradients(model):
    model.zero_grad()
    ids = torch.randint(0, 300, (3, 11), generator=torch.Generator().manual_seed(1))
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss.detach(), {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad}


def assert_same(ours, theirs):
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-6)
    assert ours[1].keys() == theirs[1].keys()
    for name, gradient in theirs[1].items():
        torch.testing.assert_close(ours[1][name], gradient, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("config", [LlamaConfig, Qwen2Config])  # Qwen2 has biases
@pytest.mark.parametrize("recompute", [False, True])
def test_losses_and_gradients_are_those_of_peft(config, recompute):
    model = tiny(config)
    theirs = loss_and_gradients(model)
    assert fuse_layers(model) == 14
    mlps = fuse_mlps(model)
    assert len(mlps) == 2
    for mlp in mlps:
        setattr(mlp, RECOMPUTE, recompute)
    assert_same(loss_and_gradients(model), theirs)


@pytest.mark.parametrize("recompute", [False, True])
def test_losses_and_gradients_over_nf4_are_those_of_peft(recompute):
    model = packed_tiny()
    theirs = loss_and_gradients(model)
    assert fuse_layers(model) == 14
    for mlp in fuse_mlps(model):
        setattr(mlp, RECOMPUTE, recompute)
    assert_same(loss_and_gradients(model), theirs)


def test_checkpointed_layers_give_the_same_gradients():
    model = tiny()
    theirs = loss_and_gradients(model)
    fuse_layers(model)
    fuse_mlps(model)
    model.train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert_same(loss_and_gradients(model), theirs)


def test_an_adapter_with_dropout_is_left_to_peft():
    model = tiny(lora_dropout=0.5)
    fuse_layers(model)
    assert fuse_mlps(model) == []
    ids = torch.arange(12)[None]
    first, second = model(input_ids=ids).logits, model(input_ids=ids).logits
    assert not torch.equal(first, second), "dropout was lost"


def test_a_dora_adapter_is_left_to_peft():
    model = tiny(use_dora=True)
    theirs = loss_and_gradients(model)
    fuse_layers(model)
    fuse_mlps(model)
    assert_same(loss_and_gradients(model), theirs)


def test_the_model_without_its_adapters_is_the_base():
    model = tiny()
    ids = torch.arange(12)[None]
    base = copy.deepcopy(model).unload()(input_ids=ids).logits
    fuse_layers(model)
    fuse_mlps(model)
    with model.disable_adapter():
        torch.testing.assert_close(model(input_ids=ids).logits, base)
    assert not torch.allclose(model(input_ids=ids).logits, base)


def test_a_second_adapter_is_computed_by_its_own_weights():
    model = tiny()
    model.add_adapter("ref", copy.deepcopy(model.peft_config["default"]))
    ids = torch.arange(12)[None]
    model.set_adapter("ref")
    theirs = model(input_ids=ids).logits
    fuse_layers(model)
    fuse_mlps(model)
    torch.testing.assert_close(model(input_ids=ids).logits, theirs)
    model.set_adapter("default")
    assert not torch.allclose(model(input_ids=ids).logits, theirs)
