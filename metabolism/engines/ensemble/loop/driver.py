"""The integration loop as vector LLVM IR: steps in lockstep, everything else lane by lane.

Each lane has its own time, step size and position in the plan; a lane that finishes pulls the next patient
from a shared counter. Steps end only at doses and settings, never at output times, so results do not depend
on which outputs are asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from metabolism.engines.ensemble.code.ir import DOUBLE, I64, POINTER, Function, places
from metabolism.engines.ensemble.code.kernel import ModelCode
from metabolism.engines.ensemble.layout import DONE, FIELDS, FULL, MORE_FIELDS, TOO_MANY, TOO_SMALL
from metabolism.engines.ensemble.loop.method import Rosenbrock
from metabolism.engines.ensemble.loop.outputs import Outputs
from metabolism.engines.ensemble.loop.record import DEGREES, emit_hold, emit_record, leader
from metabolism.engines.ensemble.loop.running import emit_begin, totals
from metabolism.engines.ensemble.loop.steps import each_live, emit_error, emit_wanted, emit_within
from metabolism.engines.ensemble.loop.stops import emit_stop
from metabolism.engines.ensemble.loop.turns import emit_find, emit_halt, emit_resume, emit_waiting

#: A step is too small below this [h] x max(1, |t|).
SMALLEST = 1e-13


#: First step of a patient [h]; after a later dose, the first step accepted after the dose before.
FIRST = 1e-4


#: What happened to a lane in a step: it arrived at a stop; the step became too small; too many steps; record full;
#: a guard turned.
_ARRIVED, _SMALL, _MANY, _FULL, _TURNED = 1.0, 2.0, 3.0, 4.0, 5.0


class Driver:
    """Emits the integration loop for a model.

    Exports ``run(context, work)`` under the label of the code. If the code has states that are given, they are read
    from the record of the part they belong to.

    Parameters
    ----------
    code : ModelCode
    method : Rosenbrock
    records : bool
        Whether to record the course of states for another part.

    Attributes
    ----------
    tail : int
        Vectors a worker needs, before those for outputs and requests.
    """

    def __init__(self, code: ModelCode, method: Rosenbrock, records: bool = False) -> None:
        self.code, self.method, self.records, self.driven = code, method, records, bool(code.given)
        self.module, self.lanes, self.size = code.module, code.lanes, len(code.states)
        self.stages, self.turns = method.names, bool(code.switches.guards)
        self.fields = (*FIELDS, *MORE_FIELDS) if code.general else FIELDS
        sizes = {
            **dict.fromkeys(("x", "y", "inner"), self.size + len(code.given)),
            **dict.fromkeys(("atol", "w", "g", *self.stages), self.size),
            "v": len(code.inputs),
            "scratch": 1 + DEGREES,
            "p": len(code.parameters),
            "c": code.constants,
            "lu": len(code.elimination.slots),
            "guards": len(code.switches.held),
            **dict.fromkeys(
                (
                    "t",
                    "h",
                    "end",
                    "out",
                    "first",
                    "settled",
                    "last_room",
                    "last_h",
                    "refused",
                    "active",
                    "patient",
                    "stop",
                    "row",
                    "taken",
                    "rowed",
                    "low",
                    "high",
                    "near",
                    "next",
                    "pace",
                    "from",
                    "span",
                    *(("cut", "turned") if self.turns else ()),
                ),
                1,
            ),
        }
        self.regions, self.tail = places(sizes)
        self.regions["outputs"] = self.tail
        self.out = Outputs(code, method, self.new)
        if records:
            self.hold = emit_hold(self.new("hold", I64))
            self._record = emit_record(self.new("record", code.vector), method)
        self.begin = emit_begin(self.new("begin", I64, I64), self.out.evaluate)
        self._stop = emit_stop(self)
        pull, arrive = self.new("pull", I64), self.new("arrive", I64)
        self._pull, self._arrive = pull.f, arrive.f
        self._fail = self._emit_fail()
        if self.turns:
            self._find = emit_find(self.new("find", code.vector), code, self.out.all)
            self._halt = emit_halt(self.new("halt", I64), code, self._pull)
        self._emit_pull(pull)
        self._emit_arrive(arrive)
        self._step = self._emit_step()
        self._events = self._emit_events()
        self._emit_run()

    def new(self, name: str, *more: Any, export: bool = False) -> Function:
        return Function(self.module, self.code.label + name, more, self.regions, self.fields, self.lanes, export)

    def prologue(self, g: Function) -> None:
        g.b.call(self.code.prologue, [g.region("p"), g.region("c")])

    def _detach(self, g: Function, lane: Any) -> None:
        """Point a lane at the record of nobody: a lane at rest goes on reading and writing."""
        g.put(g.field("patients"), "patient", lane)
        for name, value in (("rowed", 0), ("low", 0), ("near", 0), ("high", 1)):
            g.put(g.i(value), name, lane)

    def _emit_pull(self, g: Function) -> None:
        """Load the next patient into a lane, or let the lane rest."""
        b, lane = g.b, g.f.args[2]
        patient = b.atomic_rmw("add", g.field("counter", POINTER), g.i(1), "monotonic")
        if self.turns:
            patient = emit_waiting(g, patient)
        halted = b.icmp_signed("!=", g.read("halt", g.i(0), I64), g.i(0))
        over = b.or_(halted, b.icmp_signed(">=", patient, g.field("patients")))
        self._detach(g, lane)
        with b.if_else(over) as (rest, go):
            with rest:
                g.put(g.d(0.0), "active", lane)
                g.put(g.d(1.0), "h", lane)
            with go:
                g.put(g.d(1.0), "active", lane)
                g.put(patient, "patient", lane)
                g.put(g.i(0), "stop", lane)
                g.put(g.i(0), "taken", lane)
                g.put(self._time(g, FIRST), "first", lane)
                g.put(g.read("stop_times", g.i(0)), "t", lane)
                for name, array, count in (("p", "loaded", len(self.code.parameters)), ("x", "initial", self.size)):
                    with g.loop(g.i(0), g.i(count)) as i:
                        g.put(g.read(array, g.madd(patient, g.i(count), i)), name, lane, i)
                self.prologue(g)
                if self.records:
                    b.call(self.hold, [g.context, g.work, lane])
                if self.turns:
                    again = b.icmp_signed(">", g.read("passed", patient, I64), g.i(0))
                    with b.if_else(again) as (resumed, fresh):
                        with resumed:
                            emit_resume(g, lane, patient, self.out, self.begin, self._arrive)
                        with fresh:
                            b.call(self._stop, [g.context, g.work, lane])
                else:
                    b.call(self._stop, [g.context, g.work, lane])
        b.ret_void()

    def _time(self, g: Function, value: float) -> Any:
        """A time in the unit of the model."""
        return g.b.fmul(g.field("unit", DOUBLE), g.d(value)) if self.code.general else g.d(value)

    def _emit_fail(self) -> Any:
        """Record why a lane stopped, with its state and rates at that moment, and pull the next patient."""
        g = self.new("fail", I64, I64)
        b, e, lane, reason = g.b, g.e, g.f.args[2], g.f.args[3]
        patient = g.get("patient", lane, kind=I64)
        g.write(reason, "status", patient)
        g.write(g.get("t", lane), "failed_at", patient)
        if self.records:
            # the stretch that was begun ends here
            mark = g.madd(leader(g, lane), g.field("stops"), g.get("stop", lane, kind=I64))
            g.write(g.get("rowed", lane, kind=I64), "marks", mark)
        rates = g.region("u0")
        with g.loop(g.i(0), g.i(self.size)) as i:
            e.store(e.const(0.0), rates, i)
        self.out.given(g, "x", e.load(g.region("t"), 0))
        b.call(self.code.rates, [g.region("p"), g.region("c"), g.region("x"), rates])
        with g.loop(g.i(0), g.i(self.size)) as i:
            g.write(g.get("u0", lane, i), "rates", g.madd(patient, g.i(self.size), i))
            g.write(g.get("x", lane, i), "final", g.madd(patient, g.i(self.size), i))
        g.write(g.get("taken", lane, kind=I64), "steps", patient)
        b.atomic_rmw("add", g.field("done", POINTER), g.i(1), "monotonic")
        b.call(self._pull, [g.context, g.work, lane])
        b.ret_void()
        return g.f

    def _emit_step(self) -> Any:
        """Stages of one step in every lane; the new state lacks only the last stage."""
        g = self.new("step")
        b, e, m = g.b, g.e, self.method
        p, c, x, y, lu = (g.region(n) for n in ("p", "c", "x", "y", "lu"))
        u = [g.region(n) for n in self.stages]
        inverse = e.div(e.const(1.0), e.load(g.region("h"), 0))
        shift = e.mul(inverse, e.const(1 / m.gamma))
        h, t = e.load(g.region("h"), 0), e.load(g.region("t"), 0)
        nodes, drifts = (np.round(v, 12).tolist() for v in m.times())
        moved, inputs = self.code.moved, g.i(len(self.code.inputs))

        def drift(s: int) -> None:
            """Add what the change of the inputs with time does to a stage."""
            if drifts[s]:
                scale = e.mul(h, e.const(drifts[s]))
                for i in moved:
                    e.store(e.add(e.load(u[s], i), e.mul(scale, e.load(g.region("g"), i))), u[s], i)

        if self.driven:
            b.call(self.out.drive, [g.context, g.work, x, t, inputs])
        b.call(self.code.factor, [p, c, x, u[0], lu, g.region("w"), shift, g.region("v"), g.region("g")])
        drift(0)
        b.call(self.code.solve, [lu, u[0]])
        for s in range(1, m.stages):
            grows = s > 1 and m.a[s] == (*m.a[s - 1], 1.0)
            with each_live(g) as i:
                known = [e.load(u[j], i) for j in range(s)]
                base = e.load(y if grows else x, i)
                weights = [0.0] * (s - 1) + [1.0] if grows else m.a[s]
                for weight, value in zip(weights, known, strict=True):
                    if weight:
                        base = e.add(base, value if weight == 1 else e.mul(e.const(weight), value))
                total = e.mul(e.const(m.c[s][0]), known[0])
                for weight, value in zip(m.c[s][1:], known[1:], strict=True):
                    total = e.add(total, e.mul(e.const(weight), value))
                e.store(base, y, i)
                e.store(e.mul(total, inverse), u[s], i)
            if self.driven and nodes[s] != nodes[s - 1]:
                time = e.add(t, e.mul(h, e.const(nodes[s])))
                b.call(self.out.follow, [g.context, g.work, y, time, inputs])
            b.call(self.code.rates, [p, c, y, u[s]])
            drift(s)
            b.call(self.code.solve, [lu, u[s]])
        b.ret_void()
        return g.f

    def _emit_run(self) -> None:
        g = self.new("run", export=True)
        b, e, code = g.b, g.e, self.code
        one, zero = e.const(1.0), e.const(0.0)
        with g.loop(g.i(0), g.i(self.size)) as i:
            e.store(e.splat(g.read("atol", i)), g.region("atol"), i)
            e.store(one, g.region("w"), i)
            for name in ("x", "y", *self.stages):
                e.store(zero, g.region(name), i)
        with g.each_lane() as lane:
            self._detach(g, lane)
        with g.each_lane() as lane:
            b.call(self._pull, [g.context, g.work, lane])
        with g.repeat(lambda: g.any(b.fcmp_ordered(">", e.load(g.region("active"), 0), zero))):
            b.call(self._step, [g.context, g.work])
            error = emit_error(g, self.size, self.stages[-1], code.general)
            t, h, end, active, settled, first = (
                e.load(g.region(n), 0) for n in ("t", "h", "end", "active", "settled", "first")
            )
            alive = b.fcmp_ordered(">", active, zero)
            # the last step before a stop is this very difference, so rounding cannot miss the stop; a step that is
            # shorter by less than the clock can tell arrives, too
            reached = b.or_(b.fcmp_ordered("<=", e.sub(end, t), h), b.fcmp_ordered(">=", e.add(t, h), end))
            now = b.select(reached, end, e.add(t, h))
            if code.clock is not None:
                e.store(now, g.region("y"), code.clock)
            if self.turns:
                small_enough = b.and_(b.fcmp_ordered("<=", error, one), alive)
                b.call(self._find, [g.context, g.work, b.select(small_enough, one, zero)])
            if code.domain is not None:
                error = emit_within(g, self.size, code.domain, error, self.out.all)
            good = b.and_(b.fcmp_ordered("<=", error, one), alive)
            wanted = emit_wanted(g, self.method.order, error, good, h)
            if self.turns:
                wanted = e.call("minnum", wanted, e.splat(g.field("longest", DOUBLE)))
            fresh = b.and_(good, b.fcmp_ordered("==", settled, zero))
            e.store(b.select(fresh, h, first), g.region("first"), 0)
            e.store(b.select(good, one, settled), g.region("settled"), 0)
            flag = b.select(good, one, zero)
            if self.turns:
                cut = e.load(g.region("cut"), 0)
                turned = b.fcmp_ordered(">", e.load(g.region("turned"), 0), zero)
                now = b.select(b.fcmp_ordered("<", cut, one), g.moment(cut), now)
            if self.records:
                b.call(self._record, [g.context, g.work, flag])
            else:
                b.call(self.out.outputs, [g.context, g.work, flag, now])
            if self.turns:
                with b.if_then(g.any(turned)):
                    b.call(self.out.all, [g.context, g.work, cut])
                    with g.loop(g.i(0), g.i(self.size)) as i:
                        inner = e.load(g.region("inner"), i)
                        e.store(b.select(turned, inner, e.load(g.region("y"), i)), g.region("y"), i)
            with b.if_else(g.any(b.not_(good))) as (some, every):
                with some, each_live(g) as i:
                    e.store(b.select(good, e.load(g.region("y"), i), e.load(g.region("x"), i)), g.region("x"), i)
                with every, each_live(g) as i:
                    e.store(e.load(g.region("y"), i), g.region("x"), i)
            t = b.select(good, now, t)
            e.store(t, g.region("t"), 0)
            left = e.sub(end, t)
            if self.driven:
                # a step cut short by a stop says nothing against longer ones
                longest = e.call("maxnum", wanted, e.load(g.region("pace"), 0))
                e.store(b.select(b.and_(good, reached), longest, wanted), g.region("pace"), 0)
            # a step that would leave a sliver goes all the way
            whole = b.fcmp_ordered(">=", e.mul(wanted, e.const(1.01)), left)
            e.store(b.select(whole, left, wanted), g.region("h"), 0)
            count = b.add(b.load(g.region("taken"), typ=e.integers), e.whole(1))
            b.store(count, g.region("taken"))
            unit = e.splat(g.field("unit", DOUBLE)) if self.code.general else one
            small = b.fcmp_ordered("<", wanted, e.mul(e.const(SMALLEST), e.call("maxnum", unit, t)))
            limit = e.splat(b.sitofp(g.field("limit"), DOUBLE))
            what = b.select(b.fcmp_ordered(">", b.sitofp(count, e.vector), limit), e.const(_MANY), zero)
            what = b.select(b.and_(small, b.fcmp_unordered(">", error, one)), e.const(_SMALL), what)
            if self.records:
                # room for this step, and for the row after the last stop
                rooms = b.sub(g.field("rooms"), g.i(2))
                used = b.load(g.region("rowed"), typ=e.integers)
                full = b.fcmp_ordered(">", b.sitofp(used, e.vector), e.splat(b.sitofp(rooms, DOUBLE)))
                what = b.select(full, e.const(_FULL), what)
            what = b.select(b.and_(good, reached), e.const(_ARRIVED), what)
            if self.turns:
                what = b.select(b.and_(good, turned), e.const(_TURNED), what)
            what = b.select(alive, what, zero)
            with b.if_then(g.any(b.fcmp_ordered(">", what, zero))):
                b.call(self._events, [g.context, g.work, what])
        b.ret_void()

    def _emit_events(self) -> Any:
        """Attend to the lanes to which something happened."""
        g = self.new("events", self.code.vector)
        b = g.b
        place = b.alloca(g.e.vector)
        b.store(g.f.args[2], place)
        with g.each_lane() as lane:
            what = b.load(b.gep(place, [lane], source_etype=DOUBLE), typ=DOUBLE)
            with b.if_then(b.fcmp_ordered("==", what, g.d(_ARRIVED))):
                b.call(self._arrive, [g.context, g.work, lane])
            for value, reason in ((_SMALL, TOO_SMALL), (_MANY, TOO_MANY), (_FULL, FULL)):
                with b.if_then(b.fcmp_ordered("==", what, g.d(value))):
                    b.call(self._fail, [g.context, g.work, lane, g.i(reason)])
            if self.turns:
                with b.if_then(b.fcmp_ordered("==", what, g.d(_TURNED))):
                    b.call(self._halt, [g.context, g.work, lane])
        b.ret_void()
        return g.f

    def _emit_arrive(self, g: Function) -> None:
        """One lane is at a stop: handle it, and after the last one hand the patient over."""
        b, e, lane = g.b, g.e, g.f.args[2]
        if self.driven:
            stop = g.get("stop", lane, kind=I64)
            early = b.fcmp_ordered("<", g.get("t", lane), g.read("stop_times", stop))
            with b.if_then(early):
                b.call(self._fail, [g.context, g.work, lane, g.i(TOO_SMALL)])
                b.ret_void()
        if self.turns:
            due = b.fcmp_ordered(">=", g.get("t", lane), g.read("horizon", g.get("patient", lane, kind=I64)))
            with b.if_then(due):
                b.call(self._halt, [g.context, g.work, lane])
                b.ret_void()
        b.call(self._stop, [g.context, g.work, lane])
        with b.if_then(b.icmp_signed("==", g.get("stop", lane, kind=I64), g.field("stops"))):
            patient = g.get("patient", lane, kind=I64)
            with g.loop(g.i(0), g.i(self.size)) as i:
                g.write(g.get("x", lane, i), "final", g.madd(patient, g.i(self.size), i))
            requests, running = g.field("requests"), totals(g)
            with g.loop(g.i(0), requests) as r:
                value = b.load(b.gep(e.at(running, r), [lane], source_etype=DOUBLE), typ=DOUBLE)
                g.write(value, "results", g.madd(patient, requests, r))
            g.write(g.get("taken", lane, kind=I64), "steps", patient)
            g.write(g.i(DONE), "status", patient)
            b.atomic_rmw("add", g.field("done", POINTER), g.i(1), "monotonic")
            b.call(self._pull, [g.context, g.work, lane])
        b.ret_void()
