"""Uncertain inputs of a sensitivity study: which parameters vary, over which distribution, and from where.

A factor maps a number between 0 and 1 to a value, so every sampling scheme works on the unit cube and no scheme
has to know the distributions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.errors import InvalidValue, UnknownName, UsageError
from metabolism.model import MODEL_KINDS, Model, Parameter
from metabolism.sbml import KineticModel
from metabolism.types import Array
from metabolism.units import number

if TYPE_CHECKING:
    import pandas as pd

#: Bounds wider than this ratio are sampled on a log scale where the table gives no prior.
WIDE = 10.0

#: Standard deviation of the logarithm by confidence rating where the table gives no prior: that of the table's
#: priors for B, C and D, and half of B for A. What is assumed has no rating and is as wide as D.
RATED = {"A": 0.15, "B": 0.3, "C": 0.6, "D": 1.0, "": 1.0}

#: Source of a factor without a prior.
BOUNDS = "bounds of the table"


@dataclass(frozen=True)
class Factor:
    """One uncertain input.

    Attributes
    ----------
    low, high : float
        Range [unit].
    shape : str
        ``"uniform"``, ``"log-uniform"``, ``"normal"``, ``"log-normal"`` (both truncated to the range) or
        ``"empirical"``.
    centre, sd : float
        Of a normal, or of the logarithm of a log-normal.
    source : str
        Where the distribution comes from.
    part : tuple of float
        Probabilities between which the distribution is cut.
    """

    name: str
    unit: str
    low: float
    high: float
    shape: str = "uniform"
    centre: float = 0.0
    sd: float = 0.0
    source: str = "given range"
    sample: tuple[float, ...] = field(default=(), repr=False)
    part: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            raise InvalidValue(f"'{self.name}' has no finite bounds ({self.low:g} to {self.high:g}); give a range.")
        if self.low >= self.high:
            raise InvalidValue(f"the bounds of '{self.name}' are inverted or equal: {self.low:g} to {self.high:g}.")
        if self.low <= 0 and self.shape.startswith("log"):
            raise InvalidValue(f"the lower bound of '{self.name}' is {self.low:g}; it must be above 0.")

    def quantile(self, u: Array) -> Array:
        """Return the values at some probabilities [unit].

        >>> Factor("rate", "1/h", 1.0, 100.0, "log-uniform").quantile(np.array([0.0, 0.5, 1.0]))
        array([  1.,  10., 100.])
        """
        u = self.part[0] + u * (self.part[1] - self.part[0])
        if self.shape == "uniform":
            return np.asarray(self.low + u * (self.high - self.low))
        if self.shape == "log-uniform":
            return np.asarray(self.low * (self.high / self.low) ** u)
        if self.shape == "empirical":
            return np.asarray(np.quantile(self.sample, u))
        from scipy.stats import norm

        log, back = (np.log, np.exp) if self.shape == "log-normal" else (np.asarray, np.asarray)
        a, b = ((log(v) - self.centre) / self.sd for v in (self.low, self.high))
        z = norm.ppf(norm.cdf(a) + u * (norm.cdf(b) - norm.cdf(a)))
        return np.asarray(np.clip(back(self.centre + self.sd * z), self.low, self.high))


@dataclass(frozen=True, eq=False)
class Factors:
    """Uncertain inputs and what is known of their dependence.

    Attributes
    ----------
    items : tuple of Factor
    joint : ndarray, shape (patients, factors), optional
        A sample with its dependence, for methods that can use one.
    dependence : str
        What a reader must know.
    """

    items: tuple[Factor, ...]
    joint: Array | None = field(default=None, repr=False)
    dependence: str = "The inputs are drawn independently of each other; correlations between them are not known."

    def __post_init__(self) -> None:
        if not self.items:
            raise InvalidValue("no factor is left: widen the choice of parameters.")
        names = [f.name for f in self.items]
        if len(set(names)) < len(names):
            raise InvalidValue("a factor is given twice.")

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Factor]:
        return iter(self.items)

    @property
    def names(self) -> tuple[str, ...]:
        """Parameter ids."""
        return tuple(f.name for f in self.items)

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the inputs."""
        loose = [f.name for f in self.items if f.source == BOUNDS]
        rated = [f.name for f in self.items if f.source.startswith("rating")]
        notes = [self.dependence]
        if rated:
            notes.append(f"The width of {', '.join(rated)} follows from the confidence rating alone.")
        if loose:
            notes.append(f"{', '.join(loose)} vary over all that is plausible, so their share is an upper bound.")
        return notes

    def quantile(self, u: Array) -> Array:
        """Map points of the unit cube to values: shape (runs, factors)."""
        return np.column_stack([f.quantile(u[:, i]) for i, f in enumerate(self.items)])

    def within(self, low: float, high: float) -> Factors:
        """Cut every distribution at two probabilities, e.g. where its tails leave the model no resting state.

        >>> Factors((Factor("x", "", 0.0, 10.0),)).within(0.1, 0.9).quantile(np.array([[0.0], [1.0]]))
        array([[1.],
               [9.]])
        """
        if not 0 <= low < high <= 1:
            raise InvalidValue(f"{low} and {high} must be two increasing probabilities.")
        cut = tuple(
            replace(f, part=(low, high), source=f"{f.source}, {100 * low:.0f} % to {100 * high:.0f} %")
            for f in self.items
        )
        return replace(self, items=cut)

    def frame(self) -> pd.DataFrame:
        """Return the factors as a table."""
        import pandas as pd

        rows = [(f.name, f.unit, f.shape, *f.quantile(np.array([0.0, 1.0])), f.source) for f in self.items]
        return pd.DataFrame(rows, columns=["factor", "unit", "shape", "low", "high", "source"])


