"""The course of one part of a model, kept as polynomials and read by the other part, as vector LLVM IR.

A patient's record is a list of rows in time order. A row holds one over the length of the step, then for every
kept state the five coefficients of the dense output in powers of the fraction of the step. Before the first
step and after the last there is a row of constants, so that values before the first dose and after the last
are read like any other.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir

from metabolism.engines.ensemble.code.ir import DOUBLE, I32, I64, POINTER, Function
from metabolism.engines.ensemble.loop.method import Rosenbrock

#: Coefficients of a state in a row.
DEGREES = 5


def width(keeps: int) -> int:
    """Numbers per row."""
    return 1 + DEGREES * keeps


def _width(g: Function) -> Any:
    return g.madd(g.field("keeps"), g.i(DEGREES), g.i(1))


def _row(g: Function, lane: Any, n: Any) -> Any:
    """Index of row n of the record that the patient in a lane writes or reads."""
    return g.madd(leader(g, lane), g.field("rooms"), n)


def leader(g: Function, lane: Any) -> Any:
    """Whose record the patient in a lane writes or reads: its own, or that of one with the same course."""
    return g.read("leader", g.get("patient", lane, kind=I64), I64)


def emit_hold(g: Function) -> Any:
    """Fill in the body of ``hold(context, work, lane)``: append a row of constants, the present state of a lane."""
    b, lane = g.b, g.f.args[2]
    n = g.get("rowed", lane, kind=I64)
    row = _row(g, lane, n)
    g.write(g.get("t", lane), "begins", row)
    base = b.mul(row, _width(g))
    g.write(g.d(0.0), "record", base)
    with g.loop(g.i(0), g.field("keeps")) as k:
        place = b.add(b.add(base, g.i(1)), b.mul(k, g.i(DEGREES)))
        g.write(g.get("x", lane, g.read("keep", k, I64)), "record", place)
        for degree in range(1, DEGREES):
            g.write(g.d(0.0), "record", b.add(place, g.i(degree)))
    g.put(b.add(n, g.i(1)), "rowed", lane)
    b.ret_void()
    return g.f


def emit_record(g: Function, method: Rosenbrock) -> Any:
    """Fill in the body of ``record(context, work, accepted)``: write the step of every lane as its next row.

    A step that was refused is written, too, and then overwritten by the next; a lane at rest has a place of its own.
    """
    b, e, accepted = g.b, g.e, g.f.args[2]
    t, inverse = e.load(g.region("t"), 0), e.div(e.const(1.0), e.load(g.region("h"), 0))
    record, begins = g.field("record", POINTER), g.field("begins", POINTER)
    lanes = [ir.Constant(I32, lane) for lane in range(g.lanes)]
    rows = []
    for lane in lanes:
        row = _row(g, g.i(lane.constant), g.get("rowed", g.i(lane.constant), kind=I64))
        b.store(b.extract_element(t, lane), b.gep(begins, [row], source_etype=DOUBLE))
        rows.append(b.gep(record, [b.mul(row, _width(g))], source_etype=DOUBLE))
        b.store(b.extract_element(inverse, lane), rows[-1])
    with g.loop(g.i(0), g.field("keeps")) as k:
        i = g.read("keep", k, I64)
        u = [e.load(g.region(n), i) for n in method.names]
        x = e.load(g.region("x"), i)
        d = []
        for weights in method.h:
            total = e.const(0.0)
            for weight, value in zip(weights, u, strict=True):
                if weight:
                    total = e.add(total, e.mul(e.const(weight), value))
            d.append(total)
        moved = e.sub(e.load(g.region("y"), i), x)
        powers = (x, e.add(moved, d[0]), e.sub(d[1], d[0]), e.sub(d[2], d[1]), e.sub(e.const(-0.0), d[2]))
        place = g.madd(k, g.i(DEGREES), g.i(1))
        for lane, row in zip(lanes, rows, strict=True):
            for degree, value in enumerate(powers):
                target = b.gep(row, [b.add(place, g.i(degree))], source_etype=DOUBLE)
                b.store(b.extract_element(value, lane), target)
    taken = b.zext(b.fcmp_ordered(">", accepted, e.const(0.0)), e.integers)
    b.store(b.add(b.load(g.region("rowed"), typ=e.integers), taken), g.region("rowed"))
    b.ret_void()
    return g.f


def emit_follow(g: Function, own: int, slopes: bool = False) -> Any:
    """Fill in the body of ``follow(context, work, y, times, count)``: states of the other part at a time per lane.

    The first `count` kept states are written to their places after the `own` states at y, and the beginning of the
    row after to ``next``; with `slopes` their derivatives go to ``v``. A lane looks only at the rows between the two
    stops it is at.
    """
    b, e = g.b, g.e
    y, times, count = g.f.args[2:]
    index, record, begins = b.alloca(I64), g.field("record", POINTER), g.field("begins", POINTER)
    e.store(times, g.region("scratch"), 0)
    with g.each_lane() as lane:
        time = g.get("scratch", lane, g.i(0))
        low, high = g.get("low", lane, kind=I64), g.get("high", lane, kind=I64)
        base = _row(g, lane, g.i(0))
        start = b.gep(begins, [base], source_etype=DOUBLE)

        def begin(n: Any, start: Any = start) -> Any:
            return b.load(b.gep(start, [n], source_etype=DOUBLE), typ=DOUBLE)

        def here() -> Any:
            return b.load(index, typ=I64)

        def later(time: Any = time, high: Any = high) -> Any:
            n = b.add(here(), g.i(1))
            return b.and_(b.icmp_signed("<", n, high), b.fcmp_ordered("<=", begin(n), time))

        def earlier(time: Any = time, low: Any = low) -> Any:
            return b.and_(b.icmp_signed(">", here(), low), b.fcmp_ordered(">", begin(here()), time))

        b.store(g.get("near", lane, kind=I64), index)
        with g.repeat(later):
            b.store(b.add(here(), g.i(1)), index)
        with g.repeat(earlier):
            b.store(b.sub(here(), g.i(1)), index)
        n = here()
        g.put(n, "near", lane)
        following = b.add(n, g.i(1))
        inside = b.icmp_signed("<", following, high)
        g.put(b.select(inside, begin(b.select(inside, following, n)), g.d(math.inf)), "next", lane)
        row = b.gep(record, [b.mul(b.add(base, n), _width(g))], source_etype=DOUBLE)
        inverse = b.load(row, typ=DOUBLE)
        s = b.fmul(b.fsub(time, begin(n)), inverse)
        with g.loop(g.i(0), count) as k:
            place = g.madd(k, g.i(DEGREES), g.i(1))
            a = [
                b.load(b.gep(row, [b.add(place, g.i(degree))], source_etype=DOUBLE), typ=DOUBLE)
                for degree in range(DEGREES)
            ]
            total = a[-1]
            for value in reversed(a[:-1]):
                total = b.fadd(b.fmul(total, s), value)
            target = b.gep(e.at(y, b.add(g.i(own), g.read("keep", k, I64))), [lane], source_etype=DOUBLE)
            b.store(total, target)
            if slopes:
                slope = b.fmul(a[-1], g.d(DEGREES - 1))
                for degree in range(DEGREES - 2, 0, -1):
                    slope = b.fadd(b.fmul(slope, s), b.fmul(a[degree], g.d(degree)))
                g.put(b.fmul(slope, inverse), "v", lane, k)
    b.ret_void()
    return g.f
