"""What happens to a patient: a dose, an exposure, a held parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metabolism.dosing.formulary import Substance, substance
from metabolism.errors import InvalidRegimen, InvalidValue, UnitMismatch
from metabolism.units import magnitude


@dataclass(frozen=True, order=True)
class Dose:
    """One dose: time [h], amount [µmol], substance, route, and duration of an infusion [h] (0 = bolus).

    Raises
    ------
    InvalidRegimen, UnknownName
    """

    time: float
    amount: float
    substance: str
    route: str
    duration: float = 0.0

    def __post_init__(self) -> None:
        # checked here and not only in Regimen.of(), so that no hand-made dose reaches an engine unchecked
        chosen = substance(self.substance)
        object.__setattr__(self, "substance", chosen.name)
        if self.route not in chosen.routes:
            routes = ", ".join(chosen.routes)
            raise InvalidRegimen(f"{chosen.name} cannot be given '{self.route}'; its routes are {routes}.")
        if not (math.isfinite(self.amount) and self.amount > 0):
            raise InvalidRegimen(f"the amount of a dose must be finite and above 0 umol, not {self.amount}; {EXAMPLE}.")
        for name, value in (("start", self.time), ("duration", self.duration)):
            if not (math.isfinite(value) and value >= 0):
                raise InvalidRegimen(f"the {name} of a dose must be finite and not negative, not {value} h; {EXAMPLE}.")
        if self.duration and not all(rate for _, _, rate in chosen.routes[self.route]):
            raise InvalidRegimen(
                f"only intravenous cobalamin can be infused over time, not {chosen.name} {self.route}; "
                "write e.g. '5 mg iv over 2 h'."
            )


@dataclass(frozen=True, order=True)
class Exposure:
    """A parameter held at a value [model units] from `start` to `end` [h], e.g. nitrous oxide."""

    parameter: str
    value: float
    start: float
    end: float


def _amount(amount: float | str, chosen: Substance) -> float:
    try:
        value = magnitude(amount, "umol", f"amount of {chosen.name}", chosen.molar_mass)
    except UnitMismatch as error:
        raise UnitMismatch(f"{error} Doses take a mass (mg, ug, g) or an amount (umol, nmol).") from None
    except InvalidValue:
        raise InvalidRegimen(f"the amount '{amount}' is not a finite number; {EXAMPLE}.") from None
    if value < 0:
        raise InvalidRegimen(f"the amount '{amount}' is negative; {EXAMPLE}.")
    if value == 0:
        raise InvalidRegimen("an amount of 0 is no dose; leave it out, or use no regimen for no treatment.")
    return value


EXAMPLE = "write e.g. '50 mg im every 3.5 d x 32' or '400 ug folic acid oral daily x 84'"


#: A steady supply of a substance is added to this input [umol/h]. Cobalamin and riboflavin are left out: what is
#: absorbed of them is not what is swallowed, so they are given as doses.
SUPPLY = {
    "folic acid": "FOLATE_DIET_rate",
    "pyridoxine": "B6_DIET_rate",
    "betaine": "BETAINE_DIET_rate",
    "choline": "CHOLINE_DIET_rate",
    "phosphatidylcholine": "CHOLINE_DIET_rate",
    "methionine": "MET_DIET_rate",
    "levodopa": "LEVODOPA_rate",
}


@dataclass(frozen=True)
class Hold:
    """A parameter changed from `start` to `end` [h]; ``start = -inf`` is before the resting state, for life.

    Attributes
    ----------
    how : {"=", "x", "+"}
        Replace the patient's value, multiply it, or add to it.
    value : float
        [unit of the parameter], or a factor.
    origin : str
        Name of the parameter set the value came from, if any.
    """

    parameter: str
    how: str
    value: float
    start: float = 0.0
    end: float = math.inf
    origin: str = ""
