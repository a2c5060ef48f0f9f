"""Truncated Taylor series in high precision: the time derivatives of a small model without symbolic growth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath


class Series:
    """A power series in time, cut off after a fixed number of coefficients.

    Parameters
    ----------
    coefficients : sequence of mpmath.mpf
        From the constant term on.
    """

    def __init__(self, coefficients: Sequence[Any]) -> None:
        self.c = list(coefficients)

    def _other(self, other: Any) -> list[Any]:
        if isinstance(other, Series):
            return other.c
        return [mpmath.mpf(other), *[mpmath.mpf(0)] * (len(self.c) - 1)]

    def __neg__(self) -> Series:
        return Series([-a for a in self.c])

    def __add__(self, other: Any) -> Series:
        return Series([a + b for a, b in zip(self.c, self._other(other), strict=True)])

    __radd__ = __add__

    def __sub__(self, other: Any) -> Series:
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> Series:
        return self.__neg__().__add__(other)

    def __mul__(self, other: Any) -> Series:
        if not isinstance(other, Series):
            return Series([a * other for a in self.c])
        return Series([mpmath.fsum(self.c[j] * other.c[k - j] for j in range(k + 1)) for k in range(len(self.c))])

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Series:
        if not isinstance(other, Series):
            return Series([a / other for a in self.c])
        found: list[Any] = []
        for k, a in enumerate(self.c):
            found.append((a - mpmath.fsum(found[j] * other.c[k - j] for j in range(k))) / other.c[0])
        return Series(found)

    def __rtruediv__(self, other: Any) -> Series:
        return Series(self._other(other)) / self

    def __pow__(self, exponent: Any) -> Series:
        # (x^p)' x = p x^p x', coefficient by coefficient
        x, found = self.c, [self.c[0] ** exponent]
        for k in range(1, len(x)):
            total = mpmath.fsum((exponent * j - (k - j)) * x[j] * found[k - j] for j in range(1, k + 1))
            found.append(total / (k * x[0]))
        return Series(found)

    def exp(self) -> Series:
        """Exponential of the series."""
        found = [mpmath.exp(self.c[0])]
        for k in range(1, len(self.c)):
            found.append(mpmath.fsum(j * self.c[j] * found[k - j] for j in range(1, k + 1)) / k)
        return Series(found)


def exponential(x: Any) -> Any:
    """Exponential of a number or a series."""
    return x.exp() if isinstance(x, Series) else mpmath.exp(x)


def solve(
    rates: Callable[..., Sequence[Any]], start: Sequence[Any], parameters: Sequence[Any], order: int
) -> list[Series]:
    """Return the Taylor series of the states of ``dx/dt = rates(*states, *parameters)`` up to an order."""
    zero = mpmath.mpf(0)
    states = [[mpmath.mpf(x), *[zero] * order] for x in start]
    for k in range(order):
        slopes = rates(*[Series(x[: k + 1]) for x in states], *parameters)
        for x, slope in zip(states, slopes, strict=True):
            x[k + 1] = (slope.c[k] if isinstance(slope, Series) else slope if k == 0 else zero) / (k + 1)
    return [Series(x) for x in states]