#: Normal distributions given in words are cut this many standard deviations from their centre.
TAIL = 4.0

_WORDS = re.compile(r"(lognormal|normal|loguniform|uniform)\(([^()]*)\)")


def vary(model: KineticModel, given: Mapping[str, str | tuple[float, float]]) -> Factors:
    """Say in words what varies, and how: for any model.

    Parameters
    ----------
    model : KineticModel
    given : mapping of str to str or (low, high)
        Parameter, or initial value of a model from a file, to ``"lognormal(median, sd)"`` with the standard deviation
        of the logarithm, ``"lognormal(sd)"`` about the present value, ``"normal(mean, sd)"``, ``"uniform(low, high)"``,
        ``"loguniform(low, high)"``, or a pair for a uniform [model units]. Normals are cut at 4 standard deviations.

    Raises
    ------
    UnknownName, InvalidValue

    Examples
    --------
    >>> from metabolism.model import load
    >>> vary(load(), {"GFR_rel": "lognormal(1, 0.3)"}).frame()[["low", "high"]].round(3).to_numpy().tolist()
    [[0.301, 3.32]]
    """
    return Factors(tuple(_worded(model, name, how) for name, how in given.items()))


def _worded(model: KineticModel, name: str, how: str | tuple[float, float]) -> Factor:
    if name not in model.values:
        raise UnknownName("parameter or state", name, model.values, model.lists.format("parameters"))
    return distribution(name, how, model.values[name], model.units.get(name, ""))


