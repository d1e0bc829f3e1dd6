"""The stages of the loop, in the order in which they are done."""

from askback.contracts.errors import InvalidInput
from askback.loop.config import RunConfig, load_config
from askback.loop.store import RunStore

ORDER = ("sample", "harvest", "tracks", "train", "choose", "evaluate", "score", "promote", "report")
"""Every stage that there is; a run has those that `stages_of` says."""
STAGES = tuple(name for name in ORDER if name != "choose")
"""Those of a run that holds no rows out."""
_OF_DEV = ("evaluate", "score", "report")


def stages_of(config: RunConfig) -> tuple[str, ...]:
    """The run's stages: `choose` where it holds rows out, and those that read dev where conditions are measured on it."""
    stages = ORDER if config.data.held_out else STAGES
    return stages if config.evaluate.conditions else tuple(name for name in stages if name not in _OF_DEV)


def stages_until(last: str, config: RunConfig) -> tuple[str, ...]:
    """The run's stages up to `last`; raises InvalidInput for `choose` in a run that holds no rows out."""
    if last == "choose" and not config.data.held_out:
        raise InvalidInput("data.held_out: 0 rows are held out, so that there is nothing to choose on; set it, and give a new --id")
    return tuple(name for name in stages_of(config) if ORDER.index(name) <= ORDER.index(last))


def stages_in(store: RunStore) -> tuple[str, ...]:
    """The stages of the run in this folder; those of a plain run where its configuration is absent or of another version."""
    try:
        return stages_of(load_config(store.path("config.toml")))
    except InvalidInput:
        return STAGES
