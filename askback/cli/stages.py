"""Commands that bring a run up to a stage: `run` to its report, `harvest`, `tracks`, `train`, `choose` and `evaluate` to theirs."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import typer

from askback.cli.folders import RUNS
from askback.cli.options import ConfigFile, Data, Hint, KeepWrong, Limit, Previous, RetryErrors, RunId, Sampled, Teacher
from askback.cli.services import stack_if_needed, tell_of_workers, with_services
from askback.cli.tracks_group import TracksGroup, push_tracks
from askback.contracts.errors import InvalidInput, ServiceError
from askback.loop.choose import FILE, check_id, held_out_run
from askback.loop.config import RunConfig, load_config, overridden
from askback.loop.preflight import preflight
from askback.loop.previous import previous_student
from askback.loop.progress import Reporter
from askback.loop.run import Run
from askback.loop.stages import stages_of, stages_until
from askback.loop.store import RunStore

_TEXTS = {
    "report": "Run the whole loop, to the report. With the id of an earlier run, continue it.\n\nExamples:\n\n  askback run configs/demo.toml\n\n"
    "  askback run configs/strategyqa.toml --data DIR --teacher replay --limit 64 --id first",
    "harvest": "Run up to the harvest: drafts, teacher's answers, rewrites.\n\nExamples:\n\n  askback harvest configs/demo.toml --id first\n\n"
    "  askback harvest configs/strategyqa.toml --data DIR --sampling uncertainty --hint",
    "tracks": "Run up to the training corpora.\n\nExample:\n\n  askback tracks configs/demo.toml --id first",
    "train": "Run up to the trained adapters.\n\nExample:\n\n  askback train configs/demo.toml --id first",
    "choose": "Run up to the choice on the held-out rows, before dev is read.\n\nExample:\n\n  askback choose CONFIG --id first\n\n"
    "CONFIG needs data.held_out.",
    "evaluate": "Run up to the predictions.\n\nExample:\n\n  askback evaluate configs/demo.toml --id first",
}


def _command_until(last: str) -> Callable[..., None]:
    def command(
        config: ConfigFile,
        run_id: RunId = "",
        data: Data = None,
        teacher: Teacher = None,
        limit: Limit = None,
        sampling: Sampled = None,
        hint: Hint = None,
        keep_wrong: KeepWrong = None,
        previous: Previous = None,
        retry_errors: RetryErrors = False,
    ) -> None:
        told = load_config(config)
        resolved = overridden(told, data, teacher, limit, keep_wrong=keep_wrong, hint=hint, sampling=sampling, previous=previous)
        run_id = run_id or f"{resolved.name}-{datetime.now():%Y%m%d-%H%M%S}"
        _run(resolved, run_id, last, retry_errors=retry_errors)

    return command


def report(config: ConfigFile, run_id: Annotated[str, typer.Option("--id", help="The run's id.")]) -> None:
    """Write the report, figures and slides of a run again, from the scores that it has.

    Example:

      askback report runs/first/config.toml --id first
    """
    _run(load_config(config), run_id, "report", redo=("report",))


def _run(config: RunConfig, run_id: str, last: str, retry_errors: bool = False, redo: tuple[str, ...] = ()) -> None:
    reporter = Reporter()
    if not run_id.replace("-", "").replace("_", "").replace(".", "").isalnum() or run_id.startswith("."):
        raise InvalidInput(f"--id: {run_id!r} may have letters, digits, dots, dashes and underscores only")
    store = RunStore(RUNS, run_id)
    check_id(run_id, config)
    stages_until(last, config)
    if not store.manifest("sample"):
        preflight(config)
        previous_student(config, store)
    reporter.say(f"run {run_id} in {store.folder}/")
    try:
        with stack_if_needed(reporter):
            if last not in ("harvest", "tracks"):
                tell_of_workers(config.train.at_once, reporter)
            with_services(lambda services: Run(config, store, services, reporter, retry_errors, redo).until(last))
    except (KeyboardInterrupt, ServiceError, OSError):
        reporter.say(f"run {run_id} stopped; the same command with --id {run_id} continues it")
        raise
    ends = {"choose": f"choice {store.path(FILE)}, measured in {held_out_run(store).folder}/"}
    if "report" in stages_of(config):
        ends["report"] = f"report {store.path('report.html')}, slides {store.path('slides.pptx')}, everything in {store.folder}/"
    else:
        ends["report"] = f"dev was not read; report {held_out_run(store).path('report.html')}, everything in {store.folder}/"
    typer.echo(f"done: {ends.get(last, f'{last} in {store.folder}/')}")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for last in ("report", "harvest", "train", "choose", "evaluate"):
        app.command(name="run" if last == "report" else last, help=_TEXTS[last])(_command_until(last))
    app.command()(report)
    tracks = typer.Typer(cls=TracksGroup, no_args_is_help=True, help=_TEXTS["tracks"])
    tracks.command(name="make", help=_TEXTS["tracks"])(_command_until("tracks"))
    tracks.command(name="push")(push_tracks)
    app.add_typer(tracks, name="tracks")
