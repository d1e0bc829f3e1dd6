"""Keep a transformers trainer from walking through a model's thousands of modules at every pass, for which the card would wait."""

from typing import Any


def shorten_walks(trainer: Any) -> None:
    """Let `trainer` set the mode of its model once, and clear and clip the gradients of trained weights alone.

    The count of operations, which nobody reads here, stays 0.
    """
    model = trainer.model
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    walk = model.train

    walk()  # PEFT's wrapper begins in training mode, while what it wraps was loaded for inference

    def train(mode: bool = True) -> Any:
        return model if mode and model.training else walk(mode)

    def zero_grad(set_to_none: bool = True) -> None:
        for weight in trained:
            if set_to_none:
                weight.grad = None
            elif weight.grad is not None:
                weight.grad.zero_()

    model.train, model.zero_grad = train, zero_grad
    trainer.floating_point_ops = lambda inputs: 0
    trainer._clip_grad_norm = lambda _: trainer.accelerator.clip_grad_norm_(trained, trainer.args.max_grad_norm)
