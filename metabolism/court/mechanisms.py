"""Rival links from treatment to decline: their priors, and what each predicts for every fact and planned experiment.

Exposures come from the coupled model, one run per regimen; decline follows from them by `metabolism.court.response`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metabolism.court.response import Response
from metabolism.errors import UnknownName
from metabolism.model import Model
from metabolism.progress import Tick, unseen
from metabolism.simulation import simulate
from metabolism.trials import HOURS_PER_WEEK
from metabolism.types import Array

#: What a mechanism may consist of. ``early`` and ``waning`` are the plasma path within a limit of time.
PARTS = {
    "homocysteine": "loss rate follows plasma homocysteine",
    "methylation": "loss rate follows the SAM/SAH ratio, inversely",
    "plasma": "unbound methylcobalamin in plasma, through a slow effect site",
    "csf": "methylcobalamin in cerebrospinal fluid, through a slow effect site",
    "symptomatic": "function is gained (reinnervation); loss is unchanged",
    "early": "plasma path, only in patients treated soon after onset",
    "waning": "plasma path, wearing off with time on treatment",
}

DIRECT = ("plasma", "csf", "early", "waning")

#: Sums of two: an indirect path with any other, and a gain of function with any direct path.
MECHANISMS: dict[str, tuple[str, ...]] = (
    {"no effect": ()}
    | {p: (p,) for p in PARTS}
    | {
        f"{a} + {b}": (a, b)
        for a, b in [
            ("homocysteine", "methylation"),
            *((i, d) for i in ("homocysteine", "methylation", "symptomatic") for d in DIRECT),
            ("homocysteine", "symptomatic"),
            ("methylation", "symptomatic"),
        ]
    }
)

#: Regimens whose exposures the facts and the planned experiments ask for, by short name.
REGIMENS = {
    "50": "50 mg im every 3.5 d x 32",
    "25": "25 mg im every 3.5 d x 32",
    "0.5": "0.5 mg im every 3.5 d x 32",
    "folate": "1 mg folic acid oral daily x 112",
    "cmap 25": "25 mg im daily x 14",
    "cmap 0.5": "0.5 mg im daily x 14",
}

#: Windows over which an effect is averaged [weeks]; "steady" stands for long treatment.
WINDOWS = {"4": (0.0, 4.0), "16": (0.0, 16.0), "24": (0.0, 24.0), "steady": (8.0, 16.0)}

#: Range of the passive ratio of CSF to free plasma cobalamin: nothing measured, so tenfold.
CSF_RATIO = (0.003, 0.03)


@dataclass(frozen=True)
class Priors:
    """Scales of the prior distributions; `effect` and `potency` widen or narrow them.

    Attributes
    ----------
    elasticity : float
        SD of the half-normal elasticities to homocysteine and to SAM/SAH [dimensionless].
    maximum : tuple of float
        Beta distribution of the largest direct reduction of the loss rate.
    dose : tuple of float
        Median [mg per injection, twice weekly] and log-SD of the dose with half effect.
    gain : float
        Largest symptomatic gain [points]; the drawn share of it follows `maximum`.
    cmap : float
        SD of the half-normal CMAP rise at saturation [SD of change].
    early : tuple of float
        Median [months since onset] and log-SD of the limit of an early-only effect.
    waning : tuple of float
        Median [months] and log-SD of the half-life of a waning effect.
    """

    elasticity: float = 1.0
    maximum: tuple[float, float] = (2.0, 3.0)
    dose: tuple[float, float] = (60.0, 1.2)
    gain: float = 4.63
    cmap: float = 1.0
    early: tuple[float, float] = (12.0, 0.5)
    waning: tuple[float, float] = (6.0, 1.0)


#: Chance of a significant CMAP rise without any effect, beyond the nominal level: several muscles, two visits.
CMAP_FALSE_POSITIVE = 0.05


@dataclass(frozen=True, eq=False)
class Exposures:
    """Time courses per regimen on `days`, relative to rest.

    Attributes
    ----------
    homocysteine, methylation : dict of regimen to ndarray
        Plasma homocysteine and SAM/SAH, relative to rest.
    plasma, csf_low, csf_high : dict of regimen to ndarray
        Excess cobalamin at the slow effect site driven by plasma, and by CSF at both ends of `CSF_RATIO` [µM].
    reference_plasma, reference_csf : float
        Mean excess over weeks 8-16 of 50 mg twice weekly, at a CSF ratio of 0.01 [µM].
    """

    days: Array
    homocysteine: dict[str, Array]
    methylation: dict[str, Array]
    plasma: dict[str, Array]
    csf_low: dict[str, Array]
    csf_high: dict[str, Array]
    reference_plasma: float
    reference_csf: float


def exposures(model: Model, weeks: float = 24.0, tick: Tick = unseen) -> Exposures:
    """Run each regimen of `REGIMENS` once through the coupled model, with 8 weeks of wash-out.

    Parameters
    ----------
    model : Model
        The patient model, e.g. ``load().with_set("als_patient")``. Its ``FOLATE_DIET_rate`` is also varied by the mean
        distance of the upper and lower half of a cohort, for an analysis stratified by homocysteine.
    """
    from scipy.signal import lfilter

    step = 6.0
    times = np.arange(0.0, weeks * HOURS_PER_WEEK + 1, step)
    keep = slice(None, None, 4)
    decay = np.exp(-model.values["EFFECT_ke0"] * step)
    flow = model.values["CSF_Q"]
    shift = np.sqrt(2 / np.pi) * model.table["COHORT_hcy_omega"].value
    folate = model.values["FOLATE_DIET_rate"]
    courses: dict[str, dict[str, Array]] = {k: {} for k in ("hcy", "ratio", "plasma", "low", "high")}

    def lagged(excess: Array) -> Array:
        return np.asarray(lfilter([1 - decay], [1, -decay], excess))

    ratio = np.array([CSF_RATIO[0]] * 3 + [CSF_RATIO[1]])
    people = {
        "FOLATE_DIET_rate": folate * np.exp(shift * np.array([0.0, -1.0, 1.0, 0.0])),
        "CSF_PS": ratio * flow / (1 - ratio),
    }
    for name, regimen in REGIMENS.items():
        outputs = ["hcy_plasma", "sam_liver", "sah_liver", "cbl_effect", "cbl_csf"]
        run = simulate(model, regimen, times[-1], times=times, patients=people, tick=tick, outputs=outputs)
        csf = run["cbl_csf"].values
        courses["low"][name], courses["high"][name] = (lagged(csf[i] - csf[i, 0])[keep] for i in (0, 3))
        hcy = run["hcy_plasma"].values
        methylation = run["sam_liver"].values / run["sah_liver"].values
        for label, i in ((name, 0), (f"{name} high tHcy", 1), (f"{name} low tHcy", 2)):
            courses["hcy"][label] = (hcy[i] / hcy[i, 0])[keep]
            courses["ratio"][label] = (methylation[i] / methylation[i, 0])[keep]
        site = run["cbl_effect"].values[0]
        courses["plasma"][name] = (site - site[0])[keep]
    days = times[keep] / 24
    late = (days >= 56) & (days <= 112)
    share = (0.01 - CSF_RATIO[0]) / (CSF_RATIO[1] - CSF_RATIO[0])
    csf_middle = (1 - share) * courses["low"]["50"] + share * courses["high"]["50"]
    means = float(courses["plasma"]["50"][late].mean()), float(csf_middle[late].mean())
    by_hcy, by_ratio, by_plasma, by_low, by_high = courses.values()
    return Exposures(days, by_hcy, by_ratio, by_plasma, by_low, by_high, *means)


def draw(mechanism: str, count: int, rng: np.random.Generator, priors: Priors | None = None) -> dict[str, Array]:
    """Draw parameters from the prior, one array per parameter; parts that a mechanism lacks stay without effect."""
    p = priors or Priors()
    if mechanism not in MECHANISMS:
        raise UnknownName("mechanism", mechanism, MECHANISMS)
    parts = MECHANISMS[mechanism]
    median, spread = p.dose
    full = {
        "beta": np.abs(rng.normal(0, p.elasticity, count)),
        "methyl": np.abs(rng.normal(0, p.elasticity, count)),
        "maximum": rng.beta(*p.maximum, count),
        "dose": median * np.exp(spread * rng.standard_normal(count)),
        "gain": p.gain * rng.beta(*p.maximum, count),
        "gain_dose": median * np.exp(spread * rng.standard_normal(count)),
        "cmap": np.abs(rng.normal(0, p.cmap, count)),
        "reach": rng.random(count),
        "ratio": np.exp(rng.uniform(np.log(CSF_RATIO[0]), np.log(CSF_RATIO[1]), count)),
        "limit": np.exp(rng.normal(np.log(p.early[0]), p.early[1], count))
        if "early" in parts
        else np.exp(rng.normal(np.log(p.waning[0]), p.waning[1], count)),
    }
    none = np.zeros(count)
    if "homocysteine" not in parts:
        full["beta"] = none
    if "methylation" not in parts:
        full["methyl"] = none
    if not set(parts) & set(DIRECT):
        full["maximum"] = none
    if "symptomatic" not in parts:
        full["gain"] = full["cmap"] = none
    return full


def predictions(mechanism: str, p: Mapping[str, Array], x: Exposures, response: Response) -> dict[str, Array]:
    """What each draw predicts: every fact of the court by its id, and the outcomes of planned experiments.

    Returns
    -------
    dict of str to ndarray, shape (draws,)
        Facts; ``d50_16`` and the like are differences from placebo [points] by regimen and week, ``d50_16_hcy`` the
        part that homocysteine alone would give, ``interaction`` the difference between patients of high and low tHcy
        [points], ``ln_csf`` CSF cobalamin on 50 mg [ln µM], ``cmap_25`` and ``cmap_0.5`` CMAP rises [SD];
        ``constant_16``, ``limited_16`` and the same ``_steady``: reduction of the loss rate on 50 mg that lasts, and
        the one that is early only or wanes with half-life ``limit`` [months].
    """
    parts = MECHANISMS[mechanism]
    none = np.zeros(len(p["beta"]))
    kind = "waning" if "waning" in parts else "early"
    limited = bool(set(parts) & {"early", "waning"})
    through_csf = "csf" in parts
    unit = x.reference_csf if through_csf else x.reference_plasma
    half = p["dose"] / 50 * unit

    def site(regimen: str) -> tuple[Array, Array]:
        if regimen not in x.plasma or regimen == "folate":
            return np.zeros_like(x.days), np.zeros_like(x.days)
        return (x.csf_low[regimen], x.csf_high[regimen]) if through_csf else (x.plasma[regimen], x.plasma[regimen])

    def direct(regimen: str, window: str) -> Array:
        low, high = site(regimen.split()[0])
        inside = _inside(x.days, window)
        return p["maximum"] * _saturation(low[inside], high[inside], p["ratio"], half)

    def indirect(regimen: str, window: str) -> tuple[Array, Array]:
        inside = _inside(x.days, window)
        hcy, ratio = x.homocysteine[regimen][inside], x.methylation[regimen][inside]
        return 1 - _power(hcy, p["beta"]), 1 - _power(1 / ratio, p["methyl"])

    def effect(regimen: str, window: str) -> tuple[Array, Array]:
        by_hcy, by_methylation = indirect(regimen, window)
        by_drug = direct(regimen, window)
        kept = (1 - by_hcy) * (1 - by_methylation)
        return (1 - kept, by_drug) if limited else (1 - kept * (1 - by_drug), none)

    def gain(regimen: str, week: float, size: Array) -> Array:
        if regimen.split()[0] == "folate":
            return none
        curve = x.plasma[regimen.split()[0]]
        level = curve[np.argmin(np.abs(x.days - 7 * week))]
        return np.asarray(size * level / (level + p["gain_dose"] / 50 * x.reference_plasma))

    def difference(regimen: str, week: int) -> Array:
        slowed = response.points(str(week), *effect(regimen, str(week)), kind, p["limit"])
        return slowed + gain(regimen, week, p["gain"])

    seen = (("50", 4), ("50", 16), ("50", 24), ("25", 16), ("0.5", 16), ("folate", 16))
    out = {f"d{r}_{w}": difference(r, w) for r, w in seen}
    out["d50_16_hcy"] = response.points("16", indirect("50", "16")[0], none, kind, p["limit"])
    for window in ("16", "steady"):
        out[f"constant_{window}"], out[f"limited_{window}"] = effect("50", window)
    out["limit"] = p["limit"]
    out["interaction"] = difference("50 high tHcy", 16) - difference("50 low tHcy", 16)
    for regimen in ("50", "25"):
        everyone, early = response.log_hr(*effect(regimen, "steady"), kind, p["limit"])
        # a gain of function lowers the hazard as far as it reaches breathing
        spared = -response.slope / 48 * p["reach"] * gain(regimen, 16, p["gain"])
        out[f"e0761_early_{regimen}"] = early + spared
        out[f"e0761_all_{regimen}"] = everyone + spared
    # arms of equal size: the linear contrast is the highest dose, the saturating one both together, against placebo
    out["e0761_itt"] = out["e0761_linear"] = out["e0761_all_50"]
    out["e0761_saturating"] = (out["e0761_all_25"] + out["e0761_all_50"]) / 2
    for dose in ("25", "0.5"):
        level = x.plasma[f"cmap {dose}"][np.argmin(np.abs(x.days - 28))]
        out[f"cmap_{dose}"] = p["cmap"] * level / (level + p["gain_dose"] / 50 * x.reference_plasma)
    late = _inside(x.days, "steady")
    low, high = x.csf_low["50"][late].mean(), x.csf_high["50"][late].mean()
    out |= {
        "jetals": out["d50_16"],
        "kaji_cmap": cmap_event(out["cmap_25"], out["cmap_0.5"]),
        "elasticity": p["beta"],
        "mendelian": p["beta"],
        "potency": np.log(half) if set(parts) & set(DIRECT) else none + np.nan,
        "ln_csf": np.log(low + (high - low) * _share(p["ratio"])),
        "dose_contrast": out["e0761_early_50"] - out["e0761_early_25"],
    }
    return out


def _inside(days: Array, window: str) -> NDArray[np.bool_]:
    low, high = WINDOWS[window]
    return np.asarray((days >= 7 * low) & (days <= 7 * high))


def _share(ratio: Array) -> Array:
    """Place of a passive CSF ratio between the two that were run; CSF cobalamin is linear in it."""
    return (ratio - CSF_RATIO[0]) / (CSF_RATIO[1] - CSF_RATIO[0])


def _power(course: Array, exponent: Array) -> Array:
    """Time average of ``course ** exponent``, from a grid of exponents."""
    nodes = np.linspace(0, max(float(exponent.max()), 1e-6), 41)
    return np.asarray(np.interp(exponent, nodes, (course[:, None] ** nodes).mean(axis=0)))


def _saturation(low: Array, high: Array, ratio: Array, half: Array) -> Array:
    """Time average of ``C / (C + half)``, with C between two courses by the CSF ratio; weekly steps."""
    total = np.zeros_like(half)
    share = _share(ratio) if high is not low else np.zeros_like(ratio)
    chosen = np.arange(0, len(low), 4)
    for i in chosen:
        level = np.maximum(low[i] + share * (high[i] - low[i]), 0.0)
        total += level / (level + half)
    return total / len(chosen)


def cmap_event(high: Array, low: Array, chance: float = CMAP_FALSE_POSITIVE, patients: int = 12) -> Array:
    """Probability that CMAP rises significantly on 25 mg and does not on 0.5 mg, from the true rises [SD of change].

    `chance` is the probability of a significant rise without any effect, beyond the nominal level.
    """
    from scipy.special import ndtr

    rise, other = (chance + (1 - chance) * ndtr(shift * np.sqrt(patients) - 1.96) for shift in (high, low))
    return np.asarray(rise * (1 - other))
