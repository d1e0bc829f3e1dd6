"""The card's turn inside one process: the gate, every phase, and any order of steps, kills and restarts."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from askback.contracts.errors import Conflict, InvalidInput, UpstreamUnavailable
from askback.contracts.gpu_lock import EngineNote, GpuLock, Note
from askback.contracts.student import Adapter, EnginePhase, EngineStatus
from services.serving import create_service
from services.student.engine_link import Headers
from services.student.gpu.gate import EngineAsleep, Gate
from services.student.gpu.gpu_routes import gpu_router
from services.student.gpu.turn import GpuTurn, Times
from services.student.gpu.vllm_sleep import VllmSleep
from services.trainer.processes.gpu_turn import StudentLine, _confirmed

TIMES = Times(look_every_s=0.01, drain_s=0.05, grace_s=30, settle_s=0)


class Killed(BaseException):
    """Stands for SIGKILL in the middle of a call to the engine."""


class Engine:
    """An engine that does what it is told, late or never when it is asked to; `kill_at` ends its caller at that call."""

    def __init__(self) -> None:
        self.sleeping = False
        self.gone = False
        self.stubborn = False
        self.under_way: bool | None = None  # what a call left behind by a killed caller will set
        self.kill_at = 0
        self.woken_without_lock = False
        self.may_wake: Callable[[], bool] = lambda: True

    async def is_sleeping(self) -> bool:
        self._called(None)
        return self.sleeping

    async def sleep(self) -> None:
        self._called(True)
        self.finish()
        self.sleeping = not self.stubborn

    async def wake(self) -> None:
        self.woken_without_lock |= not self.may_wake()
        self._called(False)
        self.finish()
        self.sleeping = False

    def finish(self) -> None:
        """What was sent before is done before what is sent now."""
        if self.under_way is not None:
            self.sleeping, self.under_way = self.under_way, None

    def _called(self, sets: bool | None) -> None:
        if self.gone:
            raise UpstreamUnavailable("the engine cannot be reached")
        self.kill_at -= 1
        if self.kill_at == 0:
            if sets is not None:
                self.finish()
                self.under_way = sets
            raise Killed


class Side:
    """A student with its own opening of the lock file."""

    def __init__(self, path: Path, engine: Engine, times: Times = TIMES) -> None:
        self.lock, self.gate, self.prepared, self.now = GpuLock.at(path), Gate(is_open=False), list[Adapter | None](), 0.0
        self.turn = GpuTurn(self.lock, engine, self.gate, self.prepare, times, clock=lambda: self.now)

    async def prepare(self, adapter: Adapter | None) -> None:
        async with self.gate.admitted():
            self.prepared.append(adapter)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def side(tmp_path: Path, engine: Engine) -> Side:
    return Side(tmp_path / "lock", engine)


async def test_a_student_takes_the_free_card_wakes_its_engine_and_serves(side: Side, engine: Engine) -> None:
    engine.sleeping = True
    assert side.turn.missing() == "the engine was not found awake yet"
    await side.turn.step()
    assert (engine.sleeping, side.lock.held, side.gate.is_open, side.turn.missing()) == (False, True, True, "")
    assert side.lock.read().engine is EngineNote.UP
    assert side.prepared == [None]
    assert (await side.turn.status()).phase is EnginePhase.AWAKE


async def test_asleep_the_card_is_left_to_its_asker_for_the_grace_alone(side: Side, engine: Engine) -> None:
    await side.turn.step()
    status = await side.turn.sleep("job 1")
    assert (status.phase, status.holder, engine.sleeping, side.lock.held) == (EnginePhase.ASLEEP, "job 1", True, False)
    assert side.turn.missing() == "the engine is asleep while job 1 trains"
    side.now = 29
    await side.turn.step()
    assert engine.sleeping
    side.now = 31
    await side.turn.step()
    assert not engine.sleeping and side.gate.is_open


async def test_the_grace_ends_when_the_asker_has_come_and_gone(side: Side, engine: Engine, tmp_path: Path) -> None:
    await side.turn.step()
    await side.turn.sleep("job 1")
    training = GpuLock.at(tmp_path / "lock")
    assert training.take()
    await side.turn.step()
    training.close()
    await side.turn.step()
    assert side.gate.is_open and not engine.sleeping


async def test_a_wake_ends_the_grace_and_loads_the_new_adapter_before_anyone_is_let_in(side: Side) -> None:
    await side.turn.step()
    await side.turn.sleep("job 1")
    adapter = Adapter(name="a", path="r/a")
    side.turn.wake(adapter)
    side.turn.wake(adapter)
    await side.turn.step()
    assert side.prepared == [None, adapter, None]


async def test_an_adapter_that_cannot_be_loaded_keeps_nobody_from_the_engine(side: Side, engine: Engine, tmp_path: Path) -> None:
    async def prepare(adapter: Adapter | None) -> None:
        if adapter:
            raise InvalidInput("rank 64")

    turn = GpuTurn(GpuLock.at(tmp_path / "other"), engine, side.gate, prepare, TIMES)
    turn.wake(Adapter(name="a", path="r/a"))
    await turn.step()
    assert side.gate.is_open


async def test_an_engine_that_fell_asleep_under_the_student_is_woken(side: Side, engine: Engine) -> None:
    await side.turn.step()
    engine.sleeping = True
    await side.turn.step()
    assert not engine.sleeping and side.gate.is_open


async def test_an_engine_that_comes_up_awake_in_a_training_is_put_to_sleep(side: Side, engine: Engine, tmp_path: Path) -> None:
    await side.turn.step()
    await side.turn.sleep("job 1")
    training = GpuLock.at(tmp_path / "lock")
    assert training.take()
    engine.sleeping = False
    assert (await side.turn.status()).phase is EnginePhase.WAITING
    await side.turn.step()
    assert engine.sleeping and not side.gate.is_open
    assert (await side.turn.status()).phase is EnginePhase.ASLEEP


async def test_a_second_student_leaves_the_first_ones_engine_alone(side: Side, engine: Engine, tmp_path: Path) -> None:
    await side.turn.step()
    second = Side(tmp_path / "lock", engine)
    await second.turn.step()
    assert not engine.sleeping
    assert second.turn.missing() == "another student service has the card"
    with pytest.raises(UpstreamUnavailable, match="another student"):
        await second.turn.sleep("job 1")


@pytest.mark.parametrize(("trouble", "message"), [("gone", "cannot be reached"), ("stubborn", "stayed awake")])
async def test_without_a_sleeping_engine_the_card_is_not_given_away(side: Side, engine: Engine, trouble: str, message: str) -> None:
    await side.turn.step()
    setattr(engine, trouble, True)
    with pytest.raises(UpstreamUnavailable, match=message):
        await side.turn.sleep("job 1")
    assert side.lock.held and side.lock.read().engine is EngineNote.UP
    setattr(engine, trouble, False)
    await side.turn.step()
    assert side.gate.is_open


async def test_requests_under_way_finish_and_late_ones_are_refused(side: Side) -> None:
    await side.turn.step()
    ends = asyncio.Event()

    async def request() -> str:
        async with side.gate.admitted():
            await ends.wait()
            return "answer"

    asked = asyncio.create_task(request())
    await asyncio.sleep(0)
    sleeping = asyncio.create_task(side.turn.sleep("job 1"))
    await asyncio.sleep(0.01)
    with pytest.raises(EngineAsleep, match="asleep while job 1 trains"):
        await request()
    assert (await side.turn.status()).phase is EnginePhase.DRAINING
    ends.set()
    assert await asked == "answer"
    assert (await sleeping).phase is EnginePhase.ASLEEP


async def test_a_request_that_does_not_end_is_ended(side: Side) -> None:
    await side.turn.step()

    async def request() -> None:
        async with side.gate.admitted():
            await asyncio.sleep(60)

    asked = asyncio.create_task(request())
    await asyncio.sleep(0)
    await side.turn.sleep("job 1")
    with pytest.raises(EngineAsleep) as refused:
        await asked
    assert refused.value.retry_after_s == 5


async def test_a_timeout_of_the_request_itself_stays_one() -> None:
    gate = Gate(is_open=True)
    with pytest.raises(TimeoutError):
        async with gate.admitted(), asyncio.timeout(0.001):
            await asyncio.sleep(1)
    assert gate.inside == 0


def test_a_lock_file_says_what_its_holder_left_and_nothing_when_damaged(tmp_path: Path) -> None:
    lock = GpuLock.at(tmp_path / "new" / "lock")
    assert lock.read() == Note()
    lock.write(Note(engine=EngineNote.ASLEEP, holder="é" * 400))
    assert lock.read() == Note(engine=EngineNote.ASLEEP, holder="é" * 60)
    lock.write(Note(engine=EngineNote.UP))
    assert lock.read() == Note(engine=EngineNote.UP)
    (tmp_path / "new" / "lock").write_text('{"engine": "asl')
    assert lock.read().engine is EngineNote.UNKNOWN
    with pytest.raises(InvalidInput, match="GPU_LOCK"):
        GpuLock.at(tmp_path)


def test_only_the_last_closing_frees_a_lock_that_a_child_shares(tmp_path: Path) -> None:
    import os

    parent, other = GpuLock.at(tmp_path / "lock"), GpuLock.at(tmp_path / "lock")
    child = GpuLock(os.dup(parent.descriptor))
    assert child.take() and not other.take() and not other.is_free()
    child.close()
    assert not other.take()
    parent.close()
    assert other.is_free() and other.take()


async def test_the_routes_without_a_shared_card() -> None:
    added: list[Adapter | None] = []

    async def prepare(adapter: Adapter | None) -> None:
        added.append(adapter)

    app = create_service("student", gpu_router(None, prepare))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://s") as http:
        assert EngineStatus.model_validate_json((await http.get("/v1/engine")).content) == EngineStatus(shared=False, phase=EnginePhase.AWAKE)
        refused = await http.post("/v1/engine/sleep", json={"holder": "job 1"})
        assert (refused.status_code, refused.json()["error"]) == (409, Conflict.__name__)
        await http.post("/v1/engine/wake", json={"adapter": {"name": "a", "path": "r/a"}})
    assert added == [Adapter(name="a", path="r/a")]


class OneAnswer:
    """Gives the same answer, or failure, to everything."""

    url = "http://engine"

    def __init__(self, status: int, body: str, failure: Exception | None = None) -> None:
        self.headers: Headers = []
        self.status, self._body, self._failure = status, body, failure

    @asynccontextmanager
    async def send(self, method: str, target: str, body: bytes = b"", headers: Iterable[tuple[bytes, bytes]] = ()) -> AsyncIterator["OneAnswer"]:
        if self._failure is not None:
            raise self._failure
        yield self

    async def read(self) -> bytes:
        return self._body.encode()

    async def piece(self) -> bytes:
        return b""


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (OneAnswer(404, ""), "no route /is_sleeping; start it with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1"),
        (OneAnswer(500, "boom"), "with 500: boom"),
        (OneAnswer(200, "?"), "does not say whether it sleeps"),
        (OneAnswer(0, "", UpstreamUnavailable("cannot be reached: refused")), "cannot be reached: refused"),
        (OneAnswer(0, "", TimeoutError()), "did not answer /is_sleeping within 5 s"),
    ],
)
async def test_an_engine_that_cannot_tell_is_not_taken_for_asleep(link: OneAnswer, message: str) -> None:
    with pytest.raises(UpstreamUnavailable, match=message):
        await VllmSleep(link).is_sleeping()


class Line(StudentLine):
    """Asks a student of this process."""

    def __init__(self, machine: "AnyOrder") -> None:
        self._machine = machine

    def status(self) -> EngineStatus:
        return self._machine.run(self._machine.side.turn.status())


class AnyOrder(RuleBasedStateMachine):
    """Steps of a student, a training and the engine in any order, each of which a kill may end at any of its calls to the engine."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "lock"
        self._loop = asyncio.new_event_loop()
        self.engine = Engine()
        self.training = self.restarted = False
        self.card: GpuLock | None = None
        self._new_student()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def _new_student(self) -> None:
        self.side = Side(self._path, self.engine)
        side = self.side
        self.engine.may_wake = lambda: side.lock.held

    def _student_does(self, work: Coroutine[Any, Any, Any], kill_at: int) -> bool:
        self.engine.kill_at = kill_at
        try:
            self.run(work)
        except Killed:
            self.side.lock.close()
            self._new_student()
            return False
        except UpstreamUnavailable:
            return False
        finally:
            self.engine.kill_at = 0
        return True

    @rule(kill_at=st.sampled_from([0, 0, 1, 2, 3]), later=st.sampled_from([0.0, 40.0]))
    def the_student_looks(self, kill_at: int, later: float) -> None:
        self.side.now += later
        self._student_does(self.side.turn.step(), kill_at)

    @rule(kill_at=st.sampled_from([0, 0, 1, 2, 3]))
    def the_training_asks_for_sleep(self, kill_at: int) -> None:
        self._student_does(self.side.turn.sleep("job 1"), kill_at)

    @precondition(lambda self: self.card is None)
    @rule()
    def the_training_tries_the_lock(self) -> None:
        card = GpuLock.at(self._path)
        if card.take():
            self.card = card
        else:
            card.close()

    @precondition(lambda self: self.card is not None and not self.training)
    @rule()
    def the_training_looks_again(self) -> None:
        assert self.card is not None
        if _confirmed(self.card, Line(self)):
            self.training, self.restarted = True, False
            self.card.write(Note(engine=EngineNote.ASLEEP, holder="job 1"))
        else:
            self.the_training_ends()

    @precondition(lambda self: self.card is not None)
    @rule()
    def the_training_ends(self) -> None:
        """Orderly or by a kill: the kernel closes what it had open."""
        assert self.card is not None
        self.card.close()
        self.card, self.training = None, False

    @rule()
    def the_student_is_killed(self) -> None:
        self.side.lock.close()
        self._new_student()

    @rule()
    def what_a_killed_student_sent_arrives(self) -> None:
        self.engine.finish()

    @rule()
    def the_engine_is_started_again(self) -> None:
        self.engine.sleeping, self.engine.under_way = False, None
        self.restarted = True

    @invariant()
    def one_owner(self) -> None:
        assert not (self.training and self.side.gate.is_open and self.side.lock.held)
        assert not (self.training and self.side.lock.held)
        assert not self.engine.woken_without_lock
        if self.training and not self.restarted:  # an engine started in a training is put to sleep by the next look, see above
            assert self.engine.sleeping, "the training and the engine have the card"

    def teardown(self) -> None:
        self._loop.close()
        self._folder.cleanup()


def test_a_wake_that_a_killed_student_left_under_way_keeps_a_training_waiting() -> None:
    machine = AnyOrder()
    machine.the_student_looks(kill_at=0, later=0)
    machine.the_training_asks_for_sleep(kill_at=0)
    machine.the_student_looks(kill_at=2, later=40)  # in its call to wake the engine
    assert machine.engine.under_way is False
    machine.the_training_tries_the_lock()
    machine.the_training_looks_again()
    assert not machine.training
    machine.what_a_killed_student_sent_arrives()
    machine.teardown()


AnyOrder.TestCase.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
test_in_any_order = AnyOrder.TestCase
