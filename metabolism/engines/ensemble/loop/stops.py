"""What happens to one lane at a stop of the plan, as vector LLVM IR: outputs, boluses, settings, outputs."""

from __future__ import annotations

from typing import Any

from metabolism.engines.ensemble.code.ir import I64, Function
from metabolism.engines.ensemble.loop.record import leader


def emit_stop(d: Any) -> Any:
    """Emit ``stop(context, work, lane)`` for a driver: outputs before, boluses, settings, outputs after."""
    g = d.new("stop", I64)
    b, lane = g.b, g.f.args[2]
    patient, stop = g.get("patient", lane, kind=I64), g.get("stop", lane, kind=I64)
    pre = g.read("pre_row", stop, I64)
    with b.if_then(b.icmp_signed(">=", pre, g.i(0))):
        d.out.given(g, "x", g.e.load(g.region("t"), 0))
        b.call(d.out.evaluate, [g.context, g.work, g.region("x")])
        d.out.scatter(g, lane, "pre", g.madd(patient, g.field("pres"), pre))
    following = b.add(stop, g.i(1))
    doses = g.read("bolus_begin", stop, I64), g.read("bolus_begin", following, I64)
    with g.loop(*doses) as k:
        scale = g.read("dose_scale", g.madd(patient, g.field("boluses"), k))
        amount = b.fmul(g.read("bolus_amount", k), scale)
        state, volume = g.read("bolus_state", k, I64), g.read("bolus_volume", k, I64)
        sized = b.icmp_signed(">=", volume, g.i(0))
        size = b.select(sized, g.get("p", lane, b.select(sized, volume, g.i(0))), g.d(1.0))
        before = g.get("x", lane, state)
        after = b.fadd(before, b.fdiv(amount, size))
        g.put(after, "x", lane, state)
        place = g.madd(patient, g.field("targets"), g.read("bolus_target", k, I64))
        received = b.fmul(b.fsub(after, before), size)
        g.write(b.fadd(g.read("delivered", place), received), "delivered", place)
    begin, end = g.read("setting_begin", stop, I64), g.read("setting_begin", following, I64)
    with g.loop(begin, end) as k:
        parameter, factor = g.read("setting_parameter", k, I64), g.read("setting_factor", k)
        own = g.read("parameters", g.madd(patient, g.i(len(d.code.parameters)), parameter))
        offset = g.read("setting_offset", g.madd(patient, g.field("settings"), k))
        # a replaced value is the offset itself, whatever the own value is
        changed = b.fadd(b.fmul(factor, own), offset)
        g.put(b.select(b.fcmp_ordered("==", factor, g.d(0.0)), offset, changed), "p", lane, parameter)
    with b.if_then(b.icmp_signed("<", begin, end)):
        d.prologue(g)
    now = g.read("stop_times", stop)
    g.put(now, "t", lane)
    if d.driven:
        _emit_stretch(g, lane, stop)
    row = g.read("out_row", stop, I64)
    with b.if_then(b.icmp_signed(">=", row, g.i(0))):
        d.out.given(g, "x", g.e.load(g.region("t"), 0))
        b.call(d.out.evaluate, [g.context, g.work, g.region("x")])
        d.out.scatter(g, lane, "values", g.madd(patient, g.field("rows"), row))
    last = b.icmp_signed("==", following, g.field("stops"))
    upto = b.select(last, now, g.read("stop_times", b.select(last, stop, following)))
    if d.driven:
        # where the other part failed, this one has no inputs any more
        until = g.read("until", patient)
        upto = b.select(b.fcmp_ordered("<", until, upto), until, upto)
    if d.turns:
        horizon = g.read("horizon", patient)
        upto = b.select(b.fcmp_ordered("<", horizon, upto), horizon, upto)
    if d.records:
        g.write(g.get("rowed", lane, kind=I64), "marks", g.madd(leader(g, lane), g.field("stops"), stop))
        with b.if_then(last):
            b.call(d.hold, [g.context, g.work, lane])
    g.put(upto, "end", lane)
    g.put(following, "stop", lane)
    length = b.fsub(upto, now)
    begin, end = g.read("setting_begin", stop, I64), g.read("setting_begin", following, I64)
    undisturbed = b.and_(b.icmp_signed("==", *doses), b.icmp_signed("==", begin, end))
    undisturbed = b.and_(undisturbed, b.icmp_signed(">", stop, g.i(0)))
    first = g.get("first", lane)
    if d.driven:
        # a stop of the other part alone is no reason to begin with small steps again
        first = b.select(undisturbed, g.get("pace", lane), first)
    g.put(b.select(b.fcmp_ordered("<", first, length), first, length), "h", lane)
    g.put(b.select(undisturbed, g.d(1.0), g.d(0.0)) if d.driven else g.d(0.0), "settled", lane)
    for name in ("last_room", "last_h", "refused"):
        g.put(g.d(0.0), name, lane)
    nearest = g.read("out_next", stop, I64)
    g.put(nearest, "row", lane)
    g.put(g.read("times", nearest), "out", lane)
    with b.if_then(b.icmp_signed(">", g.field("requests"), g.i(0))):
        d.out.given(g, "x", g.e.load(g.region("t"), 0))
        b.call(d.begin, [g.context, g.work, lane, following])
    b.ret_void()
    return g.f


def _emit_stretch(g: Function, lane: Any, stop: Any) -> None:
    """Rows of the record from this stop to the next; after the last stop there is one more row."""
    b = g.b
    mark = g.madd(leader(g, lane), g.field("stops"), stop)
    low = g.read("marks", mark, I64)
    last = b.icmp_signed("==", b.add(stop, g.i(1)), g.field("stops"))
    high = g.read("marks", b.add(mark, b.select(last, g.i(0), g.i(1))), I64)
    g.put(low, "low", lane)
    g.put(low, "near", lane)
    g.put(b.select(last, b.add(low, g.i(1)), high), "high", lane)
