"""Commands over a run that is there already: its traces in a page."""

from pathlib import Path
from typing import Annotated

import typer

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


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.command()(view)
