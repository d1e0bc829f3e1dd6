"""CPU time and memory of a process and its descendants, from /proc."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# Places in /proc/PID/stat behind the command's name, which may itself hold spaces.
_PARENT, _USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM = 1, 11, 12, 13, 14


def cpu_s(pid: int) -> float:
    """CPU seconds of `pid` and its descendants: all threads, and children that have ended. Exact to 10 ms on most kernels."""
    fields = (_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM)
    return sum(int(stat[field]) for stat in _family(pid).values() for field in fields) / _TICKS


def rss_mib(pid: int) -> float:
    """Resident memory of `pid` and its descendants in MiB; pages that they share count once for each."""
    return sum(_rss_kib(member) for member in _family(pid)) / 1024


def _rss_kib(pid: int) -> int:
    try:
        # The RSS in /proc/PID/stat lags behind, by up to some hundred KiB on each core.
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended since it was listed
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Rss:")), 0)


def _family(pid: int) -> dict[int, list[str]]:
    table: dict[int, list[str]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            table[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:  # it ended between the listing and the look
            continue
    family = [pid] if pid in table else []
    for member in family:
        family += [child for child, stat in table.items() if int(stat[_PARENT]) == member]
    return {member: table[member] for member in family}
