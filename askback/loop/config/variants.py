"""Variants of the tracks: the run's `[tracks]` with the fields of `[tracks.variants.NAME]` over them."""

from collections.abc import Sequence

from pydantic import ValidationError

from askback.contracts.student import CotForm
from askback.loop.config.mistake import mistake
from askback.loop.config.sections import AdapterConfig, DataConfig, HarvestConfig, TracksConfig, TracksSection


def tracks_of(section: TracksSection, variant: str) -> TracksConfig:
    """The whole settings of `variant`; empty names the run's own. Raises KeyError for an unknown name, ValidationError for an unfit field."""
    own = section.model_dump(exclude={"variants"})
    return TracksConfig.model_validate(own | (section.variants[variant] if variant else {}))


def check_variants(section: TracksSection, adapters: Sequence[AdapterConfig]) -> None:
    """Raises ValueError for an adapter whose variant is not there, and for a field that does not fit."""
    known = section.variants
    for adapter in adapters:
        if adapter.tracks and adapter.tracks not in known:
            there = ", ".join(known) or "none"
            raise ValueError(
                f"adapters: {adapter.name!r}: tracks: no variant {adapter.tracks!r}; there are: {there}; write [tracks.variants.{adapter.tracks}]"
            )
    for name in known:
        if name == "plain":
            raise ValueError("tracks.variants.plain: tracks/plain holds the plain form of the run's own tracks; choose another name")
        try:
            tracks_of(section, name)
        except ValidationError as error:
            raise ValueError(mistake(error, "tracks", "variants", name)) from error


def check_sources(section: TracksSection, data: DataConfig, harvest: HarvestConfig) -> None:
    """Raises ValueError for tracks that need what the run does not ask for, and for fields that say nothing beside each other."""
    for name in ("", *section.variants):
        place, wanted = f"tracks.variants.{name}" if name else "tracks", tracks_of(section, name)
        multitask = wanted.cot is CotForm.MULTITASK
        if wanted.by == "uncertainty" and not (data.probe or data.sampling == "uncertainty"):
            raise ValueError(f"{place}.by: the student is not asked about the training rows; set data.probe = true, or by = 'random'")
        if wanted.replies > harvest.replies:
            raise ValueError(f"{place}.replies: {wanted.replies} are more than the {harvest.replies} of `harvest.replies`; raise that, or lower this")
        if wanted.replies > 1 and multitask:
            raise ValueError(f"{place}.replies: the form multitask takes one reply a question; set replies = 1, or another form of `cot`")
        if wanted.rationales < 1 and not multitask:
            raise ValueError(f"{place}.rationales: only the form multitask has rows of thoughts alone; set cot = 'multitask', or rationales = 1")
