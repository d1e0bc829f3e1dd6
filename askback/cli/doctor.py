"""`askback doctor`: what keeps the stack from working, and what to do."""

import asyncio
import os
from typing import Annotated

import typer

from askback.local.doctor import Surroundings, examine


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Look at Python, engine, GPU, disks, ports, keys, Redis, Docker and the services, and say what to do. Nothing is changed.

    Exit code 0 when all is well or only warned of, 2 when there is something for you to mend, 1 when the fault is askback's own.
    Keys are told by name, never by value; no address is called but the configured ones.

    Examples:

      askback doctor

      askback doctor --json | jq '.findings[] | select(.level != "ok")'

      TEACHER_URL=http://box:8001 STUDENT_URL=http://box:8002 askback doctor
    """
    report = asyncio.run(examine(Surroundings.of(os.environ)))
    typer.echo(report.model_dump_json(indent=1) if as_json else report.as_text())
    raise typer.Exit(report.exit_code)


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(doctor)