def distribution(name: str, how: str | tuple[float, float], present: float = 1.0, unit: str = "") -> Factor:
    """Read the words of one factor, as in `vary`; `present` is its value in the model.

    Raises
    ------
    InvalidValue
    """
    text = f"uniform({how[0]!r}, {how[1]!r})" if isinstance(how, tuple) else how.replace(" ", "")
    words = _WORDS.fullmatch(text)
    try:
        kind, numbers = words[1], [number(v) for v in words[2].split(",")]  # type: ignore[index]
        if kind == "lognormal" and len(numbers) == 1:
            numbers = [present, *numbers]
        first, second = numbers
    except (TypeError, ValueError, InvalidValue):
        raise InvalidValue(
            f"{name}={how} cannot be read; write {name}=lognormal(1,0.3), lognormal(0.3), normal(1,0.1), uniform(0,2) "
            "or loguniform(0.1,10)."
        ) from None
    if kind.endswith("uniform"):
        return Factor(name, unit, first, second, kind.replace("loguniform", "log-uniform"), source=text)
    if not second > 0 or (kind == "lognormal" and not first > 0):
        raise InvalidValue(
            f"{name}={text} has no size: a standard deviation, and the median of a log-normal, is above 0."
        )
    if kind == "normal":
        return Factor(name, unit, first - TAIL * second, first + TAIL * second, kind, first, second, text)
    spread = float(np.exp(TAIL * second))
    return Factor(name, unit, first / spread, first * spread, "log-normal", float(np.log(first)), second, text)


def as_factors(model: KineticModel, given: Factors | Mapping[str, Any] | Sequence[str] | None) -> Factors:
    """Return factors as they are, from words (`vary`), or from the table of our own model (`choose`)."""
    if isinstance(given, Factors):
        return given
    if isinstance(given, Mapping):
        return vary(model, given)
    if not isinstance(model, Model):
        raise UsageError("a file says no distributions: say what varies and how, e.g. {'k1': 'lognormal(0.3)'}.")
    return choose(model, given)


def choose(
    model: Model,
    names: Sequence[str] | None = None,
    *,
    module: str | Sequence[str] | None = None,
    kind: str | Sequence[str] | None = None,
    confidence: str | Sequence[str] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    spread: float | None = None,
) -> Factors:
    """Choose parameters of the table as factors.

    Parameters
    ----------
    model : Model
    names : sequence of str, optional
        Parameter ids. Without them every parameter that is not derived from others, not an initial value and not 0,
        narrowed by the filters.
    module, kind, confidence : str or sequence of str, optional
        Filters by column of ``models/parameters.csv``; confidence runs from A (human, direct) to D (assumed).
    ranges : mapping of str to (low, high), optional
        Uniform ranges of some parameters [table units]; they join the choice.
    spread : float, optional
        Vary every other parameter uniformly by this fraction about its present value, in place of its prior.

    Returns
    -------
    Factors
        Without `ranges` and `spread`: the table's log-normal prior about the present value, cut at the bounds. Where
        there is none, a log-normal whose width follows from the confidence rating (`RATED`); for a value of 0, all
        between the bounds.

    Raises
    ------
    UnknownName
        For a parameter, module, kind or confidence that does not exist.
    InvalidValue
        For missing or inverted bounds, or an empty choice.

    Examples
    --------
    >>> from metabolism.model import load
    >>> choose(load(), ["GFR_rel"], spread=0.2).frame()[["factor", "low", "high"]].values.tolist()
    [['GFR_rel', 0.8, 1.2]]
    >>> choose(load(), module="motor_neuron").names[:2]
    ('MN_gamma', 'MN_n50')
    """
    table = model.table
    ranges = dict(ranges or {})
    if spread is not None and not 0 < spread < 1:
        raise InvalidValue(f"spread = {spread} must lie between 0 and 1.")
    filters = {"module": module, "kind": kind, "confidence": confidence}
    wanted = {k: [v] if isinstance(v, str) else list(v) for k, v in filters.items() if v is not None}
    for column, values in wanted.items():
        known = {getattr(p, column) for p in table.values()} - {""}
        for value in values:
            if value not in known:
                raise UnknownName(column, value, known)
    for name in [*(names or ()), *ranges]:
        if table[name].kind not in MODEL_KINDS | {"reference"}:
            raise UnknownName("parameter that may vary", name, table, "List them with `metabolism list parameters`.")
    if names is None:
        names = [] if ranges and not wanted else [p.id for p in table.values() if _open(p, model)]
    names = [n for n in names if all(getattr(table[n], c) in v for c, v in wanted.items())]
    names += [n for n in ranges if n not in names]
    return Factors(tuple(_factor(table[n], model, ranges.get(n), spread) for n in names))


