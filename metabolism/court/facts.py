"""The court: rival mechanisms scored on the same facts by their marginal likelihood.

A mechanism is judged only through what it predicts. Each draw from its prior gives a prediction of every fact; the mean
likelihood over draws is the marginal likelihood, its ratios are Bayes factors, and with prior weights it gives
posterior weights (Kass and Raftery 1995, doi:10.1080/01621459.1995.10476572).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import InvalidValue, UnknownName
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd


#: How a fact speaks: a measured value with an SE; a value that an SE-wide estimate did not fall below; an event.
KINDS = ("gaussian", "bound", "probability")


@dataclass(frozen=True, eq=False)
class Facts:
    """Published facts and how likely each is under a prediction.

    Attributes
    ----------
    table : DataFrame
        Index ``id``; columns ``kind`` (one of `KINDS`), ``value``, ``se``; ``silent_density``, the density of the value
        under mechanisms that do not predict it (their prediction is NaN); and ``comparisons``, of how many like
        comparisons the value is the smallest (1: it was not selected).
    correlation : ndarray, shape (facts, facts)
        Sampling correlation of the values; between Gaussian facts, or between two bounds.
    """

    table: pd.DataFrame
    correlation: Array

    @classmethod
    def of(
        cls, table: pd.DataFrame, correlations: pd.DataFrame | None = None, numbers: pd.DataFrame | None = None
    ) -> Facts:
        """Keep the scored rows of a table, and fill the correlation matrix from pairs ``a, b, correlation``.

        Parameters
        ----------
        table : DataFrame
            Columns as in the attribute of that name, with ``id`` and ``scored`` (yes or no). A row with a ``number``
            takes value and SE from the published number of that id: as they are, or their logarithms where ``scale`` is
            ``log``, the SE times ``widen``.
        correlations : DataFrame, optional
            Pairs of facts; those with a fact that is not scored do not count.
        numbers : DataFrame, optional
            Published numbers with columns ``id, value, low, high`` (95 % interval).

        Raises
        ------
        UnknownName
            For an unknown kind, or a pair that names no scored fact.
        InvalidValue
            If the correlations contradict each other, or an SE is not above 0.
        """
        rows = table[table["scored"] == "yes"].set_index("id")
        if numbers is not None:
            known = numbers.set_index("id")
            for name, row in rows[rows["number"].notna()].iterrows():
                if row["number"] not in known.index:
                    raise UnknownName("published number", str(row["number"]), known.index)
                value, low, high = known.loc[row["number"], ["value", "low", "high"]].astype(float)
                if row["scale"] == "log":
                    value, low, high = np.log([value, low, high])
                rows.loc[name, ["value", "se"]] = value, float(row["widen"]) * (high - low) / (2 * 1.96)
        for kind in rows["kind"]:
            if kind not in KINDS:
                raise UnknownName("kind of fact", kind, KINDS)
        matrix = np.eye(len(rows))
        for pair in [] if correlations is None else correlations.to_dict("records"):
            for name in (pair["a"], pair["b"]):
                if name not in set(table["id"]):
                    raise UnknownName("fact", str(name), table["id"])
            if not {pair["a"], pair["b"]} <= set(rows.index):
                continue
            i, j = rows.index.get_loc(pair["a"]), rows.index.get_loc(pair["b"])
            matrix[i, j] = matrix[j, i] = pair["correlation"]
        if np.linalg.eigvalsh(matrix).min() <= 0:
            raise InvalidValue("the correlations of facts contradict each other: their matrix is not positive.")
        if not (rows.loc[rows["kind"] != "probability", "se"] > 0).all():
            raise InvalidValue("every measured fact needs an SE above 0.")
        return cls(rows, matrix)

    @cached_property
    def _rows(self) -> list[tuple[str, dict[str, Any]]]:
        """The table as dictionaries: pandas would cost more than the likelihood."""
        columns = self.table[["kind", "value", "se", "comparisons", "silent_density"]]
        return list(zip(map(str, self.table.index), columns.to_dict("records"), strict=True))  # type: ignore[arg-type]

    def _kept(self, keep: NDArray[np.bool_]) -> Facts:
        return Facts(self.table[keep], self.correlation[np.ix_(keep, keep)])

    def without(self, name: str) -> Facts:
        """Return the facts but one."""
        self._known(name)
        return self._kept((self.table.index != name).astype(bool))

    def only(self, name: str) -> Facts:
        """Return one fact alone."""
        self._known(name)
        return self._kept((self.table.index == name).astype(bool))

    def changed(self, name: str, **values: float | str) -> Facts:
        """Return the facts with some columns of one row changed; a bound has no correlation with others."""
        self._known(name)
        table, matrix = self.table.copy(), self.correlation.copy()
        for column, value in values.items():
            table.loc[name, column] = value
        if values.get("kind", "gaussian") != "gaussian":
            i = table.index.get_loc(name)
            matrix[i, :] = matrix[:, i] = 0
            matrix[i, i] = 1
        return replace(self, table=table, correlation=matrix)

    def _known(self, name: str) -> None:
        if name not in self.table.index:
            raise UnknownName("scored fact", name, self.table.index)

    def log_likelihood(self, predicted: Mapping[str, Array]) -> Array:
        """Log likelihood of all facts under each draw, shape (draws,).

        Parameters
        ----------
        predicted : mapping of fact id to ndarray, shape (draws,)
            In the unit of the fact; the probability of the event for a fact of kind ``probability``; NaN where the
            mechanism is silent.
        """
        from scipy.special import log_ndtr

        draws = len(next(iter(predicted.values())))
        total = np.zeros(draws)
        if self.table.empty:
            return total
        joint: list[int] = []
        bounds: list[int] = []
        for i, (name, row) in enumerate(self._rows):
            mean = predicted[str(name)]
            if row["kind"] == "probability":
                total += np.log(np.where(row["value"] == 1, mean, 1 - mean))
            elif row["kind"] == "bound":
                bounds.append(i)
            elif row["kind"] == "not above":
                total += log_ndtr((row["value"] - mean) / row["se"])
            elif np.isnan(mean).any():
                if not row["silent_density"] > 0 or np.count_nonzero(self.correlation[i]) > 1:
                    raise InvalidValue(f"a mechanism is silent on '{name}', which has no density of its own.")
                total += np.log(row["silent_density"])
            else:
                joint.append(i)
                # the density of the smallest of m: m f(v) (1 - F(v))^(m - 1)
                if (m := row["comparisons"]) > 1:
                    total += np.log(m) + (m - 1) * log_ndtr((mean - row["value"]) / row["se"])
        total += self._above(bounds, predicted)
        if joint:
            se = self.table["se"].to_numpy(dtype=float)[joint]
            value = self.table["value"].to_numpy(dtype=float)[joint]
            names = self.table.index[joint]
            root = np.linalg.cholesky(self.correlation[np.ix_(joint, joint)] * np.outer(se, se))
            miss = np.linalg.solve(root, np.stack([value[k] - predicted[str(n)] for k, n in enumerate(names)]))
            total += -0.5 * (miss**2).sum(axis=0) - np.log(np.diag(root)).sum() - len(joint) / 2 * np.log(2 * np.pi)
        return total

    def _above(self, bounds: list[int], predicted: Mapping[str, Array]) -> Array:
        """Log probability that the estimates of all bounds lie above their values; two of them may be correlated."""
        from scipy.special import log_ndtr, ndtr, ndtri

        chosen = [self._rows[i] for i in bounds]
        reach = [(predicted[name] - row["value"]) / row["se"] for name, row in chosen]
        shared = self.correlation[np.ix_(bounds, bounds)][np.triu_indices(len(bounds), 1)]
        if not shared.any():
            return np.asarray(sum((log_ndtr(r) for r in reach), start=np.zeros(1)))
        if len(bounds) != 2:
            raise InvalidValue("correlations are possible between two bounds, not more.")
        # P(nearer bound) times the mean of P(farther | nearer) over the part of the nearer that lies above its bound
        reach = [np.minimum(*reach), np.maximum(*reach)]
        nodes, weights = np.polynomial.legendre.leggauss(24)
        first = ndtri(np.maximum(ndtr(reach[0])[:, None] * (1 + nodes) / 2, 1e-300))
        given = ndtr((reach[1][:, None] - shared[0] * first) / np.sqrt(1 - shared[0] ** 2))
        return np.asarray(log_ndtr(reach[0]) + np.log(np.maximum(given @ weights / 2, 1e-300)))

    def simulated(self, predicted: Mapping[str, Array], draw: int, rng: np.random.Generator) -> Facts:
        """What would have been published had one draw of one mechanism been the truth, with the same errors.

        Parameters
        ----------
        predicted : mapping of fact id to ndarray, shape (draws,)
            Of the true mechanism; see `log_likelihood`.
        draw : int
            Which draw is the truth.
        rng : numpy Generator
            Of the sampling errors. A fact on which the mechanism is silent is drawn between 1 nM and 100 uM.
        """
        table = self.table.copy()
        noise = np.linalg.cholesky(self.correlation) @ rng.standard_normal(len(table))
        for (name, row), error in zip(self._rows, noise, strict=True):
            mean = predicted[str(name)][draw]
            if row["kind"] == "probability":
                table.loc[name, "value"] = float(rng.random() < mean)
                continue
            others = rng.standard_normal(max(int(row["comparisons"]) - 1, 0))
            value = mean + row["se"] * min([error, *others])
            if row["kind"] == "bound":
                # the bound of the publication was passed or not; that alone was reported
                table.loc[name, "kind"] = "bound" if value > row["value"] else "not above"
            else:
                table.loc[name, "value"] = rng.uniform(np.log(1e-3), np.log(100)) if np.isnan(mean) else value
        return replace(self, table=table)


@dataclass(frozen=True, eq=False)
class Score:
    """How a mechanism did.

    Attributes
    ----------
    log_marginal : float
        Log of the mean likelihood over the prior.
    error : float
        Its Monte-Carlo standard error.
    effective : float
        Effective number of prior draws that carry the likelihood.
    weights : ndarray, shape (draws,)
        Posterior weights of the draws, with sum 1.
    """

    log_marginal: float
    error: float
    effective: float
    weights: Array


def score(facts: Facts, predicted: Mapping[str, Array]) -> Score:
    """Score a mechanism from the predictions of its prior draws.

    >>> import pandas as pd
    >>> rows = {"id": ["fall"], "scored": "yes", "kind": "gaussian", "value": 2.0, "se": 1.0, "comparisons": 1}
    >>> rows["silent_density"] = 0.0
    >>> facts = Facts.of(pd.DataFrame(rows))
    >>> earned = score(facts, {"fall": np.array([2.0, 2.0])})
    >>> round(earned.log_marginal, 6), earned.effective
    (-0.918939, 2.0)
    """
    log_l = facts.log_likelihood(predicted)
    top = log_l.max()
    relative = np.exp(log_l - top)
    mean = relative.mean()
    error = float(relative.std(ddof=1) / mean / np.sqrt(len(relative))) if len(relative) > 1 else 0.0
    weights = relative / relative.sum()
    return Score(float(np.log(mean) + top), error, float(1 / (weights**2).sum()), weights)


def posterior(scores: Mapping[str, Score], prior: Mapping[str, float]) -> dict[str, float]:
    """Posterior weights of mechanisms from their scores and prior weights; they sum to 1.

    >>> scores = {"a": Score(np.log(3.0), 0, 1, np.ones(1)), "b": Score(0.0, 0, 1, np.ones(1))}
    >>> {name: round(weight, 9) for name, weight in posterior(scores, {"a": 0.5, "b": 0.5}).items()}
    {'a': 0.75, 'b': 0.25}
    """
    names = list(scores)
    if any(prior[n] < 0 for n in names) or not sum(prior[n] for n in names) > 0:
        raise InvalidValue("prior weights must be 0 or more, and not all 0.")
    log_l = np.array([scores[n].log_marginal for n in names])
    weight = np.array([prior[n] for n in names]) * np.exp(log_l - log_l.max())
    return dict(zip(names, (weight / weight.sum()).tolist(), strict=True))


def resample(weights: Array, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of `count` draws in proportion to their weights (systematic resampling).

    >>> np.bincount(resample(np.array([0.2, 0.8]), 10, np.random.default_rng(1)))
    array([2, 8])
    """
    edges = np.cumsum(weights)
    return np.minimum(np.searchsorted(edges / edges[-1], (np.arange(count) + rng.random()) / count), len(weights) - 1)


