"""A process that works for another one ends with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: What the parent does until it is killed, and how many children it then has (pools bring a tracker of resources).
WORK = {
    "sweep": (
        "mb.scan(mb.load(), {'GFR_rel': [0.5, 0.6, 0.7, 0.8]}, until='1 d', endpoints=['final(hcy_plasma)'], chunk=1, "
        "workers=2, progress=lambda label, total: lambda runs: time.sleep(60))",
        3,
    ),
    "engine": (
        "from metabolism.engines import one_by_one; one_by_one._solve_part = lambda *_: time.sleep(60); "
        "mb.simulate(mb.load(), until='1 d', engine='scipy', patients={'GFR_rel': [0.5, 0.6, 0.7, 0.8]}, workers=2)",
        3,
    ),
    "sandbox": ("os.mkfifo('pipe'); mb.sbml.in_sandbox('builtins:open', 'pipe', {})", 1),
}


def children(pid):
    return [int(p) for file in Path(f"/proc/{pid}/task").glob("*/children") for p in file.read_text().split()]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", WORK)
def test_nothing_outlives_a_killed_parent(tmp_path, name):
    code, count = WORK[name]
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import os, time, metabolism as mb, metabolism.sbml; {code}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    born, waited = [], time.monotonic()
    while len(born) < count and parent.poll() is None and time.monotonic() - waited < 120:
        time.sleep(0.2)
        born = children(parent.pid)
    # the workers are at their work, not still being born
    time.sleep(3)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert len(born) >= count
    waited = time.monotonic()
    while any(map(alive, born)) and time.monotonic() - waited < 5:
        time.sleep(0.2)
    left = [pid for pid in born if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


@pytest.mark.skipif(sys.platform != "linux", reason="address space is not limited elsewhere")
def test_files_are_read_under_limits_of_the_users_own(tmp_path):
    # a batch queue or a shell sets limits that no process below may raise
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (100, 100)); "
        "resource.setrlimit(resource.RLIMIT_AS, (2**32 - 1, 2**32 - 1)); "
        "from metabolism.sbml import in_sandbox; in_sandbox('builtins:open', 'nowhere.xml', {})"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert "nowhere.xml" in done.stderr.splitlines()[-1]
    assert "No such file" in done.stderr.splitlines()[-1]
