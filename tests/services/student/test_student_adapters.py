from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine

from askback.contracts.errors import Conflict, InvalidInput, NotFound
from askback.contracts.student import Adapter
from services.student.adapters import Adapters

Make = Callable[..., str]
Open = Callable[[], Adapters]


async def name_of(adapters: Adapters, name: str) -> str:
    async def call(model: str) -> str:
        return model

    return (await adapters.using(name, call))[1]


async def test_an_added_adapter_is_served_and_listed(make_adapter: Make, open_adapters: Open, engine: ScriptedEngine, tmp_path: Path) -> None:
    adapters = open_adapters()
    await adapters.add(Adapter(name="a-1", path=make_adapter("r/a")))
    assert [adapter.name for adapter in adapters.listing().adapters] == ["a-1"]
    assert engine.paths["a-1"] == str(tmp_path / "runs" / "r" / "a")
    assert await name_of(adapters, "a-1") == "a-1"
    assert await name_of(adapters, "base") == "student-base"


async def test_the_default_survives_a_restart_of_the_service(make_adapter: Make, open_adapters: Open) -> None:
    adapters = open_adapters()
    assert await name_of(adapters, "") == "student-base"
    await adapters.add(Adapter(name="a-1", path=make_adapter("r/a")))
    adapters.make_default("a-1")
    again = open_adapters()
    assert again.listing().default == "a-1"
    assert await name_of(again, "") == "a-1"


async def test_a_restarted_engine_gets_the_adapter_again(make_adapter: Make, open_adapters: Open, engine: ScriptedEngine) -> None:
    adapters = open_adapters()
    await adapters.add(Adapter(name="a-1", path=make_adapter("r/a")))
    engine.restart()
    calls = []

    async def call(model: str) -> str:
        calls.append(model)
        if model not in engine.served:
            raise NotFound("no such model")
        return "answer"

    assert await adapters.using("a-1", call) == ("a-1", "answer")
    assert calls == ["a-1", "a-1"]


async def test_names_are_immutable(make_adapter: Make, open_adapters: Open) -> None:
    adapters = open_adapters()
    await adapters.add(Adapter(name="a-1", path=make_adapter("r/a", b"one")))
    await adapters.add(Adapter(name="a-1", path=make_adapter("r/copy", b"one")))
    with pytest.raises(Conflict, match="other weights"):
        await adapters.add(Adapter(name="a-1", path=make_adapter("r/b", b"two")))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"r": 32}, "rank 32"),
        ({"base_model_name_or_path": "Other"}, "trained on 'Other'"),
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ],
)
async def test_what_the_engine_cannot_serve_is_refused(make_adapter: Make, open_adapters: Open, config: dict[str, object], message: str) -> None:
    path = make_adapter("r/a", **config)
    with pytest.raises(InvalidInput, match=message):
        await open_adapters().add(Adapter(name="a-1", path=path))


@pytest.mark.parametrize("path", ["../secret", "/etc", ".", "r/../../secret"])
async def test_paths_stay_inside_the_root(open_adapters: Open, path: str) -> None:
    with pytest.raises(InvalidInput, match="outside"):
        await open_adapters().add(Adapter(name="a-1", path=path))


async def test_a_folder_without_safetensors_is_refused(make_adapter: Make, open_adapters: Open, tmp_path: Path) -> None:
    path = make_adapter("r/a")
    (tmp_path / "runs" / "r" / "a" / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(InvalidInput, match=r"no adapter_model\.safetensors"):
        await open_adapters().add(Adapter(name="a-1", path=path))


async def test_removal(make_adapter: Make, open_adapters: Open, engine: ScriptedEngine) -> None:
    adapters = open_adapters()
    await adapters.add(Adapter(name="a-1", path=make_adapter("r/a")))
    adapters.make_default("a-1")
    with pytest.raises(Conflict, match="default"):
        await adapters.remove("a-1")
    adapters.make_default("base")
    await adapters.remove("a-1")
    assert "a-1" not in engine.served
    for call in (adapters.remove("a-1"), name_of(adapters, "a-1")):
        with pytest.raises(NotFound, match="a-1"):
            await call
