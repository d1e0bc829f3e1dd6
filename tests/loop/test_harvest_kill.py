"""kill -9 of the command line in the middle of a harvest, again and again: the corpus comes out the same, and nothing is paid for twice."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS / "services" / "teacher"))

from fake_openai import Call, FakeOpenAI, Good  # noqa: E402
from running_teacher import CALL_USD, RunningTeacher, paid_backend, teacher_toml, wait_until  # noqa: E402
from scripted_services import UNASKED, ScriptedServices  # noqa: E402

from askback.loop.status import Accounts, status_of  # noqa: E402
from askback.loop.store import RunStore  # noqa: E402

ROWS, KILLS, CONCURRENCY = 400, 20, 16
SEED = 7
CONFIG = f"""
name = "killed"
task = "strategyqa"
seed = {SEED}
[data]
path = "data"
train = {ROWS}
dev = 20
[harvest]
teacher = "paid"
concurrency = {CONCURRENCY}
[[adapters]]
name = "direct"
track = "direct"
[evaluate]
conditions = ["base.direct"]
"""
SERVICES = ("STUDENT", "RETRIEVER", "TRAINER", "EVALUATOR")


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Yes/no questions with no three words in a row in common, but for near repetitions and one that the student cannot ask about."""
    random = Random(seed)
    words = ["".join(random.choices("bdfgklmnprstvz", k=1) + random.choices("aeiou", k=1) + random.choices("klmnrst", k=2)) for _ in range(2000)]
    made: list[dict[str, Any]] = []
    for number in range(count):
        question = f"Is {' '.join(random.sample(words, 9))} {seed}{number:03d}?"
        if number % 60 == 59:
            question = made[-1]["question"].replace("?", " now?")
        made.append({"qid": f"{seed}-{number}", "question": question, "answer": number % 2 == 0})
    made[5]["question"] = f"Is {UNASKED} there?"
    return made


TRAIN, DEV = rows(ROWS, 1), rows(20, 2)
NUMBERS = {row["question"]: number for number, row in enumerate(TRAIN)}
PROMPTS = ROWS - 1
"""What the teacher is asked: the row without a draft never comes to it."""


def reply(call: Call) -> Good:
    """The teacher's answer to a row's prompt: some verdicts are wrong, some missing, and some questions tell the answer."""
    number = NUMBERS[call.prompt.split("Q: ")[1].split("\n")[0]]
    row, asked = TRAIN[number], f"What of {number}?"
    if number % 41 == 40:
        asked = "Yes, but why?"
    verdict = "yes" if row["answer"] != (number % 7 == 6) else "no"
    ending = "That depends." if number % 50 == 49 else f"The answer is {verdict}."
    text = f"Q1. {asked}\nIt is {number}.\nQ2. Who else?\nNobody but {number}.\nTHOUGHT: {number} stands alone.\n{ending}"
    return Good(message={"content": text})


@pytest.fixture
def upstream() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as running:
        running.latency_s, running.plan = 0.06, reply
        yield running


@pytest.fixture
def services() -> Iterator[ScriptedServices]:
    with ScriptedServices() as running:
        yield running


