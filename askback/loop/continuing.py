"""How a run goes on: with the configuration that it was begun with, and without what is to be done again."""

from collections.abc import Sequence

from askback.contracts.errors import InvalidInput
from askback.loop import seal
from askback.loop.choose import held_out_run
from askback.loop.config import RunConfig, dump_toml, load_config
from askback.loop.harvest import versions_of
from askback.loop.progress import Reporter
from askback.loop.stages import ORDER
from askback.loop.store import RunStore
from askback.tasks import task_named


def keep_config(config: RunConfig, store: RunStore) -> None:
    """Write the resolved configuration into the run. Raises InvalidInput where the run was begun with another one."""
    path = store.path("config.toml")
    if not path.exists():
        store.write_text("config.toml", dump_toml(config))
        return
    kept = load_config(path).model_dump()
    changed = [name for name, value in config.model_dump().items() if kept[name] != value]
    if changed:
        raise InvalidInput(f"run {store.run_id} was started with another `{changed[0]}`; give a new --id, or the configuration in {path}")


def reopen(config: RunConfig, store: RunStore, reporter: Reporter, retry_errors: bool, redo: tuple[str, ...]) -> None:
    """Count as not done what is asked for again, what failed when errors are tried again, and what was made with prompts that have changed since.

    Raises InvalidInput where that leads to the choice with which dev was read.
    """
    stages, keep_predictions = _to_reopen(config, store, reporter, retry_errors, redo)
    if config.data.held_out:
        seal.check_reopening(store, stages)
        if "choose" in stages:
            held_out_run(store).reopen(["evaluate"], keep_predictions)
    store.reopen(stages, keep_predictions)


def _to_reopen(config: RunConfig, store: RunStore, reporter: Reporter, retry_errors: bool, redo: tuple[str, ...]) -> tuple[Sequence[str], bool]:
    """(stages, whether the predictions stay)."""
    edited = () if redo else _edited(config, store, reporter)
    if edited or not retry_errors:
        return redo or edited, False
    if config.data.held_out and seal.sealed(store):
        return _from("evaluate"), True
    harvest = store.manifest("harvest")
    if not harvest or harvest["counts"].get("errors", True):
        return _from("harvest"), False
    return _from("choose" if config.data.held_out else "evaluate"), True


def _edited(config: RunConfig, store: RunStore, reporter: Reporter) -> Sequence[str]:
    """The stages to do again since a prompt file that the harvest reads was edited; what did not read it is not asked again."""
    manifest = store.manifest("harvest")
    versions = versions_of(task_named(config.task), config.harvest.hint, config.harvest.replies)
    now = {str(stage): version for stage, version in versions.items()}
    then = manifest["counts"].get("prompts", now) if manifest else now
    changed = [version for stage, version in now.items() if then.get(stage) != version]
    if not changed:
        return ()
    reporter.say(f"edited since the harvest: {', '.join(changed)}; the steps that read it are done again")
    return _from("harvest")


def _from(stage: str) -> Sequence[str]:
    return ORDER[ORDER.index(stage) :]
