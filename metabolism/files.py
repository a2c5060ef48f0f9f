"""Files written whole or not at all, and what a result says of its making."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metabolism.errors import OutputError


def write_atomically(path: str | Path, write: Any) -> Path:
    """Call ``write(temporary path)`` and move the finished file into place.

    Raises
    ------
    OutputError
        If the target folder does not exist or cannot be written.
    """
    target = Path(path)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise OutputError(f"cannot write '{target}': {error.strerror}; choose a writable folder.") from None
    os.close(descriptor)
    part = Path(name)
    try:
        write(part)
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)
        part.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write '{target}': {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)
    return target


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file atomically (UTF-8)."""
    return write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def versions() -> dict[str, str]:
    """Return the versions of everything that can change a number."""
    import platform
    from importlib.metadata import version

    names = ("als-methionine", "antimony", "libroadrunner", "python-libsbml", "numpy", "scipy", "sympy", "xarray")
    return {"python": platform.python_version(), **{n: version(n) for n in names}}


def manifest_text(entries: Mapping[str, Any]) -> str:
    """Return a manifest as stable JSON."""
    return json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the store; the operating system lets go of it when the process ends, however it ends."""
    with (folder / "lock").open("a") as handle:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            else:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(
                f"the store '{folder}' is in use by another sweep; wait for it or give a new folder."
            ) from None
        yield
