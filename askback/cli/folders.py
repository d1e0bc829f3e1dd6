"""Commands over a run that is there already: where it stands, its traces in a page."""

from pathlib import Path
from typing import Annotated

import typer

from askback.loop.status import status_of
from askback.loop.store import RunStore
from askback.viewer.server import serve_traces

RUNS = Path("runs")
RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, a folder in runs/.")]


def view(
    run_id: RunFolder,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes a free one.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> None:
    """Browse a run's traces in a page on this machine: drafts, questions, answers, rewrites, and why rows were kept or dropped.

    Examples:

      askback view first

      askback view first --port 8090 --no-open
    """
    serve_traces(RunStore(RUNS, run_id), port, open_browser)


def status(run_id: RunFolder, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show where a run stands, also while it is under way: its stages, what became of every row, what it cost, what failed.

    Examples:

      askback status first

      watch askback status first
    """
    found = status_of(RunStore(RUNS, run_id))
    typer.echo(found.model_dump_json(indent=1) if as_json else found.as_text())


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (status, view):
        app.command()(command)
