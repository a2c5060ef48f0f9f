"""Parts of a trial design, each of which refuses what it cannot mean; contradictions between them are the design's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metabolism.dosing import Regimen
from metabolism.errors import UnknownName
from metabolism.trials.boundaries import EFFICACY, SPENDING, efficacy_bounds, futility_bounds
from metabolism.trials.disease import HOURS_PER_MONTH, HOURS_PER_WEEK
from metabolism.trials.limits import WEEKS, refuse, within


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes
    ----------
    regimen : str or None
        Doses counted from randomisation; none for placebo. ``from 16 weeks`` in it delays the start.
    ratio : int
        Share of patients relative to the other arms.
    loss_reduction : float
        Reduction of the loss rate by a comparator that the model does not represent, such as edaravone [fraction].
    patients : int or None
        The arm closes when it has so many; the design's total decides without.
    enters : float
        When the arm opens [months after the first].
    from_week, until_week : float, float or None
        When `loss_reduction` acts [weeks after randomisation].
    """

    name: str
    regimen: str | None = None
    ratio: int = 1
    loss_reduction: float = 0.0
    patients: int | None = None
    enters: float = 0.0
    from_week: float = 0.0
    until_week: float | None = None

    def __post_init__(self) -> None:
        who = f"arm '{self.name}'"
        limits = {"ratio": "whole [1, 100]", "loss_reduction": "[0, 1)", "patients": "whole [2, 100000]"}
        limits |= {"enters": "[0, 600] months", "from_week": "[0, 1040] weeks", "until_week": WEEKS}
        within(self, limits, f"{who}: ")
        if self.regimen is not None:
            Regimen.parse(self.regimen)
        refuse(
            self.windowed and not self.loss_reduction,
            f"{who}: from_week and until_week time a loss_reduction; a regimen says it itself, '... from 16 weeks' or "
            "'... x 32'.",
        )
        refuse(
            not 0 <= self.from_week < (math.inf if self.until_week is None else self.until_week),
            f"{who} is treated from week {self.from_week:g} until week {self.until_week}: never.",
        )

    @property
    def windowed(self) -> bool:
        """Whether its comparator acts during a part of the trial only."""
        return self.from_week > 0 or self.until_week is not None

    @property
    def treated(self) -> bool:
        """Whether anything is given in it."""
        return self.regimen is not None or self.loss_reduction > 0


@dataclass(frozen=True)
class RunIn:
    """An observation period that selects patients by how much they fall in it.

    Attributes
    ----------
    weeks : float
        Length of the observation.
    onset_limit : float
        Longest time from onset to the start of observation [months].
    drop : tuple of int
        Smallest and largest accepted fall of ALSFRS-R [points].
    floor : int
        Lowest accepted ALSFRS-R at baseline [points].
    """

    weeks: float
    onset_limit: float
    drop: tuple[int, int]
    floor: int

    def __post_init__(self) -> None:
        limits = {"weeks": "[0, 104] weeks", "onset_limit": "(0, 1200] months"}
        within(self, limits | {"drop": "[-48, 48] points", "floor": "[0, 48] points"}, "observation: ")
        low, high = self.drop
        refuse(low > high, f"the run-in window {low:g} to {high:g} points is empty.")
        refuse(self.weeks == 0 and (low > 0 or high < 0), "a run-in window needs an observation period above 0 weeks.")


#: The observation period of JETALS (Oki2022): at most 12 months from onset, a fall of 1-2 points.
JETALS_RUN_IN = RunIn(weeks=12, onset_limit=12, drop=(1, 2), floor=36)


@dataclass(frozen=True)
class Accrual:
    """How patients arrive: a Poisson process, at centres that differ.

    Attributes
    ----------
    per_month : float
        Patients randomised per month once all centres recruit.
    ramp_months : float
        The rate rises linearly from 0 over so many months.
    centres : int or None
        Number of centres; they recruit at unequal rates (exponentially distributed).
    centre_sd : float
        SD between centres of the logarithm of the loss rate.
    """

    per_month: float
    ramp_months: float = 0.0
    centres: int | None = None
    centre_sd: float = 0.0

    def __post_init__(self) -> None:
        limits = {"per_month": "(0, 10000] patients", "ramp_months": "[0, 120] months", "centres": "whole [1, 10000]"}
        within(self, limits | {"centre_sd": "[0, 2)"}, "accrual: ")
        refuse(self.centre_sd > 0 and self.centres is None, "centre_sd needs a number of centres.")


