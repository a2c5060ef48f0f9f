"""The one place where files from elsewhere are opened: a process of its own, with limits of time and memory.

The child never looks for modules in the current folder, so that a ``numpy.py`` beside a downloaded model stays text.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from metabolism.errors import MetabolismError, ModelError
from metabolism.processes import follow_thread

#: Limits of the reading process: CPU time [s], address space [MB]; and how much longer it may take by the clock, as on
#: a machine that is busy.
SECONDS, MEGABYTES, BUSY = 300, 4000, 4

_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from metabolism.sbml.sandbox import serve; serve(*map(int, sys.argv[2:]))"
)


def in_sandbox(
    task: str, path: str | Path, request: dict[str, Any], *, seconds: int = SECONDS, megabytes: int = MEGABYTES
) -> Any:
    """Call a function on a foreign SBML file in a process of its own and return its answer.

    Parameters
    ----------
    task : str
        ``module:function`` of ours, called as ``function(path, **request)`` after the file passed its checks.
    path : str or Path
    request : dict
        Plain data.
    seconds, megabytes : int
        Limits of the process.

    Raises
    ------
    ModelError
        If the file is broken, hostile or not covered, or needs more than the limits; always one clear sentence.
    """
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-P", "-W", "ignore", "-c", _BOOT, root, *map(str, (seconds, megabytes, os.getpid()))]
    message = json.dumps({"task": task, "path": str(path), "request": request})
    try:
        done = subprocess.run(
            command, input=message, capture_output=True, text=True, timeout=BUSY * seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"'{path}' was not analysed within {BUSY * seconds} s by the clock; give more (--seconds, or seconds=)."
        ) from None
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"')]
    answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if "answer" in answer:
        return answer["answer"]
    if "error" in answer:
        raise ModelError(str(answer["error"]))
    if done.returncode < 0:
        raise ModelError(
            f"reading '{path}' ended the process that did it (signal {-done.returncode}): the file crashes the library "
            f"that reads it, or needs more than {seconds} s of CPU or {megabytes} MB (--seconds, --megabytes)."
        )
    reason = done.stderr.strip().splitlines()[-1:] or ["no message"]
    raise ModelError(f"'{path}' could not be analysed: {reason[0]}")


def serve(seconds: int, megabytes: int, parent: int) -> None:
    """Answer one request on the standard input: the child's side of `in_sandbox`."""
    follow_thread(parent)
    message = json.loads(sys.stdin.read())
    _limit(seconds, megabytes)
    print("\n" + json.dumps(_answer(message, megabytes)))


def _answer(message: dict[str, Any], megabytes: int) -> dict[str, Any]:
    path = message["path"]
    module, _, name = message["task"].partition(":")
    try:
        return {"answer": getattr(import_module(module), name)(path, **message["request"])}
    except MetabolismError as error:
        text = str(error)
        return {"error": text if text.startswith("'") else f"'{path}': {text}"}
    except MemoryError:
        return {"error": f"'{path}' needs more than the {megabytes} MB allowed."}
    except RecursionError:
        return {"error": f"'{path}' has formulas nested too deeply to be read."}
    except Exception as error:
        # a foreign file can break any library: the user gets a sentence, never the session
        return {"error": f"'{path}' could not be analysed ({type(error).__name__}: {' '.join(str(error).split())})."}


def _limit(seconds: int, megabytes: int) -> None:
    try:
        import resource
    except ImportError:
        # Windows has no such limits: the time limit of the parent remains
        return
    size = megabytes * 2**20
    limits = {
        resource.RLIMIT_CPU: (seconds, seconds + 5),
        resource.RLIMIT_AS: (size, size),
        resource.RLIMIT_CORE: (0, 0),
    }
    for kind, (soft, hard) in limits.items():
        # under a limit of the user's own (ulimit, a batch queue), which nobody may raise, the smaller one holds
        least = hard if (given := resource.getrlimit(kind)[1]) == resource.RLIM_INFINITY else min(hard, given)
        resource.setrlimit(kind, (min(soft, least), least))