def information(
    means: Mapping[str, Array], weights: Mapping[str, float], covariance: Array, step: float = 0.25
) -> float:
    """Expected information about which mechanism is true, from one experiment [nat].

    The mutual information of mechanism and outcome (Lindley 1956, doi:10.1214/aoms/1177728069): the outcome of a
    mechanism is a mixture of normals around the means of its draws, and the integral runs over a grid in units of the
    noise, so nothing is sampled.

    Parameters
    ----------
    means : mapping of mechanism to ndarray, shape (draws, outcomes)
        Expected outcome under posterior draws; one or two outcomes.
    weights : mapping of mechanism to float
        Current weights with sum 1.
    covariance : ndarray, shape (outcomes, outcomes)
        Of the noise of the experiment.
    step : float
        Grid spacing in noise SDs.

    Examples
    --------
    Two mechanisms that an experiment tells apart for certain yield all there is to know, ln 2; two that expect the same
    yield nothing.

    >>> means = {"a": np.array([[0.0]]), "b": np.array([[30.0]])}
    >>> round(information(means, {"a": 0.5, "b": 0.5}, np.eye(1)) / float(np.log(2)), 6)
    1.0
    >>> information({"a": means["a"], "b": means["a"]}, {"a": 0.5, "b": 0.5}, np.eye(1))
    0.0
    """
    root = np.linalg.cholesky(np.atleast_2d(covariance))
    white = {m: np.linalg.solve(root, np.asarray(v, dtype=float).T) for m, v in means.items() if weights[m] > 0}
    every = np.concatenate(list(white.values()), axis=1)
    if len(every) > 2:
        raise InvalidValue("an experiment may have one or two outcomes.")
    ends = zip(every.min(axis=1), every.max(axis=1), strict=True)
    grids = [np.arange(low - 5, high + 5 + step, step) for low, high in ends]
    density = {}
    for m, z in white.items():
        kernels = [np.exp(-0.5 * (g[:, None] - row) ** 2) for g, row in zip(grids, z, strict=True)]
        cells = kernels[0].sum(axis=1) if len(kernels) == 1 else kernels[0] @ kernels[1].T
        density[m] = cells / cells.sum()
    mixture = np.sum([weights[m] * d for m, d in density.items()], axis=0)
    gain = 0.0
    for m, d in density.items():
        inside = d > 0
        gain += weights[m] * float((d[inside] * np.log(d[inside] / mixture[inside])).sum())
    return max(gain, 0.0)
