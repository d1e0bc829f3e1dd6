"""Start vLLM's server as a profile says: `python -m services.student.engine_command 24gb --model FOLDER -- --seed 7`.

Where GPU_LOCK is set, the start waits while a training has the card, so that an engine that was restarted takes no memory from it.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from askback.contracts.errors import InvalidInput
from askback.contracts.gpu_lock import EngineNote, GpuLock
from services.student.engine_profiles import Served, profiles_file, read_profiles, server_arguments

_LOOK_EVERY_S = 0.5


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    env = environment
    parser = argparse.ArgumentParser(prog="engine_command", description="Start vLLM's server as a profile of configs/engine.toml says.")
    parser.add_argument("profile", nargs="?", default=env.get("ENGINE_PROFILE", ""), help="a name there; default ENGINE_PROFILE")
    parser.add_argument("--config", type=Path, default=profiles_file(env), help="default ENGINE_CONFIG")
    parser.add_argument("--model", default=env.get("BASE_MODEL", ""), help="folder or hub name; default BASE_MODEL")
    parser.add_argument("--served-model-name", default=env.get("SERVED_BASE_MODEL") or "student-base")
    parser.add_argument("--host", default=env.get("ASKBACK_HOST") or "127.0.0.1")
    parser.add_argument("--port", type=int, default=int(env.get("ENGINE_PORT") or 8000))
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the command and end")
    return parser


def command(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[list[str], dict[str, str], bool]:
    """(the Python's arguments, variables to add, whether to print them only); raises InvalidInput for an unknown profile."""
    own, extra = list(arguments), []
    if "--" in own:
        at = own.index("--")
        own, extra = own[:at], own[at + 1 :]
    given = _parser(environment).parse_args(own)
    profiles = read_profiles(given.config)
    if given.profile not in profiles:
        raise InvalidInput(f"ENGINE_PROFILE: {given.profile!r} is not one of {', '.join(profiles)} in {given.config}")
    if not given.model:
        raise InvalidInput("BASE_MODEL: give the folder or name of the model, or --model")
    profile = profiles[given.profile]
    served = Served(given.model, given.served_model_name, given.host, given.port)
    missing = {name: value for name, value in profile.environment().items() if name not in environment}
    return server_arguments(profile, served, extra), missing, given.only_print


def wait_for_card(lock: GpuLock, say: Callable[[str], object], pause: Callable[[float], object] = time.sleep) -> None:
    """Return once no training has the card: its lock is free, or a student holds it, who waits for this engine."""
    told = False
    while not lock.is_free() and (note := lock.read()).engine is not EngineNote.UP:
        if not told:
            say(f"the card is taken ({note.holder or 'holder unknown'}); the engine starts when it is free")
        told = True
        pause(_LOOK_EVERY_S)


def main() -> None:
    try:
        arguments, variables, only_print = command(sys.argv[1:], os.environ)
        lock_path = os.environ.get("GPU_LOCK", "")
        lock = GpuLock.at(Path(lock_path)) if lock_path and not only_print else None
    except InvalidInput as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    if only_print:
        sys.stdout.write(shlex.join([*(f"{name}={value}" for name, value in variables.items()), sys.executable, *arguments]) + "\n")
        return
    if lock is not None:
        wait_for_card(lock, lambda text: sys.stderr.write(f"{text}\n"))
        lock.close()
    os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **variables})  # noqa: S606 - there is no shell


if __name__ == "__main__":
    main()
