"""What is on disk: it outlives re-opening and kill -9."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from askback.contracts.errors import InvalidInput
from services.teacher.answers import PaidAnswers
from services.teacher.backend import Completion
from services.teacher.database import Database

ANSWER = Completion("Water is wet.\u2028", "big", 10, 5, 0.25)


def test_answers_and_ledger_survive_re_opening(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "teacher.sqlite"
    first = Database(path)
    PaidAnswers(first).keep("k1", "paid", ANSWER)
    PaidAnswers(first).keep("k2", "vllm", Completion("cut", "small", 7, 3, 0.0, problem="truncated"))
    first.close()
    second = Database(path)
    answers = PaidAnswers(second)
    kept = answers.find("k1")
    assert kept == Completion(ANSWER.text, "big", 10, 5)
    assert answers.find("k2") is None
    usage = answers.usage()
    assert [(row.backend, row.calls, row.cost_usd) for row in usage.backends] == [("paid", 1, 0.25), ("vllm", 1, 0.0)]
    assert (usage.total.calls, usage.total.prompt_tokens, usage.total.completion_tokens) == (2, 17, 8)
    second.close()


def test_a_kept_answer_survives_kill_9(tmp_path: Path) -> None:
    program = (
        "import os, sys, signal; from pathlib import Path\n"
        "from services.teacher.answers import PaidAnswers; from services.teacher.backend import Completion\n"
        "from services.teacher.database import Database\n"
        "PaidAnswers(Database(Path(sys.argv[1]))).keep('k', 'paid', Completion('kept', 'big', 1, 1, 0.5))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "teacher.sqlite"
    ended = subprocess.run([sys.executable, "-c", program, str(path)], cwd=Path(__file__).parents[3], env=os.environ, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    database = Database(path)
    assert PaidAnswers(database).find("k") == Completion("kept", "big", 1, 1)
    assert PaidAnswers(database).usage().total.cost_usd == 0.5
    database.close()


def test_the_file_is_in_wal_mode_with_full_sync(database: Database) -> None:
    assert database.read("PRAGMA journal_mode") == [("wal",)]
    with database.transaction() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as connection:
        connection.execute("INSERT INTO settings VALUES ('active', 'x')")
        raise RuntimeError
    assert database.read("SELECT * FROM settings") == []
    with database.transaction() as connection:
        connection.execute("INSERT INTO settings VALUES ('active', 'y')")
    assert database.read("SELECT value FROM settings") == [("y",)]


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "teacher.sqlite"
    path.write_text("not a database, and long enough to be taken for a header of one" * 20)
    with pytest.raises(InvalidInput, match=r"TEACHER_DATABASE .*teacher\.sqlite: cannot be opened"):
        Database(path)
