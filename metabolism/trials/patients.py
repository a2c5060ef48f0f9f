"""Virtual ALS patients: declared distributions, one sample, and a second way to match published moments.

Every distribution is a ``COHORT_*`` row of the parameter table. A patient is a *body* (demographics, vitamin status,
genotype, pharmacokinetics) with a *disease* (loss rate, entry score, drift, rating noise); both come from one Gaussian
copula, so that fresh diseases can be drawn for bodies whose metabolism was already simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import InvalidValue, UnknownName
from metabolism.model import Model
from metabolism.tables import read_table
from metabolism.trials.disease import HOURS_PER_MONTH, motor_units, rate_score
from metabolism.trials.limits import inside, refuse
from metabolism.types import Array
from metabolism.units import number

if TYPE_CHECKING:
    import pandas as pd


#: Parameter columns of a cohort: what differs between patients inside the coupled model.
BODY_PARAMETERS = ("FOLATE_DIET_rate", "CBL_DIET_rate", "CBL_CLf", "IM_ka", "MTHFR_677T", "GFR_rel", "central")


#: Columns of a patient table that are parameters or states of the model.
PATIENT_COLUMNS = ("MN_k", "motor_units", *BODY_PARAMETERS)


#: Latent numbers of a body, in order.
BODY = (
    "age",
    "male",
    "height",
    "bmi",
    "onset",
    "fvc",
    "riluzole",
    "gfr",
    "folate",
    "cobalamin",
    "genotype",
    "CLf",
    "ka",
)


#: Latent numbers of a disease, in order; correlated with those of the body.
DISEASE = ("k", "entry", "period_run_in", "period_treatment", "noise_entry", "noise_baseline", "rater", "vc")


#: Model parameters that differ log-normally between bodies: parameter, its SD of the logarithm, and its latent number.
SPREAD = (
    ("GFR_rel", "gfr_omega", "gfr"),
    ("FOLATE_DIET_rate", "hcy_omega", "folate"),
    ("CBL_DIET_rate", "cbl_omega", "cobalamin"),
    ("CBL_CLf", "CLf_omega", "CLf"),
    ("IM_ka", "ka_omega", "ka"),
)


#: Parameters ``MN_*`` of the model that a disease needs beside the ``COHORT_*`` rows.
SHARED = ("h0", "h_slope", "h_vc", "vc_rate")


#: Accepted range of each column; a candidate outside any of them is implausible and counted.
PLAUSIBLE = {
    "age": (18.0, 90.0),
    "bmi": (13.0, 45.0),
    "height": (1.3, 2.0),
    "fvc": (30.0, 150.0),
    "GFR_rel": (0.3, 2.0),
    "hcy_plasma": (3.0, 100.0),
    "cbl_plasma": (5e-5, 5e-3),
}


@dataclass(frozen=True)
class Generator:
    """The cohort's distributions: a value for each ``COHORT_*`` row, and the latent correlations."""

    model: Model
    values: Mapping[str, float]

    @classmethod
    def of(cls, model: Model, table: str | Path | None = None) -> Generator:
        """Read the distributions from the parameter table, or change some by a user's means and SDs.

        Parameters
        ----------
        table : path, optional
            CSV with columns ``variable, mean, sd``. Variables are age, bmi, fvc [as printed], entry [points] with a
            mean and an SD; male, bulbar, upper_limb, riluzole, tt, ct [fraction] with a mean only.
        """
        prefix = "COHORT_"
        values = {
            p.id.removeprefix(prefix): p.value for p in model.table.of(kind="population") if p.id.startswith(prefix)
        }
        values |= {name: model.values[f"MN_{name}"] for name in SHARED}
        values |= _read_moments(Path(table)) if table is not None else {}
        for first, second in (("bulbar", "upper_limb"), ("tt_frequency", "ct_frequency")):
            both = values[first] + values[second]
            refuse(both > 1, f"the shares {first} and {second} of a cohort add up to {both:g}, above 1.")
        return cls(model, values)

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def entering(self, entry: Mapping[str, float]) -> Generator:
        """Return a generator whose patients enter with another distribution of scores, as a design may set it.

        Parameters
        ----------
        entry : mapping
            Any of ``mean``, ``sd``, ``low``, ``high`` of ALSFRS-R at entry [points].
        """
        return replace(self, values={**self.values, **{f"entry_{k}": v for k, v in entry.items()}}) if entry else self

    @property
    def correlation(self) -> Array:
        """Latent correlation of (*BODY, *DISEASE), from the rows ``COHORT_r_*``."""
        names = {n: i for i, n in enumerate((*BODY, *DISEASE))} | {"bulbar": BODY.index("onset")}
        matrix = np.eye(len(BODY) + len(DISEASE))
        for key, value in self.values.items():
            if key.startswith("r_"):
                a, b = (names[n] for n in key.removeprefix("r_").split("_"))
                # the latent of the onset region rises from bulbar to limb
                sign = -1.0 if "bulbar" in key else 1.0
                matrix[a, b] = matrix[b, a] = sign * value
        if np.linalg.eigvalsh(matrix).min() <= 0:
            raise InvalidValue("the COHORT_r_* correlations contradict each other: their matrix is not positive.")
        return matrix

    def bodies(self, latent: Array) -> pd.DataFrame:
        """Turn independent standard normals, shape (patients, len(BODY)), into bodies.

        The latents stay in columns ``_0`` ..., because a disease is drawn conditionally on them.
        """
        import pandas as pd
        from scipy.special import ndtr

        model, g, n = self.model, self, len(BODY)
        z = dict(zip(BODY, (latent @ self.root[:n, :n].T).T, strict=True))
        u = {name: ndtr(column) for name, column in z.items()}
        male = u["male"] < g["male"]
        height = np.where(male, g["height_men"], g["height_women"]) + g["height_sd"] * z["height"]
        bmi = g["bmi_mean"] + g["bmi_sd"] * z["bmi"]
        weight = bmi * height**2
        typical = g["bmi_mean"] * (g["male"] * g["height_men"] + (1 - g["male"]) * g["height_women"]) ** 2
        onset = np.select(
            [u["onset"] < g["bulbar"], u["onset"] < g["bulbar"] + g["upper_limb"]],
            ["bulbar", "upper limb"],
            "lower limb",
        )
        genotype = np.select(
            [u["genotype"] < g["tt_frequency"], u["genotype"] < g["tt_frequency"] + g["ct_frequency"]],
            ["TT", "CT"],
            "CC",
        )

        return pd.DataFrame(
            {
                "age": g["age_mean"] + g["age_sd"] * z["age"],
                "male": male,
                "height": height,
                "bmi": bmi,
                "weight": weight,
                "onset": onset,
                "fvc": g["fvc_mean"] + g["fvc_sd"] * z["fvc"],
                "riluzole": u["riluzole"] < g["riluzole"],
                "genotype": genotype,
                **{name: model.values[name] * np.exp(g[omega] * z[which]) for name, omega, which in SPREAD},
                # CT raises homocysteine by less than 1 uM in most surveys: the typical patient stands for CC and CT
                "MTHFR_677T": np.where(genotype == "TT", 1.0, 0.0),
                "central": model.values["central"] * weight / typical,
                **{f"_{i}": latent[:, i] for i in range(n)},
            }
        )

    @cached_property
    def score_map(self) -> tuple[float, float]:
        """Exponent and half-score fraction of the map from motor units to ALSFRS-R."""
        values = self.model.values
        return values["MN_gamma"], values["MN_n50"]

    @cached_property
    def root(self) -> Array:
        """Cholesky factor of `correlation`; bodies come first, so a disease is a conditional draw."""
        return np.asarray(np.linalg.cholesky(self.correlation))

    def diseases(self, bodies: pd.DataFrame, latent: Array) -> pd.DataFrame:
        """Give each body a disease, from independent standard normals, shape (patients, len(DISEASE))."""
        columns = self.disease_columns(body_latents(bodies), bodies["riluzole"].to_numpy(), latent)
        return bodies.assign(**columns)

    def disease_columns(self, body: Array, riluzole: NDArray[np.bool_], latent: Array) -> dict[str, Array]:
        """Disease columns from the latents of bodies, shape (patients, len(BODY)), and fresh ones; see `diseases`."""
        from scipy.special import ndtr, ndtri

        g, n = self, len(BODY)
        z = dict(zip(DISEASE, (body @ self.root[n:, :n].T + latent @ self.root[n:, n:].T).T, strict=True))
        k = g["k_median"] * np.exp(g["k_omega"] * z["k"])
        low, high = (ndtr((g[f"entry_{side}"] - g["entry_mean"]) / g["entry_sd"]) for side in ("low", "high"))
        entry = g["entry_mean"] + g["entry_sd"] * ndtri(low + ndtr(z["entry"]) * (high - low))
        units = motor_units(entry, *self.score_map)
        tau = g["k_tau"]
        habit = g["rater_habit_sd"] * z["rater"]
        bulbar = ndtr(body @ self.root[BODY.index("onset"), :n]) < g["bulbar"]
        # the loss rates hold for the usual share on riluzole, whose effect is then the patient's own
        k = k * (1 - g["riluzole_effect"] * riluzole) / (1 - g["riluzole_effect"] * g["riluzole"])
        return {
            "k_run_in": k * np.exp(tau * z["period_run_in"] - tau**2 / 2),
            "MN_k": g["k_after"] * k * np.exp(tau * z["period_treatment"] - tau**2 / 2),
            "entry_score": entry,
            "entry_units": units,
            "onset_months": -np.log(units) / k / HOURS_PER_MONTH,
            "entry_rating": rate_score(entry, habit + g["rater_sd"] * z["noise_entry"]),
            "baseline_noise": habit + g["rater_sd"] * z["noise_baseline"],
            "rater_habit": habit,
            "vc_rate": g["vc_rate"] * np.where(bulbar, g["vc_bulbar"], 1.0) * np.exp(g["vc_omega"] * z["vc"]),
        }


