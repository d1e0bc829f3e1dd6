"""What the doctor says of software, cards, disks and keys."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from doctor_stage import Machine, brief

from askback import __version__
from askback.contracts.gpu_lock import EngineNote, GpuLock, Note
from askback.local.doctor import Level, card, keys, software, storage

H200 = "NVIDIA H200, 580.65.06, 9.0, 143771, 143000"
A10 = "NVIDIA A10G, 570.86.10, 8.6, 23028, 22500"
T4 = "Tesla T4, 580.65.06, 7.5, 15360, 15000"
SMALL = "NVIDIA RTX 3060, 580.65.06, 8.6, 12288, 12000"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_python_and_packages(machine: Machine) -> None:
    assert brief(await software.python(machine.surroundings()))[0][1].endswith(f"askback {__version__}")
    machine.write("constraints.txt", "httpx==0.0.1\ntorch==2.13.0\npydantic==0.1\nno-such-package==1\n")
    (found,) = await software.packages(machine.surroundings())
    assert found.level is Level.WARN and "httpx 0." in found.text and "(pinned 0.0.1)" in found.text and "no-such" not in found.text
    assert "torch" not in found.text, "a build's name is no other version"
    (found,) = await software.packages(machine.surroundings(urls={"teacher": "http://t"}))
    assert found.level is Level.OK


async def test_the_base_model_is_a_folder_or_is_built(machine: Machine) -> None:
    (found,) = await software.base_model(machine.surroundings())
    assert (found.level, "has no config.json" in found.text) == (Level.FAIL, True)
    machine.write("model/config.json", "{}")
    assert brief(await software.base_model(machine.surroundings())) == [("ok", str(machine.root / "model"))]
    (found,) = await software.base_model(machine.surroundings(BASE_MODEL=str(machine.root / "var" / "models" / "SmolLM2-135M-Instruct")))
    assert (found.level, "is built at the first start" in found.text) == (Level.OK, True)
    assert [found.level for found in await software.base_model(machine.surroundings(BASE_MODEL="org/model"))] == [Level.WARN]
    assert [found.level for found in await software.base_model(machine.surroundings(BASE_MODEL="/models/qwen"))] == [Level.WARN]


async def test_the_engines_profile_is_known_and_can_sleep_where_it_must(machine: Machine) -> None:
    assert brief(await software.engine_profile(machine.surroundings())) == [("ok", "profile cpu: 32 answers at a time, 2048 tokens each at most")]
    (found,) = await software.engine_profile(machine.surroundings(ENGINE_PROFILE="huge"))
    assert found.level is Level.FAIL and "'huge' cannot be read" in found.text
    (found,) = await software.engine_profile(machine.surroundings(GPU_LOCK="/gpu/lock"))
    assert found.level is Level.FAIL and "cannot sleep" in found.text
    assert [found.level for found in await software.engine_profile(machine.surroundings(GPU_LOCK="/gpu/lock", ENGINE_PROFILE="two"))] == [Level.OK]


async def test_without_a_driver_a_gpus_profile_fails_and_the_cpus_does_not(machine: Machine) -> None:
    assert brief(await card.gpu(machine.surroundings())) == [("ok", "no NVIDIA driver on this machine, and none is needed")]
    assert brief(await card.gpu(machine.surroundings(ENGINE_PROFILE="24gb"))) == [("fail", "profile 24gb wants a GPU, and nvidia-smi is not here")]


async def test_a_driver_that_does_not_answer_is_told_in_its_own_words(machine: Machine) -> None:
    machine.command("nvidia-smi", "echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9")
    (found,) = await card.gpu(machine.surroundings())
    assert found.level is Level.FAIL and "could not communicate" in found.text


@pytest.mark.parametrize(
    ("cards", "profile", "expected"),
    [
        ([H200], "cpu", [("ok", "driver 580"), ("warn", "idle, since ENGINE_PROFILE is cpu")]),
        ([H200], "24gb", [("ok", "driver 580"), ("ok", "139.6 GiB free for profile 24gb, which wants 129.2")]),
        ([A10], "24gb", [("warn", "too old for images with CUDA 13"), ("ok", "22.0 GiB free for profile 24gb, which wants 20.7")]),
        ([H200.replace("580", "470")], "24gb", [("fail", "CUDA 12 needs a driver of 525"), ("ok", "free for profile")]),
        ([H200.replace("143000", "60000")], "24gb", [("ok", "driver"), ("fail", "58.6 GiB are free, and profile 24gb wants 129.2 at its start")]),
        ([SMALL], "24gb", [("ok", "driver"), ("fail", "profile 24gb takes 15.0 GiB (weights, cache, 1 GiB), and the card has 12.0")]),
        ([T4], "bf16", [("ok", "driver"), ("fail", "wants bf16, which Tesla T4 (compute capability 7.5) has not")]),
        ([H200], "two", [("ok", "driver"), ("fail", "profile two wants 2 cards and there are 1")]),
        ([H200, H200], "two", [("ok", "2 x NVIDIA H200 of 140 GiB"), ("ok", "free for profile two")]),
        ([H200, H200.replace("143000", "9")], "24gb", [("ok", "driver"), ("ok", "free for profile")]),
        (["[N/A]"], "24gb", [("fail", "nvidia-smi lists no card")]),
    ],
)
async def test_cards_are_held_against_the_profile(machine: Machine, cards: list[str], profile: str, expected: list[tuple[str, str]]) -> None:
    machine.cards(*cards)
    found = brief(await card.gpu(machine.surroundings(ENGINE_PROFILE=profile)))
    assert [level for level, _ in found] == [level for level, _ in expected], found
    assert all(part in text for (_, text), (_, part) in zip(found, expected, strict=True)), found


@pytest.mark.parametrize("name", ["ENGINE_GPUS", "CUDA_VISIBLE_DEVICES"])
async def test_the_cards_that_the_engine_may_use_count(machine: Machine, name: str) -> None:
    machine.cards(H200, A10.replace("22500", "100"))
    levels = {value: brief(await card.gpu(machine.surroundings(**{name: value}, ENGINE_PROFILE="24gb")))[-1][0] for value in ("0", "1", "5", "GPU-1")}
    assert levels == {"0": "ok", "1": "fail", "5": "fail", "GPU-1": "ok"}


async def test_weights_count_and_a_running_engine_may_have_the_card(machine: Machine) -> None:
    machine.cards(A10.replace("22500", "900"))
    with machine.write("model/model.safetensors", "").open("wb") as weights:
        weights.truncate(9 * 2**30)
    settings = {"ENGINE_PROFILE": "24gb"}
    assert "takes 24.0 GiB" in brief(await card.gpu(machine.surroundings(**settings)))[1][1]
    os.truncate(machine.root / "model" / "model.safetensors", 0)
    assert [level for level, _ in brief(await card.gpu(machine.surroundings(embedded_is_up=True, **settings)))] == ["warn", "ok"]
    assert [level for level, _ in brief(await card.gpu(machine.surroundings(**settings)))] == ["warn", "fail"]


async def test_the_locks_holder_is_named(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "gpu.lock"
    surroundings = machine.surroundings(GPU_LOCK=str(path))
    assert "is made at the first start" in brief(await card.gpu_lock(surroundings))[0][1]
    lock = GpuLock.at(path)
    assert brief(await card.gpu_lock(surroundings)) == [("ok", f"{path}: free")]
    assert lock.take()
    lock.write(Note(engine=EngineNote.ASLEEP, holder="job 7"))
    assert brief(await card.gpu_lock(surroundings)) == [("ok", f"{path}: held by job 7")]
    lock.close()


async def test_volumes_tell_room_and_are_left_as_they_were(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    surroundings = machine.surroundings(MODELS_DIR="models", RUNS_DIR="s3://bucket/runs", INDEX_DIR=str(machine.root / "index"))
    before = sorted(machine.root.rglob("*"))
    found = brief(await storage.volumes(surroundings))
    assert [text.partition(":")[0] for _, text in found] == ["runs", "ASKBACK_HOME", "models", "INDEX_DIR"]
    assert sorted(machine.root.rglob("*")) == before
    for gib, level in ((0.5, "fail"), (5, "warn"), (50, "ok")):
        monkeypatch.setattr(storage.shutil, "disk_usage", lambda _, gib=gib: type("U", (), {"free": gib * 2**30}))
        assert {one for one, _ in brief(await storage.volumes(surroundings))} == {level}


async def test_a_folder_that_cannot_be_written_is_told(machine: Machine) -> None:
    machine.write("runs", "a file")
    (runs, *_) = brief(await storage.volumes(machine.surroundings()))
    assert runs == ("fail", f"runs: {machine.root / 'runs'} is a file")
    (index,) = [
        text for level, text in brief(await storage.volumes(machine.surroundings(INDEX_DIR="/proc/1"))) if level == "fail" and "INDEX" in text
    ]
    assert "/proc/1 cannot be written" in index


async def test_keys_are_told_by_name_and_never_by_value(machine: Machine) -> None:
    secrets = {"OPENAI_API_KEY": "sk-very-secret-0123456789", "ASKBACK_API_KEY": "0123456789abcdef0123,fedcba9876543210"}
    found = await keys.keys(machine.surroundings(**secrets))
    assert brief(found) == [("ok", "ASKBACK_API_KEY: set (2)"), ("ok", "OPENAI_API_KEY: set")]
    bad = {"OPENAI_API_KEY": "sk very secret", "ASKBACK_API_KEY": "schlüssel-0123456789"}
    found += await keys.keys(machine.surroundings(**bad))
    found += await keys.keys(machine.surroundings(ASKBACK_API_KEY="short"))
    assert [finding.level.value for finding in found[2:]] == ["fail", "fail", "warn", "ok"]
    told = "".join(finding.model_dump_json() for finding in found)
    for value in (*secrets.values(), *bad.values(), "secret", "0123456789", 'short"'):
        assert value not in told


async def test_a_key_is_wanted_where_the_active_backend_or_the_open_port_needs_it(machine: Machine) -> None:
    assert [finding.level for finding in await keys.keys(machine.surroundings())] == [Level.OK, Level.OK]
    (own, _) = await keys.keys(machine.surroundings(ASKBACK_HOST="0.0.0.0"))
    assert own.level is Level.FAIL and "openssl rand" in own.remedy
    machine.write("configs/teacher.toml", (machine.root / "configs" / "teacher.toml").read_text().replace('active = "replay"', 'active = "openai"'))
    (_, backend) = await keys.keys(machine.surroundings())
    assert brief([backend]) == [("fail", "OPENAI_API_KEY: not set, and the active backend openai needs it")]
    machine.write("configs/teacher.toml", "active = [")
    assert [finding.level for finding in await keys.keys(machine.surroundings())] == [Level.OK, Level.FAIL]


async def test_dotenv_is_told_of_when_others_read_it_or_askback_does_not(machine: Machine) -> None:
    assert [finding.level for finding in await keys.dotenv(machine.surroundings())] == [Level.OK]
    path = machine.write(".env", "ENGINE_PROFILE=24gb\n")
    path.chmod(0o644)
    found = await keys.dotenv(machine.surroundings(unsaid=frozenset({"ENGINE_PROFILE", "OPENAI_API_KEY"})))
    assert [finding.remedy.split()[0] for finding in found] == ["chmod", "use"]
    assert found[1].text.endswith("ENGINE_PROFILE, OPENAI_API_KEY")
    path.chmod(0o600)
    assert [finding.level for finding in await keys.dotenv(machine.surroundings())] == [Level.OK]


async def test_a_command_that_hangs_is_ended(machine: Machine) -> None:
    machine.command("nvidia-smi", f"echo $$ > {machine.root}/pid; exec sleep 60")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await card.gpu(machine.surroundings())
    assert time.monotonic() - began < 5
    pid = int((machine.root / "pid").read_text())
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        await asyncio.sleep(0.05)
    pytest.fail("it runs on")
