"""What happens to a patient: a dose, or a parameter changed for a while."""

import math
from dataclasses import dataclass, field, replace
from numbers import Integral

from metabolism.dosing.formulary import Substance, substance
from metabolism.errors import InvalidRegimen, InvalidValue, UnitMismatch
from metabolism.units import magnitude

EXAMPLE = (
    "write e.g. '50 mg im every 3.5 d x 32', '400 ug folic acid oral daily for 12 weeks', '0.4 mg/d folic acid', "
    "'fasting from -12 h for 36 h' or 'enzyme CBS x 0.02 lifelong'"
)

#: Above this a dose is a slip of the pen [µg].
HEAVIEST = 1e9

#: Times that differ by less than this share are one time.
SAME_TIME = 1e-12


def clean(time: float) -> float:
    """Return a time [h] to 14 digits, so that the third of doses every 26.4 h falls at 52.8 h and not beside it.

    >>> clean(3 * 26.4)
    79.2
    """
    return float(f"{time:.14g}")


@dataclass(frozen=True, order=True)
class Dose:
    """One dose, or one repeated until the end of the run.

    Attributes
    ----------
    time : float
        [h]
    amount : float
        [µmol]
    substance, route : str
    duration : float
        Length of an infusion [h]; 0 for a bolus.
    every : float
        Interval at which it is repeated until the end of the run [h]; 0 if it is given once.
    said : str
        The words it was made from.

    Raises
    ------
    InvalidRegimen, UnknownName
    """

    time: float
    amount: float
    substance: str
    route: str
    duration: float = 0.0
    every: float = 0.0
    said: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        # checked here and not only in Regimen.of(), so that no hand-made dose reaches an engine unchecked
        chosen = substance(self.substance)
        object.__setattr__(self, "substance", chosen.name)
        if self.route not in (routes := chosen.routes):
            way = f"its routes are {', '.join(routes)}"
            if not routes:
                steady = f"write a steady supply: '1 g/d {chosen.name}'"
                way = steady if chosen.steady else "it is known for its molar mass alone"
            raise InvalidRegimen(f"{chosen.name} cannot be given '{self.route}'; {way}.")
        if not (math.isfinite(self.amount) and self.amount > 0):
            raise InvalidRegimen(f"the amount of a dose must be finite and above 0 umol, not {self.amount}; {EXAMPLE}.")
        if self.amount * chosen.molar_mass > HEAVIEST:
            kg = self.amount * chosen.molar_mass / 1e9
            raise InvalidRegimen(f"a dose of {kg:.3g} kg {chosen.name} is more than anybody can be given; {EXAMPLE}.")
        if not math.isfinite(self.time):
            raise InvalidRegimen(f"the start of a dose must be finite, not {self.time} h; {EXAMPLE}.")
        for name, value in (("duration", self.duration), ("interval", self.every)):
            if not (math.isfinite(value) and value >= 0):
                raise InvalidRegimen(f"the {name} of a dose must be finite and not negative, not {value} h; {EXAMPLE}.")
        if self.duration and not routes[self.route][1]:
            raise InvalidRegimen(
                f"only intravenous cobalamin can be infused over time, not {chosen.name} {self.route}; "
                "write e.g. '5 mg iv over 2 h'."
            )
        object.__setattr__(self, "time", clean(self.time))


def series(first: Dose, every: float, count: int | None) -> tuple[Dose, ...]:
    """Repeat a dose `count` times, or until the end of the run if `count` is None."""
    given: object = count
    if count is not None and not (isinstance(given, Integral) and 1 <= count <= 100_000):
        raise InvalidRegimen(f"a dose can be given 1 to 100000 times, a whole number, not {count!r}; {EXAMPLE}.")
    if count != 1 and every <= 0:
        raise InvalidRegimen(f"the interval between doses must be above 0, not {every:g} h; add e.g. every='3.5 d'.")
    if count is None:
        return (replace(first, every=every),)
    return tuple(replace(first, time=first.time + i * every) for i in range(count))


def read_amount(amount: float | str, chosen: Substance) -> float:
    """Return the amount of a dose [µmol] from a number [µmol] or a text with a mass or amount unit."""
    try:
        value = magnitude(amount, "umol", f"amount of {chosen.name}", chosen.molar_mass)
    except UnitMismatch as error:
        raise UnitMismatch(f"{error} Doses take a mass (mg, ug, g) or an amount (umol, nmol).") from None
    except InvalidValue as error:
        raise InvalidRegimen(f"{str(error).rstrip('.')}; {EXAMPLE}.") from None
    if value < 0:
        raise InvalidRegimen(f"the amount '{amount}' is negative; {EXAMPLE}.")
    if value == 0:
        raise InvalidRegimen("an amount of 0 is no dose; leave it out, or use no regimen for no treatment.")
    return value


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
    said : str
        The words it was made from.
    """

    parameter: str
    how: str
    value: float
    start: float = 0.0
    end: float = math.inf
    origin: str = ""
    said: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value >= 0):
            raise InvalidValue(f"{self.parameter} {self.how} {self.value}: the value must be finite and not negative.")
        if not self.start < self.end or self.how not in ("=", "x", "+"):
            span = f"{self.start:g} to {self.end:g} h"
            raise InvalidValue(
                f"the change of {self.parameter} from {span} must last longer than 0 h, and read '=', 'x' or '+'."
            )
        object.__setattr__(self, "start", clean(self.start))
        object.__setattr__(self, "end", clean(self.end))
