"""Compile the generated code of a model once, and keep the machine code on disk.

A cache entry is used only if it lies in a folder and file of this user that nobody else can write, carries
the digest of its own contents, and was made for exactly this model, generator, compiler and processor.
Anything else is built again and replaced.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from ctypes.util import find_library
from dataclasses import dataclass
from typing import Any

import numpy as np

from metabolism.engines.ensemble.cache import _entry, _key, _log, _read, _write, shipped, source
from metabolism.sbml import Equations

#: How hard the compiler tries: machine code, and the passes before it.
LEVELS = (1, 1)

#: The same for a model with a function of more lines than this: the effort grows faster than they do (280 states: over
#: 300 s in place of 8), and what it gains, a factor of two in each run, is not paid back.
LEVELS_LARGE, LARGE = (0, 0), 60_000

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
    parameters : list of int
        Of a part that drives another: all that its course depends on.
    """

    run: Entry
    states: list[int]
    inputs: list[int]
    parameters: list[int]


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
    settle : callable
        The same, for what ends steps where it changes; only if there is any.
    held : int
        How many things end steps where they change.
    rests : dict of str to list of list of str
        For each state the terms of its rate, each with the names of which one, being zero, makes it vanish.
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
    settle: Entry
    held: int
    rests: dict[str, list[list[str]]]
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

    def machine_at(level: int) -> Any:
        return llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=level, jit=True
        )

    machine = machine_at(LEVELS[0])
    key = _key(source(equations), machine.triple, lanes)
    place = _entry(key)
    found = _read(place, key) if place else None
    if found is None:
        _log.warning("compiling the model for the fast engine (once for this model; a few seconds)")
        begin = time.perf_counter()
        found = _build(equations, machine_at, lanes)
        _log.info("compiled in %.1f s", time.perf_counter() - begin)
        if place:
            _write(place, key, *found)
    meta, code = found
    library = find_library("m")
    if library:
        # rarer functions are those of the C library
        llvm.load_library_permanently(library)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)

    def entry(name: str) -> Entry:
        return kind(engine.get_function_address(name))

    parts = [Part(entry(p["run"]), p["states"], p["inputs"], p.get("parameters", [])) for p in meta["parts"]]
    settle = entry("settle" if meta["held"] else "newton")
    return Kernel(
        lanes,
        meta["tail"],
        meta["per_code"],
        meta["derived"],
        parts,
        entry("newton"),
        settle,
        meta["held"],
        meta["rests"],
        engine,
    )


def _lanes(features: dict[str, bool]) -> int:
    """As many patients as a vector register holds; AVX-512 only with its 64-bit integer operations."""
    return 8 if features.get("avx512dq") else 4 if features.get("avx2") else 2


def _build(equations: Equations, machine_at: Callable[[int], Any], lanes: int) -> tuple[dict[str, Any], bytes]:
    """Generate, optimise and compile: (what is needed to call the code, object code)."""
    import llvmlite.binding as llvm

    machine = machine_at(LEVELS[0])
    # of all targets, only the browser's changes what is generated
    native = not machine.triple.startswith("wasm")
    made = shipped(source(equations), lanes) if native else None
    if made is None:
        from metabolism.engines.ensemble.generate import generate

        made = generate(equations, "" if native else machine.triple, lanes)
    meta, text = made
    levels = LEVELS_LARGE if max(body.count("\n") for body in text.split("\n}")) > LARGE else LEVELS
    machine = machine_at(levels[0])
    parsed = llvm.parse_assembly(text)
    parsed.triple = machine.triple
    options = llvm.PipelineTuningOptions(speed_level=levels[1])
    # how far a loop is unrolled depends on the lanes, and then so does which products are fused with a sum
    options.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    return meta, machine.emit_object(parsed)
