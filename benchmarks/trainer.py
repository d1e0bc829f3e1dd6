"""Our trainer against TRL's defaults on one GPU: a random 7.6 B model, the profiles of configs/recipes.toml, their cards imitated by a cap."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the file can be run by its path

from askback.contracts.trainer import Recipe
from askback.loop.config.recipe_profiles import read_recipes
from benchmarks.command_line import BenchmarkFailed, report, say
from benchmarks.trainer_model import SEVEN_B, TINY, write_model
from benchmarks.trainer_verdict import CASES, LONG, TWO_CARDS, Case, Figures, ratio, shortfalls
from services.trainer.processes import accelerate_launch

_EXAMPLES = """examples:
  %(prog)s --tokenizer var/models/SmolLM2-135M-Instruct            every case, about 9 minutes on an H200
  %(prog)s --tokenizer DIR --cases strategyqa-8gb h200-short       two of them
  %(prog)s --tokenizer DIR --cases --gpus 2                        one card against two, 512-token rows
  %(prog)s --tokenizer DIR --tiny --steps 2                        does it run at all, on a CPU

The last line is JSON. Exit code: 0 when every claim holds, 1 when one does not, 2 for a mistake on the command line.
"""
_REPOSITORY = Path(__file__).parents[1]
_MODULE = "benchmarks.trainer_run"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of a tokenizer with a chat template")
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "askback-random-7b", help="where the random model is kept")
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES], help="cases to run (default all)")
    parser.add_argument(
        "--steps", type=int, default=20, help="timed steps of each training (default 20: some of them record the passes of a new length)"
    )
    parser.add_argument("--gpus", type=int, default=1, help="compare one card with so many (default 1: not compared)")
    parser.add_argument("--fsdp", action="store_true", help="with --gpus: shard the model too")
    parser.add_argument("--tiny", action="store_true", help="a model of 3 million parameters, without claims")
    options = parser.parse_args()
    if unknown := set(options.cases) - {case.name for case in CASES}:
        parser.error(f"--cases: {', '.join(sorted(unknown))}: there are {', '.join(case.name for case in CASES)}")
    raise SystemExit(report(lambda: run(options)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The last line; raises BenchmarkFailed when a training fails."""
    write_model(options.model, options.tokenizer, TINY if options.tiny else SEVEN_B)
    chosen = [case for case in CASES if case.name in options.cases]
    options.flop_per_s = 0.0 if options.tiny or not chosen else _measured({"side": "peak"}, options)["flop_per_s"]
    results = {case.name: _compared(case, options) for case in chosen}
    missed = [] if options.tiny else [line for case in chosen for line in shortfalls(case, *results[case.name])]
    facts: dict[str, Any] = {"ratio": {name: ratio(*sides) for name, sides in results.items()}}
    if options.gpus > 1:
        facts["cards"] = _cards(options)
        if not options.tiny and facts["cards"]["ratio"] < TWO_CARDS:
            missed.append(f"{options.gpus} cards: {facts['cards']['ratio']} times one, below {TWO_CARDS}")
    return {
        "name": "trainer",
        "ours": {name: ours for name, (ours, _) in results.items()},
        "peer": {"name": "trl defaults", **{name: peer for name, (_, peer) in results.items()}},
        **facts, "missed": missed, "ok": not missed,
    }  # fmt: skip


def _compared(case: Case, options: argparse.Namespace) -> tuple[Figures, Figures]:
    task = {"lengths": case.lengths, "cap_gb": None if options.tiny else case.cap_gb, "recipe": _recipe(case.profile, options.tiny)}
    ours, peer = (_measured({**task, "side": side}, options) for side in ("ours", "trl"))
    if not options.tiny:
        # Two operations forwards and two backwards for each weight of a linear layer; the head counts for the few tokens that carry loss only.
        linear = 6_525_026_304
        ours["share_of_bf16_peak"] = round(4 * linear * ours["tokens_per_s"] / options.flop_per_s, 3)
    say(f"{case.name}: {json.dumps({'ours': ours, 'peer': peer, 'ratio': ratio(ours, peer)})}")
    return ours, peer


def _cards(options: argparse.Namespace) -> dict[str, Any]:
    recipe = _recipe("h200", options.tiny) | ({"sharding": "fsdp"} if options.fsdp else {})
    task = {"side": "ours", "lengths": LONG, "cap_gb": None}
    one = _measured({**task, "recipe": recipe | {"gpus": 1}}, options)
    several = _measured({**task, "recipe": recipe | {"gpus": options.gpus}}, options)
    return {"one": one, str(options.gpus): several, "ratio": round(several["tokens_per_s"] / one["tokens_per_s"], 2)}


def _recipe(profile: str, tiny: bool) -> dict[str, Any]:
    fields = read_recipes(_REPOSITORY / "configs" / "recipes.toml")[profile].fields
    smaller = {"max_length": 512, "batch_size": 4, "four_bit": False} if tiny else {}
    return Recipe.model_validate(fields | smaller).model_dump(mode="json")


def _measured(task: dict[str, Any], options: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        whole = json.dumps({**task, "model": str(options.model), "steps": options.steps, "result": str(result)})
        gpus = task.get("recipe", {}).get("gpus", 1)
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        command, environment = [sys.executable, "-m", _MODULE, whole], {"CUDA_VISIBLE_DEVICES": first}
        if gpus > 1:
            sharded = task["recipe"]["sharding"] == "fsdp"
            command = accelerate_launch.command(gpus, not options.tiny, sharded, _MODULE, whole)
            environment = {**accelerate_launch.environment({}), "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(gpus)))}
        log = subprocess.run(command, cwd=_REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True, check=False)  # noqa: S603
        if not result.is_file():
            raise BenchmarkFailed(f"{task['side']}: exit code {log.returncode}: {(log.stderr or log.stdout)[-2000:]}")
        figures: Figures = json.loads(result.read_text())
        return figures


if __name__ == "__main__":
    main()
