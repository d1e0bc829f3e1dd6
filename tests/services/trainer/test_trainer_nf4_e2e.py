"""Jobs over a base in NF4, through the training process: SFT, DPO from it, and what a kill in the middle of an epoch costs."""

import signal
import statistics
from pathlib import Path

import pytest
from safetensors import safe_open
from trainer_process import Bench, losses

from askback.contracts.trainer import Job, JobState, Method, Recipe, TrainRequest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SMOL = Path(__file__).parents[3] / "var" / "models" / "SmolLM2-135M-Instruct"
STEPS, EPOCH = 125, 5
RECIPE = Recipe(epochs=25, learning_rate=5e-3, lora_rank=4, batch_size=4, max_length=64, four_bit=True)
SFT = TrainRequest(run_id="r1", name="sft", dataset="sft.jsonl", recipe=RECIPE, seed=3)
DPO = SFT.model_copy(update={"name": "dpo", "method": Method.DPO, "dataset": "dpo.jsonl", "init_adapter": "adapters/sft"})


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("nf4"), rows=20)


@pytest.fixture(scope="module")
def trained(bench: Bench) -> dict[str, Job]:
    """SFT and the DPO from its adapter, undisturbed."""
    return {"sft": bench.train(SFT), "dpo": bench.train(DPO)}


def dtypes(adapter: Path) -> set[str]:
    with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
        return {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 - not a dict


@pytest.mark.parametrize("name", ["sft", "dpo"])
def test_the_loss_falls_and_the_adapter_keeps_full_precision(bench: Bench, trained: dict[str, Job], name: str) -> None:
    job = trained[name]
    assert (job.state, job.error) == (JobState.DONE, "")
    assert [point.step for point in job.losses] == list(range(1, STEPS + 1))
    assert statistics.fmean(losses(job)[-25:]) < 0.7 * statistics.fmean(losses(job)[:25])
    record = bench.manifest(name)
    assert (record["fit"], record["request"]["recipe"]["four_bit"], record["dtype"]) == (None, True, "torch.bfloat16")
    assert dtypes(bench.adapter(name)) == {"F32"}


@pytest.mark.parametrize("request_", [SFT, DPO], ids=["sft", "dpo"])
def test_a_kill_in_the_middle_of_an_epoch_changes_no_loss(bench: Bench, trained: dict[str, Job], request_: TrainRequest) -> None:
    job_id = bench.submit(request_.model_copy(update={"name": f"{request_.name}-killed"}))
    folder = bench.store.checkpoints(job_id)
    process = bench.start(job_id)
    bench.wait(job_id, lambda job: job.state is JobState.FAILED or any(folder.glob("checkpoint-*/trainer_state.json")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = bench.store.read(job_id)
    assert (left.state, left.progress.step < STEPS) == (JobState.RUNNING, True)
    (checkpoint,) = (int(path.parent.name.removeprefix("checkpoint-")) for path in folder.glob("checkpoint-*/trainer_state.json"))
    assert checkpoint % EPOCH
    assert bench.start(job_id).wait(240) == 0
    job = bench.store.read(job_id)
    assert (job.state, bench.manifest(job.request.name)["resumed_from"]) == (JobState.DONE, f"checkpoint-{checkpoint}")
    assert [point.step for point in job.losses] == list(range(1, STEPS + 1))
    assert losses(job) == pytest.approx(losses(trained[request_.name]), abs=1e-3)


@pytest.mark.skipif(not (SMOL / "model.safetensors").is_file(), reason="the weights of SmolLM2-135M-Instruct are not under var/models")
def test_smollm2_trains_in_nf4_and_dpo_goes_on_from_its_adapter(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SMOL, rows=8, OMP_NUM_THREADS="2")
    few = RECIPE.model_copy(update={"epochs": 3, "learning_rate": 1e-3})
    sft = bench.train(SFT.model_copy(update={"recipe": few}))
    dpo = bench.train(DPO.model_copy(update={"recipe": few.model_copy(update={"epochs": 1})}))
    assert [(job.state, job.error, len(job.losses)) for job in (sft, dpo)] == [(JobState.DONE, "", 6), (JobState.DONE, "", 2)]
    assert losses(sft)[-1] < 0.7 * losses(sft)[0]
    for name in ("sft", "dpo"):
        assert (bench.manifest(name)["fit"], dtypes(bench.adapter(name))) == (None, {"F32"})
    assert bench.manifest("dpo")["init_adapter_sha256"] == bench.manifest("sft")["weights_sha256"]