def body_latents(bodies: pd.DataFrame) -> Array:
    """Independent standard normals behind a table of bodies, shape (patients, len(BODY))."""
    return np.asarray(bodies[[f"_{i}" for i in range(len(BODY))]].to_numpy(dtype=float))


def normals(count: int, size: int, seed: int | np.random.Generator) -> Array:
    """Standard normals from a scrambled Sobol sequence, shape (count, size).

    The sequence fills the space evenly, so moments of a cohort are nearer to the declared ones than those of a
    random sample (Owen 1998, doi:10.1006/jcom.1998.0487).
    """
    from scipy.stats import norm, qmc

    inside("patients of a cohort", count, "whole [1, 10000000]")
    power = max(int(np.ceil(np.log2(count))), 0)
    points = qmc.Sobol(size, scramble=True, rng=np.random.default_rng(seed)).random_base2(power)[:count]
    return np.asarray(norm.ppf(np.clip(points, 1e-12, 1 - 1e-12)))


def sobol_numbers(count: int, size: int, seed: int) -> tuple[list[int], list[list[int]], int]:
    """Return what another program needs to make the points behind `normals`, as whole numbers.

    Point ``i + 1`` is point ``i`` XOR the step of the lowest zero bit of ``i`` (Gray code); a point divided by
    2^bits lies in [0, 1).

    Parameters
    ----------
    count, size : int
        Numbers of points and of dimensions.
    seed : int

    Returns
    -------
    first : list of int
    steps : list of list of int
        One row per bit, one column per dimension.
    bits : int
    """
    from scipy.stats import qmc

    power = max(int(np.ceil(np.log2(count))), 1)
    sequence = qmc.Sobol(size, scramble=True, rng=np.random.default_rng(seed))
    whole = (sequence.random_base2(power) * 2.0**sequence.bits).astype(np.int64)
    steps = [(whole[2**bit] ^ whole[2**bit - 1]).tolist() for bit in range(power)]
    return whole[0].tolist(), steps, int(sequence.bits)


