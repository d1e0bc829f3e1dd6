"""Adapters that come and go while requests are under way, at the same time, and through kills."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine

from askback.contracts.errors import Conflict, InvalidInput, NotFound, UpstreamUnavailable
from askback.contracts.student import Adapter
from services.student.adapters import Adapters

Make = Callable[..., str]
Open = Callable[[], Adapters]


class CountingEngine(ScriptedEngine):
    """Takes a moment for every change, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.fail_unload = False

    async def load(self, name: str, path: str) -> None:
        await asyncio.sleep(0.01)
        self.loads.append(name)
        await super().load(name, path)

    async def unload(self, name: str) -> None:
        if self.fail_unload:
            raise UpstreamUnavailable("asleep")
        await asyncio.sleep(0.001)
        await super().unload(name)

    async def answer(self, model: str) -> str:
        """As a request: fails when its adapter is gone at its start, or at its end."""
        for _ in range(2):
            if model not in self.served:
                raise NotFound(model)
            await asyncio.sleep(0.002)
        if model not in self.served:
            raise AssertionError("unloaded under a request")
        return model


@pytest.fixture
def engine() -> CountingEngine:
    return CountingEngine()


async def test_two_adds_of_one_name_load_it_once(make_adapter: Make, open_adapters: Open, engine: CountingEngine) -> None:
    adapters, adapter = open_adapters(), Adapter(name="a-1", path=make_adapter("r/a"))
    await asyncio.gather(*(adapters.add(adapter) for _ in range(5)))
    assert engine.loads == ["a-1"]


async def test_of_two_adds_with_other_weights_one_is_refused(make_adapter: Make, open_adapters: Open, engine: CountingEngine) -> None:
    adapters = open_adapters()
    paths = [make_adapter("r/a", b"one"), make_adapter("r/b", b"two")]
    results = await asyncio.gather(*(adapters.add(Adapter(name="a-1", path=path)) for path in paths), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), Conflict]
    assert engine.loads == ["a-1"]


async def test_a_restarted_engine_gets_an_adapter_once_for_all_who_ask(make_adapter: Make, open_adapters: Open, engine: CountingEngine) -> None:
    adapters = open_adapters()
    await adapters.add(Adapter(name="a-1", path=make_adapter("r/a")))
    engine.restart()
    answers = await asyncio.gather(*(adapters.using("a-1", engine.answer) for _ in range(20)))
    assert {answer for _, answer in answers} == {"a-1"}
    assert engine.loads == ["a-1", "a-1"]


async def test_requests_under_way_finish_before_their_adapter_goes(make_adapter: Make, open_adapters: Open, engine: CountingEngine) -> None:
    adapters = open_adapters()
    await adapters.add(Adapter(name="a-1", path=make_adapter("r/a")))
    asked = [asyncio.create_task(adapters.using("a-1", engine.answer)) for _ in range(10)]
    await asyncio.sleep(0)
    removing = asyncio.create_task(adapters.remove("a-1"))
    await asyncio.sleep(0)
    with pytest.raises(NotFound, match="a-1"):
        await adapters.using("a-1", engine.answer)
    assert [answer for _, answer in await asyncio.gather(*asked)] == ["a-1"] * 10
    await removing
    assert "a-1" not in engine.served


async def test_fifty_adapters_come_and_go_under_load_without_a_failed_request(
    make_adapter: Make, open_adapters: Open, engine: CountingEngine
) -> None:
    adapters = open_adapters()
    await adapters.add(Adapter(name="stays", path=make_adapter("r/stays")))
    adapters.make_default("stays")
    ends = asyncio.Event()
    answered = 0

    async def ask() -> None:
        nonlocal answered
        while not ends.is_set():
            for name in ("", "student", "stays", *(adapter.name for adapter in adapters.listing().adapters)):
                try:
                    await adapters.using(name, engine.answer)
                    answered += 1
                except NotFound:
                    assert name not in [adapter.name for adapter in adapters.listing().adapters]

    asking = [asyncio.create_task(ask()) for _ in range(8)]
    comes = Adapter(name="comes", path=make_adapter("r/comes"))
    for _ in range(50):
        await adapters.add(comes)
        await adapters.remove("comes")
    ends.set()
    await asyncio.gather(*asking)
    assert answered > 100
    assert engine.loads.count("comes") >= 50


