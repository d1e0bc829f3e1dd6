"""Named sets of flags for vLLM's server, read from configs/engine.toml."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Record

DEFAULT_RANK: Literal[16] = 16
SERVER = "vllm.entrypoints.openai.api_server"  # the `vllm` command does not start in the CPU build


class Profile(Record):
    """Flags of vLLM's server; a field of None or False leaves vLLM's own default. Only what versions 0.26 to 0.33 all know."""

    dtype: Literal["auto", "bfloat16", "float16"] = "auto"
    max_model_len: int = Field(ge=256)
    """Tokens of prompt and answer together."""
    max_num_seqs: int = Field(ge=1)
    """Answers that are written at the same time."""
    max_num_batched_tokens: int | None = Field(default=None, ge=256)
    """Tokens of one step; longer prompts are read in parts."""
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    """Share of the card's memory that must be free at the start, and that the engine takes where the cache has no size of its own."""
    kv_cache_memory_bytes: int | None = Field(default=None, ge=2**20)
    """Size of the key/value cache. Sleep mode's allocator makes vLLM take about 1.6 GiB for free that are not, so a card that is
    to be filled closely names it."""
    kv_cache_dtype: Literal["auto", "fp8", "fp8_e4m3", "fp8_e5m2"] = "auto"
    enforce_eager: bool = False
    """Without compilation and CUDA graphs: less memory and a faster start, fewer tokens per second."""
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256] = DEFAULT_RANK
    max_loras: int = Field(ge=1)
    """Adapters in one batch; each has its slot in the card's memory."""
    max_cpu_loras: int = Field(ge=1)
    """Adapters kept in the host's memory."""
    sleep_mode: bool = True
    """Whether the engine can give the card's memory back and take it again."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    data_parallel_size: int = Field(default=1, ge=1)
    api_server_count: int | None = Field(default=None, ge=1)

    def flags(self) -> list[str]:
        """As the server's command line takes them."""
        values = {name: getattr(self, name) for name in _VALUES}
        given = [part for name, value in values.items() if value != _UNSET.get(name) for part in (_flag(name), str(value))]
        switches = ["--enable-lora", "--enable-prefix-caching"]
        switches += ["--enable-sleep-mode"] if self.sleep_mode else []
        switches += ["--enforce-eager"] if self.enforce_eager else []
        return [*given, *switches]

    def environment(self) -> dict[str, str]:
        """Variables that the server needs beside the flags. The development routes are those of sleep, among others."""
        routes = {"VLLM_SERVER_DEV_MODE": "1"} if self.sleep_mode else {}
        return {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"} | routes


_VALUES = (
    "dtype",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "kv_cache_dtype",
    "max_lora_rank",
    "max_loras",
    "max_cpu_loras",
    "tensor_parallel_size",
    "data_parallel_size",
    "api_server_count",
)
_UNSET: dict[str, Any] = {"kv_cache_dtype": "auto", "tensor_parallel_size": 1, "data_parallel_size": 1}


@dataclass(frozen=True)
class Served:
    """What a server serves, under which name and where it listens."""

    model: str
    name: str
    host: str
    port: int


def profiles_file(environment: Mapping[str, str]) -> Path:
    """ENGINE_CONFIG, else the file of the current folder, else the one that lies beside this code."""
    own = Path("configs") / "engine.toml"
    return Path(environment.get("ENGINE_CONFIG") or (own if own.is_file() else Path(__file__).parents[2] / own))


def served_rank(environment: Mapping[str, str]) -> int:
    """Largest rank that the engine's profile serves: that of ENGINE_PROFILE, where the service can read it, else the profiles' own default."""
    file, name = profiles_file(environment), environment.get("ENGINE_PROFILE", "")
    profile = read_profiles(file).get(name) if name and file.is_file() else None
    return profile.max_lora_rank if profile else DEFAULT_RANK


def read_profiles(path: Path) -> dict[str, Profile]:
    """Every profile of a TOML file by name; raises InvalidInput naming the profile and the field."""
    try:
        tables: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["profiles"]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path}: no engine profiles could be read ({error}); it needs tables such as [profiles.24gb]") from error
    return {name: _profile(path, name, tables) for name in tables}


def _profile(path: Path, name: str, tables: dict[str, dict[str, Any]]) -> Profile:
    own = dict(tables[name])
    base = own.pop("extends", None)
    if base is not None and (base not in tables or "extends" in tables[base]):
        raise InvalidInput(f"{path}: profiles.{name}.extends: {base!r} is no profile that stands on its own")
    try:
        profile = Profile.model_validate((tables[base] if base else {}) | own)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{path}: profiles.{name}.{field}: {first['msg']}") from error
    if profile.max_cpu_loras < profile.max_loras:
        raise InvalidInput(f"{path}: profiles.{name}.max_cpu_loras: {profile.max_cpu_loras} is less than max_loras, {profile.max_loras}")
    return profile


def server_arguments(profile: Profile, served: Served, extra: Sequence[str] = ()) -> list[str]:
    """Arguments of the Python that runs the server; `extra` comes last, so that it wins."""
    where = ["--model", served.model, "--served-model-name", served.name, "--host", served.host, "--port", str(served.port)]
    return ["-m", SERVER, *where, *profile.flags(), *extra]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
