"""The real service faces in this process: recorded teacher, scripted engine, hashing embedder, real scoring; training is faked."""

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "services" / "student"), str(TESTS / "services" / "retriever")]

from adapter_files import lora_bytes  # noqa: E402
from hashing_embedder import HashingEmbedder  # noqa: E402
from scripted_engine import ScriptedEngine  # noqa: E402

from askback.contracts.client import EvaluatorClient, RetrieverClient, StudentClient, TeacherClient, TrainerClient  # noqa: E402
from askback.contracts.evaluator import ReportRequest, ReportResponse, ScoreJob, ScoreRequest  # noqa: E402
from askback.contracts.trainer import Job, JobState, LossPoint, TrainRequest  # noqa: E402
from askback.loop.services import Services  # noqa: E402
from askback.tasks import task_named  # noqa: E402
from services.evaluator.reporting.publishing import publish  # noqa: E402
from services.evaluator.scoring.scores import score_run  # noqa: E402
from services.evaluator.storage.run_folder import open_run  # noqa: E402
from services.retriever.app import create_app as retriever_app  # noqa: E402
from services.retriever.library import Library  # noqa: E402
from services.retriever.prometheus_metrics import PrometheusMetrics  # noqa: E402
from services.retriever.storage.store import IndexStore  # noqa: E402
from services.student.adapters import Adapters  # noqa: E402
from services.student.app import create_app as student_app  # noqa: E402
from services.student.resolvers import Resolvers  # noqa: E402
from services.teacher.__main__ import compose  # noqa: E402
from services.teacher.app import create_app as teacher_app  # noqa: E402

ROOT = TESTS.parent


@dataclass
class FakeTrainer(TrainerClient):
    """Writes an adapter folder whose weights depend on the job; trains nothing."""

    runs: Path
    base_model: str
    submitted: list[TrainRequest] = field(default_factory=list)
    fail: str = ""

    async def submit(self, request: TrainRequest) -> Job:
        self.submitted.append(request)
        if self.fail:
            return Job(id="j", state=JobState.FAILED, request=request, error=self.fail, error_kind="InvalidInput")
        folder = self.runs / request.run_id / "adapters" / request.name
        folder.mkdir(parents=True, exist_ok=True)
        data = (self.runs / request.run_id / request.dataset).read_bytes()
        (folder / "adapter_model.safetensors").write_bytes(lora_bytes(data + request.name.encode(), rank=16))
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": self.base_model, "r": 16}))
        losses = [LossPoint(step=i, loss=2.0 - 0.1 * i) for i in range(8)]
        (folder / "training.json").write_text(json.dumps({"losses": [point.model_dump() for point in losses]}))
        return Job(id="j", state=JobState.DONE, request=request, losses=losses, adapter=f"adapters/{request.name}")

    async def job(self, job_id: str) -> Job:
        raise AssertionError("a finished job is not polled")


@dataclass
class InlineEvaluator(EvaluatorClient):
    """The evaluator's own scoring and publishing, without its queue."""

    runs: Path

    async def submit(self, request: ScoreRequest) -> ScoreJob:
        scores = score_run(open_run(self.runs, request.run_id), task_named(request.task), request.seed)
        return ScoreJob(id="s", state="done", scores=scores)

    async def report(self, request: ReportRequest) -> ReportResponse:
        return ReportResponse(files=publish(open_run(self.runs, request.run_id)))


def asgi(app: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")  # type: ignore[arg-type]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
async def services(tmp_path: Path, engine: ScriptedEngine) -> AsyncIterator[Services]:
    runs = tmp_path / "runs"
    runs.mkdir()
    environment = {"TEACHER_CONFIG": str(ROOT / "configs" / "teacher.toml"), "ASKBACK_HOME": str(tmp_path / "var")}
    parts = compose(environment)
    teacher = TeacherClient(asgi(teacher_app(parts)))
    library = Library(IndexStore(tmp_path / "index"), HashingEmbedder())
    retriever = RetrieverClient(asgi(retriever_app(library, PrometheusMetrics(library.sizes))))
    adapters = Adapters(engine, root=runs, state=tmp_path / "student.json", base_model="Smol", served_base="student-base", max_rank=16)
    student = StudentClient(asgi(student_app(engine, adapters, Resolvers(teacher, retriever))))
    yield Services(teacher, student, retriever, FakeTrainer(runs, "Smol"), InlineEvaluator(runs))
    await parts.closing.aclose()
