"""The compiled code of a model as a WebAssembly module, for a browser or any other host of WebAssembly.

The same generator, with another target: llvmlite's back end emits one relocatable object. It refers to nothing but
itself, so no linker is needed: an export section makes it a module that imports its memory and stack pointer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metabolism.engines.ensemble.compile import _build
from metabolism.engines.ensemble.laid import DRIVEN, LIMIT, ROWS, TOGETHER
from metabolism.engines.ensemble.layout import DONE, FIELDS, FULL, KINDS, NEWTON_FIELDS
from metabolism.engines.ensemble.loop.record import DEGREES
from metabolism.sbml import RESIDUAL, RUNAWAY, Equations

#: Patients per vector: two doubles in the 128 bits of WebAssembly's vectors.
LANES = 2

_CUSTOM, _IMPORT, _EXPORT, _START = 0, 2, 7, 8
_FUNCTION, _SYMBOL_TABLE = 0, 8
_UNDEFINED, _EXPLICIT_NAME = 0x10, 0x40


def wasm_module(equations: Equations) -> tuple[dict[str, Any], bytes]:
    """Compile a model for WebAssembly with 128-bit vectors.

    Parameters
    ----------
    equations : Equations

    Returns
    -------
    meta : dict
        All that a host needs to call the code as the native one does: names of states and parameters, volumes, the
        words of both contexts, sizes, limits and status words. Nothing of it is for the host to know by itself.
    module : bytes
        A module that exports ``newton`` and the ``run`` function of each part, every one of two addresses (context and
        work memory), and imports ``env.__linear_memory`` and ``env.__stack_pointer``.
    """
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("wasm32-unknown-unknown")

    def machine_at(level: int) -> Any:
        # built once by us and run by everybody: worth more effort
        return target.create_target_machine(
            cpu="generic", features="+simd128,+bulk-memory,+nontrapping-fptoint,+sign-ext", opt=2 * level
        )

    meta, code = _build(equations, machine_at, LANES)
    contract = {
        "lanes": LANES,
        "states": equations.states,
        "parameters": equations.parameters,
        "volume": equations.volume,
        "fields": FIELDS,
        "newton_fields": NEWTON_FIELDS,
        "kinds": KINDS,
        "done": DONE,
        "full": FULL,
        "limit": LIMIT,
        "together": TOGETHER,
        "rows": ROWS,
        "driven": DRIVEN,
        "degrees": DEGREES,
        "residual": RESIDUAL,
        "runaway": RUNAWAY,
    }
    return meta | contract, _exported(code, ["newton", *(part["run"] for part in meta["parts"])])


def _exported(code: bytes, names: list[str]) -> bytes:
    """Add an export section to an object file, and drop what only a linker reads."""
    sections = list(_sections(code))
    symbols = next(_functions(body) for kind, body in sections if kind == _CUSTOM and body.startswith(b"\x07linking"))
    entries = b"".join(_text(name) + b"\x00" + _leb(symbols[name]) for name in names)
    export = _section(_EXPORT, _leb(len(names)) + entries)
    kept = [(kind, body) for kind, body in sections if kind != _CUSTOM]
    before = b"".join(_section(kind, body) for kind, body in kept if kind < _EXPORT)
    after = b"".join(_section(kind, body) for kind, body in kept if kind > _EXPORT)
    return code[:8] + before + export + after


def _section(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + _leb(len(body)) + body


def _text(name: str) -> bytes:
    return _leb(len(name.encode())) + name.encode()


def _leb(number: int) -> bytes:
    """A whole number in little-endian groups of seven bits."""
    groups = [number & 127]
    while number := number >> 7:
        groups[-1] |= 128
        groups.append(number & 127)
    return bytes(groups)


class _Reader:
    """Reads numbers and texts of a section in order."""

    def __init__(self, data: bytes, place: int = 0) -> None:
        self.data, self.place = data, place

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.place]
            self.place += 1
            value |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                return value

    def text(self) -> str:
        size = self.number()
        self.place += size
        return self.data[self.place - size : self.place].decode()


def _sections(code: bytes) -> Iterator[tuple[int, bytes]]:
    reader = _Reader(code, 8)
    while reader.place < len(code):
        kind = code[reader.place]
        reader.place += 1
        size = reader.number()
        yield kind, code[reader.place : reader.place + size]
        reader.place += size


def _functions(linking: bytes) -> dict[str, int]:
    """Index of every named function in the symbol table of a ``linking`` section."""
    reader = _Reader(linking)
    reader.text()
    reader.number()  # version
    found = dict[str, int]()
    while reader.place < len(linking):
        kind = linking[reader.place]
        reader.place += 1
        end = reader.number() + reader.place
        for _ in range(reader.number() if kind == _SYMBOL_TABLE else 0):
            symbol = linking[reader.place]
            reader.place += 1
            flags = reader.number()
            named = not flags & _UNDEFINED or bool(flags & _EXPLICIT_NAME)
            if symbol == 1:  # data: name, then segment, offset and size
                reader.text()
                for _ in range(0 if flags & _UNDEFINED else 3):
                    reader.number()
            elif symbol == 3:  # section
                reader.number()
            else:
                index = reader.number()
                name = reader.text() if named else ""
                if symbol == _FUNCTION:
                    found[name] = index
        reader.place = end
    return found
