"""What the explorer computes: choices in plain terms to a model run, with bands, fluxes and words.

Nothing here knows of the web page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.data import read_data
from metabolism.dosing import Regimen
from metabolism.errors import InvalidValue, SolverFailed
from metabolism.explorer.choices import Choices
from metabolism.model import Model, draws, equations, load, posterior_sample
from metabolism.report import mean_fluxes
from metabolism.simulation import Result, simulate, steady_state
from metabolism.trials import (
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    OWN_BASELINE,
    Scenario,
    candidates,
    direct_maximum,
    scenarios,
)
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd


PEOPLE = 16


#: Cohort columns that vary between the people of a band; disease rate and genotype stay as chosen.
SPREAD = ("FOLATE_DIET_rate", "CBL_DIET_rate", "CBL_CLf", "IM_ka")


#: Relative tolerance: curves are read by eye, and an update has to be quick.
RTOL = 1e-5


#: (id, name, unit shown, factor to it, logarithmic axis) of each curve.
CURVES: tuple[tuple[str, str, str, float, bool], ...] = (
    ("cbl_plasma", "Plasma cobalamin", "nmol/L", 1e3, True),
    ("hcy_plasma", "Plasma total homocysteine", "µmol/L", 1.0, False),
    ("sam_sah", "SAM/SAH ratio in liver", "", 1.0, False),
    ("mma_plasma", "Plasma methylmalonic acid", "nmol/L", 1e3, False),
    ("motor_units", "Working motor units", "% of healthy", 100.0, False),
    ("alsfrs_r", "ALSFRS-R", "points of 48", 1.0, False),
)


#: Curves whose band is the uncertainty of the drug effect; the others show differences between people.
EFFECT_BAND = ("motor_units", "alsfrs_r")


def regimen(choices: Choices) -> Regimen:
    """Return the doses of a scenario, supplements included, inside its weeks."""
    found = Regimen()
    days = 7 * choices.weeks
    if choices.dose > 0:
        gap = float(choices.interval)
        count = math.ceil(days / gap - 1e-9)
        found = Regimen.parse(f"{choices.dose!r} mg methylcobalamin {choices.route} every {gap!r} d x {count}")
    daily = math.ceil(days - 1e-9)
    for amount, on in (
        (f"{choices.betaine!r} g betaine", choices.betaine > 0),
        ("50 mg pyridoxine", choices.b6 == "supplement"),
        ("0.8 mg folic acid", choices.folate == "supplement"),
    ):
        if on:
            found = found + Regimen.parse(f"{amount} oral every 1 d x {daily}")
    return found


def model(choices: Choices) -> Model:
    """Return the person of a scenario, with the drug effect of its mechanism at the stated size."""
    person = load().with_set("als_patient")
    if choices.b12 == "deficient":
        person = person.with_set("b12_deficient")
    if choices.b6 == "deficient":
        person = person.with_set("b6_deficient")
    if choices.mthfr == "tt":
        person = person.with_set("mthfr_677tt")
    if choices.folate == "reference":
        person = person.with_values(FOLATE_DIET_rate=person.table["FOLATE_DIET_rate"].value)
    left = math.exp(-person.values["MN_k"] * HOURS_PER_MONTH * choices.onset)
    person = person.with_values(GFR_rel=choices.gfr / 100, motor_units=left)
    scenario = scenarios()[choices.mechanism]
    return person.with_values(MN_beta_hcy=scenario.beta_hcy, MN_Emax=emax_range(choices.mechanism)[1])


@lru_cache(maxsize=32)
def emax_range(mechanism: str) -> tuple[float, float, float]:
    """Direct maximum at the lower end, the middle and the upper end of a scenario's stated 95 % range.

    The direct path cannot remove more than the whole loss, nor speed it up: values are kept in 0-1.
    """
    scenario = scenarios()[mechanism]
    if scenario.effect is None:
        return (0.0, 0.0, 0.0)
    sd = scenario.effect_sd or 0.0
    person = load().with_set("als_patient")
    found = [direct_maximum(person, scenario.effect + z * sd, scenario.beta_hcy) for z in (-1.96, 0.0, 1.96)]
    low, middle, high = (float(np.clip(e, 0.0, 1.0)) for e in found)
    return low, middle, high


@dataclass(frozen=True, eq=False)
class View:
    """Everything the page shows of one scenario.

    Attributes
    ----------
    weeks : ndarray, shape (times,)
        Time since the first dose [weeks].
    treated, untreated, low, high : dict of str to ndarray
        Curves by id of `CURVES`, in the units shown there.
    fluxes, reference : dict of str to float
        Mean over the last week, and the state compared with [µmol/h; species in their units].
    """

    choices: Choices
    weeks: Array
    treated: dict[str, Array]
    untreated: dict[str, Array]
    low: dict[str, Array]
    high: dict[str, Array]
    fluxes: dict[str, float]
    reference: dict[str, float]

    def frame(self) -> pd.DataFrame:
        """Return the curves as a table with units in the column names."""
        import pandas as pd

        columns: dict[str, Array] = {"time since first dose [weeks]": self.weeks}
        for key, name, unit, _, _ in CURVES:
            for text, curves in (
                ("", self.treated),
                (", untreated", self.untreated),
                (", band low", self.low),
                (", band high", self.high),
            ):
                columns[f"{name}{text} [{unit or 'ratio'}]"] = curves[key]
        return pd.DataFrame(columns)

    def rows(self) -> list[tuple[str, str, float, float, float]]:
        """Return (name, unit, before, at the end, at the end untreated) for each curve."""
        return [
            # an injection at time 0 is in already; the untreated curve shows the level before it
            (name, unit, float(self.untreated[k][0]), float(self.treated[k][-1]), float(self.untreated[k][-1]))
            for k, name, unit, _, _ in CURVES
        ]


def _times(weeks: float, doses: Regimen) -> Array:
    end = weeks * HOURS_PER_WEEK
    at = np.unique([d.time for d in doses.doses if d.substance == "methylcobalamin"])
    if len(at) > 64:
        at = at[:: math.ceil(len(at) / 64)]
    peaks = (at[:, None] + np.array([0.0, 1, 2, 6])).ravel() if len(at) else np.array([])
    grid = np.concatenate([np.linspace(0, end, 121), np.linspace(end - HOURS_PER_WEEK, end, 43), peaks])
    return np.unique(grid[(grid >= 0) & (grid <= end)])


@lru_cache(maxsize=1)
def _healthy() -> dict[str, float]:
    return steady_state(load()).values


@lru_cache(maxsize=1)
def _drawn() -> pd.DataFrame | None:
    """Draws of the fitted parameters, if they ship with the model."""
    return draws(load(), PEOPLE) if posterior_sample() is not None else None


def bands() -> str:
    """Return what the shaded areas of the curves are."""
    fitted = ", each on its own draw of the fitted parameters" if _drawn() is not None else ""
    return f"Shaded: middle 80 % of {PEOPLE} virtual people{fitted}; for motor units and ALSFRS-R the 95 % range of the assumed effect."


@lru_cache(maxsize=1)
def _spread() -> dict[str, Array]:
    """Factors by which `PEOPLE` virtual people differ from the typical one, from the cohort's distributions."""
    typical = load().with_set("als_patient")
    people = candidates(typical, PEOPLE, np.random.default_rng(8))
    return {name: people[name].to_numpy() / typical.values[name] for name in SPREAD}


