"""Trial designs: small declarative files, read with every mistake named before anything runs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from metabolism.errors import InvalidValue, UnknownName
from metabolism.trials.disease import HOURS_PER_WEEK
from metabolism.trials.limits import WEEKS, inside, within
from metabolism.trials.patients import PLAUSIBLE
from metabolism.trials.prognosis import Marker, Risk
from metabolism.trials.sections import (
    Accrual,
    Arm,
    Enrichment,
    Looks,
    RunIn,
    Withdrawal,
    fit_arms,
)

#: Analyses, with the estimand (ICH E9 R1) of each: its strategy for death and leaving, and what a positive value is.
ANALYSES = {
    "mmrm": ("hypothetical", "difference of mean change at the last visit had nobody died or left [points]"),
    "proportional": ("hypothetical", "relative reduction of the mean decline had nobody died or left [fraction]"),
    "ancova": ("while alive", "difference of mean change at the last visit seen [points]"),
    "slope": ("while alive", "difference of mean slope over the visits seen [points/month]"),
    "joint_rate": ("while alive", "difference of mean rate of decline, deaths informing it [points/month]"),
    "jump_to_reference": ("treatment policy", "difference of mean change, leavers at once as control [points]"),
    "copy_reference": ("treatment policy", "difference of mean change, leavers as control all along [points]"),
    "copy_increments": ("treatment policy", "difference of mean change, leavers falling as control [points]"),
    "responder": ("composite", "difference of share that fell little, a death being a failure [fraction]"),
    "cafs": ("composite", "difference of mean rank of function and survival, a death ranking last [ranks]"),
    "win_ratio": ("composite", "log ratio of wins to losses among all pairs, death before function"),
    "win_ratio_stratified": ("composite", "log ratio of wins to losses within strata, death first"),
    "net_benefit": ("composite", "share of pairs won less share lost, death before function [fraction]"),
    "bayes_rate": ("composite", "relative reduction of decline and hazard by one ratio, posterior mean [fraction]"),
    "survival": ("treatment policy", "lower log hazard of death or full ventilation"),
    "nfl": ("while alive", "difference of mean ln NfL at the last visit seen"),
}


#: Columns that can limit eligibility, and what they can be.
RANGES = {k: v for k, v in PLAUSIBLE.items() if k != "height"} | {
    "weight": (15.0, 250.0),
    "onset_months": (0.0, 1200.0),
    "entry_rating": (0.0, 48.0),
    "baseline_rating": (0.0, 48.0),
    "drop": (-48.0, 48.0),
    "pre_slope": (0.0, 480.0),
    "risk_profile": (-20.0, 20.0),
    "nfl": (0.0, 100_000.0),
}


#: Columns that can stratify a randomisation.
STRATA = ("drop", "onset", "male", "riluzole", "genotype", "centre")


#: What each number of a design can be.
LIMITS = {
    "patients": "whole [2, 100000]",
    "visits": WEEKS,
    "block": "whole [1, 10000]",
    "window_days": "[0, 90] days",
    "missed_doses": "[0, 1)",
    "missing_visits": "[0, 1)",
    "drop_out": "[0, 1) per month",
    "drop_out_slope": "[-5, 5] per lost 10 points",
    "edaravone": "[0, 1)",
    "early_share": "(0, 1)",
    "responder_points": "[-48, 48] points",
}


@dataclass(frozen=True)
class Design:
    """A trial.

    Attributes
    ----------
    patients : int
        Number randomised.
    observation : RunIn
        Period before randomisation, and how it selects.
    entry : dict of str to float
        Distribution of ALSFRS-R before selection, where it is not the cohort's: ``mean``, ``sd``, ``low``, ``high`` of
        a truncated normal [points].
    eligibility : dict of str to (low, high)
        Further ranges, on columns of `RANGES`.
    strata : tuple of str
        Columns within whose combinations permuted blocks are used.
    block : int
        Block length in multiples of the sum of the ratios.
    visits : tuple of float
        Planned visits after randomisation [weeks].
    window_days : float
        Actual visits fall uniformly within this many days of the plan.
    missed_doses, missing_visits : float
        Probabilities.
    drop_out : float
        Rate of leaving for other reasons, at the score of randomisation [1/month].
    drop_out_slope : float
        Rise of the log rate of leaving per lost 10 points; 0: leaving has nothing to do with the disease.
    trial_effect : bool
        Whether each replicate draws a trial-wide factor on the loss rates (``COHORT_k_omega_trial``).
    edaravone : float
        Share of patients, in every arm, on background edaravone (``COHORT_edaravone_effect``).
    primary : str
        One of `ANALYSES`; the first arm without regimen and without loss reduction is the control, or the first arm.
    estimand : str or None
        Must be that of the primary analysis. Saying ``"hypothetical"`` accepts a mixed model where many die.
    early_share : float or None
        Share of patients nearest to onset, a subgroup whose survival is analysed as well [fraction].
    responder_points : float
        A fall of at most this many points makes a responder.
    control_share : str
        ``fixed``: the control has its ratio; ``per arm``: its ratio for every active arm that is open.
    accrual, looks, withdrawal, risk, marker, enrichment : optional
        Arrival of patients, interim looks, randomised withdrawal, risk score of entry, neurofilament light, and a look
        that may narrow whom the trial recruits.
    """

    id: str
    title: str
    source: str
    patients: int
    arms: tuple[Arm, ...]
    observation: RunIn
    visits: tuple[float, ...]
    entry: Mapping[str, float] = dataclasses.field(default_factory=dict)
    eligibility: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    strata: tuple[str, ...] = ()
    block: int = 2
    window_days: float = 0.0
    missed_doses: float = 0.0
    missing_visits: float = 0.0
    drop_out: float = 0.0
    drop_out_slope: float = 0.0
    trial_effect: bool = True
    edaravone: float = 0.0
    primary: str = "mmrm"
    estimand: str | None = None
    early_share: float | None = None
    responder_points: float = 1.0
    control_share: str = "fixed"
    accrual: Accrual | None = None
    looks: Looks | None = None
    withdrawal: Withdrawal | None = None
    risk: Risk | None = None
    marker: Marker | None = None
    enrichment: Enrichment | None = None

    def __post_init__(self) -> None:
        _validate(self)

    @property
    def hours(self) -> float:
        """Length of treatment, with the last visit's window [h]."""
        return self.visits[-1] * HOURS_PER_WEEK + self.window_days * 24

    @property
    def control(self) -> int:
        """Index of the control arm."""
        return next((i for i, a in enumerate(self.arms) if not a.treated), 0)

    @property
    def active(self) -> list[str]:
        """Names of the arms that are compared with the control."""
        return [a.name for i, a in enumerate(self.arms) if i != self.control]

    @property
    def asked_risk(self) -> Risk | None:
        """Risk score that limits entry, if one does."""
        return (self.risk or Risk()) if "risk_profile" in self.eligibility else None

    def planned(self, arm: int) -> int:
        """Patients that an arm is to have."""
        one = self.arms[arm]
        return one.patients or round(self.patients * one.ratio / sum(a.ratio for a in self.arms))

    def pair(self, arm: int) -> Design:
        """The comparison of one active arm with the control, as a trial of two arms without looks."""
        two = tuple(dataclasses.replace(self.arms[i], patients=None, enters=0.0) for i in (self.control, arm))
        return self.changed(arms=two, looks=None, withdrawal=None, enrichment=None, control_share="fixed")

    def after(self, visits: tuple[float, ...]) -> Design:
        """The rest of a withdrawal trial, with its remaining visits; treatments have happened and are not described."""
        arms = tuple(Arm(a.name, ratio=a.ratio) for a in self.arms)
        return self.changed(visits=visits, arms=arms, withdrawal=None)

    def changed(self, **values: Any) -> Design:
        """Return a copy with some attributes changed, checked again."""
        return dataclasses.replace(self, **values)

    def text(self) -> str:
        """Return the design as stable JSON, for hashes and manifests."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def _validate(d: Design) -> None:
    def refuse(condition: bool, text: str) -> None:
        if condition:
            raise InvalidValue(f"design '{d.id}': {text}")

    names = [a.name for a in d.arms]
    refuse(not d.arms, "there is no arm; add [[arm]].")
    refuse(len(set(names)) < len(names), f"two arms share a name: {', '.join(names)}.")
    within(d, LIMITS, f"design '{d.id}': ")
    share = min(a.ratio for a in d.arms) / sum(a.ratio for a in d.arms)
    refuse(d.patients * share < 2, f"{d.patients} patients leave an arm with fewer than 2.")
    refuse(
        not d.visits or any(b <= a for a, b in pairwise(d.visits)),
        f"visits {list(d.visits)} must rise from above 0 weeks.",
    )
    gap = min(b - a for a, b in pairwise((0.0, *d.visits)))
    refuse(
        d.window_days * 2 >= gap * 7,
        f"a window of +/- {d.window_days:g} days does not fit visits {gap:g} weeks apart.",
    )
    watch = d.observation
    for name, value in d.entry.items():
        inside(name, value, "(0, 48] points" if name == "sd" else "[0, 48] points", f"design '{d.id}': entry ")
    least, most = d.entry.get("low", 0.0), d.entry.get("high", 48.0)
    refuse(least >= most, f"entry scores from {least:g} to {most:g} must rise within 0-48 points.")
    mean = d.entry.get("mean", (least + most) / 2)
    refuse(not least <= mean <= most, f"entry mean {mean:g} lies outside its limits {least:g} to {most:g}.")
    refuse(watch.floor > most, f"the floor of {watch.floor} points excludes everybody: entry ends at {most:g}.")
    for column, (a, b) in d.eligibility.items():
        if column not in RANGES:
            raise UnknownName(f"eligibility column of design '{d.id}'", column, RANGES)
        refuse(not a <= b, f"eligibility {column} from {a:g} to {b:g} contradicts itself.")
        least, most = RANGES[column]
        refuse(
            b < least or a > most,
            f"eligibility {column} {a:g}-{b:g} lies outside the plausible {least:g}-{most:g}.",
        )
    limit = d.eligibility.get("onset_months", (0.0, math.inf))[0]
    refuse(
        limit > watch.onset_limit,
        f"onset_months from {limit:g} contradicts the onset limit of {watch.onset_limit:g} months.",
    )
    least_fall, most_fall = watch.drop
    for column, low, high in (
        ("baseline_rating", watch.floor, 48),
        ("entry_rating", watch.floor + least_fall, 48),
        ("drop", least_fall, most_fall),
    ):
        a, b = d.eligibility.get(column, (low, high))
        refuse(
            b < low or a > high,
            f"{column} from {a:g} to {b:g} contradicts the observation period, which leaves {low:g} to {high:g}.",
        )
    for column in d.strata:
        if column not in STRATA:
            raise UnknownName(f"stratum of design '{d.id}'", column, STRATA)
    length = d.block * sum(a.ratio for a in d.arms)
    refuse(length > d.patients, f"a block of {length} is longer than the trial of {d.patients}; lower block or ratios.")
    refuse(not isinstance(d.trial_effect, bool), f"trial_effect = {d.trial_effect} must be true or false.")
    refuse(d.drop_out_slope != 0 and d.drop_out == 0, "drop_out_slope without drop_out lets nobody leave.")
    if d.primary not in ANALYSES:
        raise UnknownName("analysis", d.primary, ANALYSES)
    own = ANALYSES[d.primary][0]
    refuse(d.estimand not in (None, own), f"the estimand of '{d.primary}' is '{own}', not '{d.estimand}'.")
    if d.control_share not in ("fixed", "per arm"):
        raise UnknownName(f"control share of design '{d.id}'", d.control_share, ("fixed", "per arm"))
    try:
        fit_arms(d.arms, d.control, d.patients, d.visits, d.control_share)
        if d.looks:
            d.looks.fit(d.primary, d.visits, d.patients)
        if d.withdrawal:
            d.withdrawal.fit(d.arms, d.visits, d.looks)
    except InvalidValue as error:
        raise InvalidValue(f"design '{d.id}': {error}") from None
    early = d.looks.decide if d.looks else None
    if early is not None and early not in ANALYSES:
        raise UnknownName("analysis", early, ANALYSES)
    refuse(
        d.accrual is None and (d.looks is not None or any(a.patients or a.enters for a in d.arms)),
        "when arms open, close and are looked at hangs on how fast patients arrive; give accrual = { per_month = 10 }.",
    )
    if d.accrual:
        years = (d.patients / d.accrual.per_month + d.accrual.ramp_months / 2) / 12
        refuse(years > 50, f"{d.patients} patients at {d.accrual.per_month:g} per month take {years:.0f} years.")
        refuse((d.accrual.centres or 0) > d.patients, f"{d.accrual.centres} centres have {d.patients} patients.")
    refuse("centre" in d.strata and not (d.accrual and d.accrual.centres), "the stratum centre needs accrual.centres.")
    refuse(d.risk is not None and "risk_profile" not in d.eligibility, "risk is of no use without a risk_profile.")
    narrow = d.enrichment
    if narrow is not None:
        if narrow.column not in RANGES:
            raise UnknownName(f"enrichment column of design '{d.id}'", narrow.column, RANGES)
        refuse(
            len(d.arms) != 2 or d.looks is not None or d.withdrawal is not None or any(a.patients for a in d.arms),
            "an enrichment has two arms and decides itself; leave looks, withdrawal and patients of arms out.",
        )
        refuse(narrow.week not in d.visits, f"the enrichment looks at week {narrow.week:g}, which is no visit.")
        if d.accrual is None:
            refuse(True, "an enrichment hangs on how fast patients arrive; give accrual = { per_month = 10 }.")
        else:
            share = narrow.first(d.patients, d.accrual.per_month)
            refuse(
                share > 0.9,
                f"{100 * min(share, 1):.0f} % of the patients are in when the enrichment looks: hardly anybody is left "
                "to choose. Look earlier, or recruit more slowly.",
            )
    asked = "nfl" in (d.primary, early, narrow and narrow.column, *d.eligibility)
    refuse(asked and d.marker is None, "nfl needs to know what the marker shows; give marker = {} for its defaults.")
