"""How the checks look at the machine: every look ends with its check, whatever hangs."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

import httpx

Result = TypeVar("Result")
_CONNECT_S = 0.5
_KILLED_S = 0.5


class Ended(NamedTuple):
    """A command's end."""

    code: int
    out: str
    error: str

    @property
    def complaint(self) -> str:
        """The last line that it wrote."""
        lines = [line.strip() for line in (self.error or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


async def run(environment: Mapping[str, str], *command: str) -> Ended | None:
    """The end of `command`, found on the environment's PATH; None where it is not there. A cancelled look kills it."""
    program = shutil.which(command[0], path=environment.get("PATH"))
    if program is None:
        return None
    pipe = asyncio.subprocess.PIPE
    null = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(program, *command[1:], stdin=null, stdout=pipe, stderr=pipe, env=dict(environment))
    try:
        out, error = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError, TimeoutError):
                process.kill()
                # the loop must not close before it knows of the end; who waits for a driver cannot even be killed
                await asyncio.wait_for(process.wait(), _KILLED_S)
    return Ended(process.returncode or 0, out.decode(errors="replace"), error.decode(errors="replace"))


async def aside(work: Callable[[], Result]) -> Result:
    """What `work` returns, from a thread that may hang without keeping the process: a disk that is away blocks whoever looks at it."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def tell(settle: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(lambda: None if future.done() else settle())

    def working() -> None:
        try:
            result = work()
        except BaseException as error:
            failure = error
            tell(lambda: future.set_exception(failure))
        else:
            tell(lambda: future.set_result(result))

    threading.Thread(target=working, daemon=True).start()
    return await future


async def is_taken(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def get(url: str, key: str = "") -> httpx.Response | None:
    """The answer to a GET, or None where nothing answers there. No proxy is asked."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=1.5, headers=headers) as http:
            return await http.get(url)
    except (httpx.HTTPError, httpx.InvalidURL):
        return None


def fields_of(answer: httpx.Response | None) -> dict[str, str]:
    """The texts of a JSON object in an answer; empty for anything else."""
    try:
        body = answer.json() if answer is not None else {}
    except ValueError:
        body = {}
    return {name: str(value) for name, value in body.items()} if isinstance(body, dict) else {}
