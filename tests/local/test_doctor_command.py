"""`askback doctor` as a person runs it: exit codes, JSON, bounded time, and nothing changed or given away."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from doctor_stage import Machine

from askback.local.doctor import Finding, Level, Report, Surroundings, examine
from askback.local.doctor.findings import fail, ok, warn
from askback.local.doctor.probing import aside

OURS = fail("broken", "report it").model_copy(update={"ours": True})


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("findings", "code"), [([], 0), ([ok("a"), warn("b", "c")], 0), ([ok("a"), fail("b", "c")], 2), ([OURS], 1), ([OURS, fail("b", "c")], 2)]
)
def test_the_exit_code_says_whose_fault_it_is(findings: list[Finding], code: int) -> None:
    assert Report(findings=findings).exit_code == code


async def test_checks_run_side_by_side_and_none_keeps_the_others(machine: Machine) -> None:
    async def slow(_: Surroundings) -> list[Finding]:
        await asyncio.sleep(0.3)
        return [ok("slow")]

    async def hangs(_: Surroundings) -> list[Finding]:
        await aside(lambda: threading.Event().wait(30))
        return []

    async def breaks(_: Surroundings) -> list[Finding]:
        raise RuntimeError("unforeseen")

    began = time.monotonic()
    report = await examine(machine.surroundings(), {"one": slow, "two": slow, "hung": hangs, "broken": breaks, "three": slow}, limit_s=0.8)
    assert time.monotonic() - began < 1.5
    assert [(one.check, one.level, one.ours) for one in report.findings] == [
        ("one", Level.OK, False),
        ("two", Level.OK, False),
        ("hung", Level.WARN, False),
        ("broken", Level.FAIL, True),
        ("three", Level.OK, False),
    ]
    assert report.findings[2].text == "no answer within 0.8 s" and report.exit_code == 1


def test_the_text_has_a_line_for_each_and_the_remedy_below() -> None:
    findings = [ok("fine").model_copy(update={"check": "python"}), fail("no room", "make some").model_copy(update={"check": "disk"})]
    assert Report(findings=findings).as_text().splitlines() == [
        "ok    python  fine",
        "fail  disk    no room",
        "              -> make some",
        "1 ok, 0 warn, 1 fail",
    ]


def run(machine: Machine, *arguments: str, **environment: str) -> tuple[int, str, float]:
    """(exit code, standard output, seconds) of the command in the machine's folder."""
    given = {
        "PATH": str(machine.bin),
        "ASKBACK_PORT": str(machine.first_port),
        "BASE_MODEL": str(machine.root / "model"),
        **environment,
    }
    given["PYTHONPATH"] = str(Path(__file__).parents[2])
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "askback.cli", "doctor", *arguments], cwd=machine.root, env=given, capture_output=True, text=True, timeout=60
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout, time.monotonic() - began


def test_json_is_the_same_report_and_gives_no_key_away(machine: Machine) -> None:
    machine.write("model/config.json", "{}")
    before = sorted(machine.root.rglob("*"))
    code, out, _ = run(
        machine, "--json", ASKBACK_API_KEY="a-very-private-key-01", OPENAI_API_KEY="sk-private-02", REDIS_URL="redis://:pw-03@127.0.0.1:1/0"
    )
    findings = json.loads(out)["findings"]
    assert code == 2 and {one["check"] for one in findings} >= {
        "python",
        "packages",
        "gpu",
        "volumes",
        "keys",
        "ports",
        "redis",
        "docker",
        "services",
    }
    assert [one["check"] for one in findings if one["level"] == "fail"] == ["redis"]
    assert not [secret for secret in ("private", "pw-03") if secret in out]
    assert all(one["remedy"] for one in findings if one["level"] != "ok")
    assert sorted(machine.root.rglob("*")) == before
    code, out, _ = run(machine)
    assert code == 0 and out.splitlines()[-1].endswith(" 0 fail")


def test_it_ends_in_time_though_a_driver_hangs(machine: Machine) -> None:
    machine.write("model/config.json", "{}")
    usual = run(machine)[2]
    machine.command("nvidia-smi", "exec sleep 60")
    code, out, seconds = run(machine)
    assert (code, "warn  gpu" in out) == (0, True) and seconds < usual + 8


def test_help_has_examples_and_a_bad_port_is_one_line(machine: Machine) -> None:
    _, out, _ = run(machine, "--help")
    assert "Examples:" in out and "askback doctor --json" in out
    done = subprocess.run(
        [sys.executable, "-m", "askback.cli", "doctor"], env={**os.environ, "ASKBACK_PORT": "x"}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
