"""`accelerate launch` as a child that ends with the training process that started it, and its own children with it."""

import os
import sys
from collections.abc import Mapping

from services.trainer.processes.process import PARENT, die_with_parent

MODULE = "services.trainer.processes.accelerate_launch"
ONE_MACHINE = {"num_machines": "1", "dynamo_backend": "no", "mixed_precision": "no", "main_process_port": "0"}
"""The model's own dtype decides the precision, and any free port will do."""

SHARDED = {
    "fsdp_version": "1", "fsdp_sharding_strategy": "FULL_SHARD", "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "fsdp_use_orig_params": "false",
    "fsdp_backward_prefetch": "BACKWARD_PRE", "fsdp_cpu_ram_efficient_loading": "true", "fsdp_sync_module_states": "true",
    "fsdp_state_dict_type": "FULL_STATE_DICT", "fsdp_offload_params": "false",
}  # fmt: skip
"""FSDP over a base in NF4, as PEFT's guide to "QLoRA and FSDP" has it."""


def command(processes: int, gpu: bool, sharded: bool, module: str, *arguments: str) -> list[str]:
    """The command line that runs `module` in `processes` processes of this machine: one for each card, or sharing the cores without `gpu`."""
    settings = ONE_MACHINE | {"num_processes": str(processes)} | (SHARDED if sharded else {})
    if not gpu:
        settings["num_cpu_threads_per_process"] = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // processes))
    # Its --cpu would start one process, whatever num_processes says; --multi_gpu starts them all, and each finds out by itself what it runs on.
    switch = "--use_fsdp" if sharded else "--multi_gpu"
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", MODULE, switch, *options, "-m", module, *arguments]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """`given` for the process that `command` starts, which is to end with this one."""
    return {**given, PARENT: str(os.getpid())}


def main() -> None:
    die_with_parent()
    os.environ[PARENT] = str(os.getpid())  # for the processes that accelerate starts
    from accelerate.commands.launch import main as launch

    launch()


if __name__ == "__main__":
    main()