async def test_what_the_engine_kept_is_listed_again(make_adapter: Make, open_adapters: Open, engine: CountingEngine) -> None:
    adapters = open_adapters()
    await adapters.add(Adapter(name="a-1", path=make_adapter("r/a")))
    engine.fail_unload = True
    with pytest.raises(UpstreamUnavailable):
        await adapters.remove("a-1")
    assert [adapter.name for adapter in adapters.listing().adapters] == ["a-1"]
    engine.fail_unload = False
    await adapters.remove("a-1")
    assert open_adapters().listing().adapters == []


async def test_a_removed_name_is_not_given_other_weights(make_adapter: Make, open_adapters: Open) -> None:
    adapters = open_adapters()
    await adapters.add(Adapter(name="a-1", path=make_adapter("r/a", b"one")))
    await adapters.remove("a-1")
    with pytest.raises(Conflict, match="other weights"):
        await open_adapters().add(Adapter(name="a-1", path=make_adapter("r/b", b"two")))
    await adapters.add(Adapter(name="a-1", path="r/a"))


async def test_weights_that_were_changed_on_disk_are_not_loaded_under_the_old_name(
    make_adapter: Make, open_adapters: Open, engine: CountingEngine, tmp_path: Path
) -> None:
    await open_adapters().add(Adapter(name="a-1", path=make_adapter("r/a", b"one")))
    weights = tmp_path / "runs" / "r" / "a" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with pytest.raises(Conflict, match="changed on disk"):
        await open_adapters().using("a-1", engine.answer)


@pytest.mark.parametrize("name", ["base", "student", "student-base", "a b", "", "../a", "-a", "a" * 301])
async def test_names_with_a_meaning_and_names_that_are_none_are_refused(make_adapter: Make, open_adapters: Open, name: str) -> None:
    with pytest.raises(InvalidInput, match="name: "):
        await open_adapters().add(Adapter(name=name, path=make_adapter("r/a")))


async def test_the_engine_is_given_its_default_again_when_it_wakes(make_adapter: Make, open_adapters: Open, engine: CountingEngine) -> None:
    adapters = open_adapters()
    await adapters.prepare()
    assert engine.loads == []
    adapter = Adapter(name="a-1", path=make_adapter("r/a"))
    await adapters.prepare(adapter)
    adapters.make_default("a-1")
    engine.restart()
    await adapters.prepare()
    assert engine.loads == ["a-1", "a-1"]


def test_a_state_that_is_something_else_is_named(open_adapters: Open, tmp_path: Path) -> None:
    (tmp_path / "student.json").write_text('{"default": ')
    with pytest.raises(InvalidInput, match="STUDENT_STATE"):
        open_adapters()


_PROMOTING = """
import itertools, sys
from pathlib import Path
from services.student.adapter_state import AdapterState, write_state
for i in itertools.count():
    write_state(Path(sys.argv[1]), AdapterState(default=f"a-{i}", paths={f"a-{i}": "p" * (i % 7) * 1000}))
    print(i, flush=True)
"""


@pytest.mark.parametrize("moment", range(5))
def test_a_kill_while_promoting_leaves_the_old_default_or_the_new_one(tmp_path: Path, open_adapters: Open, moment: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROMOTING, str(tmp_path / "student.json")], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."}
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.01 * moment)
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    last = int(rest.split()[-1]) if rest.split() else 0
    assert open_adapters().listing().default in (f"a-{last}", f"a-{last + 1}")
