"""Steps that end where something turns, as vector LLVM IR: comparisons in the rates, and triggers of events.

After a step its dense output is looked at in four points; where a guard is not what it was, bisection finds the first
moment at which it differs, to rounding. The patient is then handed over, attended to, and taken up again.
"""

from __future__ import annotations

from typing import Any

from metabolism.engines.ensemble.code.ir import DOUBLE, I32, I64, POINTER, Function, places
from metabolism.engines.ensemble.code.kernel import ModelCode
from metabolism.engines.ensemble.layout import NODES, SETTLE_FIELDS, TURNED
from metabolism.engines.ensemble.loop.running import totals
from metabolism.engines.ensemble.loop.steps import emit_emptied

#: Halvings that locate a turn in a step.
_HALVINGS = 50

#: How often modes that depend on each other are set anew.
_SETTLED = 4

#: Share of a time by which an output before a turn is before it.
EARLIER = 4e-16


def emit_find(g: Function, code: ModelCode, interpolate: Any) -> Any:
    """Fill in the body of ``find(context, work, accepted)``: where in the step just taken the first guard turns.

    Leaves the fraction of the step in ``cut`` (1 without a turn), and in ``turned`` whether there is one (1 or 0).
    """
    b, e, accepted = g.b, g.e, g.f.args[2]
    one, zero = e.const(1.0), e.const(0.0)
    p, c, inner, guards = (g.region(n) for n in ("p", "c", "inner", "guards"))
    low, high, turned = (b.alloca(e.vector) for _ in range(3))
    for place, value in ((low, zero), (high, one), (turned, zero)):
        b.store(value, place)

    def seen(fraction: Any) -> Any:
        b.call(interpolate, [g.context, g.work, fraction])
        return b.fcmp_ordered(">", b.call(code.live, [p, c, inner, guards]), zero)

    good = b.fcmp_ordered(">", accepted, zero)
    for n in range(1, NODES + 1):
        fresh = b.and_(b.and_(seen(e.const(n / NODES)), good), b.fcmp_ordered("==", b.load(turned, typ=e.vector), zero))
        for place, value in ((low, (n - 1) / NODES), (high, n / NODES), (turned, 1.0)):
            b.store(b.select(fresh, e.const(value), b.load(place, typ=e.vector)), place)
    found = b.fcmp_ordered(">", b.load(turned, typ=e.vector), zero)
    with b.if_then(g.any(found)), g.loop(g.i(0), g.i(_HALVINGS)):
        lower, upper = (b.load(place, typ=e.vector) for place in (low, high))
        middle = e.mul(e.const(0.5), e.add(lower, upper))
        over = seen(middle)
        b.store(b.select(over, lower, middle), low)
        b.store(b.select(over, middle, upper), high)
    e.store(b.select(found, b.load(high, typ=e.vector), one), g.region("cut"), 0)
    e.store(b.load(turned, typ=e.vector), g.region("turned"), 0)
    b.ret_void()
    return g.f


def emit_halt(g: Function, code: ModelCode, pull: Any) -> Any:
    """Fill in the body of ``halt(context, work, lane)``: hand a patient over as it is, and pull the next."""
    b, lane = g.b, g.f.args[2]
    patient = g.get("patient", lane, kind=I64)
    g.write(g.i(TURNED), "status", patient)
    for name, array, kind in (("t", "failed_at", DOUBLE), ("stop", "passed", I64), ("row", "next_row", I64)):
        g.write(g.get(name, lane, kind=kind), array, patient)
    g.write(g.get("taken", lane, kind=I64), "steps", patient)
    for name, array, count in (("p", "loaded", len(code.parameters)), ("x", "initial", len(code.states))):
        with g.loop(g.i(0), g.i(count)) as i:
            g.write(g.get(name, lane, i), array, g.madd(patient, g.i(count), i))
    with g.loop(g.i(0), g.field("requests")) as r:
        place = b.gep(g.e.at(totals(g), r), [lane], source_etype=DOUBLE)
        g.write(b.load(place, typ=DOUBLE), "results", g.madd(patient, g.field("requests"), r))
    b.call(pull, [g.context, g.work, lane])
    b.ret_void()
    return g.f


def emit_waiting(g: Function, first: Any) -> Any:
    """The next patient that still has to be integrated, from the one pulled on."""
    b, place = g.b, g.b.alloca(I64)
    b.store(first, place)

    def over() -> Any:
        inside = b.icmp_signed("<", b.load(place, typ=I64), g.field("patients"))
        index = b.select(inside, b.load(place, typ=I64), g.i(0))
        return b.and_(inside, b.icmp_signed(">=", g.read("status", index, I64), g.i(0)))

    with g.repeat(over):
        b.store(b.atomic_rmw("add", g.field("counter", POINTER), g.i(1), "monotonic"), place)
    return b.load(place, typ=I64)


