"""`askback up` and `askback down`."""

import typer

from askback.local.settings import LocalSettings
from askback.local.stack import Stack
from askback.loop.progress import Reporter


def up() -> None:
    """Start the embedded stack on this machine and leave it running.

    Example:

      askback up && askback ask "Is the Amazon River in Peru?"
    """
    settings = LocalSettings.of()
    Stack(settings, Reporter()).up()
    typer.echo(f"up: student at {settings.urls()['student']} (API at /docs), logs in {settings.home}/log; stop with `make down`")


def down() -> None:
    """Stop the embedded stack."""
    Stack(LocalSettings.of(), Reporter()).down()
    typer.echo("down")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (up, down):
        app.command()(command)
