"""Ports of this machine, and Redis."""

import asyncio
import os
import socket
from urllib.parse import unquote, urlsplit

from askback.local.doctor.findings import Finding, fail, ok, warn
from askback.local.doctor.probing import fields_of, get, is_taken
from askback.local.doctor.surroundings import Surroundings

_LOOPBACK = "127.0.0.1"
_BYTES = 65536


async def ports(surroundings: Surroundings) -> list[Finding]:
    """Whether the embedded stack finds its ports free, or what has them."""
    local = surroundings.settings.ports()
    if surroundings.elsewhere:
        return [ok("the services run elsewhere, so no port is needed here")]
    if surroundings.embedded_is_up:
        return [ok(f"{min(local.values())} to {max(local.values())} are the embedded stack's, which runs")]
    taken = dict(zip(local, await asyncio.gather(*(is_taken(_LOOPBACK, port) for port in local.values())), strict=True))
    busy = [name for name, is_busy in taken.items() if is_busy]
    answers = await asyncio.gather(*(get(f"http://{_LOOPBACK}:{local[name]}/healthz") for name in busy))
    own = {name for name, answer in zip(busy, answers, strict=True) if fields_of(answer).get("service") == name}
    strange = [f"{local[name]} ({name})" for name in busy if name not in own and not (own and name in ("engine", "redis"))]
    if strange:
        return [fail(f"taken by another program: {', '.join(strange)}", "stop it, or set ASKBACK_PORT to a free range")]
    if own:
        return [ok(f"another askback stack, such as compose's, has {', '.join(str(local[name]) for name in busy)}")]
    return [ok(f"{min(local.values())} to {max(local.values())} are free")]


async def redis(surroundings: Surroundings) -> list[Finding]:
    """Whether Redis answers, and whether it keeps what it is told."""
    url = surroundings.environment.get("REDIS_URL", "")
    if surroundings.embedded_is_up:
        url = f"redis://{_LOOPBACK}:{surroundings.settings.port('redis')}/0"
    if not url:
        return [ok("no REDIS_URL: a stack brings its own Redis, which its trainer watches")]
    address = urlsplit(url)
    if address.scheme != "redis" or not address.hostname:
        return [warn("REDIS_URL: only redis:// addresses can be looked at", "see the trainer's readiness")]
    where = f"redis at {address.hostname}:{address.port or 6379}"
    words = [["AUTH", *([unquote(address.username)] if address.username else []), unquote(address.password)]] if address.password else []
    try:
        said = await _ask(address.hostname, address.port or 6379, [*words, ["INFO", "persistence"], ["INFO", "memory"], ["QUIT"]])
    except OSError as error:
        why = error.strerror if error.errno is None or isinstance(error, socket.gaierror) else os.strerror(error.errno)
        return [fail(f"{where} cannot be reached ({why or type(error).__name__})", "start it, or correct REDIS_URL")]
    if "loading:" not in said:
        return [fail(f"{where} refuses: {said.partition(chr(13))[0].lstrip('-')}", "correct the password in REDIS_URL")]
    return [_kept(where, dict(line.split(":", 1) for line in said.splitlines() if ":" in line))]


async def _ask(host: str, port: int, commands: list[list[str]]) -> str:
    """All that Redis answers to `commands` until it closes the connection."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        for words in commands:
            writer.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words))
        await writer.drain()
        said = b""
        while got := await reader.read(_BYTES):
            said += got
    finally:
        writer.close()
    return said.decode(errors="replace")


def _kept(where: str, facts: dict[str, str]) -> Finding:
    if facts.get("aof_enabled") != "1":
        return warn(f"{where} keeps no append-only file, so jobs are lost with it", "start it with --appendonly yes")
    if facts.get("aof_last_write_status", "ok") != "ok":
        return fail(f"{where} cannot write its append-only file", "make room on its volume")
    if facts.get("maxmemory_policy", "noeviction") != "noeviction":
        return warn(f"{where} drops keys when its memory is full ({facts['maxmemory_policy']})", "start it with --maxmemory-policy noeviction")
    return ok(f"{where} answers and keeps an append-only file")
