"""Adapters that are trained once for each of several seeds: written out before the configuration is checked."""

from collections.abc import Mapping
from typing import Any

from askback.contracts.records import Condition
from askback.loop.config.sections import condition_of

Raw = dict[str, Any]
Members = Mapping[str, tuple[str, int]]
"""Family and seed by the adapter's name."""


def seeds_written_out(raw: Raw) -> Raw:
    """A run's raw configuration with every adapter that has `seeds` as one adapter a seed, and every condition that names it as one a seed.

    What is written out has `family` and `seed` in place of `seeds`, so it is not written out again. Raises ValueError naming the adapter.
    """
    adapters = raw.get("adapters")
    if not isinstance(adapters, list):
        return raw
    families: dict[str, list[int]] = {}
    plain: list[Any] = []
    for adapter in adapters:
        plain += _members(adapter, families) if isinstance(adapter, dict) and "seeds" in adapter else [_alone(adapter, families)]
    members = {str(one.get("name")): (one["family"], one["seed"]) for one in plain if isinstance(one, dict) and one.get("family") and "seed" in one}
    return raw | {"adapters": plain} | _measured(raw, members)


def _measured(raw: Raw, members: Members) -> Raw:
    """The sections that name conditions, written out; a section without a list of them is left to the check of the whole."""
    sections = {name: section for name in ("evaluate", "choose") if isinstance(section := raw.get(name), dict)}
    return {
        name: section | {"conditions": [one for condition in section["conditions"] for one in _expanded(condition, members)]}
        for name, section in sections.items()
        if members and isinstance(section.get("conditions"), list)
    }


def member(family: str, seed: int) -> str:
    """Name of the family's adapter of this seed."""
    return f"{family}-s{seed}"


def _members(adapter: Raw, families: dict[str, list[int]]) -> list[Raw]:
    """The family's adapters; its seeds are added to `families`."""
    name, seeds, init = adapter.get("name"), adapter["seeds"], adapter.get("init")
    if name in families:
        raise ValueError(f"adapters: the name {name!r} is taken; give each adapter its own")
    whole = isinstance(seeds, list) and all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds) or "seed" in adapter:
        raise ValueError(f"adapters: {name!r}: seeds: give different whole numbers from 0, such as [13, 14, 15], and no `seed` beside them")
    if absent := set(seeds) - set(families[init]) if init in families else set():
        raise ValueError(f"adapters: {name!r} starts from {init!r}, which is not trained with seed {min(absent)}; give both the same seeds")
    if not isinstance(name, str):
        return [adapter]  # the check of the whole names what is missing
    families[name] = seeds
    shared = {field: value for field, value in adapter.items() if field != "seeds"}
    starts = {seed: {"init": member(init, seed)} if init in families else {} for seed in seeds}
    return [shared | starts[seed] | {"name": member(name, seed), "family": name, "seed": seed} for seed in seeds]


def _alone(adapter: Any, families: Mapping[str, list[int]]) -> Any:
    init = adapter.get("init") if isinstance(adapter, dict) else None
    if isinstance(init, str) and init in families:
        one = member(init, families[init][0])
        raise ValueError(f"adapters: {adapter.get('name')!r} starts from {init!r}, which has several seeds; give it the same seeds, or init {one!r}")
    return adapter


def _expanded(condition: Any, members: Members) -> list[Any]:
    """The conditions that a name stands for; one that is a table stands for itself."""
    if not isinstance(condition, str):
        return [condition]
    adapter, _, rest = condition.partition(".")
    names = [name for name, (family, _) in members.items() if family == adapter] or [adapter]
    return [_of_family(f"{name}.{rest}", *members[name]) if name in members else condition for name in names]


def _of_family(name: str, family: str, seed: int) -> Condition:
    read = condition_of(name)
    return read.model_copy(update={"family": family, "seed": seed}) if isinstance(read, Condition) else read
