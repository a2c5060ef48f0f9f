"""Processes that work for another one end with it, also when it is killed."""

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Any

#: How often a process looks whether its parent is still there [s].
_EVERY = 0.5


def follow(parent: int) -> None:
    """End this process soon after its parent has ended, however that happened (not on Windows).

    Parameters
    ----------
    parent : int
        Process id, as the parent gave it: it may be gone by the time this process asks.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_EVERY)
        os._exit(1)

    if os.name != "nt":
        threading.Thread(target=watch, daemon=True).start()


def follow_thread(parent: int) -> None:
    """As `follow`, for a child whose starting thread waits for it: Linux ends it even where a library holds the GIL.

    Workers of a pool must not ask for this: Linux would end them with the thread that submitted their first task.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    follow(parent)


def following() -> dict[str, Any]:
    """Return what a pool of loky or joblib takes so that its workers follow this process."""
    return {"initializer": follow, "initargs": (os.getpid(),)}
