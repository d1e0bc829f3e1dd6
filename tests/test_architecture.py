"""The rules of the house that import-linter cannot say."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*ROOT.glob("askback/**/*.py"), *ROOT.glob("services/**/*.py")])

# A third party is imported in the one file of a service that is named after it, so that one grep tells where the world touches us.
HOMES = {
    "fastapi": {
        "app.py",
        "serving.py",
        "batch_routes.py",
        "cached_routes.py",
        "price_routes.py",
        "gpu_routes.py",
        "ask_stream.py",
        "job_events.py",
        "playground_routes.py",
    },
    "uvicorn": {"serving.py"},
    "celery": {"celery_queue.py", "tasks.py", "merge_tasks.py"},
    "aiohttp": {"aiohttp_upstream.py", "aiohttp_engine.py"},
    "fsspec": {"fsspec_adapters.py", "fsspec_runs.py"},
    "genai_prices": {"genai_prices_table.py"},
    "openai": {"openai_batch.py"},
    "prometheus_client": {"prometheus_metrics.py"},
    "pythonjsonlogger": {"logs.py"},
    "redis": {"redis_answers.py", "redis_jobs.py"},
    "faiss": {"faiss_index.py", "faiss_lists.py", "faiss_training.py"},
    "qdrant_client": {"qdrant_index.py"},
    "bm25s": {"bm25s_index.py"},
    "sentence_transformers": {"sentence_transformers_embedder.py", "sentence_transformers_reranker.py"},
    "trl": {"trl_trainers.py"},
    "peft": {"peft_adapter.py", "lora_layer.py"},
    "bitsandbytes": {"operand.py", "nf4_scales.py"},
    "datasets": {"hub.py", "trl_trainers.py"},
    "matplotlib": {"matplotlib_loss_curve.py"},
    "pptx": {"pptx_axes.py", "pptx_bars.py", "pptx_deck.py", "pptx_parts.py", "pptx_plots.py", "pptx_scatter.py", "pptx_template.py"},
    "jinja2": {"jinja2_report.py"},
    "markupsafe": {"jinja2_report.py"},
    "supervisor": {"processes.py"},
    "huggingface_hub": {"huggingface_hub_push.py", "sentence_transformers_embedder.py"},
    "tiktoken": {"tiktoken_counter.py"},
    "tokenizers": {"tokenizers_counter.py"},
    "typer": {
        "__init__.py",
        "asking.py",
        "doctor.py",
        "folders.py",
        "forecast.py",
        "index_group.py",
        "leaderboard.py",
        "models.py",
        "options.py",
        "stack.py",
        "stages.py",
        "tracks_group.py",
    },
    "rich": {"progress.py", "rich_tables.py"},
}
VAGUE = {"utils", "util", "common", "helpers", "misc", "core_utils"}


def imported(path: Path) -> set[str]:
    """Top-level names of every package that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_third_parties_stay_home(path: Path) -> None:
    astray = {name for name in imported(path) & HOMES.keys() if path.name not in HOMES[name]}
    assert not astray, f"{path.relative_to(ROOT)} imports {astray}; it belongs in {[HOMES[name] for name in astray]}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_small_and_named_for_what_they_hold(path: Path) -> None:
    assert path.stem not in VAGUE
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250, "a file over 250 lines has two jobs"


def test_contracts_import_pydantic_and_httpx_alone() -> None:
    outside = set()
    for path in ROOT.glob("askback/contracts/*.py"):
        outside |= imported(path) - {"askback", "pydantic", "httpx"} - sys.stdlib_module_names
    assert not outside


def test_a_service_imports_no_other_service() -> None:
    for path in ROOT.glob("services/*/**/*.py"):
        own = path.relative_to(ROOT / "services").parts[0]
        others = set(re.findall(r"(?:from|import) services\.(\w+)", path.read_text(encoding="utf-8"))) - {
            own,
            "celery_queue",
            "doors",
            "guard",
            "logs",
            "metered",
            "prometheus_metrics",
            "serving",
            "wire",
        }
        assert not others, f"{path.relative_to(ROOT)} imports {others}"


def test_pickle_is_used_nowhere() -> None:
    assert not [path for path in SOURCES if imported(path) & {"pickle", "dill", "joblib", "cloudpickle"}]
