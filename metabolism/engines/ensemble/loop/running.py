"""Running endpoints as vector LLVM IR: extremes, area and time above a level, without stored trajectories.

In every accepted step, or stretch of one, each output is taken at five equally spaced points of the dense output.
The quartic through them gives the area (Boole's rule), the extremes (Newton's method from the best point) and the
times at which a level is crossed (bisection). The points belong to the step, so no output grid enters.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from metabolism.engines.ensemble.code.ir import I64, Function
from metabolism.engines.ensemble.layout import KINDS, NODES

#: Halvings that locate a crossing to rounding.
_HALVINGS = 52


_BOOLE = (7 / 90, 32 / 90, 12 / 90, 32 / 90, 7 / 90)


def points(g: Function) -> Any:
    """Address of the outputs at the five points of the step, point after point."""
    return g.b.gep(g.region("outputs"), [g.field("codes")], source_etype=g.e.vector)


def totals(g: Function) -> Any:
    """Address of the running value of each request."""
    offset = g.b.mul(g.field("codes"), g.i(NODES + 2))
    return g.b.gep(g.region("outputs"), [offset], source_etype=g.e.vector)


class _Quartic:
    """The polynomial through five values at 0, 1, 2, 3, 4."""

    def __init__(self, g: Function, q: list[Any]) -> None:
        e = self.e = g.e
        self.q = q
        rows = [q]
        for _ in range(NODES):
            rows.append([e.sub(b, a) for a, b in zip(rows[-1], rows[-1][1:], strict=False)])
        _, d1, d2, d3, d4 = (row[0] for row in rows)

        def mix(*terms: tuple[float, Any]) -> Any:
            total = None
            for weight, value in terms:
                part = e.mul(e.const(weight), value)
                total = part if total is None else e.add(total, part)
            return total

        # Newton's forward differences written in powers
        self.a = [
            q[0],
            mix((1, d1), (-1 / 2, d2), (1 / 3, d3), (-1 / 4, d4)),
            mix((1 / 2, d2), (-1 / 2, d3), (11 / 24, d4)),
            mix((1 / 6, d3), (-1 / 4, d4)),
            mix((1 / 24, d4)),
        ]

    def value(self, s: Any, derivative: int = 0) -> Any:
        """Value or derivative at 0 <= s <= 4."""
        a = self.a
        for _ in range(derivative):
            a = [self.e.mul(self.e.const(n), c) for n, c in enumerate(a) if n]
        total = a[-1]
        for c in reversed(a[:-1]):
            total = self.e.add(self.e.mul(total, s), c)
        return total


def _best(g: Function, quartic: _Quartic, sign: float) -> Any:
    """Largest value of sign x quartic on the step."""
    b, e, q = g.b, g.e, quartic.q
    signed = [e.mul(e.const(sign), v) for v in q]
    best, s = signed[0], e.const(0.0)
    for n, value in enumerate(signed[1:], start=1):
        better = b.fcmp_ordered(">", value, best)
        best, s = b.select(better, value, best), b.select(better, e.const(n), s)
    low = e.call("maxnum", e.sub(s, e.const(1.0)), e.const(0.0))
    high = e.call("minnum", e.add(s, e.const(1.0)), e.const(float(NODES)))
    for _ in range(3):
        slope, bend = (e.mul(e.const(sign), quartic.value(s, n)) for n in (1, 2))
        curved = b.fcmp_ordered("<", bend, e.const(0.0))
        moved = e.sub(s, e.div(slope, b.select(curved, bend, e.const(-1.0))))
        inside = e.call("minnum", e.call("maxnum", moved, low), high)
        s = b.select(curved, inside, s)
    top = e.mul(e.const(sign), quartic.value(s))
    return b.select(b.fcmp_ordered(">", top, best), top, best)


def _above(g: Function, quartic: _Quartic, level: Any) -> Any:
    """Share of the step, times four, with the quartic above a level."""
    b, e = g.b, g.e
    zero, one = e.const(0.0), e.const(1.0)
    total = zero
    place = b.alloca(e.vector)
    low, high = b.alloca(e.vector), b.alloca(e.vector)
    for n in range(NODES):
        left, right = (b.fcmp_ordered(">", quartic.q[m], level) for m in (n, n + 1))
        b.store(b.select(left, one, zero), place)
        crossing = b.xor(left, right)
        with b.if_then(g.any(crossing)):
            b.store(zero, low)
            b.store(one, high)
            with g.loop(g.i(0), g.i(_HALVINGS)):
                lower, upper = (b.load(p, typ=e.vector) for p in (low, high))
                middle = e.mul(e.const(0.5), e.add(lower, upper))
                over = b.fcmp_ordered(">", quartic.value(e.add(middle, e.const(n))), level)
                same = b.xor(b.xor(over, left), ir.Constant(over.type, [1] * g.lanes))
                b.store(b.select(same, middle, lower), low)
                b.store(b.select(same, upper, middle), high)
            split = b.load(low, typ=e.vector)
            share = b.select(left, split, e.sub(one, split))
            b.store(b.select(crossing, share, b.load(place, typ=e.vector)), place)
        total = e.add(total, b.load(place, typ=e.vector))
    return total


def emit_accumulate(g: Function) -> Any:
    """Fill in the body of ``accumulate(context, work, accepted, first, last)``.

    One stretch is added to every request for one of the outputs from `first` to before `last`.
    """
    b, e = g.b, g.e
    accepted, first, last = g.f.args[2:]
    good = b.fcmp_ordered(">", accepted, e.const(0.0))
    q, running, codes, h = points(g), totals(g), g.field("codes"), e.load(g.region("span"), 0)
    with g.loop(g.i(0), g.field("requests")) as r:
        slot, kind = g.read("slot", r, I64), g.read("kind", r, I64)
        values = [e.load(q, g.madd(g.i(n), codes, slot)) for n in range(NODES + 1)]
        quartic = _Quartic(g, values)
        old = e.load(running, r)
        own, after = g.f.append_basic_block(), g.f.append_basic_block()
        b.cbranch(b.and_(b.icmp_signed(">=", slot, first), b.icmp_signed("<", slot, last)), own, after)
        b.position_at_end(own)
        switch = b.switch(kind, after)

        def case(name: str, old: Any = old, after: Any = after, switch: Any = switch) -> None:
            block = g.f.append_basic_block()
            switch.add_case(g.i(KINDS.index(name)), block)
            b.position_at_end(block)

        def finish(new: Any, r: Any = r, old: Any = old, after: Any = after) -> None:
            e.store(b.select(good, new, old), running, r)
            b.branch(after)

        for name, sign in (("max", 1.0), ("min", -1.0)):
            case(name)
            best = e.mul(e.const(sign), _best(g, quartic, sign))
            finish(b.select(b.fcmp_ordered(">", e.mul(e.const(sign), e.sub(best, old)), e.const(0.0)), best, old))
        case("auc")
        area = e.mul(e.const(_BOOLE[0]), values[0])
        for weight, value in zip(_BOOLE[1:], values[1:], strict=True):
            area = e.add(area, e.mul(e.const(weight), value))
        finish(e.add(old, e.mul(h, area)))
        case("time_above")
        share = _above(g, quartic, e.splat(g.read("level", r)))
        finish(e.add(old, e.mul(e.mul(h, e.const(1 / NODES)), share)))
        b.position_at_end(after)
    with g.loop(first, last) as k:
        end = e.load(q, g.madd(g.i(NODES), codes, k))
        e.store(b.select(good, end, e.load(q, k)), q, k)
    b.ret_void()
    return g.f


def emit_begin(g: Function, evaluate: Any) -> Any:
    """Fill in the body of ``begin(context, work, lane, fresh)``: outputs of one lane after a stop, and its totals.

    They are new ones if `fresh` is 1.
    """
    b, e, lane = g.b, g.e, g.f.args[2]
    b.call(evaluate, [g.context, g.work, g.region("x")])
    q, running = points(g), totals(g)
    with g.loop(g.i(0), g.field("codes")) as k:
        value = g.get("outputs", lane, k)
        b.store(value, b.gep(e.at(q, k), [lane], source_etype=value.type))
    fresh = b.icmp_signed("==", g.f.args[3], g.i(1))
    with g.loop(g.i(0), g.field("requests")) as r:
        kind, place = g.read("kind", r, I64), b.gep(e.at(running, r), [lane], source_etype=g.d(0).type)
        now, old = g.get("outputs", lane, g.read("slot", r, I64)), b.load(place, typ=g.d(0).type)

        def is_kind(name: str, kind: Any = kind) -> Any:
            return b.icmp_signed("==", kind, g.i(KINDS.index(name)))

        summed = b.or_(is_kind("auc"), is_kind("time_above"))
        more = b.or_(
            b.and_(is_kind("max"), b.fcmp_ordered(">", now, old)), b.and_(is_kind("min"), b.fcmp_ordered("<", now, old))
        )
        kept = b.select(b.or_(more, is_kind("final")), now, old)
        b.store(b.select(fresh, b.select(summed, g.d(0.0), now), kept), place)
    b.ret_void()
    return g.f