@dataclass(frozen=True)
class Looks:
    """When the data are looked at, and what stops an arm.

    Attributes
    ----------
    at : tuple of float
        Information fractions: the share of an arm's patients who had their last visit, or of its events.
    efficacy : str
        One of `metabolism.trials.boundaries.EFFICACY`.
    futility : tuple of float, str or None
        One z for each look before the end, or the name of a spending function for the error of the second kind.
    power : float
        The power at which that error is 1 - power.
    events : int or None
        Events of an arm and its controls at the end, for survival.
    decide : str or None
        Analysis of the looks before the end; the primary one by default. Another one can stop for futility only.
    week : float or None
        Visit after which a patient counts at a look before the end; the last by default.
    alpha : float
        One-sided level, of the design or of each arm.
    multiplicity : str
        ``bonferroni`` divides `alpha` by the number of active arms, ``none`` gives it to each.
    """

    at: tuple[float, ...] = (1.0,)
    efficacy: str = "none"
    futility: tuple[float, ...] | str | None = None
    power: float = 0.8
    events: int | None = None
    decide: str | None = None
    week: float | None = None
    alpha: float = 0.025
    multiplicity: str = "bonferroni"

    def __post_init__(self) -> None:
        limits = {"at": "(0, 1] of the information", "power": "[0.5, 1)", "events": "whole [5, 100000]", "week": WEEKS}
        limits |= {"alpha": "(0, 0.5), one-sided"}
        within(self, limits if isinstance(self.futility, str) else limits | {"futility": "(-10, 10)"}, "looks: ")
        early = len(self.at) - 1
        if self.efficacy not in EFFICACY:
            raise UnknownName("efficacy boundary", self.efficacy, EFFICACY)
        if isinstance(self.futility, str) and self.futility not in SPENDING:
            raise UnknownName("futility boundary", self.futility, SPENDING, "Or give one z for each look but the last.")
        if self.multiplicity not in ("bonferroni", "none"):
            raise UnknownName("multiplicity", self.multiplicity, ("bonferroni", "none"))
        refuse(
            early > 0 and self.efficacy == "none" and self.futility is None,
            f"{early + 1} looks that can stop nothing; give efficacy or futility, or leave at = [1].",
        )
        refuse(early == 0 and self.futility is not None, "futility needs a look before the end.")
        refuse(
            isinstance(self.futility, tuple) and len(self.futility) != early,
            f"{early + 1} looks need {early} futility boundaries, one for each but the last, not {self.futility}.",
        )
        for k, (high, low) in enumerate(zip(*self.bounds(1), strict=True)):
            refuse(
                k < early and low >= high,
                f"look {k + 1} would stop below z = {low:.2f} for futility and above {high:.2f} for efficacy: always.",
            )

    def fit(self, primary: str, visits: tuple[float, ...], patients: int) -> None:
        """Refuse what contradicts the rest of a design."""
        early = len(self.at) > 1
        refuse(
            self.decide not in (None, primary) and self.efficacy != "none",
            f"looks that decide by '{self.decide}' cannot show efficacy of '{primary}'; leave efficacy out.",
        )
        refuse(self.decide is not None and not early, "looks: decide needs a look before the end.")
        refuse(
            primary != "survival" and self.events is not None,
            f"looks count events = {self.events}, which '{primary}' has not; leave it out, or make survival primary.",
        )
        refuse(
            primary == "survival" and early and self.decide in (None, primary) and self.events is None,
            "looks at survival come at shares of its events; give events.",
        )
        refuse(
            self.events is not None and self.events >= patients,
            f"{self.events} events cannot happen to {patients} patients; give fewer.",
        )
        refuse(
            self.week is not None and self.week not in visits,
            f"looks count patients after week {self.week}, which is no visit; visits are {list(visits)}.",
        )
        refuse(
            self.week is not None and self.events is not None and self.decide in (None, primary),
            "looks at survival come at shares of its events, not after a week; leave week out.",
        )

    def level(self, arms: int) -> float:
        """One-sided level of each of several active arms."""
        return self.alpha / arms if self.multiplicity == "bonferroni" else self.alpha

    def bounds(self, arms: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Boundaries for efficacy and for futility, of each of several active arms [z]."""
        upper = efficacy_bounds(self.at, self.efficacy, self.level(arms))
        if self.futility is None:
            return upper, (*[-math.inf] * (len(self.at) - 1), upper[-1])
        if isinstance(self.futility, str):
            return upper, futility_bounds(self.at, upper, self.futility, 1 - self.power)
        return upper, (*self.futility, upper[-1])


@dataclass(frozen=True)
class Withdrawal:
    """Randomised withdrawal: all arms are treated alike until a visit, which then is the baseline.

    Attributes
    ----------
    week : float
        The visit.
    drop : tuple of float
        Smallest and largest accepted fall of ALSFRS-R until then; others are not randomised [points].
    """

    week: float
    drop: tuple[float, float] = (-48.0, 48.0)

    def __post_init__(self) -> None:
        within(self, {"week": WEEKS, "drop": "[-48, 48] points"}, "withdrawal: ")
        refuse(self.drop[0] > self.drop[1], f"the withdrawal's window {self.drop[0]:g} to {self.drop[1]:g} is empty.")

    def fit(self, arms: tuple[Arm, ...], visits: tuple[float, ...], looks: Looks | None) -> None:
        """Refuse what contradicts the rest of a design."""
        refuse(
            self.week not in visits[:-1],
            f"the withdrawal at week {self.week:g} is no visit before the last; visits are {list(visits)}.",
        )
        refuse(looks is not None and len(looks.at) > 1, "a withdrawal has no looks before the end; leave looks out.")
        stops = []
        for arm in arms:
            refuse(not arm.treated or arm.from_week > 0, f"arm '{arm.name}' has no treatment that it could go on with.")
            end = arm.until_week if arm.until_week is not None else math.inf
            if arm.regimen is not None:
                end = max(d.time for d in Regimen.parse(arm.regimen).until(visits[-1] * HOURS_PER_WEEK).doses)
                # the last dose before the visit lies one interval before it
                end = self.week if end < self.week * HOURS_PER_WEEK else math.inf
            refuse(end < self.week, f"arm '{arm.name}' ends in week {end:g}, before the withdrawal in {self.week:g}.")
            stops.append(end == self.week)
        refuse(
            all(stops) or not any(stops),
            f"{'every' if all(stops) else 'no'} arm stops at the withdrawal in week {self.week:g}; some must stop "
            "there (until_week, or a shorter regimen) and some go on.",
        )


@dataclass(frozen=True)
class Enrichment:
    """Adaptive enrichment: one look decides who is recruited from then on, everybody, a part of them, or nobody.

    Attributes
    ----------
    column : str
        What the part is defined by, one of `metabolism.trials.design.RANGES`.
    part : tuple of float
        Smallest and largest value of those in the part.
    at : float
        The look comes when this share of all patients had its visit `week`.
    week : float
        A visit [weeks].
    everybody : float
        From this z of everybody on, everybody is recruited further.
    narrow : float
        Else, from this z of the part on, the part alone; else nobody.
    alpha : float
        One-sided level of the closed test of everybody and of the part.
    """

    column: str
    part: tuple[float, float]
    at: float = 0.5
    week: float = 12.0
    everybody: float = 0.5
    narrow: float = 0.0
    alpha: float = 0.025

    def __post_init__(self) -> None:
        limits = {"at": "(0, 1)", "week": WEEKS, "everybody": "(-10, 10)", "narrow": "(-10, 10)"}
        within(self, limits | {"part": "[-1e6, 1e6]", "alpha": "(0, 0.5), one-sided"}, "enrichment: ")
        refuse(self.part[0] >= self.part[1], f"enrichment: part = {self.part} is no range.")

    def first(self, patients: int, per_month: float) -> float:
        """Share of the patients who are randomised before the look, as expected; it weighs both stages of the test."""
        return self.at + per_month * self.week * HOURS_PER_WEEK / HOURS_PER_MONTH / patients


def fit_arms(arms: tuple[Arm, ...], control: int, patients: int, visits: tuple[float, ...], share: str) -> None:
    """Refuse arms that contradict each other, the total or the visits."""
    active = [a for i, a in enumerate(arms) if i != control]
    end = visits[-1] * HOURS_PER_WEEK
    for arm in arms:
        late = [] if arm.regimen is None else [d.time for d in Regimen.parse(arm.regimen).doses if d.time > end]
        refuse(
            bool(late),
            f"arm '{arm.name}' is given '{arm.regimen}', of which {len(late)} dose{'s' * (len(late) > 1)} would come "
            f"after the last visit in week {visits[-1]:g}; give fewer, or add visits.",
        )
        refuse(
            max(arm.from_week, 0 if arm.until_week is None else arm.until_week) >= visits[-1],
            f"arm '{arm.name}' changes treatment at or after the last visit, week {visits[-1]:g}: nobody would see it.",
        )
    one, capped = arms[control], [a for a in active if a.patients is not None]
    refuse(
        one.patients is not None or one.enters > 0,
        f"the control '{one.name}' is shared: it opens first and closes last; leave its patients and enters out.",
    )
    refuse(
        0 < len(capped) < len(active),
        f"{len(capped)} of {len(active)} active arms state their patients; all must, or none.",
    )
    later = [a.name for a in active if a.enters > 0]
    refuse(bool(later) and not capped, f"arm '{later[0] if later else ''}' enters later and needs patients of its own.")
    refuse(
        bool(active) and all(a.enters > 0 for a in active), "no active arm is open at the start; let one enter at 0."
    )
    needed = sum(a.patients or 0 for a in active)
    most = needed + sum(math.ceil((a.patients or 0) * one.ratio / a.ratio) for a in active)
    least = needed + max((math.ceil((a.patients or 0) * one.ratio / a.ratio) for a in active), default=0)
    refuse(
        bool(capped) and not least <= patients <= most,
        f"patients = {patients} contradicts the arms, whose numbers and ratios make {least} to {most}; leave it out.",
    )
    refuse(
        share == "per arm" and len(active) > 1 and not capped,
        "a control share per arm is for arms with patients of their own; give them, or a ratio of the control.",
    )
