"""The engine's profiles: what the file says, what becomes of it on a command line, and when an engine may start."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from askback.contracts.gpu_lock import EngineNote, GpuLock, Note
from services.student.engine_command import command, wait_for_card
from services.student.engine_profiles import DEFAULT_RANK, Profile, read_profiles, served_rank

CONFIG = Path(__file__).parents[3] / "configs" / "engine.toml"
ENVIRONMENT = {"ENGINE_CONFIG": str(CONFIG), "BASE_MODEL": "/m", "ENGINE_PORT": "9000"}
GIB = 2**30
# Measured on a GPU with random weights of Qwen2.5-7B's shape in AWQ's 4 bits: weights with their LoRA slots, and what is neither those nor the cache.
MEASURED_GIB = {"8gb": 5.5 + 1.0, "16gb": 5.7 + 1.4, "24gb": 6.0 + 1.8}
TOKEN = 28 * 2 * 4 * 128 * 2


def test_the_profiles_that_the_documentation_names_are_there() -> None:
    assert list(read_profiles(CONFIG)) == ["cpu", "8gb", "16gb", "24gb", "80gb", "shared-80gb", "tensor-parallel", "data-parallel"]


@pytest.mark.parametrize(("name", "card_gib"), [("8gb", 8), ("16gb", 16), ("24gb", 24)])
def test_weights_and_a_full_batch_of_usual_length_fit_the_card(name: str, card_gib: float) -> None:
    profile = read_profiles(CONFIG)[name]
    assert profile.kv_cache_memory_bytes is not None
    assert MEASURED_GIB[name] + profile.kv_cache_memory_bytes / GIB < 0.95 * card_gib
    assert profile.kv_cache_memory_bytes / TOKEN > profile.max_model_len, "not one of the longest requests fits"
    assert profile.kv_cache_memory_bytes / TOKEN / profile.max_num_seqs > 1000, "a full batch of our prompts (under 700 tokens) does not fit"


@pytest.mark.parametrize("name", ["8gb", "16gb", "24gb", "80gb", "tensor-parallel", "data-parallel"])
def test_every_gpu_profile_loads_adapters_at_run_time_and_sleeps(name: str) -> None:
    profile = read_profiles(CONFIG)[name]
    assert {"--enable-lora", "--enable-prefix-caching", "--enable-sleep-mode"} <= set(profile.flags())
    assert profile.environment() == {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_SERVER_DEV_MODE": "1"}


def test_the_profile_beside_trainings_stays_awake_and_serves_their_ranks() -> None:
    profile = read_profiles(CONFIG)["shared-80gb"]
    assert (profile.sleep_mode, profile.max_lora_rank, profile.gpu_memory_utilization) == (False, 64, 0.15)
    assert "--enable-sleep-mode" not in profile.flags()


def test_the_student_serves_the_rank_of_the_engines_profile(tmp_path: Path) -> None:
    assert served_rank(ENVIRONMENT | {"ENGINE_PROFILE": "shared-80gb"}) == 64
    assert served_rank(ENVIRONMENT | {"ENGINE_PROFILE": "24gb"}) == served_rank(ENVIRONMENT) == DEFAULT_RANK
    assert served_rank({"ENGINE_CONFIG": str(tmp_path / "away.toml"), "ENGINE_PROFILE": "shared-80gb"}) == DEFAULT_RANK


def test_the_cpu_has_the_flags_of_the_embedded_stack_and_never_sleeps() -> None:
    arguments, variables, _ = command(["cpu"], ENVIRONMENT)
    assert " ".join(arguments) == (
        "-m vllm.entrypoints.openai.api_server --model /m --served-model-name student-base --host 127.0.0.1 --port 9000 --dtype bfloat16"
        " --max-model-len 2048 --max-num-seqs 32 --max-lora-rank 16 --max-loras 4 --max-cpu-loras 8 --enable-lora --enable-prefix-caching"
    )
    assert variables == {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}


def test_what_follows_the_dashes_comes_last_and_the_environment_s_own_values_win() -> None:
    arguments, variables, only_print = command(
        ["--print", "--model", "/other", "--", "--tensor-parallel-size", "4"],
        ENVIRONMENT | {"ENGINE_PROFILE": "tensor-parallel", "VLLM_SERVER_DEV_MODE": "0"},
    )
    assert arguments[-2:] == ["--tensor-parallel-size", "4"]
    assert arguments[arguments.index("--model") + 1] == "/other"
    assert variables == {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"} and only_print


def test_a_profile_takes_what_it_extends_and_changes_it() -> None:
    profiles = read_profiles(CONFIG)
    assert profiles["tensor-parallel"] == profiles["80gb"].model_copy(update={"tensor_parallel_size": 2})
    assert profiles["data-parallel"].api_server_count == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[profiles.a]\nmax_model_len = 2048\nmax_num_seqs = 4\nmax_loras = 2\nmax_cpu_loras = 1", r"profiles\.a\.max_cpu_loras"),
        ("[profiles.a]\nmax_model_len = 2048\nmax_num_seqs = 4\nmax_loras = 2\nmax_cpu_loras = 2\nguided = 1", r"profiles\.a\.guided"),
        ("[profiles.a]\nmax_model_len = 2048", r"profiles\.a\.max_num_seqs"),
        ("[profiles.a]\nextends = 'b'", "'b' is no profile"),
        ("[other]", "no engine profiles"),
        ("x", "no engine profiles"),
    ],
)
def test_a_bad_file_names_its_field(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "engine.toml").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        read_profiles(tmp_path / "engine.toml")


def test_an_unknown_profile_and_a_missing_model_are_named() -> None:
    with pytest.raises(InvalidInput, match="ENGINE_PROFILE: '48gb' is not one of cpu, 8gb"):
        command(["48gb"], ENVIRONMENT)
    with pytest.raises(InvalidInput, match="BASE_MODEL"):
        command(["cpu"], {"ENGINE_CONFIG": str(CONFIG)})


def test_flags_leave_out_what_is_vllm_s_own_default() -> None:
    flags = Profile(max_model_len=2048, max_num_seqs=1, max_loras=1, max_cpu_loras=1).flags()
    assert not {"--kv-cache-dtype", "--gpu-memory-utilization", "--enforce-eager", "--tensor-parallel-size"} & set(flags)


def test_the_command_becomes_the_server_with_the_same_process_id(tmp_path: Path) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/sh\necho $$ "$@" VLLM_SERVER_DEV_MODE=$VLLM_SERVER_DEV_MODE\n')
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    code = f"import sys; sys.executable = {str(stand_in)!r}; sys.argv[1:] = ['8gb']; from services.student.engine_command import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=30)
    assert out.startswith(f"{process.pid} -m vllm.entrypoints.openai.api_server --model /m")
    assert out.strip().endswith("VLLM_SERVER_DEV_MODE=1")


def test_an_engine_does_not_start_while_a_training_has_the_card(tmp_path: Path) -> None:
    training, starting = GpuLock.at(tmp_path / "lock"), GpuLock.at(tmp_path / "lock")
    assert training.take()
    training.write(Note(engine=EngineNote.ASLEEP, holder="job 1"))
    said: list[str] = []
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            training.close()

    wait_for_card(starting, said.append, pause)
    assert len(pauses) == 3
    assert said == ["the card is taken (job 1); the engine starts when it is free"]


def test_an_engine_starts_for_the_student_who_waits_for_it(tmp_path: Path) -> None:
    student, starting = GpuLock.at(tmp_path / "lock"), GpuLock.at(tmp_path / "lock")
    assert student.take()
    student.write(Note(engine=EngineNote.UP, holder="the student"))
    wait_for_card(starting, pytest.fail, pytest.fail)