def _people(person: Model) -> dict[str, Array]:
    """Columns of three rows of the person itself and `PEOPLE` others: as people differ, on draws of the fit if there are any."""
    nominal = person.values
    drawn = _drawn()
    # what this person was given stays the same in every draw
    fitted = (
        [] if drawn is None else [c for c in drawn if c in equations(person).parameters and c not in person.changed]
    )
    columns: dict[str, Array] = {}
    for name in dict.fromkeys([*SPREAD, *fitted]):
        others = drawn[name].to_numpy() if drawn is not None and name in fitted else np.full(PEOPLE, nominal[name])
        if name in SPREAD:
            others = others * _spread()[name]
        columns[name] = np.r_[np.full(3, nominal[name]), others]
    return columns


@lru_cache(maxsize=64)
def view(choices: Choices) -> View:
    """Run a scenario: the person, the same person untreated, the ends of the effect range, and other people.

    Raises
    ------
    InvalidValue
        If this combination has no answer (no resting state, or a failed integration).
    """
    person, doses = model(choices), regimen(choices)
    system = equations(person)
    emax = emax_range(choices.mechanism)
    table = _people(person)
    table["MN_Emax"] = np.r_[emax[1], emax[0], emax[2], np.full(PEOPLE, emax[1])]
    outputs = [*system.states, *system.reactions, "cbl_plasma", "alsfrs_r"]
    end = choices.weeks * HOURS_PER_WEEK
    options: dict[str, Any] = {
        "outputs": outputs,
        "times": _times(choices.weeks, doses),
        "rtol": RTOL,
        "own_baseline": OWN_BASELINE,
    }
    try:
        drug = [d for d in doses.doses if d.substance == "methylcobalamin"]
        full = simulate(person, doses, end, patients=table, **options)
        # the same person with the supplements only; without a drug the run above is that already
        plain = replace(doses, doses=tuple(d for d in doses.doses if d.substance != "methylcobalamin"))
        other = simulate(person, plain, end, patients={"MN_Emax": [emax[1]]}, **options) if drug else full
    except SolverFailed as error:
        raise InvalidValue(f"this combination has no answer: {error}") from None
    if set(full.failures) & {0, 1, 2} or 0 in other.failures or len(full.failures) > PEOPLE // 2:
        raise InvalidValue("this combination has no answer: the calculation did not finish; choose milder values.")
    return _view(choices, full, other)


