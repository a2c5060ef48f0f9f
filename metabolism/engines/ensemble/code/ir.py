"""Vector LLVM IR: lane-wise arithmetic with its own exponential and logarithm, and functions with loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from llvmlite import ir

DOUBLE, I64, I32, VOID, POINTER = (ir.DoubleType(), ir.IntType(64), ir.IntType(32), ir.VoidType(), ir.PointerType())


#: A product and a sum may become one fused operation; nothing else may be rearranged.
CONTRACT = ("contract",)


#: Adding and subtracting 1.5 x 2^52 rounds to a whole number, which then stands in the low bits; unlike a
#: conversion this has an instruction on every processor and a value for NaN.
_ROUNDER, _ROUNDER_BITS = 1.5 * 2.0**52, 0x4338000000000000


_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


@lru_cache(maxsize=4096)
def _constant(written: str, lanes: int) -> Any:
    # one object for a number, as writing each out anew takes a tenth of the time; text tells 0 from -0
    return ir.Constant(ir.VectorType(DOUBLE, lanes), [float.fromhex(written)] * lanes)


class Emitter:
    """Vector arithmetic on an IR builder.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
    lanes : int
        Patients per vector.
    outlined : bool
        Whether long functions are calls of one copy: compiling a model with many powers takes a third of the time so.
    """

    def __init__(self, builder: Any, lanes: int, outlined: bool = False) -> None:
        self.b, self.lanes, self.outlined = builder, lanes, outlined
        self.vector, self.integers = ir.VectorType(DOUBLE, lanes), ir.VectorType(I64, lanes)

    def const(self, value: float) -> Any:
        """Return a constant in every lane."""
        return _constant(float(value).hex(), self.lanes)

    def whole(self, value: int) -> Any:
        """Return an integer constant in every lane."""
        return ir.Constant(self.integers, [value] * self.lanes)

    def add(self, x: Any, y: Any) -> Any:
        """x + y."""
        return self.b.fadd(x, y, flags=CONTRACT)

    def sub(self, x: Any, y: Any) -> Any:
        """x - y."""
        return self.b.fsub(x, y, flags=CONTRACT)

    def mul(self, x: Any, y: Any) -> Any:
        """x * y."""
        return self.b.fmul(x, y, flags=CONTRACT)

    def div(self, x: Any, y: Any) -> Any:
        """x / y."""
        return self.b.fdiv(x, y)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a lane-wise LLVM intrinsic that has an instruction (sqrt, floor, maxnum, ...)."""
        kind = arguments[0].type
        if name in ("maxnum", "minnum") and self.b.module.triple.startswith("wasm"):
            # there the intrinsic is a call of the C library; like it, these ignore what is not a number
            x, y = arguments
            chosen = self.b.select(self.b.fcmp_ordered(">" if name == "maxnum" else "<", x, y), x, y)
            return self.b.select(self.b.fcmp_unordered("uno", y, y), x, chosen)
        full = f"llvm.{name}.v{self.lanes}f64"
        function = self.b.module.globals.get(full)
        if function is None:
            function = ir.Function(self.b.module, ir.FunctionType(kind, [kind] * len(arguments)), full)
        return self.b.call(function, arguments)

    def at(self, pointer: Any, index: Any) -> Any:
        """Address of the vector with a given index."""
        position = index if isinstance(index, ir.Value) else ir.Constant(I64, index)
        return self.b.gep(pointer, [position], source_etype=self.vector)

    def load(self, pointer: Any, index: Any) -> Any:
        """Load one vector."""
        return self.b.load(self.at(pointer, index), typ=self.vector, align=8 * self.lanes)

    def store(self, value: Any, pointer: Any, index: Any) -> None:
        """Store one vector."""
        self.b.store(value, self.at(pointer, index), align=8 * self.lanes)

    def splat(self, scalar: Any) -> Any:
        """Return a scalar in every lane."""
        single = self.b.insert_element(ir.Constant(self.vector, ir.Undefined), scalar, ir.Constant(I32, 0))
        order = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(single, ir.Constant(self.vector, ir.Undefined), order)

    def horner(self, x: Any, coefficients: Iterable[float]) -> Any:
        """Evaluate a polynomial, highest coefficient first."""
        first, *rest = coefficients
        total = self.const(first)
        for c in rest:
            total = self.add(self.mul(total, x), self.const(c))
        return total

    def own(self, name: str, write: Callable[..., Any], *values: Any) -> Any:
        """Return what ``write(emitter, *values)`` emits, here or, if outlined, by calling a function that holds it."""
        if not self.outlined:
            return write(self, *values)
        function = self.b.module.globals.get(name)
        if function is None:
            function = ir.Function(self.b.module, ir.FunctionType(self.vector, [self.vector] * len(values)), name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            inner = Emitter(ir.IRBuilder(function.append_basic_block()), self.lanes, outlined=True)
            inner.b.ret(write(inner, *function.args))
        return self.b.call(function, values)

    def exp(self, x: Any) -> Any:
        """Exponential."""
        return self.own("own_exp", Emitter._exp, x)

    def log(self, x: Any) -> Any:
        """Natural logarithm: 0 gives -inf, negative gives NaN."""
        return self.own("own_log", Emitter._log, x)

    def _exp(self, x: Any) -> Any:
        """Exponential: reduction by a two-part ln 2 (fdlibm), Taylor polynomial of degree 13 on |r| < 0.35.

        Beyond double range the result is 0 or infinity; NaN stays NaN.
        """
        b = self.b
        # comparisons are ordered so that NaN passes through
        x = b.select(b.fcmp_ordered(">", x, self.const(710.0)), self.const(710.0), x)
        x = b.select(b.fcmp_ordered("<", x, self.const(-746.0)), self.const(-746.0), x)
        shifted = self.add(self.mul(x, self.const(1 / math.log(2))), self.const(_ROUNDER))
        k = self.sub(shifted, self.const(_ROUNDER))
        r = self.sub(x, self.mul(k, self.const(_LN2_HIGH)))
        r = self.sub(r, self.mul(k, self.const(_LN2_LOW)))
        # the series after 1 + r is added last: its rounding is then far below one unit
        tail = self.horner(r, [1 / math.factorial(n) for n in range(13, 1, -1)])
        value = self.add(self.const(1.0), self.add(r, self.mul(self.mul(r, r), tail)))
        whole = b.sub(b.bitcast(shifted, self.integers), self.whole(_ROUNDER_BITS))
        # two factors, so that neither the largest nor a subnormal result overflows the exponent field
        half = b.sub(b.lshr(b.add(whole, self.whole(4096)), self.whole(1)), self.whole(2048))
        for part in (half, b.sub(whole, half)):
            bits = b.shl(b.add(part, self.whole(1023)), self.whole(52))
            value = self.mul(value, b.bitcast(bits, self.vector))
        return value

    def _log(self, x: Any) -> Any:
        """Natural logarithm (fdlibm e_log.c, Sun Microsystems 1993): 0 gives -inf, negative gives NaN."""
        b = self.b
        tiny = b.fcmp_ordered("<", x, self.const(2.2250738585072014e-308))
        scaled = b.select(tiny, self.mul(x, self.const(2.0**54)), x)
        bits = b.bitcast(scaled, self.integers)
        # moves the mantissa to [sqrt(1/2), sqrt(2)) and carries into the exponent
        shifted = b.add(bits, self.whole(0x3FF0000000000000 - 0x3FE6A09E667F3BCD))
        exponent = b.sub(b.lshr(shifted, self.whole(52)), self.whole(1023))
        mantissa = b.add(b.and_(shifted, self.whole(0x000FFFFFFFFFFFFF)), self.whole(0x3FE6A09E667F3BCD))
        k = self.sub(b.bitcast(b.add(exponent, self.whole(_ROUNDER_BITS)), self.vector), self.const(_ROUNDER))
        k = b.select(tiny, self.sub(k, self.const(54.0)), k)
        f = self.sub(b.bitcast(mantissa, self.vector), self.const(1.0))
        s = self.div(f, self.add(f, self.const(2.0)))
        z = self.mul(s, s)
        series = self.mul(
            z,
            self.horner(
                z,
                (
                    1.479819860511658591e-01,
                    1.531383769920937332e-01,
                    1.818357216161805012e-01,
                    2.222219843214978396e-01,
                    2.857142874366239149e-01,
                    3.999999999940941908e-01,
                    6.666666666666735130e-01,
                ),
            ),
        )
        square = self.mul(self.mul(f, f), self.const(0.5))
        low = self.add(self.mul(s, self.add(square, series)), self.mul(k, self.const(_LN2_LOW)))
        value = self.sub(self.mul(k, self.const(_LN2_HIGH)), self.sub(self.sub(square, low), f))
        value = b.select(b.fcmp_ordered("==", x, self.const(math.inf)), x, value)
        value = b.select(b.fcmp_ordered("==", x, self.const(0.0)), self.const(-math.inf), value)
        return b.select(b.fcmp_unordered("<", x, self.const(0.0)), self.const(math.nan), value)

    def integer_power(self, x: Any, n: int) -> Any:
        """x^n for n >= 1 by repeated squaring."""
        result = None
        while n:
            if n & 1:
                result = x if result is None else self.mul(result, x)
            x, n = (self.mul(x, x), n >> 1) if n > 1 else (x, 0)
        return result


def places(sizes: dict[str, int]) -> tuple[dict[str, int], int]:
    """First vector of each region of the work memory, and the number of vectors."""
    regions, tail = dict[str, int](), 0
    for name, length in sizes.items():
        regions[name], tail = tail, tail + length
    return regions, tail


class Function:
    """A function ``name(context, work, ...)`` under construction, with control flow and memory access.

    ``context`` holds 64-bit words from the caller (counts, addresses, numbers); ``work`` is a worker's own
    memory, made of regions of vectors.

    Parameters
    ----------
    module : llvmlite.ir.Module
    name : str
    arguments : sequence of llvmlite.ir.Type
        Arguments after the first two.
    regions : dict of str to int
        First vector of each region of the work memory.
    fields : sequence of str
        Words of the context.
    lanes : int
    export : bool
        Whether the caller may look the function up.
    """

    def __init__(
        self,
        module: Any,
        name: str,
        arguments: Sequence[Any],
        regions: dict[str, int],
        fields: Sequence[str],
        lanes: int,
        export: bool,
    ) -> None:
        self.f = ir.Function(module, ir.FunctionType(VOID, [POINTER, POINTER, *arguments]), name)
        if not export:
            self.f.linkage = "internal"
            self.f.attributes.add("noinline")
        self.b = ir.IRBuilder(self.f.append_basic_block())
        self.e, self.lanes = Emitter(self.b, lanes), lanes
        self.regions, self.fields = regions, list(fields)
        self.context, self.work = self.f.args[:2]

    def i(self, value: int) -> Any:
        """Return an integer constant."""
        return ir.Constant(I64, value)

    def d(self, value: float) -> Any:
        """Return a real constant."""
        return ir.Constant(DOUBLE, float(value))

    def region(self, name: str) -> Any:
        """Pointer to a region."""
        return self.e.at(self.work, self.regions[name])

    def field(self, name: str, kind: Any = I64) -> Any:
        """A word of the context."""
        place = self.b.gep(self.context, [self.i(self.fields.index(name))], source_etype=I64)
        return self.b.load(place, typ=kind)

    def read(self, name: str, index: Any, kind: Any = DOUBLE) -> Any:
        """Element of an array of the context."""
        return self.b.load(self.b.gep(self.field(name, POINTER), [index], source_etype=kind), typ=kind)

    def write(self, value: Any, name: str, index: Any) -> None:
        """Set an element of an array of the context."""
        self.b.store(value, self.b.gep(self.field(name, POINTER), [index], source_etype=value.type))

    def cell(self, name: str, lane: Any, index: Any = None, kind: Any = DOUBLE) -> Any:
        """Address of one lane of one vector of a region."""
        place = self.region(name) if index is None else self.e.at(self.region(name), index)
        return self.b.gep(place, [lane], source_etype=kind)

    def get(self, name: str, lane: Any, index: Any = None, kind: Any = DOUBLE) -> Any:
        """One lane of one vector of a region."""
        return self.b.load(self.cell(name, lane, index, kind), typ=kind)

    def put(self, value: Any, name: str, lane: Any, index: Any = None) -> None:
        """Set one lane of one vector of a region."""
        self.b.store(value, self.cell(name, lane, index, value.type))

    def madd(self, x: Any, y: Any, z: Any) -> Any:
        """x * y + z for indices."""
        return self.b.add(self.b.mul(x, y), z)

    def moment(self, fraction: Any) -> Any:
        """Time at a fraction of the step in each lane, always with the same rounding."""
        return self.b.fadd(self.e.load(self.region("t"), 0), self.b.fmul(fraction, self.e.load(self.region("h"), 0)))

    def any(self, mask: Any) -> Any:
        """Whether any lane of a mask is set."""
        whole = ir.IntType(self.lanes)
        return self.b.icmp_unsigned("!=", self.b.bitcast(mask, whole), ir.Constant(whole, 0))

    @contextmanager
    def loop(self, begin: Any, end: Any) -> Iterator[Any]:
        """Loop over begin <= i < end."""
        before, head = self.b.block, self.f.append_basic_block()
        self.b.branch(head)
        self.b.position_at_end(head)
        index = self.b.phi(I64)
        index.add_incoming(begin, before)
        body, after = self.f.append_basic_block(), self.f.append_basic_block()
        self.b.cbranch(self.b.icmp_signed("<", index, end), body, after)
        self.b.position_at_end(body)
        yield index
        index.add_incoming(self.b.add(index, self.i(1)), self.b.block)
        self.b.branch(head)
        self.b.position_at_end(after)

    @contextmanager
    def repeat(self, condition: Callable[[], Any]) -> Iterator[None]:
        """Loop while a condition holds."""
        head, body, after = (self.f.append_basic_block() for _ in range(3))
        self.b.branch(head)
        self.b.position_at_end(head)
        self.b.cbranch(condition(), body, after)
        self.b.position_at_end(body)
        yield
        self.b.branch(head)
        self.b.position_at_end(after)

    def each_lane(self) -> Any:
        """Loop over lanes."""
        return self.loop(self.i(0), self.i(self.lanes))
