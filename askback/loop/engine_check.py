"""What the engine must be to serve a run, looked at before anything is asked, paid or trained."""

from askback.contracts.client import StudentClient
from askback.contracts.errors import InvalidInput
from askback.loop.config import RunConfig

_EVERY_ENGINE = 16
"""Rank that every profile of the engine serves, so that a run of usual adapters need not ask."""


async def check_engine(config: RunConfig, student: StudentClient) -> None:
    """Raise InvalidInput where the engine serves another base model than the run names, or no adapter as large as the run trains."""
    largest = max(config.adapters, key=lambda adapter: config.recipe_of(adapter).lora_rank)
    rank = config.recipe_of(largest).lora_rank
    if not config.base_model and rank <= _EVERY_ENGINE:
        return
    engine = await student.adapters()
    if config.base_model and engine.base_model.rstrip("/").rsplit("/", 1)[-1] != config.base_model:
        raise InvalidInput(f"base_model: the configuration wants {config.base_model!r} and the engine serves {engine.base_model!r}")
    if 0 < engine.max_rank < rank:
        raise InvalidInput(
            f"adapters: {largest.name!r}: lora_rank {rank}, and the engine serves ranks up to {engine.max_rank}; "
            "take an ENGINE_PROFILE with a larger max_lora_rank, or a smaller lora_rank"
        )
