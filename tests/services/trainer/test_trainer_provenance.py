"""The commit is that of the checkout which the code lies in, never that of a repository around it."""

import subprocess
from pathlib import Path

import pytest

from services.trainer.weights.matplotlib_loss_curve import running_mean
from services.trainer.weights.provenance import source_commit, versions

ELSEWHERE = {"ASKBACK_COMMIT": "from-the-image"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one committed file, code.py."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    (tmp_path / "code.py").write_text("a = 1\n")
    for arguments in (["init", "-q"], ["add", "code.py"], [*identity, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    return tmp_path


def test_a_checkouts_commit_and_whether_it_was_changed(checkout: Path) -> None:
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert source_commit(checkout / "code.py", ELSEWHERE) == head
    (checkout / "code.py").write_text("a = 2\n")
    assert source_commit(checkout / "code.py", ELSEWHERE) == f"{head}-dirty"


def test_an_installed_package_asks_the_environment(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    installed = checkout / ".venv"
    installed.mkdir()
    (installed / "code.py").write_text("a = 1\n")
    assert source_commit(installed / "code.py", ELSEWHERE) == "from-the-image"
    bare = tmp_path_factory.mktemp("bare")
    assert source_commit(bare / "code.py", ELSEWHERE) == "from-the-image"
    assert source_commit(bare / "code.py", {}) == ""


def test_the_drivers_version_is_read_where_there_is_one(tmp_path: Path) -> None:
    assert "nvidia_driver" not in versions(tmp_path / "none")
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\nGCC version: 12.2.0\n")
    assert versions(tmp_path / "version")["nvidia_driver"] == "570.86.15"


def test_a_running_mean_takes_what_is_there() -> None:
    assert running_mean([1.0, 3.0, 5.0, 7.0], 2) == pytest.approx([1.0, 2.0, 4.0, 6.0])
    assert running_mean([1.0, 3.0, 5.0], 1) == pytest.approx([1.0, 3.0, 5.0])
    assert running_mean([], 3) == []
