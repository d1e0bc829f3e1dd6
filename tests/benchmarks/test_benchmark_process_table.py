"""CPU and memory must include children, or a proxy with workers would seem to cost nothing."""

import os
import subprocess
import sys
import time

from benchmarks import process_table

# The command starts a child which is ready with 64 MiB and 0.2 s of CPU time behind it, says so, and waits.
CHILD = "import time; held = bytearray(b'x') * 2**26\nwhile time.process_time() < 0.2: pass\nprint('ready', flush=True); input()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_a_childs_share_counts() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        assert process_table.cpu_s(parent.pid) >= 0.19
        assert process_table.rss_mib(parent.pid) >= 64
        parent.communicate(b"\n")


def test_own_cpu_time_grows() -> None:
    before = process_table.cpu_s(os.getpid())
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert process_table.cpu_s(os.getpid()) - before >= 0.03


def test_a_process_that_is_gone_uses_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert process_table.cpu_s(gone.pid) == process_table.rss_mib(gone.pid) == 0