def emit_resume(g: Function, lane: Any, patient: Any, out: Any, begin: Any, arrive: Any) -> None:
    """Take a patient up again that was attended to: outputs at this time, and on to the next stop or turn."""
    b, domain = g.b, out.code.domain
    if domain is not None:
        # a trace below 0 at the turn is 0 where a power of it is asked for from here on
        value = b.call(domain, [g.region(n) for n in ("p", "c", "x")])
        own = b.extract_element(value, b.trunc(lane, I32))
        with b.if_then(b.fcmp_unordered("uno", own, own)), g.loop(g.i(0), g.i(out.size)) as i:
            emptied = emit_emptied(g, i, g.e.load(g.region("x"), i))
            g.put(b.extract_element(emptied, b.trunc(lane, I32)), "x", lane, i)
    now, stop, row = (
        g.read(n, patient, kind) for n, kind in (("failed_at", DOUBLE), ("passed", I64), ("next_row", I64))
    )
    g.put(now, "t", lane)
    g.put(stop, "stop", lane)
    g.put(g.read("steps", patient, I64), "taken", lane)
    place = b.alloca(I64)
    b.store(row, place)
    until = g.read("stop_times", stop)

    def due() -> Any:
        # what is asked for at a stop is read there
        time = g.read("times", b.load(place, typ=I64))
        return b.and_(b.fcmp_ordered("<=", time, now), b.fcmp_ordered("<", time, until))

    with g.repeat(due):
        out.given(g, "x", g.e.load(g.region("t"), 0))
        b.call(out.evaluate, [g.context, g.work, g.region("x")])
        out.scatter(g, lane, "values", g.madd(patient, g.field("rows"), b.load(place, typ=I64)))
        b.store(b.add(b.load(place, typ=I64), g.i(1)), place)
    nearest = b.load(place, typ=I64)
    g.put(nearest, "row", lane)
    g.put(g.read("times", nearest), "out", lane)
    for name in ("settled", "last_room", "last_h", "refused"):
        g.put(g.d(0.0), name, lane)
    horizon = g.read("horizon", patient)
    upto = b.select(b.fcmp_ordered("<", horizon, until), horizon, until)
    g.put(upto, "end", lane)
    length, first = b.fsub(upto, now), g.get("first", lane)
    g.put(b.select(b.fcmp_ordered("<", first, length), first, length), "h", lane)
    requests, running = g.field("requests"), totals(g)
    with b.if_then(b.icmp_signed(">", requests, g.i(0))):
        with g.loop(g.i(0), requests) as r:
            value = g.read("results", g.madd(patient, requests, r))
            b.store(value, b.gep(g.e.at(running, r), [lane], source_etype=DOUBLE))
        b.call(begin, [g.context, g.work, lane, g.i(0)])
    with b.if_then(b.fcmp_ordered(">=", now, until)):
        b.call(arrive, [g.context, g.work, lane])


def emit_settle(code: ModelCode) -> int:
    """Emit ``settle(context, work)``: what every guard is for every patient, once the modes have been set anew.

    Returns the number of vectors of work memory.
    """
    regions, tail = places(
        {"x": len(code.states), "p": len(code.parameters), "c": code.constants, "guards": len(code.switches.held)}
    )
    g = Function(code.module, "settle", (), regions, SETTLE_FIELDS, code.lanes, True)
    b, e = g.b, g.e
    p, c, x, guards = (g.region(n) for n in ("p", "c", "x", "guards"))
    first = len(code.equations.parameters)
    groups = b.sdiv(b.add(g.field("patients"), g.i(g.lanes - 1)), g.i(g.lanes))
    with g.loop(g.i(0), groups) as group:
        begin = b.mul(group, g.i(g.lanes))
        room = b.sub(g.field("patients"), begin)
        used = b.select(b.icmp_signed("<", room, g.i(g.lanes)), room, g.i(g.lanes))
        with g.loop(g.i(0), used) as lane:
            patient = b.add(begin, lane)
            for name, array, count in (("p", "loaded", len(code.parameters)), ("x", "initial", len(code.states))):
                with g.loop(g.i(0), g.i(count)) as i:
                    g.put(g.read(array, g.madd(patient, g.i(count), i)), name, lane, i)
        with g.loop(g.i(0), g.i(_SETTLED)):
            b.call(code.prologue, [p, c])
            b.call(code.live, [p, c, x, guards])
            with g.loop(g.i(0), g.i(len(code.switches.modes))) as i:
                e.store(e.load(guards, i), p, b.add(i, g.i(first)))
        with g.loop(g.i(0), used) as lane, g.loop(g.i(0), g.i(len(code.switches.held))) as i:
            place = g.madd(b.add(begin, lane), g.i(len(code.switches.held)), i)
            g.write(g.get("guards", lane, i), "guards", place)
    b.ret_void()
    return tail