def candidates(
    model: Model, count: int, seed: int | np.random.Generator, table: str | Path | None = None
) -> pd.DataFrame:
    """Draw patients at the start of an observation period, before any selection.

    Parameters
    ----------
    model : Model
        Supplies the ``COHORT_*`` distributions and the values that patients vary around.
    count : int
        Number of patients.
    seed : int or numpy Generator
        Scrambles the Sobol sequence; the only source of randomness.
    table : path, optional
        A user's means and SDs; see `Generator.of`.

    Returns
    -------
    DataFrame
        One row per patient: demographics, loss rates of the two periods [1/h], motor units, months since onset,
        ratings, and the model parameters of `PATIENT_COLUMNS`.
    """
    generator = Generator.of(model, table)
    latent = normals(count, len(BODY) + len(DISEASE), seed)
    return generator.diseases(generator.bodies(latent[:, : len(BODY)]), latent[:, len(BODY) :])


@dataclass(frozen=True, eq=False)
class Plausibility:
    """Which candidates are plausible, and how many each rule refused."""

    keep: NDArray[np.bool_]
    refused: dict[str, int]

    @property
    def acceptance(self) -> float:
        """Share of candidates that pass every rule."""
        return float(self.keep.mean())


def plausibility(people: pd.DataFrame) -> Plausibility:
    """Apply the ranges of `PLAUSIBLE` to the columns that are present.

    >>> import pandas as pd
    >>> plausibility(pd.DataFrame({"bmi": [22.0, 90.0]})).keep
    array([ True, False])
    """
    keep = np.ones(len(people), dtype=bool)
    refused = {}
    for name, (low, high) in PLAUSIBLE.items():
        if name in people:
            inside = people[name].between(low, high).to_numpy()
            refused[f"{name} outside {low:g} to {high:g}"] = int((~inside).sum())
            keep &= inside
    return Plausibility(keep, refused)


