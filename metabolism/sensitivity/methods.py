"""The methods of global sensitivity on the unit cube: how each samples, and how it estimates from the runs.

Samples and estimators are SALib's (Iwanaga et al. 2022, doi:10.18174/sesmo.18155), except the partial rank
correlation (Marino et al. 2008, doi:10.1016/j.jtbi.2008.04.011).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import InvalidValue, UnknownName, needs
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd

Triple = tuple[Array, Array, Array]

#: Levels of a Morris grid, search curves per factor, harmonics of a curve, slices of PAWN, resamples.
LEVELS, CURVES, HARMONICS, SLICES, RESAMPLES = 8, 4, 4, 10, 100

#: Resamples of the estimators that are slow themselves (PAWN, delta).
FEW = 20


@dataclass(frozen=True)
class Estimate:
    """Indices of one endpoint: index name to (values, low, high) by factor; pairs; what to say about them."""

    values: dict[str, Triple]
    pairs: list[tuple[int, int, float, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def frame(self, names: Sequence[str], endpoint: str) -> pd.DataFrame:
        """The indices as rows: endpoint, factor, index, value, low, high."""
        import pandas as pd

        columns = ("endpoint", "factor", "index", "value", "low", "high")
        parts = [
            pd.DataFrame(dict(zip(columns, (endpoint, names, index, *triple), strict=True)))
            for index, triple in self.values.items()
        ]
        return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class Method:
    """One way to sample and to estimate.

    Attributes
    ----------
    main : str
        The index that ranks factors.
    n, least : int, callable
        Base sample when none is asked for, and the smallest one for a number of factors.
    sample : callable
        From number of factors, base sample and seed to points of the unit cube, shape (runs, factors).
    estimate : callable
        From points, values, numbers of one endpoint, seed and confidence to an `Estimate`.
    block : callable
        From number of factors to the consecutive runs that stand or fall together.
    shares, smallest : tuple of int, int
        Which parts of a sample show convergence: one over the share of it, and the smallest base sample.
    power, given, complete : bool
        Whether a base sample is a power of 2, whether any sample will do, whether every run is needed.
    """

    main: str
    n: int
    least: Callable[[int], int]
    sample: Callable[[int, int, int], Array]
    estimate: Callable[[Array, Array, Array, int, float], Estimate]
    block: Callable[[int], int] = lambda size: 1
    shares: tuple[int, ...] = (1,)
    smallest: int = 1
    power: bool = False
    given: bool = False
    complete: bool = False

    def check(self, n: int, size: int) -> None:
        """Refuse a base sample that does not do for a number of factors.

        Raises
        ------
        InvalidValue
        """
        if n < self.least(size) or (self.power and n & (n - 1)):
            also = " and a power of 2" if self.power else ""
            name = next(name for name, method in METHODS.items() if method is self)
            many = "1 factor" if size == 1 else f"{size} factors"
            raise InvalidValue(f"n = {n}: {name} of {many} needs at least {self.least(size)}{also}.")

    def parts(self, runs: int, size: int) -> list[tuple[int, int]]:
        """Return growing parts of a sample that are samples of their own: (runs, base sample)."""
        block = self.block(size)
        bases = {runs // block // share for share in self.shares}
        return [(base * block, base) for base in sorted(bases) if base >= self.smallest]


def _sobol_sample(second: bool, size: int, n: int, seed: int) -> Array:
    sample = _salib("sample.sobol").sample
    return np.asarray(sample(_problem(size), n, calc_second_order=second, seed=np.random.default_rng(seed)))


def _sobol(second: bool, unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
    """First-order, total and pair shares of the variance, by Saltelli's scheme."""
    size = unit.shape[1]
    shared = {"num_resamples": RESAMPLES, "conf_level": confidence, "seed": seed + 1}
    with _quiet(seed):
        analyse = _salib("analyze.sobol").analyze
        shares = analyse(_problem(size), numbers, calc_second_order=second, **shared)
    both = {k: _around(shares[k], shares[f"{k}_conf"]) for k in ("S1", "ST")}
    order = [(i, j) for i in range(size) for j in range(i + 1, size)] if second else []
    pairs = [(i, j, float(shares["S2"][i, j]), float(shares["S2_conf"][i, j])) for i, j in order]
    notes = []
    if (both["S1"][1] > both["ST"][2]).any():
        notes.append("a first-order index lies above its total beyond both intervals: the sample is too small.")
    if (both["ST"][2] < 0).any():
        notes.append("a total index is negative beyond its interval: the sample is too small.")
    return Estimate(both, pairs, notes)


