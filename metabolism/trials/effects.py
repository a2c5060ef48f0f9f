"""Effect scenarios: how large the drug effect is taken to be, and which path carries it.

Every virtual trial names its scenario. The homocysteine path follows from the model; the direct path is
scaled so that both together give the scenario's total reduction of the motor-unit loss rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from metabolism.data import models_dir
from metabolism.dosing import Regimen
from metabolism.errors import InvalidValue, UnknownName
from metabolism.model import Model
from metabolism.simulation import simulate
from metabolism.tables import read_table
from metabolism.trials.limits import WEEKS, inside

#: Regimen at which a scenario's total effect is defined.
REFERENCE_REGIMEN = "50 mg im every 3.5 d x 32"


#: The homocysteine path compares each patient with the resting homocysteine of that patient.
OWN_BASELINE = {"MN_hcy_ref": "hcy_plasma"}


_TYPICAL: dict[tuple[str, str, float, str, float], tuple[float, float]] = {}


@dataclass(frozen=True)
class Scenario:
    """One stated assumption about the drug effect.

    Attributes
    ----------
    effect : float or None
        Total reduction of the loss rate at 50 mg twice weekly, averaged over 16 weeks; None: no direct path.
    beta_hcy : float
        Elasticity of the loss rate to plasma homocysteine.
    uses_e0761 : bool
        Whether outcomes of E0761 entered it, so that it cannot predict that trial.
    """

    id: str
    title: str
    effect: float | None
    effect_sd: float | None
    beta_hcy: float
    source: str
    locator: str
    uses_e0761: bool
    note: str


def scenarios() -> dict[str, Scenario]:
    """Return the shipped scenarios of ``models/effect_scenarios.csv``."""
    columns = ("scenario", "title", "effect", "effect_sd", "beta_hcy", "source", "locator", "uses_e0761", "note")
    rows = read_table(models_dir() / "effect_scenarios.csv", columns)
    return {name: Scenario(name, **_typed(rest)) for name, rest in ((r.pop("scenario"), r) for r in rows)}


def _typed(row: dict[str, str]) -> dict[str, Any]:
    numbers = {k: float(row[k]) if row[k] else None for k in ("effect", "effect_sd", "beta_hcy")}
    return row | numbers | {"uses_e0761": row["uses_e0761"] == "yes"}


def with_scenario(
    model: Model, name: str, *, defined_at: Regimen | str = REFERENCE_REGIMEN, weeks: float = 16
) -> Model:
    """Return the model with the two effect paths set by a scenario.

    The scenario is defined once, at `REFERENCE_REGIMEN`; whatever regimen is simulated afterwards has the effect that
    follows from its own exposure.

    Parameters
    ----------
    name : str
        One of `scenarios`.
    defined_at : Regimen or str
        Another regimen at which the effect of the scenario is to hold: a different assumption, for experts.
    weeks : float
        Period over which that effect is averaged.

    Raises
    ------
    UnknownName
        If there is no such scenario.
    InvalidValue
        If the direct path would have to remove more than the whole loss.
    """
    known = scenarios()
    if name not in known:
        raise UnknownName("effect scenario", name, known)
    scenario = known[name]
    if scenario.effect is None:
        return model.with_values(MN_beta_hcy=scenario.beta_hcy, MN_Emax=0.0)
    emax = direct_maximum(model, scenario.effect, scenario.beta_hcy, defined_at, weeks)
    if not 0 <= emax <= 1:
        raise InvalidValue(
            f"for scenario '{name}' the direct path would have to remove {100 * emax:.0f} % of the loss at full "
            f"saturation to give {100 * scenario.effect:.0f} % at '{defined_at}', where MN_EC50 leaves it less; "
            "lower MN_EC50, or define the scenario at a larger exposure."
        )
    return model.with_values(MN_beta_hcy=scenario.beta_hcy, MN_Emax=emax)


def direct_maximum(
    model: Model, effect: float, beta_hcy: float, regimen: Regimen | str = REFERENCE_REGIMEN, weeks: float = 16
) -> float:
    """Maximum of the direct path at which a regimen's total effect in the typical patient is `effect`.

    The direct path is linear in its maximum: with r(t) the loss rate relative to baseline under the
    homocysteine path and s(t) the saturation of the effect site, the time average of
    ``r (1 - Emax s)`` equals ``1 - effect`` for ``Emax = (mean(r) - 1 + effect) / mean(r s)``.

    Unlike a scenario's, the result may lie outside 0-1 (a negative one means harm); the trial engine is linear in it.

    Parameters
    ----------
    effect : float
        Total reduction of the loss rate, averaged over `weeks` [fraction].
    beta_hcy : float
        Elasticity of the loss rate to plasma homocysteine.
    regimen : Regimen or str
        Where the effect holds.
    weeks : float
        Period over which it is averaged.
    """
    inside("effect", effect, "[-10, 1]")
    inside("beta_hcy", beta_hcy, "[0, 100]")
    inside("weeks", weeks, WEEKS)
    doses = Regimen.parse(regimen) if isinstance(regimen, str) else regimen
    key = (model.structure_hash, model.parameter_hash, beta_hcy, str(doses), weeks)
    if key not in _TYPICAL:
        _TYPICAL[key] = _typical_response(model, beta_hcy, doses, weeks)
    rate, product = _TYPICAL[key]
    return (rate - 1 + effect) / product


def scenario_maximum(model: Model, scenario: Scenario) -> float:
    """Maximum of the direct path of a scenario; 0 where homocysteine acts alone."""
    return 0.0 if scenario.effect is None else direct_maximum(model, scenario.effect, scenario.beta_hcy)


def _typical_response(model: Model, beta_hcy: float, regimen: Regimen, weeks: float) -> tuple[float, float]:
    """Time averages of r and r s in the typical patient [fraction]; see `direct_maximum`."""
    run = simulate(
        model.with_values(MN_beta_hcy=beta_hcy),
        regimen,
        f"{weeks} weeks",
        outputs=["effect_hcy", "cbl_effect"],
        patients={"MN_hcy_ref": [model.values["MN_hcy_ref"]]},
        own_baseline=OWN_BASELINE,
    )
    t, site = run.curves["time"], run.curves["cbl_effect"][0]
    rate = 1 - run.curves["effect_hcy"][0]
    saturation = site / (site + model.values["MN_EC50"])
    span = t[-1] - t[0]
    return float(np.trapezoid(rate, t) / span), float(np.trapezoid(rate * saturation, t) / span)