def from_cohort(model: Model, people: pd.DataFrame, names: Sequence[str] | None = None) -> Factors:
    """Take virtual patients as the distribution of the factors.

    Parameters
    ----------
    people : DataFrame
        One row per patient; columns that are no parameters are ignored.
    names : sequence of str, optional
        Columns to use; by default every parameter that differs between patients.

    Returns
    -------
    Factors
        Methods that work on any sample keep the patients as they are. The others draw each factor from its own
        distribution in the cohort, independently.
    """
    known = set(model.table.symbols)
    for name in names or ():
        if name not in people.columns or name not in known:
            raise UnknownName("cohort column", name, known & {str(c) for c in people.columns})
    chosen = list(names or [str(c) for c in people.columns if c in known and people[c].nunique() > 1])
    values = people[chosen].to_numpy(dtype=float)
    if not np.isfinite(values).all():
        raise InvalidValue("the cohort has values that are not finite.")
    source = f"{len(values)} virtual patients"
    items = [
        Factor(name, model.table[name].unit, ordered[0], ordered[-1], "empirical", source=source, sample=ordered)
        for name, ordered in zip(chosen, map(tuple, np.sort(values, axis=0).T.tolist()), strict=True)
    ]
    return Factors(tuple(items), values, _dependence(chosen, values))


def _open(p: Parameter, model: Model) -> bool:
    """Whether a row may vary on its own."""
    value = model.values.get(p.id, 0.0)
    return p.kind in MODEL_KINDS - {"initial"} and not p.derivation and value > 0 and p.lower < p.upper


def _factor(p: Parameter, model: Model, given: tuple[float, float] | None, spread: float | None) -> Factor:
    value = model.values.get(p.id, p.value)
    if given is not None:
        if len(given) != 2:
            raise InvalidValue(f"the range of '{p.id}' needs two numbers, low and high.")
        if given[0] < 0:
            raise InvalidValue(f"the lower bound of '{p.id}' is {given[0]:g}; it must be 0 or above 0.")
        return Factor(p.id, p.unit, float(given[0]), float(given[1]))
    if spread is not None:
        if value <= 0:
            raise InvalidValue(f"'{p.id}' is {value:g}, so a spread about it has no size; give a range.")
        return Factor(p.id, p.unit, value * (1 - spread), value * (1 + spread), source=f"± {100 * spread:.0f} %")
    prior = p.prior == "log-normal" and p.lower > 0
    if value > 0 and (prior or p.confidence in RATED):
        sd = float(p.prior_parameters.split(";")[1]) if prior else RATED[p.confidence]
        source = (
            "prior of the table" if prior else f"rating {p.confidence or 'none (assumed)'}: SD of the logarithm {sd}"
        )
        low, high = min(p.lower, value), max(p.upper, value)
        low = low if prior else max(low, value * 1e-3)
        return Factor(p.id, p.unit, low, high, "log-normal", float(np.log(value)), sd, source)
    wide = p.lower > 0 and p.upper / p.lower >= WIDE
    return Factor(p.id, p.unit, p.lower, p.upper, "log-uniform" if wide else "uniform", source=BOUNDS)


def _dependence(names: Sequence[str], values: Array) -> str:
    from scipy.stats import rankdata

    if len(names) < 2:
        return "There is one input."
    ranks = np.corrcoef(np.apply_along_axis(rankdata, 0, values).T)
    np.fill_diagonal(ranks, 0.0)
    i, j = (int(x) for x in np.unravel_index(np.abs(ranks).argmax(), ranks.shape))
    return (
        f"The inputs are those of the virtual patients, whose largest rank correlation is {ranks[i, j]:.2f} "
        f"({names[i]} and {names[j]}). PAWN, delta and PRCC keep it; Morris, Sobol and eFAST draw every input "
        "independently from its own distribution."
    )