#: Columns of a cohort table: what a mean can be, with an SD beside it or, for shares, without; and the rows they set.
_PAIRS = {**{n: "[{}, {}]".format(*PLAUSIBLE[n]) for n in ("age", "bmi", "fvc")}, "entry": "[0, 48] points"}


_SHARES = {
    "male": "male",
    "bulbar": "bulbar",
    "upper_limb": "upper_limb",
    "riluzole": "riluzole",
    "tt": "tt_frequency",
    "ct": "ct_frequency",
}


def _read_moments(path: Path) -> dict[str, float]:
    where = f"cohort table '{path.name}': "
    moments: dict[str, float] = {}
    for row in read_table(path, ("variable", "mean", "sd"), more=True):
        name = row["variable"]
        if name not in _PAIRS and name not in _SHARES:
            raise UnknownName("cohort variable", name, [*_PAIRS, *_SHARES])
        mean, sd = (number(row[c], f"{where}{c} of '{name}'") if row[c] else None for c in ("mean", "sd"))
        row_of = f"{name}_mean" if name in _PAIRS else _SHARES[name]
        refuse(row_of in moments, f"{where}'{name}' stands there twice.")
        refuse(name in _SHARES and sd is not None, f"{where}'{name}' is a share, which has no sd.")
        inside(f"mean of '{name}'", mean, _PAIRS.get(name, "[0, 1]"), where)
        moments[row_of] = float(mean or 0)
        if name in _PAIRS:
            inside(f"sd of '{name}'", sd, "(0, 50]", where)
            moments[f"{name}_sd"] = float(sd or 0)
    return moments
