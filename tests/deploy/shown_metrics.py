"""Every metric that the services show, with its labels, read from the /metrics of each app; and the names that a PromQL expression reads."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp

from askback.contracts.trainer import Job, JobState, Progress, TrainRequest
from services.evaluator.app import create_app as create_evaluator
from services.evaluator.prometheus_metrics import PrometheusMetrics as EvaluatorMetrics
from services.retriever.app import create_app as create_retriever
from services.retriever.prometheus_metrics import PrometheusMetrics as RetrieverMetrics
from services.serving import face
from services.student.__main__ import compose as compose_student
from services.teacher.__main__ import compose as compose_teacher
from services.teacher.app import create_app as create_teacher
from services.teacher.core import Answer
from services.trainer.app import create_app as create_trainer
from services.trainer.core import Jobs
from services.trainer.prometheus_metrics import PrometheusMetrics as TrainerMetrics
from services.trainer.records.folder_jobs import FolderJobs
from services.trainer.settings import Settings

ROOT = Path(__file__).parents[2]
KEY = "one"
Metrics = dict[str, frozenset[str]]
"""Labels by name."""
_WORDS = frozenset({"by", "on", "and", "or", "unless", "offset", "bool", "without", "ignoring"})


@asynccontextmanager
async def services_under(folder: Path) -> AsyncIterator[Mapping[str, ASGIApp]]:
    """The five services behind their guard, with files under `folder`, each having counted one of everything."""
    async with AsyncExitStack() as closing:
        environment = {"ASKBACK_HOME": str(folder), "RUNS_DIR": str(folder), "ASKBACK_API_KEY": KEY}
        apps: dict[str, ASGIApp] = {
            "teacher": await _teacher(environment, closing),
            "student": compose_student({**environment, "ADAPTERS_DIR": str(folder)}),
            "retriever": _retriever(),
            "trainer": _trainer(folder),
            "evaluator": _evaluator(),
        }
        yield {name: face(app, environment) for name, app in apps.items()}


async def _teacher(environment: Mapping[str, str], closing: AsyncExitStack) -> ASGIApp:
    parts = compose_teacher({**environment, "TEACHER_CONFIG": str(ROOT / "configs" / "teacher.toml")})
    await closing.enter_async_context(parts.closing)
    parts.metrics.answered(Answer("replay", "", "hit", None))
    parts.metrics.refused("NotFound")
    parts.metrics.tried("openai", "200", 0.1)
    parts.metrics.booked("openai", 10, 10, 0.1)
    return create_teacher(parts)


def _retriever() -> ASGIApp:
    metrics = RetrieverMetrics(lambda: {"wiki": 4})
    metrics.searched("hybrid", 1, 0.1)
    return create_retriever(None, metrics)  # type: ignore[arg-type]


def _trainer(folder: Path) -> ASGIApp:
    settings = Settings(folder, folder / "jobs", "", "redis://127.0.0.1:1/0")
    store = FolderJobs(settings.jobs)
    request = TrainRequest(run_id="r1", name="direct", dataset="tracks/direct.jsonl")
    progress = Progress(step=1, total_steps=2, loss=1.0, tokens_per_s=9.0, seconds_left=1.0, memory_gib=1.0)
    job = Job(id="0" * 16, state=JobState.RUNNING, request=request, progress=progress)
    with store.lock(job.id):
        store.write(job)
    return create_trainer(Jobs(settings, store), print, metrics=TrainerMetrics({"train": store}, lambda: 1))


def _evaluator() -> ASGIApp:
    metrics = EvaluatorMetrics(lambda: 1)
    metrics.scored("done", 0.1)
    metrics.reported("done", 0.1)
    metrics.queued()
    return create_evaluator(None, None, None, metrics)  # type: ignore[arg-type]


async def shown_by(apps: Mapping[str, ASGIApp]) -> Metrics:
    """What /metrics of all `apps` holds after a request with the key."""
    found: dict[str, set[str]] = {}
    for name, app in apps.items():
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{name}", headers={"authorization": f"Bearer {KEY}"})
        async with client:
            assert (await client.get("/healthz")).status_code == 200
            text = (await client.get("/metrics")).raise_for_status().text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return {name: frozenset(labels) for name, labels in found.items()}


def shown_by_engine(package: Path) -> frozenset[str]:
    """Names of vLLM's metrics as its source in `package` has them, with the endings that the client gives to counters and histograms."""
    names = {name for path in (package / "v1" / "metrics").glob("*.py") for name in re.findall(r'"(vllm:\w+)"', path.read_text(encoding="utf-8"))}
    return frozenset(names | {f"{name}{end}" for name in names for end in ("_total", "_bucket", "_sum", "_count")})


def names_in(expression: str) -> set[str]:
    """Metrics that a PromQL expression reads."""
    text = re.sub(r'"[^"]*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
    text = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)", " ", text)
    found = re.findall(r"(?<![\w.])[A-Za-z_:][\w:]*(?!\w)(?!\s*\()", text)
    return {name for name in found if name not in _WORDS}


def labels_in(expression: str, legend: str = "") -> set[str]:
    """Labels that a PromQL expression or a legend names."""
    grouped = [part for group in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression) for part in group.split(",")]
    matched = [name for group in re.findall(r"\{([^}]*)\}", expression) for name in re.findall(r"(\w+)\s*[=!]", group)]
    return {name.strip() for name in [*grouped, *matched, *re.findall(r"\{\{(\w+)\}\}", legend)] if name.strip()}
