"""`askback tracks CONFIG` makes the training corpora, `askback tracks push RUN OWNER/NAME` puts them on the hub."""

import os
from typing import Annotated

import typer
from typer.core import TyperGroup

from askback.cli.folders import RUNS, RunFolder
from askback.loop.push import push
from askback.loop.store import RunStore


class TracksGroup(TyperGroup):
    """A group whose first command is meant where none is named."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put the first command's name before arguments that do not begin with a command's."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


def push_tracks(
    run_id: RunFolder,
    dataset: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Dataset on the hub; made when there is none.")],
    public: Annotated[bool, typer.Option("--public", help="Make a new dataset public.")] = False,
) -> None:
    """Put a run's tracks and their data card on the Hugging Face hub; HF_TOKEN must hold a token that may write there.

    Example:

      HF_TOKEN=hf_... askback tracks push first me/strategyqa-askback
    """
    push(RunStore(RUNS, run_id), dataset, os.environ.get("HF_TOKEN", ""), private=not public)
    typer.echo(f"done: https://huggingface.co/datasets/{dataset}")