def _view(choices: Choices, full: Result, other: Result) -> View:
    def curve(result: Result, key: str, who: Any) -> Array:
        plain = result.data.variables
        factor = next(f for k, _, _, f, _ in CURVES if k == key)
        if key == "sam_sah":
            found = plain["sam_liver"].values[who] / plain["sah_liver"].values[who]
        else:
            found = factor * plain[key].values[who]
        return np.asarray(found, dtype=float)

    people = [i for i in range(3, 3 + PEOPLE) if i not in full.failures]
    treated, untreated, low, high = {}, {}, {}, {}
    for key, *_ in CURVES:
        treated[key], untreated[key] = curve(full, key, 0), curve(other, key, 0)
        if key in EFFECT_BAND:
            ends = np.sort(curve(full, key, [1, 2]), axis=0)
            low[key], high[key] = ends[0], ends[1]
        else:
            low[key], high[key] = np.quantile(curve(full, key, people), [0.1, 0.9], axis=0)
    end = choices.weeks * HOURS_PER_WEEK
    reference = _healthy() if choices.against == "healthy" else mean_fluxes(other, 0.0, 0.0, patient=0)
    weeks = full.data["time"].values / HOURS_PER_WEEK
    return View(
        choices,
        weeks,
        treated,
        untreated,
        low,
        high,
        mean_fluxes(full, end - HOURS_PER_WEEK, end, patient=0),
        reference,
    )


def exact_model(choices: Choices) -> Model:
    """Return the model for export: with the homocysteine reference of exactly this person written in."""
    person = model(choices)
    return person.with_values(MN_hcy_ref=steady_state(person).values["hcy_plasma"])


def in_words(shown: View) -> dict[str, list[str]]:
    """Return plain sentences by heading: what the model says here, what is known, and what is assumed."""
    choices, scenario = shown.choices, scenarios()[shown.choices.mechanism]
    trial = read_data("jetals/jetals").set_index(["group", "variable", "statistic"])["value"]
    placebo, active = (float(trial[g, "alsfrs_change_wk16", "mean"]) for g in ("placebo", "methylcobalamin_50mg"))
    return {
        "says": _says(shown, scenario),
        "known": [
            f"In the JETALS trial people lost {-active:.2f} points of ALSFRS-R in 16 weeks on 50 mg twice a week, and {-placebo:.2f} "
            "points on placebo. The larger E0761 trial missed its main goals.",
            "Levels of methylcobalamin in blood after single injections of 0.5, 25 and 50 mg were measured in healthy men; the model was fitted to them.",
            "Vitamin B12 lowers homocysteine much in people who lack B12, and little in people who do not.",
        ],
        "assumed": [*_assumed(choices, scenario)],
    }


def _says(shown: View, scenario: Scenario) -> list[str]:
    hcy0, hcy1 = shown.treated["hcy_plasma"][[0, -1]]
    score, without = shown.treated["alsfrs_r"][-1], shown.untreated["alsfrs_r"][-1]
    low, high = shown.low["alsfrs_r"][-1], shown.high["alsfrs_r"][-1]
    weeks = shown.choices.weeks
    lines = [
        f"Homocysteine goes from {hcy0:.1f} to {hcy1:.1f} µmol/L in {weeks:g} weeks ({100 * (hcy1 / hcy0 - 1):+.1f} %).",
        f"ALSFRS-R goes from {shown.treated['alsfrs_r'][0]:.1f} to {score:.1f} points; without treatment to {without:.1f}.",
    ]
    gap = score - without
    if shown.choices.dose == 0:
        lines.append("There is no treatment in this scenario.")
    elif scenario.effect_sd:
        lines.append(
            f"The difference of {gap:.2f} points (range {low - without:.2f} to {high - without:.2f}) is the assumption “{scenario.title}” "
            "carried through the model, not a finding of the model."
        )
    else:
        lines.append(f"The difference is {gap:.2f} points under the assumption “{scenario.title}”.")
    return lines


def _assumed(choices: Choices, scenario: Scenario) -> list[str]:
    table = load().table
    half = math.log(2) / table["EFFECT_ke0"].value / 24
    size = (
        f"The drug slows the loss of motor units by {100 * scenario.effect:.0f} % at 50 mg twice a week over 16 weeks "
        f"(standard deviation {100 * (scenario.effect_sd or 0):.0f} %)."
        if scenario.effect
        else "There is no direct effect of the drug on motor neurons."
    )
    lines = [
        size,
        f"The loss rate follows homocysteine with an elasticity of {scenario.beta_hcy:g}.",
        f"A direct effect would follow the dose through an unseen site that fills with a half-time of {half:.0f} days. Nothing measured supports this.",
        "Everyone loses motor units at the median rate of the trials; real people differ far more than any treatment effect shown here.",
    ]
    if choices.weeks > 16:
        lines.append("After week 16 there are no controlled data: the curve is an extrapolation.")
    if choices.route != "im" and choices.dose > 1:
        lines.append("Doses above 1 mg by this route were not measured; absorption is assumed.")
    if choices.dose > 50:
        lines.append("Doses above 50 mg were not measured.")
    return lines
