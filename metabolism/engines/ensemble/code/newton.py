"""One step of the search for a resting state, as vector LLVM IR."""

from __future__ import annotations

from metabolism.engines.ensemble.code.ir import Function, places
from metabolism.engines.ensemble.code.kernel import ModelCode
from metabolism.engines.ensemble.layout import NEWTON_FIELDS


def emit_newton(code: ModelCode) -> int:
    """Emit ``newton(context, work)``: one step of (w / step - J) move = f for every patient.

    The rates f and the move go to the caller. Returns the number of vectors of work memory.
    """
    size = len(code.states)
    regions, tail = places(
        {
            **dict.fromkeys(("x", "u0", "w"), size),
            "p": len(code.parameters),
            "c": code.constants,
            "lu": len(code.elimination.slots),
            "h": 1,
        }
    )
    g = Function(code.module, "newton", (), regions, NEWTON_FIELDS, code.lanes, True)
    b, e = g.b, g.e
    p, c, x, u, lu, w = (g.region(n) for n in ("p", "c", "x", "u0", "lu", "w"))
    parameters = g.i(len(code.parameters))
    with g.loop(g.i(0), g.i(size)) as i:
        e.store(e.splat(g.read("weights", i)), w, i)
    groups = b.sdiv(b.add(g.field("patients"), g.i(g.lanes - 1)), g.i(g.lanes))
    with g.loop(g.i(0), groups) as group:
        first = b.mul(group, g.i(g.lanes))
        room = b.sub(g.field("patients"), first)
        used = b.select(b.icmp_signed("<", room, g.i(g.lanes)), room, g.i(g.lanes))
        with g.loop(g.i(0), used) as lane:
            patient = b.add(first, lane)
            g.put(g.read("step", patient), "h", lane)
            for name, array, count in (("p", "parameters", parameters), ("x", "states", g.i(size))):
                with g.loop(g.i(0), count) as i:
                    g.put(g.read(array, g.madd(patient, count, i)), name, lane, i)
        b.call(code.prologue, [p, c])
        shift = e.div(e.const(1.0), e.load(g.region("h"), 0))
        b.call(code.factor, [p, c, x, u, lu, w, shift, x, x])
        for array in ("rates", "moves"):
            with g.loop(g.i(0), used) as lane, g.loop(g.i(0), g.i(size)) as i:
                g.write(g.get("u0", lane, i), array, g.madd(b.add(first, lane), g.i(size), i))
            if array == "rates":
                b.call(code.solve, [lu, u])
    b.ret_void()
    return tail
