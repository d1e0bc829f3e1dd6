import multiprocessing
import signal
from multiprocessing.synchronize import Event
from pathlib import Path

from askback.local.ownership import claimed, forget


def test_who_starts_the_stack_ends_it(tmp_path: Path) -> None:
    with claimed(tmp_path / "mark", running=False) as mine:
        assert mine


def test_a_stack_that_a_person_started_stays(tmp_path: Path) -> None:
    with claimed(tmp_path / "mark", running=True) as mine:
        assert not mine
    with claimed(tmp_path / "mark", running=False):
        pass
    forget(tmp_path / "mark")
    with claimed(tmp_path / "mark", running=True) as mine:
        assert not mine


def hold(mark: Path, held: Event) -> None:
    with claimed(mark, running=False):
        held.set()
        signal.pause()


def test_a_second_run_leaves_the_stack_to_the_first_until_that_one_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    first = context.Process(target=hold, args=(tmp_path / "mark", held))
    first.start()
    assert held.wait(30)
    with claimed(tmp_path / "mark", running=True) as mine:
        assert not mine
    first.kill()
    first.join()
    with claimed(tmp_path / "mark", running=True) as mine:
        assert mine