def _morris_sample(size: int, n: int, seed: int) -> Array:
    sample = _salib("sample.morris").sample
    with _quiet(seed):
        return np.asarray(sample(_problem(size), n, num_levels=LEVELS, seed=seed))


def _morris(unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
    """Mean size, mean and spread of elementary effects on a grid."""
    shared = {"num_levels": LEVELS, "num_resamples": RESAMPLES, "conf_level": confidence, "seed": seed + 1}
    with _quiet(seed):
        effects = _salib("analyze.morris").analyze(_problem(unit.shape[1]), unit, numbers, **shared)
    none = np.full(unit.shape[1], np.nan)
    bare = {k: (np.asarray(effects[k], dtype=float), none, none) for k in ("mu", "sigma")}
    return Estimate({"mu_star": _around(effects["mu_star"], effects["mu_star_conf"]), **bare})


def _efast_sample(size: int, n: int, seed: int) -> Array:
    sample, curves = _salib("sample.fast_sampler").sample, []
    for child in np.random.SeedSequence(seed).spawn(CURVES):
        with _quiet(seed):
            curves.append(sample(_problem(size), n, M=HARMONICS, seed=np.random.default_rng(child)))
    return np.concatenate(curves)


def _efast(unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
    """Fourier amplitudes along search curves; intervals from curves with other random phases."""
    from scipy.stats import t

    orders = _salib("analyze.fast").compute_orders
    # one curve after the other, and on each one part per factor: (curves, factors, [S1, ST])
    parts = np.stack(np.split(numbers, CURVES * unit.shape[1]))
    each = [orders(part, len(part), HARMONICS, (len(part) - 1) // (2 * HARMONICS)) for part in parts]
    shares = np.reshape(each, (CURVES, unit.shape[1], 2))
    factor = t.ppf(0.5 + confidence / 2, CURVES - 1) / np.sqrt(CURVES)
    middle, half = shares.mean(axis=0), factor * shares.std(axis=0, ddof=1)
    return Estimate(
        {k: _around(middle[:, i], half[:, i]) for i, k in enumerate(("S1", "ST"))},
        notes=["eFAST totals carry a small positive bias: factors without effect show up to a few per cent."],
    )


def _any_sample(size: int, n: int, seed: int) -> Array:
    """Scrambled Sobol points, so that the first half of a sample is a sample too."""
    from scipy.stats import qmc

    engine = qmc.Sobol(size, rng=np.random.default_rng(seed))
    with warnings.catch_warnings():
        # an n that is no power of 2 loses balance, not validity
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(engine.random(n))


def _pawn(unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
    """Kolmogorov-Smirnov distances of conditional distributions, with a dummy factor as noise floor."""
    rng = np.random.default_rng([seed, 1])
    full = np.column_stack([unit, rng.random(len(unit))])
    problem, analyse = _problem(full.shape[1]), _salib("analyze.pawn").analyze

    def once(rows: NDArray[np.int64]) -> Array:
        distances = analyse(problem, full[rows], numbers[rows], S=SLICES)
        return np.array([distances["median"], distances["maximum"]])

    with _quiet(seed):
        best = once(np.arange(len(full)))
        again = np.array([once(rng.integers(0, len(full), len(full))) for _ in range(FEW)])
    half = _normal(confidence) * again.std(axis=0, ddof=1)
    return Estimate(
        {k: _around(best[i, :-1], half[i, :-1]) for i, k in enumerate(("median", "maximum"))},
        notes=[f"a factor without any effect scores a median of {best[0, -1]:.3f} at this sample size."],
    )


def _delta(unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
    """Borgonovo's delta, its bias reduced by the bootstrap (Plischke et al. 2013, eq. 30)."""
    rng, n = np.random.default_rng([seed, 2]), len(numbers)
    # slices of equal size and a grid of the endpoint, as in SALib's own driver
    slices = round(min(int(np.ceil(n ** (2 / (7 + np.tanh((1500 - n) / 500))))), 48))
    edges, grid = np.linspace(0, n, slices + 1), np.linspace(numbers.min(), numbers.max(), 100)
    best, half = np.zeros(unit.shape[1]), np.zeros(unit.shape[1])
    resamples = rng.integers(0, n, (FEW, n))
    calc_delta = _salib("analyze.delta").calc_delta
    with _quiet(seed):
        for i, x in enumerate(unit.T):
            whole = calc_delta(numbers, grid, x, edges)
            again = np.array([calc_delta(numbers[r], grid, x[r], edges) for r in resamples])
            best[i] = 2 * whole - again.mean()
            half[i] = _normal(confidence) * again.std(ddof=1)
    return Estimate(
        {"delta": _around(best, half)},
        notes=["delta smooths densities, which pulls large values down by up to a tenth at small samples."],
    )


def _prcc(unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
    """Partial rank correlations, with Fisher's interval."""
    from scipy.stats import rankdata

    size = values.shape[1]
    ranks = np.apply_along_axis(rankdata, 0, np.column_stack([values, numbers]))
    ranks = (ranks - ranks.mean(axis=0)) / ranks.std(axis=0)
    r = np.zeros(size)
    for i in range(size):
        others = np.delete(ranks[:, :size], i, axis=1)
        left = ranks[:, [i, size]] - others @ np.linalg.lstsq(others, ranks[:, [i, size]], rcond=None)[0]
        norms = np.sqrt((left**2).sum(axis=0))
        # nothing left to explain, or a factor that follows from the others: no correlation
        if (norms > 1e-9 * np.sqrt(len(ranks))).all():
            r[i] = left[:, 0] @ left[:, 1] / norms.prod()
    half = _normal(confidence) / np.sqrt(len(numbers) - size - 2)
    z = np.arctanh(np.clip(r, -1 + 1e-15, 1 - 1e-15))
    return Estimate(
        {"PRCC": (r, np.tanh(z - half), np.tanh(z + half))},
        notes=["PRCC sees monotone effects only: a factor whose effect rises and falls can score 0."],
    )


def _saltelli(second: bool) -> Method:
    ways, sample, estimate = 2 if second else 1, partial(_sobol_sample, second), partial(_sobol, second)
    block, shares = (lambda size: ways * size + 2), (8, 4, 2, 1)
    return Method("ST", 256, lambda size: 16, sample, estimate, block, shares, smallest=8, power=True)


def _on_any(main: str, n: int, estimate: Callable[[Array, Array, Array, int, float], Estimate]) -> Method:
    return Method(main, n, lambda size: max(64, 4 * (size + 1)), _any_sample, estimate, shares=(2, 1), given=True)


#: The methods by name; ``sobol_first`` leaves out pairs.
METHODS: dict[str, Method] = {
    "sobol": _saltelli(second=True),
    "sobol_first": _saltelli(second=False),
    "morris": Method(
        "mu_star", 20, lambda size: 4, _morris_sample, _morris, lambda size: size + 1, (4, 2, 1), smallest=2
    ),
    "efast": Method(
        "ST", 129, lambda size: 4 * HARMONICS**2 + 1, _efast_sample, _efast, lambda size: CURVES * size, complete=True
    ),
    "pawn": _on_any("median", 1024, _pawn),
    "delta": _on_any("delta", 1024, _delta),
    "prcc": _on_any("PRCC", 512, _prcc),
}


def _problem(size: int) -> dict[str, Any]:
    return {"num_vars": size, "names": [f"x{i}" for i in range(size)], "bounds": [[0.0, 1.0]] * size}


def _around(middle: Sequence[float] | Array, half: Sequence[float] | Array) -> Triple:
    m, h = np.asarray(middle, dtype=float), np.asarray(half, dtype=float)
    return m, m - h, m + h


def _normal(confidence: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(0.5 + confidence / 2))


def _salib(name: str) -> Any:
    with needs("sensitivity", "global sensitivity"):
        return import_module(f"SALib.{name}")


@contextmanager
def _quiet(seed: int) -> Iterator[None]:
    """Keep SALib from warning about what is handled here, and from leaving its seed in the global generator."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        # SALib turns filters back on for its own notices: recording them is the only way to keep them in
        with warnings.catch_warnings(record=True):
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def known(name: str) -> Method:
    """Return a method by its name; one that is none is refused with those there are."""
    if name not in METHODS:
        raise UnknownName("sensitivity method", name, METHODS)
    return METHODS[name]
