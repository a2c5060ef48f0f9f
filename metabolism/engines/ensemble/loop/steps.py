"""Step size control as vector LLVM IR: the error of a step, and the next step size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from metabolism.engines.ensemble.code.ir import DOUBLE, I32, I64, Function

#: Factors on the step size: safety, least, most; and the least error the predictive controller remembers.
SAFETY, SHRINK, GROW, LEAST = 0.9, 0.2, 8.0, 1e-2


#: A state may undershoot zero by this many absolute tolerances before the step is taken again, smaller.
UNDERSHOOT = 100.0


@contextmanager
def each_live(g: Function) -> Iterator[Any]:
    """Loop over the states that are not zero throughout."""
    with g.loop(g.i(0), g.field("lives")) as k:
        yield g.read("live", k, I64)


def emit_error(g: Function, size: int, last_stage: str, signed: bool = False) -> Any:
    """Complete the new state and return its error norm: root mean square, infinite where negative unless `signed`."""
    b, e = g.b, g.e
    rtol = e.splat(g.field("rtol", DOUBLE))
    squares, lowest = b.alloca(e.vector), b.alloca(e.vector)
    b.store(e.const(0.0), squares)
    b.store(e.const(0.0), lowest)
    # what has no value shows in a state at rest, too; in ours every rate has one
    with g.loop(g.i(0), g.i(size)) if signed else each_live(g) as i:
        last, old, atol = (e.load(g.region(n), i) for n in (last_stage, "x", "atol"))
        new = e.add(e.load(g.region("y"), i), last)
        e.store(new, g.region("y"), i)
        before, after = e.call("fabs", old), e.call("fabs", new)
        # bare comparisons: what is not a number shows in the ratio
        larger = b.select(b.fcmp_ordered(">", before, after), before, after)
        ratio = e.div(last, e.add(atol, e.mul(rtol, larger)))
        b.store(e.add(b.load(squares, typ=e.vector), e.mul(ratio, ratio)), squares)
        under = e.add(new, e.mul(atol, e.const(UNDERSHOOT)))
        least = b.load(lowest, typ=e.vector)
        b.store(b.select(b.fcmp_ordered("<", under, least), under, least), lowest)
    error = e.call("sqrt", e.mul(b.load(squares, typ=e.vector), e.const(1.0 / size)))
    if not signed:
        negative = b.fcmp_ordered("<", b.load(lowest, typ=e.vector), e.const(0.0))
        error = b.select(negative, e.const(float("inf")), error)
    # linked lanes take the steps of the first one, so that differences between them are smooth
    linked = b.icmp_signed("!=", g.field("linked"), g.i(0))
    return b.select(linked, e.splat(b.extract_element(error, ir.Constant(I32, 0))), error)


def emit_within(g: Function, size: int, domain: Any, error: Any, interpolate: Any = None) -> Any:
    """Return the error, infinite where a rate has no value in the new state, or at the turn that ends the step.

    There, what is negative by no more than its absolute tolerance is 0 first.
    """
    b, e, place = g.b, g.e, g.b.alloca(g.e.vector)
    b.store(error, place)
    end = g.region("inner" if interpolate else "y")
    if interpolate:
        whole = b.fcmp_ordered("==", e.load(g.region("turned"), 0), e.const(0.0))
        b.call(interpolate, [g.context, g.work, e.load(g.region("cut"), 0)])
        with g.loop(g.i(0), g.i(size)) as i:
            e.store(b.select(whole, e.load(g.region("y"), i), e.load(end, i)), end, i)

    def missing() -> Any:
        value = b.call(domain, [g.region("p"), g.region("c"), end])
        return b.fcmp_unordered("uno", value, value)

    bad = missing()
    with b.if_then(g.any(bad)):
        with g.loop(g.i(0), g.i(size)) as i:
            value = b.select(bad, emit_emptied(g, i, e.load(end, i)), e.load(end, i))
            e.store(value, end, i)
            if interpolate:
                e.store(b.select(whole, value, e.load(g.region("y"), i)), g.region("y"), i)
        b.store(b.select(missing(), e.const(float("inf")), error), place)
    return b.load(place, typ=e.vector)


def emit_emptied(g: Function, i: Any, value: Any) -> Any:
    """Return the value of a state, or 0 if it is negative by no more than its absolute tolerance."""
    b, e = g.b, g.e
    low = e.sub(e.const(-0.0), e.load(g.region("atol"), i))
    near = b.and_(b.fcmp_ordered("<", value, e.const(0.0)), b.fcmp_ordered(">=", value, low))
    return b.select(near, e.const(0.0), value)


def emit_wanted(g: Function, order: int, error: Any, good: Any, h: Any) -> Any:
    """Next step size: elementary and predictive (Gustafsson 1994, doi:10.1145/198429.198437) controllers."""
    b, e = g.b, g.e
    one, zero = e.const(1.0), e.const(0.0)

    def root(value: Any) -> Any:
        return e.exp(e.mul(e.const(-1.0 / order), e.log(value)))

    room = root(error)
    plain = e.mul(e.const(SAFETY), room)
    before, previous = e.load(g.region("last_room"), 0), e.load(g.region("last_h"), 0)
    guess = e.mul(e.mul(plain, e.div(h, previous)), e.div(room, before))
    usable = b.and_(b.and_(b.fcmp_ordered(">", before, zero), good), b.fcmp_ordered("<", guess, plain))
    factor = e.call("minnum", b.select(usable, guess, plain), e.const(GROW))
    # an error that is not a number ends at the smallest factor
    bounded = b.fcmp_ordered("<", error, e.const(float("inf")))
    factor = b.select(b.and_(bounded, b.fcmp_ordered(">", factor, e.const(SHRINK))), factor, e.const(SHRINK))
    refused = b.fcmp_ordered(">", e.load(g.region("refused"), 0), zero)
    remembered = e.call("minnum", room, e.const(LEAST ** (-1.0 / order)))
    e.store(b.select(good, remembered, before), g.region("last_room"), 0)
    e.store(b.select(good, h, previous), g.region("last_h"), 0)
    e.store(b.select(good, zero, one), g.region("refused"), 0)
    return e.mul(h, b.select(refused, e.call("minnum", factor, one), factor))