class Desk:
    """A folder with data and configuration, and the command line in it."""

    def __init__(self, folder: Path, teacher: RunningTeacher, services: ScriptedServices) -> None:
        self._folder = folder
        urls = dict.fromkeys((f"{name}_URL" for name in SERVICES), services.url) | {"TEACHER_URL": teacher.url}
        self._environment = {**os.environ, **urls}
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "run.toml").write_text(CONFIG)
        for split, made in (("train", TRAIN), ("dev", DEV)):
            (folder / "data" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))

    def start(self, command: str, run_id: str) -> "subprocess.Popen[str]":
        line = [sys.executable, "-m", "askback.cli", command, "run.toml", "--id", run_id]
        return subprocess.Popen(line, cwd=self._folder, env=self._environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    def finish(self, command: str, run_id: str) -> None:
        process = self.start(command, run_id)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said

    def store(self, run_id: str) -> RunStore:
        return RunStore(self._folder / "runs", run_id)


def records_in(store: RunStore) -> int:
    path = store.path("harvest.jsonl")
    return path.read_bytes().count(b"\n") if path.exists() else 0


def came_to(moment: int, store: RunStore, process: "subprocess.Popen[str]") -> bool:
    return records_in(store) >= moment or process.poll() is not None


def assert_adds_up(store: RunStore) -> Accounts:
    accounts = status_of(store).accounts
    assert accounts.sampled == ROWS
    assert accounts.sampled == accounts.kept + sum(accounts.dropped.values()) + accounts.failed + accounts.pending
    assert accounts.pending == sum(accounts.pending_after.values())
    return accounts


def killed_harvest(desk: Desk, run_id: str, random: Random) -> None:
    """A harvest that is killed at KILLS moments, spread over its records; some kills leave a torn last line, as a crash of the machine does."""
    store, last = desk.store(run_id), 3 * ROWS - 6 * CONCURRENCY
    for number, moment in enumerate(sorted(random.sample(range(1, last), KILLS))):
        process = desk.start("harvest", run_id)
        wait_until(partial(came_to, moment, store, process), f"{moment} records")
        assert_adds_up(store)
        time.sleep(random.uniform(0, 0.03))
        process.kill()
        _, said = process.communicate()
        assert process.returncode == -9, f"the harvest was over before it was killed: {said}"
        if number % 4 == 3:
            with store.path("harvest.jsonl").open("r+b") as file:
                file.truncate(file.seek(0, os.SEEK_END) - random.randint(1, 80))
        accounts = assert_adds_up(store)
        assert accounts.pending > 0


def tracks_of(store: RunStore) -> dict[str, bytes]:
    """Every file of rows that the stage tracks wrote, by name."""
    return {str(path.relative_to(store.folder)): path.read_bytes() for path in sorted(store.path("tracks").rglob("*.jsonl"))}


def steps_of(store: RunStore) -> Counter[str]:
    """The harvest's records as texts, without what a clock or a cache had to do with."""
    found: Counter[str] = Counter()
    for line in store.path("harvest.jsonl").read_text().splitlines():
        record = json.loads(line)
        del record["cache"], record["usage"]["latency_s"]
        found[json.dumps(record, sort_keys=True)] += 1
    return found


def hits_of(store: RunStore) -> int:
    return sum(json.loads(line)["cache"] == "hit" for line in store.path("harvest.jsonl").read_text().splitlines())


@pytest.mark.timeout(180)
def test_a_harvest_that_is_killed_twenty_times_makes_the_same_corpus_for_the_same_money(
    upstream: FakeOpenAI, services: ScriptedServices, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    with RunningTeacher(tmp_path / "whole", teacher_toml(paid_backend(upstream.url))) as teacher:
        desk = Desk(tmp_path, teacher, services)
        desk.finish("tracks", "whole")
        assert len(upstream.paid) == PROMPTS == upstream.paid.total()
    upstream.forget()
    upstream.plan = reply
    (tmp_path / "killed").mkdir()
    with RunningTeacher(tmp_path / "killed", teacher_toml(paid_backend(upstream.url))) as teacher:
        desk = Desk(tmp_path, teacher, services)
        killed_harvest(desk, "killed", Random(SEED))
        desk.finish("harvest", "killed")
        desk.finish("tracks", "killed")
        assert len(upstream.paid) == PROMPTS == upstream.paid.total()
        (booked,) = teacher.get("/v1/usage")["by_run"]
        assert (booked["name"], booked["calls"], booked["cost_usd"]) == ("killed", PROMPTS, pytest.approx(PROMPTS * CALL_USD))
    whole, killed = desk.store("whole"), desk.store("killed")

    assert len(tracks_of(whole)) == 8
    assert tracks_of(killed) == tracks_of(whole)
    assert steps_of(killed) == steps_of(whole)
    assert set(steps_of(killed).values()) == {1}
    accounts = assert_adds_up(killed)
    assert accounts == assert_adds_up(whole)
    assert (accounts.failed, accounts.pending) == (9, 0)
    assert accounts.kept > 250 and {"teacher_disagrees", "question_leaks_answer", "near_duplicate"} <= accounts.dropped.keys()

    # An answer that was bought by a killed harvest comes from the cache, and still counts at its price.
    assert hits_of(whole) == 0 < hits_of(killed)
    assert {status_of(store).spent["total"].cost_usd for store in (whole, killed)} == {round(PROMPTS * CALL_USD, 6)}
    assert killed.path("tracks/README.md").read_bytes() == whole.path("tracks/README.md").read_bytes()
