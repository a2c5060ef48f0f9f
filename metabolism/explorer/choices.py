"""The explorer's choices: what can be chosen, between which limits, and how a URL or a page says it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

from metabolism.trials import scenarios


@dataclass(frozen=True)
class Number:
    """A control that takes a number between two limits."""

    label: str
    low: float
    high: float
    step: float
    help: str


@dataclass(frozen=True)
class Select:
    """A control that takes one of several named options."""

    label: str
    options: Mapping[str, str]
    help: str


@dataclass(frozen=True)
class Choices:
    """One scenario of the explorer; the defaults are the JETALS regimen.

    Attributes
    ----------
    dose : float
        Methylcobalamin per dose [mg]; 0 is no treatment.
    interval : str
        Days between doses.
    weeks : float
        Length of treatment and of the run [weeks].
    betaine : float
        Oral betaine [g/day].
    gfr : float
        Kidney function [% of normal].
    onset : float
        Time from onset to the first dose [months].
    """

    dose: float = 50.0
    interval: str = "3.5"
    route: str = "im"
    weeks: float = 16.0
    b12: str = "usual"
    b6: str = "usual"
    folate: str = "als"
    betaine: float = 0.0
    mthfr: str = "cc"
    gfr: float = 100.0
    onset: float = 12.0
    mechanism: str = "pooled"
    against: str = "before"

    def query(self) -> str:
        """Return the choices as the query part of a URL, without those at their default."""
        default = Choices()
        changed = {k: v for k, v in asdict(self).items() if v != getattr(default, k)}
        return urlencode({k: f"{v:g}" if isinstance(v, float) else v for k, v in changed.items()})


def controls() -> dict[str, Number | Select]:
    """Return every control of the page by the name of its choice."""
    return {
        "dose": Number(
            "Dose of methylcobalamin [mg]", 0, 100, 5, "0 means no treatment. The trials used 25 and 50 mg."
        ),
        "interval": Select(
            "Time between doses",
            {
                "1": "every day",
                "2": "every 2 days",
                "3.5": "twice a week",
                "7": "every week",
                "14": "every 2 weeks",
                "28": "every 4 weeks",
            },
            "The trials gave two doses a week.",
        ),
        "route": Select(
            "Route",
            {"im": "into muscle", "sc": "under the skin", "iv": "into a vein", "oral": "by mouth"},
            "Under the skin is taken to absorb like an injection into muscle.",
        ),
        "weeks": Number("Weeks of treatment", 1, 52, 1, "The trial lasted 16 weeks; longer runs go beyond the data."),
        "b12": Select(
            "Vitamin B12 before treatment",
            {"usual": "usual", "deficient": "deficient"},
            "Deficient: diet absorption cut to about 12 %.",
        ),
        "b6": Select(
            "Vitamin B6",
            {"usual": "usual", "deficient": "deficient", "supplement": "supplement, 50 mg pyridoxine a day"},
            "Deficient: a diet with a third of the usual intake.",
        ),
        "folate": Select(
            "Folate",
            {
                "als": "as measured in people with ALS",
                "reference": "healthy reference",
                "supplement": "supplement, 0.8 mg folic acid a day",
            },
            "Supplement: on top of the level measured in people with ALS.",
        ),
        "betaine": Number("Betaine by mouth [g a day]", 0, 10, 0.5, "0 means none."),
        "mthfr": Select(
            "MTHFR genotype",
            {"cc": "677CC (usual)", "tt": "677TT"},
            "677TT weakens the enzyme that makes 5-methyl-THF.",
        ),
        "gfr": Number(
            "Kidney function [% of normal]", 10, 150, 5, "Glomerular filtration relative to a healthy adult."
        ),
        "onset": Number(
            "Months since first symptom", 0, 48, 1, "Sets how many motor units are left at the first dose."
        ),
        "mechanism": Select(
            "Assumed effect on the disease",
            {s.id: s.title for s in scenarios().values()},
            "How large the drug effect is, and by which path, is not known. Choose an assumption.",
        ),
        "against": Select(
            "Compare the flux map with",
            {"before": "this person before treatment", "healthy": "a healthy person at rest"},
            "Decides the colours of the flux map.",
        ),
    }


def parse(given: Mapping[str, Any], keep: Choices | None = None) -> tuple[Choices, list[str]]:
    """Check choices from a URL or the page; a wrong one is replaced and gives a line of text.

    Parameters
    ----------
    given : mapping
        Name of a choice to its value, as text or number.
    keep : Choices, optional
        What replaces a wrong value: the last good choices, or the defaults.

    Returns
    -------
    choices : Choices
    problems : list of str
        One sentence per value that was refused.
    """
    known = controls()
    good: dict[str, Any] = {}
    problems: list[str] = []
    default = keep or Choices()
    for name, value in given.items():
        control = known.get(name)
        if control is None:
            problems.append(f"There is no setting “{_shown(name)}”; it was left out.")
        elif isinstance(control, Select):
            if value in control.options:
                good[name] = value
            else:
                problems.append(
                    f"{control.label}: “{_shown(value)}” is not an option; “{control.options[getattr(default, name)]}” is used."
                )
        else:
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = math.nan
            if control.low <= number <= control.high:
                good[name] = number
            else:
                problems.append(
                    f"{control.label}: “{_shown(value)}” is not a number from {control.low:g} to {control.high:g}; "
                    f"{getattr(default, name):g} is used."
                )
    return replace(default, **good), problems


def _shown(value: object) -> str:
    text = "empty" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def choice_names() -> list[str]:
    """Return the names of all choices, in the order of the page."""
    return [f.name for f in fields(Choices)]
