"""Start the teacher: settings from the environment, composition, server."""

import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

from askback.contracts.errors import InvalidInput
from services.serving import serve
from services.teacher.answers.cache import AnswerStore, RecentAnswers
from services.teacher.answers.recorded_backend import RecordedBackend
from services.teacher.answers.recordings import Recordings
from services.teacher.answers.sqlite_answers import SqliteAnswers
from services.teacher.app import Parts, create_app
from services.teacher.backends import Backends, OpenAIBackend
from services.teacher.batch.batches import Batches
from services.teacher.batch.openai_batch import OpenAIBatchUpstream
from services.teacher.batch.upstream import BatchOffer
from services.teacher.config import BudgetSpec, OpenAISpec, ReplaySpec, TeacherConfig, load_config
from services.teacher.core import Teacher
from services.teacher.money.budget import Budget
from services.teacher.money.genai_prices_table import price_of
from services.teacher.money.ledger import Ledger
from services.teacher.money.prices import Price, flat_price
from services.teacher.pacing.breaker import Breaker
from services.teacher.pacing.pace import Pace
from services.teacher.prometheus_metrics import PrometheusMetrics
from services.teacher.selection import ActiveBackend
from services.teacher.storage.database import Database
from services.teacher.upstream.aiohttp_upstream import AiohttpUpstream
from services.teacher.upstream.lane import Lane
from services.teacher.upstream.purchase import Purchaser

_MIB = 2**20


def compose(environment: Mapping[str, str]) -> Parts:
    """The teacher that `environment` describes; raises InvalidInput with one line on what is wrong."""
    config_path = Path(environment.get("TEACHER_CONFIG") or "configs/teacher.toml")
    config = load_config(config_path)
    home = Path(environment.get("ASKBACK_HOME") or "var")
    database = Database(Path(environment.get("TEACHER_DATABASE") or home / "teacher.sqlite"))
    try:
        return _assemble(config, config_path.parent, environment, database)
    except BaseException:
        database.close()
        raise


def _assemble(config: TeacherConfig, beside: Path, environment: Mapping[str, str], database: Database) -> Parts:
    recordings, ledger, metrics, closing = Recordings(database), Ledger(database), PrometheusMetrics(), AsyncExitStack()
    closing.callback(database.close)
    store = _store(environment, database, closing)
    budget = Budget(database, ledger, config.budget.total_usd, config.budget.run_usd)
    metrics.watch_budget(budget)
    built: dict[str, RecordedBackend | OpenAIBackend] = {}
    offers: dict[str, BatchOffer] = {}
    for spec in config.backends:
        if isinstance(spec, OpenAISpec):
            lane, missing = _lane(spec, environment, metrics, closing), _missing(spec, environment)
            price = _price(spec, config.budget)
            purchaser = Purchaser(spec, lane, budget, price or flat_price(0, 0), metrics, Random())  # noqa: S311  # only spreads retries
            built[spec.name] = OpenAIBackend(spec, price, purchaser, missing)
            if spec.batch:
                offers[spec.name] = BatchOffer(spec, price, OpenAIBatchUpstream(spec, _key(spec, environment)), missing)
        else:
            path = spec.path if isinstance(spec, ReplaySpec) else ""
            recordings.follow_file(spec.name, beside / path if path else None)
            built[spec.name] = RecordedBackend(spec.name, recordings)
    backends = Backends(config, built, ActiveBackend(database, config))
    recent = RecentAnswers(config.cache_memory_mib * _MIB)
    batches = Batches(database, budget, store, recent, backends.spec, offers, metrics)
    return Parts(Teacher(backends, store, recent), backends, recordings, store, ledger, budget, metrics, batches, closing)


def _store(environment: Mapping[str, str], database: Database, closing: AsyncExitStack) -> AnswerStore:
    url = environment.get("TEACHER_CACHE_URL", "")
    if not url:
        return SqliteAnswers(database)
    from services.teacher.answers.redis_answers import RedisAnswers  # the client costs memory and start-up time that most do not need

    store = RedisAnswers(url)
    closing.push_async_callback(store.close)
    return store


def _lane(spec: OpenAISpec, environment: Mapping[str, str], metrics: PrometheusMetrics, closing: AsyncExitStack) -> Lane:
    upstream = AiohttpUpstream(spec, _key(spec, environment))
    closing.push_async_callback(upstream.close)
    pace = Pace(requests_per_minute=spec.requests_per_minute, tokens_per_minute=spec.tokens_per_minute, max_concurrency=spec.max_concurrency)
    breaker = Breaker(spec.name)
    metrics.watch_upstream(spec.name, pace, breaker)
    return Lane(spec.name, upstream, pace, breaker, metrics, spec.timeout_s)


def _price(spec: OpenAISpec, budget: BudgetSpec) -> Price | None:
    price = price_of(spec.base_url, spec.model, spec.price_per_million_prompt_usd, spec.price_per_million_completion_usd)
    return flat_price(0, 0) if price is None and spec.model in budget.allow_unpriced else price


def _key(spec: OpenAISpec, environment: Mapping[str, str]) -> str:
    return environment.get(spec.api_key_env, "").strip() if spec.api_key_env else ""


def _missing(spec: OpenAISpec, environment: Mapping[str, str]) -> str:
    """What keeps the backend from being asked."""
    key = _key(spec, environment)
    if spec.api_key_env and not key:
        return f"{spec.api_key_env} is not set where the teacher runs"
    usable = key.isascii() and key.isprintable() and " " not in key
    return "" if usable else f"{spec.api_key_env} holds characters that no key has"


def main() -> None:
    try:
        parts = compose(os.environ)
    except InvalidInput as error:
        sys.stderr.write(f"teacher: {error}\n")
        raise SystemExit(2) from None
    serve(create_app(parts), 8001)


if __name__ == "__main__":
    main()
