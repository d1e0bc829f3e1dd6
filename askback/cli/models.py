"""`askback merge RUN ADAPTER` makes whole weights of an adapter, `askback push RUN ADAPTER OWNER/NAME` publishes either."""

import os
from typing import Annotated

import typer

from askback.cli.folders import RUNS, RunFolder
from askback.cli.services import stack_if_needed, with_services
from askback.loop.merge import merge_adapter
from askback.loop.progress import Reporter
from askback.loop.push_model import push_model
from askback.loop.store import RunStore

Adapter = Annotated[str, typer.Argument(metavar="ADAPTER", help="Name of the adapter in the run's configuration.")]


def merge(run_id: RunFolder, adapter: Adapter) -> None:
    """Add an adapter to its base model's weights, for engines that take no adapters; bf16 safetensors with tokenizer and chat template.

    Example:

      askback merge first direct
    """
    with stack_if_needed(Reporter()):
        folder = with_services(lambda services: merge_adapter(RunStore(RUNS, run_id), adapter, services.trainer), check=False)
    typer.echo(f"done: {folder}")


def push(
    run_id: RunFolder,
    adapter: Adapter,
    model: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Model on the hub; made when there is none.")],
    merged: Annotated[bool, typer.Option("--merged", help="Publish the whole weights that `askback merge` made.")] = False,
    base_model: Annotated[str, typer.Option(help="The base model's name on the hub, where it was trained on a folder.")] = "",
    public: Annotated[bool, typer.Option("--public", help="Make a new model public.")] = False,
) -> None:
    """Put an adapter with its model card on the Hugging Face hub; HF_TOKEN must hold a token that may write there.

    Example:

      HF_TOKEN=hf_... askback push first direct me/student-direct --base-model HuggingFaceTB/SmolLM2-135M-Instruct
    """
    token = os.environ.get("HF_TOKEN", "")
    push_model(RunStore(RUNS, run_id), adapter, model, token, base_model=base_model, merged=merged, private=not public)
    typer.echo(f"done: https://huggingface.co/{model}")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.command()(merge)
    app.command()(push)
