"""The command line: `askback run configs/demo.toml` and its parts. Exit codes: 0 done, 2 the user's mistake, 1 ours."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from askback.contracts.client import api_key_in
from askback.contracts.errors import BudgetExceeded, Conflict, InvalidInput, NotFound, ServiceError
from askback.contracts.records import Draft
from askback.contracts.student import AskRequest, ClarifyRequest, Resolver
from askback.local.settings import LocalSettings
from askback.local.stack import Stack
from askback.loop.config import RunConfig, load_config, overridden
from askback.loop.preflight import preflight
from askback.loop.progress import Reporter
from askback.loop.push import push
from askback.loop.run import Run
from askback.loop.services import Services, connect
from askback.loop.store import RunStore
from askback.viewer.server import serve_traces

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__)

Result = TypeVar("Result")
ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The run's TOML file, such as configs/demo.toml.")]
RunId = Annotated[str, typer.Option("--id", help="The run's id; an existing one is continued. Default: name and time.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder with the dataset's official files, in place of the configured one.")]
Teacher = Annotated[str | None, typer.Option("--teacher", help="Backend of the teacher service: replay, gold, openai, ...")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most this many rows of each split.")]
RetryErrors = Annotated[bool, typer.Option("--retry-errors", help="Try the harvest's failed rows again, and redo what follows.")]

_MISTAKES = (InvalidInput, NotFound, Conflict, BudgetExceeded)


def _stage_command(last: str, text: str) -> None:
    """A command that brings a run up to the stage `last`."""

    @app.command(name="run" if last == "report" else last, help=text)
    def command(
        config: ConfigFile, run_id: RunId = "", data: Data = None, teacher: Teacher = None, limit: Limit = None, retry_errors: RetryErrors = False
    ) -> None:
        resolved = overridden(load_config(config), data, teacher, limit)
        run_id = run_id or f"{resolved.name}-{datetime.now():%Y%m%d-%H%M%S}"
        _run(resolved, run_id, last, retry_errors=retry_errors)


_EXAMPLES = (
    "\n\nExamples:\n\n  askback run configs/demo.toml\n\n  askback run configs/strategyqa.toml --data DIR --teacher replay --limit 64 --id first"
)
_stage_command("report", "Run the whole loop, to the report. With the id of an earlier run, continue it." + _EXAMPLES)
_stage_command("harvest", "Run up to the harvest: drafts, teacher's answers, rewrites.\n\nExample:\n\n  askback harvest configs/demo.toml --id first")
_stage_command("tracks", "Run up to the training corpora.\n\nExample:\n\n  askback tracks configs/demo.toml --id first")
_stage_command("train", "Run up to the trained adapters.\n\nExample:\n\n  askback train configs/demo.toml --id first")
_stage_command("evaluate", "Run up to the predictions.\n\nExample:\n\n  askback evaluate configs/demo.toml --id first")


@app.command()
def report(config: ConfigFile, run_id: Annotated[str, typer.Option("--id", help="The run's id.")]) -> None:
    """Write the report, plots and slides of a run again, from the scores that it has.

    Example:

      askback report runs/first/config.toml --id first
    """
    _run(load_config(config), run_id, "report", redo=("report",))


@app.command()
def view(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, a folder in runs/.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes a free one.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> None:
    """Browse a run's traces in a page on this machine: drafts, questions, answers, rewrites, and why rows were kept or dropped.

    Examples:

      askback view first

      askback view first --port 8090 --no-open
    """
    serve_traces(RunStore(Path("runs"), run_id), port, open_browser)


@app.command(name="push")
def push_tracks(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, a folder in runs/.")],
    dataset: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Dataset on the hub; made when there is none.")],
    public: Annotated[bool, typer.Option("--public", help="Make a new dataset public.")] = False,
) -> None:
    """Put a run's tracks and their data card on the Hugging Face hub; HF_TOKEN must hold a token that may write there.

    Example:

      HF_TOKEN=hf_... askback push first me/strategyqa-askback
    """
    push(RunStore(Path("runs"), run_id), dataset, os.environ.get("HF_TOKEN", ""), private=not public)
    typer.echo(f"done: https://huggingface.co/datasets/{dataset}")


def _run(config: RunConfig, run_id: str, last: str, retry_errors: bool = False, redo: tuple[str, ...] = ()) -> None:
    reporter = Reporter()
    if not run_id.replace("-", "").replace("_", "").replace(".", "").isalnum() or run_id.startswith("."):
        raise InvalidInput(f"--id: {run_id!r} may have letters, digits, dots, dashes and underscores only")
    store = RunStore(Path("runs"), run_id)
    if not store.manifest("sample"):
        preflight(config)
    reporter.say(f"run {run_id} in {store.folder}/")
    try:
        with _stack_if_needed(reporter):
            _with_services(lambda services: Run(config, store, services, reporter, retry_errors, redo).until(last))
    except (KeyboardInterrupt, ServiceError):
        reporter.say(f"run {run_id} stopped; the same command with --id {run_id} continues it")
        raise
    ends = {"report": f"report {store.path('report.md')}, slides {store.path('slides.pptx')}, everything in {store.folder}/"}
    typer.echo(f"done: {ends.get(last, f'{last} in {store.folder}/')}")


@app.command()
def up() -> None:
    """Start the embedded stack on this machine and leave it running.

    Example:

      askback up && askback ask "Is the Amazon River in Peru?"
    """
    settings = LocalSettings.of()
    Stack(settings, Reporter()).up()
    typer.echo(f"up: student at {settings.urls()['student']} (API at /docs), logs in {settings.home}/log; stop with `make down`")


@app.command()
def down() -> None:
    """Stop the embedded stack."""
    Stack(LocalSettings.of(), Reporter()).down()
    typer.echo("down")


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="A yes/no question.")],
    resolver: Annotated[Resolver, typer.Option(help="Who answers the student's questions.")] = Resolver.TEACHER,
    adapter: Annotated[str, typer.Option(help="A loaded adapter, or `base`; default: the promoted one.")] = "",
    task: Annotated[str, typer.Option(help="Task whose prompts are used.")] = "strategyqa",
) -> None:
    """Show what the student drafts, what it asks, what it is answered, and its answer after that.

    Examples:

      askback ask "Is the Amazon River in Peru?"

      askback ask "Is the Amazon River in Peru?" --resolver none --adapter base
    """
    request = AskRequest(task=task, question=question, resolver=resolver, adapter=adapter)
    try:
        answer = _with_services(lambda services: services.student.ask(request), check=False)
    except NotFound as error:
        _show_draft(_with_services(lambda services: services.student.clarify(_clarify(request)), check=False).draft)
        raise NotFound(f"nobody answered: {error}; name a live teacher (see README), or use --resolver none") from error
    _show_draft(answer.draft)
    for exchange in answer.exchanges:
        typer.echo(f"answered  {exchange.answer}  ({answer.answered_by})")
    typer.echo(f"rewrite   {answer.final.answer or answer.final.text}{_sure(answer.final.p_yes)}")


def _clarify(request: AskRequest) -> ClarifyRequest:
    return ClarifyRequest(task=request.task, question=request.question, adapter=request.adapter)


def _show_draft(draft: Draft) -> None:
    typer.echo(f"draft     {draft.answer}{_sure(draft.p_yes)}")
    for asked in draft.questions:
        typer.echo(f"asks      {asked}")


def _sure(p_yes: float | None) -> str:
    return f"  (P(yes) = {p_yes:.2f})" if p_yes is not None else ""


def _named_elsewhere() -> dict[str, str]:
    """Service URLs that the environment sets: TEACHER_URL, STUDENT_URL, ..."""
    names = LocalSettings.of().urls()
    return {name: os.environ[f"{name.upper()}_URL"] for name in names if f"{name.upper()}_URL" in os.environ}


def _stack_if_needed(reporter: Reporter) -> AbstractContextManager[None]:
    """The embedded stack for the length of the run, unless the environment names other services."""
    return nullcontext() if _named_elsewhere() else Stack(LocalSettings.of(), reporter).started()


def _with_services(work: Callable[[Services], Coroutine[Any, Any, Result]], check: bool = True) -> Result:
    async def inner() -> Result:
        async with AsyncExitStack() as stack:
            services = await connect(stack, {**LocalSettings.of().urls(), **_named_elsewhere()}, api_key_in(os.environ))
            if check:
                await services.check()
            return await work(services)

    return asyncio.run(inner())


def main() -> None:
    """Entry point: errors become one line and an exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except _MISTAKES as error:
        _fail(error, 2)
    except ServiceError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: BaseException, code: int) -> None:
    typer.echo(f"askback: {error}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
