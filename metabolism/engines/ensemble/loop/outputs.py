"""Outputs as vector LLVM IR: dense output, rules, values at output times, and running endpoints of each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metabolism.engines.ensemble.code.ir import I64, POINTER, Function
from metabolism.engines.ensemble.code.kernel import ModelCode
from metabolism.engines.ensemble.layout import NODES
from metabolism.engines.ensemble.loop.method import Rosenbrock
from metabolism.engines.ensemble.loop.record import emit_follow
from metabolism.engines.ensemble.loop.running import emit_accumulate, points
from metabolism.engines.ensemble.loop.steps import emit_emptied
from metabolism.engines.ensemble.loop.turns import EARLIER


class Outputs:
    """Emits the functions that turn states into outputs.

    Parameters
    ----------
    code : ModelCode
    method : Rosenbrock
    new : callable
        Begins a function of the integration loop.

    Attributes
    ----------
    evaluate, outputs : llvmlite.ir.Function
        ``evaluate(context, work, y)``: outputs of every lane from the states at a pointer.
        ``outputs(context, work, accepted, now)``: all that lies inside the step just taken.
    follow, drive : llvmlite.ir.Function
        States that are given at a time in each lane, and those with their derivatives.
    """

    def __init__(self, code: ModelCode, method: Rosenbrock, new: Callable[..., Function]) -> None:
        self.code, self.method, self._new = code, method, new
        self.size, self.driven = len(code.states), bool(code.given)
        if self.driven:
            more = (POINTER, code.vector, I64)
            self.follow = emit_follow(new("follow", *more), self.size)
            self.drive = emit_follow(new("drive", *more), self.size, slopes=True)
        self._interpolate = self._emit_interpolate("interpolate")
        #: All states within a step, not only those that outputs hold.
        self.all = self._emit_interpolate("interpolate_all", True) if code.switches.guards else None
        self.evaluate = self._emit_evaluate()
        self._accumulate = emit_accumulate(new("accumulate", code.vector, I64, I64))
        self.outputs = self._emit_outputs()

    def given(self, g: Function, place: str, time: Any) -> None:
        """Read every kept state of the other part at a time in each lane."""
        if self.driven:
            g.b.call(self.follow, [g.context, g.work, g.region(place), time, g.field("keeps")])

    def _emit_interpolate(self, name: str, every: bool = False) -> Any:
        """Dense output at a fraction of the step in each lane, for the states that outputs need or for every one."""
        g = self._new(name, self.code.vector)
        e, s = g.e, g.f.args[2]
        rest = e.sub(e.const(1.0), s)
        with g.loop(g.i(0), g.i(self.size) if every else g.field("needs")) as k:
            i = k if every else g.read("need", k, I64)
            u = [e.load(g.region(n), i) for n in self.method.names]
            total = None
            for row in reversed(self.method.h):
                if not any(row):
                    continue
                d = None
                for weight, value in zip(row, u, strict=True):
                    if weight:
                        term = e.mul(e.const(weight), value)
                        d = term if d is None else e.add(d, term)
                total = d if total is None else e.add(d, e.mul(s, total))
            inner = e.add(e.load(g.region("y"), i), e.mul(rest, total))
            value = e.add(e.mul(rest, e.load(g.region("x"), i)), e.mul(s, inner))
            emptied = self.code.domain is not None and not every
            e.store(emit_emptied(g, i, value) if emptied else value, g.region("inner"), i)
        if self.code.clock is not None:
            last = e.load(g.region("y"), self.code.clock)
            whole = g.b.fcmp_ordered(">=", s, e.const(1.0))
            e.store(g.b.select(whole, last, g.moment(s)), g.region("inner"), self.code.clock)
        self.given(g, "inner", e.add(e.load(g.region("t"), 0), e.mul(s, e.load(g.region("h"), 0))))
        g.b.ret_void()
        return g.f

    def _emit_evaluate(self) -> Any:
        """Outputs of every lane from the states at a pointer."""
        g = self._new("evaluate", POINTER)
        y, b, e = g.f.args[2], g.b, g.e
        p, c = g.region("p"), g.region("c")
        with g.loop(g.i(0), g.field("codes")) as k:
            code = g.read("code", k, I64)
            states = self.size + len(self.code.given)
            target, parameters = g.region("outputs"), g.i(states)
            derived = g.i(states + len(self.code.parameters))
            with b.if_else(b.icmp_signed("<", code, parameters)) as (state, other):
                with state:
                    e.store(e.load(y, code), target, k)
                with other, b.if_else(b.icmp_signed("<", code, derived)) as (parameter, rule):
                    with parameter:
                        e.store(e.load(p, b.sub(code, parameters)), target, k)
                    with rule:
                        after = g.f.append_basic_block()
                        switch = b.switch(b.sub(code, derived), after)
                        for n, function in enumerate(self.code.derived):
                            block = g.f.append_basic_block()
                            switch.add_case(g.i(n), block)
                            b.position_at_end(block)
                            e.store(b.call(function, [p, c, y]), target, k)
                            b.branch(after)
                        b.position_at_end(after)
        b.ret_void()
        return g.f

    def scatter(self, g: Function, lane: Any, name: str, row: Any) -> None:
        """Copy one lane of the outputs to a row of an array of the caller."""
        codes = g.field("codes")
        with g.loop(g.i(0), codes) as k:
            g.write(g.get("outputs", lane, k), name, g.madd(row, codes, k))

    def _emit_outputs(self) -> Any:
        """Outputs that lie inside the step just accepted, in every lane that has one, and running endpoints."""
        g = self._new("outputs", self.code.vector, self.code.vector)
        b, e, accepted, now, last = g.b, g.e, g.f.args[2], g.f.args[3], g.f.args[3]
        if self.code.switches.guards:
            # what is asked for at a turn is read after it
            sooner = e.sub(now, e.mul(e.call("fabs", now), e.const(EARLIER)))
            turned = b.fcmp_ordered(">", e.load(g.region("turned"), 0), e.const(0.0))
            last = b.select(turned, b.select(b.fcmp_ordered("==", now, e.const(0.0)), e.const(-1e-300), sooner), now)

        def pending() -> Any:
            due = b.fcmp_ordered("<=", e.load(g.region("out"), 0), last)
            return b.and_(due, b.fcmp_ordered(">", accepted, e.const(0.0)))

        with g.repeat(lambda: g.any(pending())):
            mask = pending()
            fraction = e.div(e.sub(e.load(g.region("out"), 0), e.load(g.region("t"), 0)), e.load(g.region("h"), 0))
            b.call(self._interpolate, [g.context, g.work, fraction])
            b.call(self.evaluate, [g.context, g.work, g.region("inner")])
            wide = b.zext(mask, e.integers)
            place = b.alloca(e.integers)
            b.store(wide, place)
            with g.each_lane() as lane:
                flag = b.load(b.gep(place, [lane], source_etype=I64), typ=I64)
                with b.if_then(b.icmp_signed("!=", flag, g.i(0))):
                    row, patient = g.get("row", lane, kind=I64), g.get("patient", lane, kind=I64)
                    self.scatter(g, lane, "values", g.madd(patient, g.field("rows"), row))
                    following = b.add(row, g.i(1))
                    g.put(following, "row", lane)
                    g.put(g.read("times", following), "out", lane)
        with b.if_then(b.icmp_signed(">", g.field("requests"), g.i(0))):
            coarse, codes = g.field("coarse"), g.field("codes")
            self._emit_stretches(g, accepted, now, g.i(0), coarse)
            if self.driven:
                self._emit_stretches(g, accepted, now, coarse, codes, fine=True)
        b.ret_void()
        return g.f

    def _emit_stretches(self, g: Function, accepted: Any, now: Any, first: Any, last: Any, fine: bool = False) -> None:
        """Running endpoints of some outputs over the step, or over each step that another part took within it."""
        b, e, codes = g.b, g.e, g.field("codes")
        t, h = e.load(g.region("t"), 0), e.load(g.region("h"), 0)
        e.store(t, g.region("from"), 0)

        def left() -> Any:
            return b.and_(
                b.fcmp_ordered(">", accepted, e.const(0.0)), b.fcmp_ordered("<", e.load(g.region("from"), 0), now)
            )

        with b.if_then(b.icmp_signed("<", first, last)), g.repeat(lambda: g.any(left())):
            begin, end = e.load(g.region("from"), 0), now
            if fine:
                b.call(self.follow, [g.context, g.work, g.region("inner"), begin, g.i(0)])
                end = e.call("minnum", now, e.load(g.region("next"), 0))
            flag, span = b.select(left(), e.const(1.0), e.const(0.0)), e.sub(end, begin)
            e.store(span, g.region("span"), 0)
            for n in range(1, NODES + 1):
                time = end if n == NODES else e.add(begin, e.mul(span, e.const(n / NODES)))
                whole = e.load(g.region("cut"), 0) if self.code.switches.guards else e.const(1.0)
                fraction = b.select(b.fcmp_ordered(">=", time, now), whole, e.div(e.sub(time, t), h))
                b.call(self._interpolate, [g.context, g.work, fraction])
                b.call(self.evaluate, [g.context, g.work, g.region("inner")])
                with g.loop(first, last) as k:
                    e.store(e.load(g.region("outputs"), k), points(g), g.madd(g.i(n), codes, k))
            b.call(self._accumulate, [g.context, g.work, flag, first, last])
            e.store(end, g.region("from"), 0)
