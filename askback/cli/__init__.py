"""The command line: `askback run configs/demo.toml` and its parts. Exit codes: 0 done, 2 the user's mistake, 1 ours."""

import signal
import sys

import typer

from askback.cli import asking, doctor, folders, forecast, index_group, leaderboard, models, stack, stages
from askback.contracts.errors import BudgetExceeded, Conflict, InvalidInput, NotFound, ServiceError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__)
for commands in (forecast, stages, leaderboard, models, folders, index_group, asking, stack, doctor):
    commands.add_to(app)

_MISTAKES = (InvalidInput, NotFound, Conflict, BudgetExceeded)


def main() -> None:
    """Entry point: errors become one line and an exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except _MISTAKES as error:
        _fail(error, 2)
    except (ServiceError, OSError) as error:  # a full disk, a folder that may not be written to
        _fail(error, 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: BaseException, code: int) -> None:
    typer.echo(f"askback: {error}", err=True)
    sys.exit(code)
