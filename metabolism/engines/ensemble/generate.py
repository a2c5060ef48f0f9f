"""Generate the vector code of a model: a few seconds of algebra that are the same on every machine.

So the code of the model that ships is generated ahead, for every width of vector, and a first start is left with the
compiler's work alone. It is the same text, so results are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from metabolism.engines.ensemble.cache import ship, shipped, source
from metabolism.engines.ensemble.code.cascade import Split, part, split
from metabolism.engines.ensemble.code.kernel import ModelCode
from metabolism.engines.ensemble.code.newton import emit_newton
from metabolism.engines.ensemble.code.switches import switches
from metabolism.engines.ensemble.code.symbols import fractional, prepare
from metabolism.engines.ensemble.layout import NODES
from metabolism.engines.ensemble.loop.driver import Driver
from metabolism.engines.ensemble.loop.method import RODAS5P
from metabolism.engines.ensemble.loop.turns import emit_settle
from metabolism.sbml import Equations

#: Patients per vector on the processors there are: SSE2 or NEON, AVX2, AVX-512.
LANES = (2, 4, 8)


def generate(equations: Equations, triple: str, lanes: int) -> tuple[dict[str, Any], str]:
    """Write the vector code of a model: (what is needed to call it, LLVM text)."""
    module = ir.Module("metabolism")
    module.triple = triple
    index = {s: i for i, s in enumerate(equations.states)}
    turns = bool(switches(equations).guards)
    found = None if turns else split(equations)
    if found and equations.reading and _roots(equations, found):
        # what is read from a record may be a trace below 0, and nobody could say whether that is an error
        found = None
    whole = ModelCode(equations, module, lanes, outputs=found is None)
    tails = [emit_newton(whole), *([emit_settle(whole)] if turns else [])]
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
        parts[0]["parameters"] = _constants(equations, found.upper)
    derived = {
        name: sorted(index[s.name] for s in expression.free_symbols if s.name in index)
        for name, expression in equations.expanded.items()
    }
    meta = {"tail": max(tails), "per_code": NODES + 2, "derived": derived, "parts": parts}
    meta["held"], meta["rests"] = len(whole.switches.held), whole.rests()
    return meta, str(module)


def _constants(equations: Equations, states: Sequence[str]) -> list[int]:
    """Places of the parameters that the rates of some states hold, or by whose size they are divided."""
    rates = dict(zip(equations.states, equations.rhs, strict=True))
    names = {x.name for s in states for x in rates[s].free_symbols} | {equations.volume.get(s) for s in states}
    return [n for n, name in enumerate(equations.parameters) if name in names]


def _roots(equations: Equations, found: Split) -> bool:
    """Whether rates of the lower part hold a power of its inputs that negative ones may not have."""
    rates = zip(equations.states, equations.rhs, strict=True)
    return any(fractional(prepare(rate), found.inputs) for state, rate in rates if state in found.lower)


def generate_ahead(equations: Equations, *, write: bool = False) -> bool:
    """Return whether the vector code that ships was generated from this model; with `write`, generate it anew."""
    digest = source(equations)
    if write and not shipped(digest, LANES[0]):
        ship(digest, {lanes: generate(equations, "", lanes) for lanes in LANES})
    return shipped(digest, LANES[0]) is not None
