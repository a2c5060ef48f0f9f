"""Files and folders written whole or not at all, pieces of long work, and what a result says of its making."""

import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from metabolism.errors import OutputError, UsageError


def write_atomically(path: str | Path, write: Callable[[Path], Any], *, private: bool = False) -> Path:
    """Call ``write(temporary path)`` and move the finished file, flushed to the disk, into place.

    A link stays a link: the file it leads to is replaced. A device or a pipe (``/dev/null``, ``/dev/stdout``) is
    written to, never replaced.

    Parameters
    ----------
    path : str or Path
    write : callable
        Writes the file at the path it is given.
    private : bool
        Nobody else may read the file.

    Raises
    ------
    OutputError
        If the target folder does not exist or cannot be written.
    """
    target = Path(path)
    try:
        through = _is_open(target)
        real = target.resolve() if target.is_symlink() and not through else target
        home = Path(tempfile.gettempdir()) if through else real.parent
        part = home / f".{real.name}.{secrets.token_hex(4)}{real.suffix}"
        # created here, so that nobody else's file can lie there; the system takes the umask off the mode
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600 if private or through else 0o666))
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write '{target}': {reason}; choose a writable folder.") from None
    try:
        write(part)
        if through:
            with real.open("ab") as out:
                out.write(part.read_bytes())
        else:
            _flush(part)
            part.replace(real)
            _flush(real.parent)
    except OSError as error:
        raise OutputError(f"cannot write '{target}': {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)
    return target


def _is_open(path: Path) -> bool:
    """Whether what is written goes through a path and does not replace it: a device, a pipe, ``/dev/stdout``."""
    opened = path.parent in (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
    return path.exists() and not path.is_dir() and (opened or not path.is_file())


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file atomically (UTF-8)."""
    return write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def _flush(path: Path) -> None:
    """Have the system put a file, or the names in a folder, on the disk before anything refers to it."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_target(path: str | Path, force: bool = False) -> Path:
    """Refuse a file that cannot be written, or that exists, before the work that would fill it.

    Parameters
    ----------
    path : str or Path
    force : bool
        An existing file may be replaced; devices and pipes need no leave.

    Raises
    ------
    OutputError
    """
    target = Path(path)
    if not str(path):
        raise OutputError("an empty name is no file; name one, or leave the option out.")
    if target.is_dir():
        raise OutputError(f"'{target}' is a folder; name a file in it.")
    if target.is_file() and not force and not _is_open(target):
        raise OutputError(f"'{target}' exists; give --force (force=True) to overwrite it.")
    if not target.exists() and not os.access(target.parent, os.W_OK):
        raise OutputError(f"cannot write '{target}': there is no writable folder '{target.parent}'.")
    return target


@contextmanager
def complete_folder(path: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a hidden folder that becomes ``path`` when the block ends, and vanishes on any error or interruption.

    Parameters
    ----------
    path : str or Path
    replace : bool
        A folder that is there gives way, if every file in it has a successor of the same name in the new one; it stays
        until the new one is complete.

    Raises
    ------
    OutputError
        If the folder cannot be written, or what is there holds anything else.
    """
    target = Path(path)
    real = target.resolve()
    token = secrets.token_hex(4)
    part, old = (real.parent / f".{real.name}.{kind}-{token}" for kind in ("part", "old"))
    occupied = real.exists() and not (real.is_dir() and not any(real.iterdir()))
    if occupied and not (replace and real.is_dir()):
        raise OutputError(f"'{target}' exists; give --force (force=True), or another name.")
    if real == Path.cwd() or real in Path.cwd().parents:
        raise OutputError(f"'{target}' is the folder you are in; give a folder inside it.")
    held = None
    # all of it inside: an interrupt between making the folder and using it would leave it
    try:
        try:
            part.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"cannot write '{target}': {error.strerror}; choose a writable folder.") from None
        held = _hold(part)
        _sweep(part.parent)
        yield part
        if occupied:
            foreign = sorted(_inside(real) - _inside(part))
            if foreign:
                raise OutputError(f"'{target}' holds '{foreign[0]}', which this export did not write; move it away.")
        for file in part.rglob("*"):
            _flush(file)
        if real.exists():
            real.replace(old)
        try:
            part.replace(real)
        except OSError:
            if old.exists():
                old.replace(real)
            raise
        _flush(real.parent)
    except OSError as error:
        raise OutputError(f"cannot write '{target}': {error.strerror or error}.") from None
    finally:
        if held is not None:
            os.close(held)
        for leftover in (part, old):
            shutil.rmtree(leftover, ignore_errors=True)


def _hold(folder: Path) -> int | None:
    """Lock a folder for as long as this process lives; None where somebody else has it, or nothing can be locked."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _sweep(folder: Path) -> None:
    """Remove the hidden folders that processes which were killed have left: those that nobody holds."""
    for left in folder.glob(f".*.part-{'[0-9a-f]' * 8}"):
        with suppress(OSError):
            # not one that was made a moment ago and is about to be held
            old = left.is_dir() and time.time() - left.stat().st_mtime > 1
            if old and (held := _hold(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(held)


def _inside(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*")}


class Parts:
    """Pieces of long work in a folder, so that work that was stopped goes on where it was.

    Every piece bears a digest of its request, its name and its content: one that is damaged, or was copied from
    elsewhere, counts as not there and is made again.

    Parameters
    ----------
    folder : Path
        Made if missing.
    request : JSON value
        Everything that decides what a piece holds.

    Raises
    ------
    UsageError
        If the folder holds the pieces of another request.
    OutputError
        If it cannot be written.
    """

    def __init__(self, folder: Path, request: Any) -> None:
        self.folder = folder
        self.request = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        mark = folder / "request.sha256"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            owner = mark.read_text(encoding="utf-8", errors="replace").strip() if mark.exists() else None
            kept = owner is None and any(p.suffix == ".json" for p in folder.iterdir())
        except OSError as error:
            raise OutputError(f"cannot use '{folder}': {error.strerror}; choose a writable folder.") from None
        if kept or owner not in (None, self.request):
            raise UsageError(
                f"'{folder}' holds the work of another request (model, data, settings or seed differ); choose another "
                "folder, or empty it."
            )
        if owner is None:
            write_text(mark, self.request + "\n")

    def read(self, name: str) -> Any:
        """Return a piece, or None where it has to be made."""
        try:
            piece = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            return piece["content"] if piece["sha256"] == self._digest(name, piece["content"]) else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def write(self, name: str, content: Any) -> None:
        """Keep a piece; JSON keeps every bit of a number."""
        write_text(
            self.folder / f"{name}.json", json.dumps({"sha256": self._digest(name, content), "content": content})
        )

    def made(self, name: str, make: Callable[[], Any]) -> Any:
        """Return a piece, made and kept first where it is not there."""
        piece = self.read(name)
        if piece is None:
            piece = make()
            self.write(name, piece)
        return piece

    def _digest(self, name: str, content: Any) -> str:
        return hashlib.sha256(json.dumps([self.request, name, content]).encode()).hexdigest()


def render(package: str, template: str, /, filters: Mapping[str, Any] | None = None, **values: Any) -> str:
    """Fill in a template of a package: every value is escaped, and one that is missing is an error.

    Parameters
    ----------
    package : str
        Holds the folder ``templates``.
    template : str
    filters : mapping, optional
        Functions that templates may call.
    **values
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters or {}
    return environment.get_template(template).render(**values)


def versions() -> dict[str, str]:
    """Return the versions of everything that can change a number."""
    return dict(_versions())


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    installed = {"python": platform.python_version()}
    for name in ("als-methionine", "antimony", "libroadrunner", "python-libsbml", "numpy", "scipy", "sympy", "xarray"):
        # what an extra brings may be absent: then it changed no number
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return tuple(installed.items())


@cache
def commit() -> str:
    """Return the commit this code is of, marked where files were changed since; "unknown" where nothing tells."""
    import subprocess
    from importlib.metadata import PackageNotFoundError, distribution

    home = Path(__file__).resolve().parent.parent
    if (home / ".git").exists():
        ask = ["git", "-C", str(home), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=, changed since"]
        with suppress(OSError):
            done = subprocess.run(ask, capture_output=True, text=True, check=False)
            return done.stdout.strip() or "unknown"
    with suppress(PackageNotFoundError):
        # noted by pip where it was told to install from a repository
        noted = json.loads(distribution("als-methionine").read_text("direct_url.json") or "{}")
        return str(noted.get("vcs_info", {}).get("commit_id", "unknown"))
    return "unknown"


def manifest_text(entries: Mapping[str, Any]) -> str:
    """Return a manifest as stable JSON."""
    return json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder; the operating system lets go of it when the process ends, however it ends."""
    with (folder / "lock").open("a") as handle:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            else:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(f"'{folder}' is in use by another process; wait for it or give a new folder.") from None
        yield
