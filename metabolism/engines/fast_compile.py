"""Compile the generated code of a model once, and keep the machine code on disk.

A cache entry is used only if it lies in a folder and file of this user that nobody else can write, carries
the digest of its own contents, and was made for exactly this model, generator, compiler and processor.
Anything else is built again and replaced.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from metabolism.equations import Equations

_log = logging.getLogger("metabolism")
#: What ``run`` receives: addresses, counts and numbers, one 64-bit word each, in this order.
FIELDS = (
    "patients", "counter", "done", "halt", "parameters", "initial", "dose_scale", "boluses", "stops", "stop_times",
    "bolus_begin", "bolus_state", "bolus_volume", "bolus_amount", "bolus_target", "targets", "delivered",
    "setting_begin", "setting_parameter", "setting_value", "pre_row", "out_row", "out_next", "times", "rows",
    "codes", "code", "needs", "need", "values", "pre", "pres", "final", "status", "failed_at", "rates", "steps",
    "rtol", "atol", "limit", "linked", "requests", "kind", "slot", "level", "results",
    "rooms", "keeps", "keep", "begins", "record", "marks", "until", "coarse",
)  # fmt: skip
#: What ``newton`` receives.
NEWTON_FIELDS = ("patients", "parameters", "states", "step", "weights", "rates", "moves")
#: Endpoints that the kernel computes.
KINDS = ("final", "max", "min", "auc", "time_above")
#: Status of a patient: finished; its step became too small; it took too many steps; its record has no more room.
DONE, TOO_SMALL, TOO_MANY, FULL = 0, 1, 2, 3
#: Compiled models that are kept on disk.
KEPT = 30
_MAGIC = b"als-methionine kernel 1\n"
_GENERATOR = (
    "fast_codegen.py", "fast_compile.py", "fast_control.py", "fast_driver.py", "fast_endpoints.py", "fast_ir.py",
    "fast_newton.py", "fast_outputs.py", "fast_record.py", "fast_split.py", "fast_symbols.py", "rodas.py",
)  # fmt: skip
_kernels: dict[str, Kernel] = {}
_lock = threading.Lock()


Entry = Callable[[int, int], None]


@dataclass(eq=False)
class Part:
    """The integration of some states.

    Attributes
    ----------
    run : callable
        Compiled function of two addresses: context and work memory.
    states : list of int
        The states it integrates.
    inputs : list of int
        States of the part before that its rates hold.
    """

    run: Entry
    states: list[int]
    inputs: list[int]


@dataclass(eq=False)
class Kernel:
    """Compiled functions of one model, and the names and sizes needed to call them.

    Attributes
    ----------
    lanes : int
        Patients per vector.
    parts : list of Part
        What is integrated, one after the other: the whole model, or a part and then what it drives.
    newton : callable
        Compiled function of two addresses: context and work memory.
    tail : int
        Vectors a worker needs besides those for outputs and endpoints.
    per_code : int
        Vectors per output.
    derived : dict of str to list of int
        Rules and reactions in order, each with the states it depends on.
    """

    lanes: int
    tail: int
    per_code: int
    derived: dict[str, list[int]]
    parts: list[Part]
    newton: Entry
    _owner: Any

    def memory(self, codes: int = 0, requests: int = 0) -> tuple[Any, int]:
        """Zeroed memory for one worker: the array that owns it, and an address aligned for vectors."""
        owner = np.zeros((self.tail + codes * self.per_code + requests + 1) * self.lanes)
        return owner, owner.ctypes.data + (-owner.ctypes.data) % (8 * self.lanes)


def kernel(equations: Equations) -> Kernel:
    """Return the compiled kernel of a model: from memory, from disk, or built now.

    A build takes a few seconds, so it is announced as a warning of the logger ``metabolism``, which Python
    writes to stderr unless told otherwise.
    """
    with _lock:
        if equations.sbml not in _kernels:
            _kernels[equations.sbml] = _load(equations)
        return _kernels[equations.sbml]


def _load(equations: Equations) -> Kernel:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    lanes = _lanes(features)
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=2, jit=True
    )
    key = _key(equations, machine.triple, lanes)
    place = _entry(key)
    found = _read(place, key) if place else None
    if found is None:
        _log.warning("compiling the model for the fast engine (once for this model; a few seconds)")
        begin = time.perf_counter()
        found = _build(equations, machine, lanes)
        _log.info("compiled in %.1f s", time.perf_counter() - begin)
        if place:
            _write(place, key, *found)
    meta, code = found
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)

    def entry(name: str) -> Entry:
        return kind(engine.get_function_address(name))

    parts = [Part(entry(p["run"]), p["states"], p["inputs"]) for p in meta["parts"]]
    return Kernel(lanes, meta["tail"], meta["per_code"], meta["derived"], parts, entry("newton"), engine)


def _lanes(features: dict[str, bool]) -> int:
    """As many patients as a vector register holds; AVX-512 only with its 64-bit integer operations."""
    return 8 if features.get("avx512dq") else 4 if features.get("avx2") else 2


def _build(equations: Equations, machine: Any, lanes: int) -> tuple[dict[str, Any], bytes]:
    """Generate, optimise and compile: (what is needed to call the code, object code)."""
    import llvmlite.binding as llvm
    from llvmlite import ir

    from metabolism.engines.fast_codegen import ModelCode
    from metabolism.engines.fast_driver import Driver
    from metabolism.engines.fast_endpoints import NODES
    from metabolism.engines.fast_newton import emit_newton
    from metabolism.engines.fast_split import part, split
    from metabolism.engines.rodas import RODAS5P

    module = ir.Module("metabolism")
    module.triple = machine.triple
    index = {s: i for i, s in enumerate(equations.states)}
    found = split(equations)
    whole = ModelCode(equations, module, lanes, outputs=found is None)
    tails = [emit_newton(whole)]
    parts = []
    if found is None:
        tails.append(Driver(whole, RODAS5P).tail)
        parts.append({"run": "run", "states": list(index.values()), "inputs": []})
    else:
        upper = ModelCode(part(equations, found.upper), module, lanes, label="upper_", outputs=False)
        lower = ModelCode(part(equations, found.lower), module, lanes, found.upper, found.inputs, "lower_")
        for code in (upper, lower):
            tails.append(Driver(code, RODAS5P, records=code is upper).tail)
            states, inputs = ([index[s] for s in names] for names in (code.states, code.inputs))
            parts.append({"run": f"{code.label}run", "states": states, "inputs": inputs})
    parsed = llvm.parse_assembly(str(module))
    options = llvm.PipelineTuningOptions(speed_level=2)
    # how far a loop is unrolled depends on the lanes, and then so does which products are fused with a sum
    options.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    derived = {
        name: sorted(index[s.name] for s in expression.free_symbols if s.name in index)
        for name, expression in equations.expanded.items()
    }
    meta = {"tail": max(tails), "per_code": NODES + 2, "derived": derived, "parts": parts}
    return meta, machine.emit_object(parsed)


def _key(equations: Equations, triple: str, lanes: int) -> str:
    """Everything the machine code depends on, as one digest."""
    import llvmlite
    import llvmlite.binding as llvm

    here = Path(__file__).parent
    generator = hashlib.sha256(b"".join((here / name).read_bytes() for name in _GENERATOR)).hexdigest()
    parts = [
        equations.sbml, generator, llvmlite.__version__, llvm.llvm_version_info, version("sympy"), triple,
        llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), lanes,
    ]  # fmt: skip
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
