"""Sampling schemes and estimators of global sensitivity, one class each, on the unit cube."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import UsageError
from metabolism.types import Array

Triple = tuple[Array, Array, Array]


#: The index that ranks factors.
MAIN = {
    "sobol": "ST",
    "sobol_first": "ST",
    "morris": "mu_star",
    "efast": "ST",
    "pawn": "median",
    "delta": "delta",
    "prcc": "PRCC",
}


#: Levels of a Morris grid, search curves per factor, harmonics of a curve, slices of PAWN, resamples.
LEVELS, CURVES, HARMONICS, SLICES, RESAMPLES = 8, 4, 4, 10, 100


#: Resamples of the estimators that are slow themselves (PAWN, delta).
FEW = 20


@dataclass(frozen=True)
class Estimate:
    """Indices of one endpoint: index name to (values, low, high) by factor; pairs; what to say about them."""

    values: dict[str, Triple]
    pairs: list[tuple[tuple[int, int], float, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Method(ABC):
    """One way to sample and to estimate.

    Attributes
    ----------
    given : bool
        Whether any sample will do.
    complete : bool
        Whether every run is needed.
    """

    given = False
    complete = False

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def refuses(self, n: int, size: int) -> str:
        """Return why a base sample cannot be used, or an empty text."""

    def block(self, size: int) -> int:
        """Return the number of consecutive runs that stand or fall together."""
        return 1

    @abstractmethod
    def sample(self, size: int, n: int, seed: int) -> Array:
        """Return points of the unit cube, shape (runs, factors)."""

    @abstractmethod
    def estimate(self, unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
        """Estimate the indices of one endpoint."""

    def parts(self, runs: int, size: int, n: int) -> list[tuple[int, int]]:
        """Return growing parts of a sample that are samples of their own: (runs, base size)."""
        block = self.block(size)
        count = runs // block
        sizes = sorted({s for s in (count // 8, count // 4, count // 2, count) if s >= 8})
        return [(s * block, s) for s in sizes]


class Sobol(Method):
    """Variance shares by Saltelli's scheme."""

    def __init__(self, name: str, second: bool) -> None:
        super().__init__(name)
        self.second = second

    def refuses(self, n: int, size: int) -> str:
        """Return why a base sample cannot be used, or an empty text."""
        return "" if n >= 16 and n & (n - 1) == 0 else "a Sobol study needs a power of 2, at least 16."

    def block(self, size: int) -> int:
        """Return the number of runs per base point."""
        return (2 if self.second else 1) * size + 2

    def sample(self, size: int, n: int, seed: int) -> Array:
        """Return points of the unit cube, shape (runs, factors)."""
        sampler = _salib("sample.sobol")
        return np.asarray(
            sampler.sample(_problem(size), n, calc_second_order=self.second, seed=np.random.default_rng(seed))
        )

    def estimate(self, unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
        """Estimate first-order, total and pair indices."""
        size = unit.shape[1]
        with _quiet(seed):
            found = _salib("analyze.sobol").analyze(
                _problem(size),
                numbers,
                calc_second_order=self.second,
                num_resamples=RESAMPLES,
                conf_level=confidence,
                seed=seed + 1,
            )
        both = {k: _around(found[k], found[f"{k}_conf"]) for k in ("S1", "ST")}
        pairs = (
            [
                ((i, j), float(found["S2"][i, j]), float(found["S2_conf"][i, j]))
                for i in range(size)
                for j in range(i + 1, size)
            ]
            if self.second
            else []
        )
        notes = []
        above = [i for i in range(size) if both["S1"][1][i] > both["ST"][2][i]]
        if above:
            notes.append("a first-order index lies above its total beyond both intervals: the sample is too small.")
        if (both["ST"][2] < 0).any():
            notes.append("a total index is negative beyond its interval: the sample is too small.")
        return Estimate(both, pairs, notes)


class Morris(Method):
    """Elementary effects on a grid."""

    def refuses(self, n: int, size: int) -> str:
        """Return why a base sample cannot be used, or an empty text."""
        return "" if n >= 4 else "Morris needs at least 4 trajectories."

    def block(self, size: int) -> int:
        """Return the number of runs per trajectory."""
        return size + 1

    def sample(self, size: int, n: int, seed: int) -> Array:
        """Return points of the unit cube, shape (runs, factors)."""
        sampler = _salib("sample.morris")
        with _quiet(seed):
            return np.asarray(sampler.sample(_problem(size), n, num_levels=LEVELS, seed=seed))

    def estimate(self, unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
        """Estimate mean size, mean and spread of the effects."""
        with _quiet(seed):
            found = _salib("analyze.morris").analyze(
                _problem(unit.shape[1]),
                unit,
                numbers,
                num_levels=LEVELS,
                num_resamples=RESAMPLES,
                conf_level=confidence,
                seed=seed + 1,
            )
        none = np.full(unit.shape[1], np.nan)
        return Estimate(
            {
                "mu_star": _around(found["mu_star"], found["mu_star_conf"]),
                "mu": (np.asarray(found["mu"], dtype=float), none, none),
                "sigma": (np.asarray(found["sigma"], dtype=float), none, none),
            }
        )

    def parts(self, runs: int, size: int, n: int) -> list[tuple[int, int]]:
        """Return growing parts of a sample that are samples of their own."""
        count = runs // (size + 1)
        return [(s * (size + 1), s) for s in sorted({s for s in (count // 4, count // 2, count) if s >= 2})]


class Efast(Method):
    """Fourier amplitudes along search curves; intervals from curves with other random phases."""

    complete = True

    def refuses(self, n: int, size: int) -> str:
        """Return why a base sample cannot be used, or an empty text."""
        least = 4 * HARMONICS**2 + 1
        return "" if n >= least else f"eFAST needs at least {least} points per curve."

    def sample(self, size: int, n: int, seed: int) -> Array:
        """Return points of the unit cube, shape (runs, factors)."""
        sampler = _salib("sample.fast_sampler")
        seeds = np.random.SeedSequence(seed).spawn(CURVES)
        curves = []
        for child in seeds:
            with _quiet(seed):
                curves.append(sampler.sample(_problem(size), n, M=HARMONICS, seed=np.random.default_rng(child)))
        return np.concatenate(curves)

    def estimate(self, unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
        """Estimate first-order and total indices."""
        from scipy.stats import t

        size, analyser = unit.shape[1], _salib("analyze.fast")
        curves = np.split(numbers, CURVES)
        found: dict[str, list[Any]] = {"S1": [], "ST": []}
        for curve in curves:
            pairs = []
            for part in np.split(curve, size):
                frequency = (len(part) - 1) // (2 * HARMONICS)
                pairs.append(analyser.compute_orders(part, len(part), HARMONICS, frequency))
            for i, key in enumerate(("S1", "ST")):
                found[key].append([p[i] for p in pairs])
        factor = t.ppf(0.5 + confidence / 2, CURVES - 1) / np.sqrt(CURVES)
        return Estimate(
            {k: _around(np.mean(v, axis=0), factor * np.std(v, axis=0, ddof=1)) for k, v in found.items()},
            notes=["eFAST totals carry a small positive bias: factors without effect show up to a few per cent."],
        )

    def parts(self, runs: int, size: int, n: int) -> list[tuple[int, int]]:
        """Return the whole sample only: a search curve has no parts."""
        return [(runs, n)]


class _Given(Method):
    """Methods that take any sample."""

    given = True

    def refuses(self, n: int, size: int) -> str:
        """Return why a base sample cannot be used, or an empty text."""
        least = max(64, 4 * (size + 1))
        return "" if n >= least else f"{self.name} of {size} factors needs at least {least} runs."

    def sample(self, size: int, n: int, seed: int) -> Array:
        """Return scrambled Sobol points, so that the first half of a sample is a sample too."""
        from scipy.stats import qmc

        engine = qmc.Sobol(size, rng=np.random.default_rng(seed))
        with warnings.catch_warnings():
            # an n that is no power of 2 loses balance, not validity
            warnings.simplefilter("ignore", UserWarning)
            return np.asarray(engine.random(n))

    def parts(self, runs: int, size: int, n: int) -> list[tuple[int, int]]:
        """Return half of the sample, and all of it."""
        return [(runs // 2, runs // 2), (runs, runs)]


class Pawn(_Given):
    """Kolmogorov-Smirnov distances of conditional distributions."""

    def estimate(self, unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
        """Estimate median and maximum over slices, with a bootstrap and a dummy factor as noise floor."""
        rng = np.random.default_rng([seed, 1])
        full = np.column_stack([unit, rng.random(len(unit))])
        problem, analyser = _problem(full.shape[1]), _salib("analyze.pawn")

        def once(rows: NDArray[np.int64]) -> Array:
            found = analyser.analyze(problem, full[rows], numbers[rows], S=SLICES)
            return np.array([found["median"], found["maximum"]])

        with _quiet(seed):
            best = once(np.arange(len(full)))
            again = np.array([once(rng.integers(0, len(full), len(full))) for _ in range(FEW)])
        from scipy.stats import norm

        half = norm.ppf(0.5 + confidence / 2) * again.std(axis=0, ddof=1)
        return Estimate(
            {k: _around(best[i, :-1], half[i, :-1]) for i, k in enumerate(("median", "maximum"))},
            notes=[f"a factor without any effect scores a median of {best[0, -1]:.3f} at this sample size."],
        )


class Delta(_Given):
    """Borgonovo's delta from one sample."""

    def estimate(self, unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
        """Estimate delta, its bias reduced by the bootstrap (Plischke et al. 2013, eq. 30)."""
        from scipy.stats import norm

        salib, rng, n = _salib("analyze.delta"), np.random.default_rng([seed, 2]), len(numbers)
        # slices of equal size and a grid of the endpoint, as in SALib's own driver
        slices = round(min(int(np.ceil(n ** (2 / (7 + np.tanh((1500 - n) / 500))))), 48))
        edges, grid = np.linspace(0, n, slices + 1), np.linspace(numbers.min(), numbers.max(), 100)
        best, half = np.zeros(unit.shape[1]), np.zeros(unit.shape[1])
        resamples = rng.integers(0, n, (FEW, n))
        with _quiet(seed):
            for i, x in enumerate(unit.T):
                whole = salib.calc_delta(numbers, grid, x, edges)
                again = np.array([salib.calc_delta(numbers[r], grid, x[r], edges) for r in resamples])
                best[i] = 2 * whole - again.mean()
                half[i] = norm.ppf(0.5 + confidence / 2) * again.std(ddof=1)
        return Estimate(
            {"delta": _around(best, half)},
            notes=["delta smooths densities, which pulls large values down by up to a tenth at small samples."],
        )


class Prcc(_Given):
    """Partial rank correlations."""

    def estimate(self, unit: Array, values: Array, numbers: Array, seed: int, confidence: float) -> Estimate:
        """Estimate partial rank correlations, with Fisher's interval."""
        from scipy.stats import norm, rankdata

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
        half = norm.ppf(0.5 + confidence / 2) / np.sqrt(len(numbers) - size - 2)
        z = np.arctanh(np.clip(r, -1 + 1e-15, 1 - 1e-15))
        return Estimate(
            {"PRCC": (r, np.tanh(z - half), np.tanh(z + half))},
            notes=["PRCC sees monotone effects only: a factor whose effect rises and falls can score 0."],
        )


METHODS: dict[str, Method] = {
    m.name: m
    for m in (
        Sobol("sobol", True),
        Sobol("sobol_first", False),
        Morris("morris"),
        Efast("efast"),
        Pawn("pawn"),
        Delta("delta"),
        Prcc("prcc"),
    )
}


def _problem(size: int) -> dict[str, Any]:
    return {"num_vars": size, "names": [f"x{i}" for i in range(size)], "bounds": [[0.0, 1.0]] * size}


def _around(middle: Sequence[float] | Array, half: Sequence[float] | Array) -> Triple:
    m, h = np.asarray(middle, dtype=float), np.asarray(half, dtype=float)
    return m, m - h, m + h


def _salib(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"SALib.{name}")
    except ImportError:
        raise UsageError("global sensitivity needs SALib: pip install 'als-methionine[sensitivity]'.") from None


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
