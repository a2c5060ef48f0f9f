"""Code of models on disk: machine code, private, checked by digest and pruned; and what ships with the package."""

from __future__ import annotations

import hashlib
import json
import logging
import lzma
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from metabolism.sbml import Equations

_log = logging.getLogger("metabolism")


#: Compiled models that are kept on disk.
KEPT = 30


_MAGIC = b"als-methionine kernel 1\n"


_GENERATOR = ("generate.py", "layout.py", "code/*.py", "loop/*.py")


#: Vector code that was generated ahead: a header line with the digest of its source, then compressed JSON.
SHIPPED = Path(__file__).with_name("shipped.xz")


def source(equations: Equations) -> str:
    """Digest of everything the generated code depends on: structure and generator, not the values of the model.

    Values are read when code runs, never when it is generated, so that a new fit needs no new code.
    """
    structure = re.sub(r' (value|size|initialConcentration|initialAmount)="[^"]*"', "", equations.sbml)
    here = Path(__file__).parent
    files = [path.read_bytes() for name in _GENERATOR for path in sorted(here.glob(name))]
    return hashlib.sha256(b"".join([structure.encode(), *files])).hexdigest()


def shipped(digest: str, lanes: int) -> tuple[dict[str, Any], str] | None:
    """What is needed to call the code, and the code as LLVM text, if it was generated ahead from this source."""
    if not SHIPPED.is_file():
        return None
    head, _, packed = SHIPPED.read_bytes().partition(b"\n")
    if head.decode() != digest:
        return None
    found = json.loads(lzma.decompress(packed))
    return found["meta"][str(lanes)], found["code"][str(lanes)]


def ship(digest: str, made: dict[int, tuple[dict[str, Any], str]]) -> None:
    """Keep generated code, by lanes, for the package to ship."""
    text = json.dumps({"meta": {n: m for n, (m, _) in made.items()}, "code": {n: c for n, (_, c) in made.items()}})
    SHIPPED.write_bytes(digest.encode() + b"\n" + lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


def _key(digest: str, triple: str, lanes: int) -> str:
    """Everything the machine code depends on, as one digest."""
    import llvmlite
    import llvmlite.binding as llvm

    parts = [
        digest,
        hashlib.sha256(Path(__file__).with_name("compile.py").read_bytes()).hexdigest(),
        llvmlite.__version__,
        llvm.llvm_version_info,
        version("sympy"),
        triple,
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
        lanes,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def cache_folder() -> Path:
    """Folder of the compiled models of this user."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "als-methionine"


def _entry(key: str) -> Path | None:
    """Where an entry belongs, or None if there is no folder that only this user can write."""
    try:
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _private(folder.lstat(), stat.S_ISDIR):
            _log.warning("the cache folder %s can be written by others: compiled models are not kept", folder)
            return None
    except (OSError, RuntimeError) as error:
        _log.warning("no cache folder for compiled models: %s", error)
        return None
    return folder / f"{key}.kernel"


def _private(status: os.stat_result, kind: Callable[[int], bool]) -> bool:
    """Whether a file or folder belongs to this user and nobody else can write it."""
    if not kind(status.st_mode):
        return False
    # Windows has no such bits; the folder lies in the user's own profile there
    return os.name == "nt" or (status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _read(place: Path, key: str) -> tuple[dict[str, Any], bytes] | None:
    """Return a sound entry, or None."""
    try:
        handle = os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not _private(os.fstat(file.fileno()), stat.S_ISREG):
            return None
        data = file.read()
    head = len(_MAGIC) + 32
    digest, body = data[len(_MAGIC) : head], data[head:]
    if not data.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        _log.warning("a compiled model in the cache is damaged: building it again")
        return None
    size = int.from_bytes(body[:8], "little")
    meta = json.loads(body[8 : 8 + size])
    return (meta, body[8 + size :]) if meta.pop("key") == key else None


def _prune(folder: Path) -> None:
    """Remove all but the newest entries: every change of model or generator leaves one behind."""
    entries = sorted(folder.glob("*.kernel"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in entries[KEPT:]:
        old.unlink(missing_ok=True)


def _write(place: Path, key: str, meta: dict[str, Any], code: bytes) -> None:
    """Write an entry so that a reader sees all of it or nothing."""
    text = json.dumps({"key": key, **meta}).encode()
    body = len(text).to_bytes(8, "little") + text + code
    try:
        handle, name = tempfile.mkstemp(dir=place.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(body).digest() + body)
            os.replace(name, place)
            _prune(place.parent)
        except OSError:
            os.unlink(name)
            raise
    except OSError as error:
        _log.warning("the compiled model could not be kept: %s", error)
