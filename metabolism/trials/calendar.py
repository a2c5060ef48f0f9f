"""Trials in calendar time: arms that open and close, patients that arrive, looks that stop an arm.

Patients, and all chance that befalls them, are drawn once; a decision changes who is assigned to which arm after it. So
what was seen before a look stays as it was, and the same patients serve every rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metabolism.errors import FitFailed
from metabolism.trials.analysis import LAST_VALUE, benefit, estimates
from metabolism.trials.boundaries import closed_test
from metabolism.trials.design import Design
from metabolism.trials.disease import HOURS_PER_MONTH, HOURS_PER_WEEK
from metabolism.trials.mmrm import Estimate
from metabolism.trials.pool import Columns, Pool
from metabolism.trials.screening import randomise
from metabolism.trials.sections import Looks
from metabolism.trials.trial import Trial, enrol, follow, withdrawn
from metabolism.types import Array


@dataclass(frozen=True)
class Verdict:
    """What became of an active arm.

    Attributes
    ----------
    look : int
        The look that decided, from 1.
    reason : str
        ``efficacy``, ``futility`` or, at the last look, ``end``.
    shown : bool
        Whether benefit was shown.
    months : float
        When it was decided, from the first day of accrual.
    patients : int
        Patients in the arm then.
    estimate : Estimate or None
        Of the primary analysis at that look; None where another analysis decided or the fit failed.
    failed : str
        Why the fit failed.
    population : str
        ``part`` where the trial went on with a part of the patients only.
    """

    look: int
    reason: str
    shown: bool
    months: float
    patients: int
    estimate: Estimate | None
    failed: str = ""
    population: str = "all"


@dataclass(frozen=True, eq=False)
class Conduct:
    """One trial in calendar time.

    Attributes
    ----------
    trial : Trial
        The randomised patients, with all that would be seen of them later.
    verdicts : dict of str to Verdict
        Of each active arm.
    drawn : int
        Eligible patients that were drawn for it; not all need be randomised.
    """

    trial: Trial
    verdicts: dict[str, Verdict]
    drawn: int

    @property
    def months(self) -> float:
        """From the first day of accrual to the last verdict."""
        return max(v.months for v in self.verdicts.values())


def conduct(
    pool: Pool, design: Design, maximum: float | Array, rng: np.random.Generator, reduction: float | Array | None = None
) -> Conduct:
    """Run one trial in calendar time.

    Parameters are those of `metabolism.trials.trial.simulate_trial`; the design has an accrual. Active arms are
    compared with the control patients randomised while they were open.
    """
    if design.enrichment is not None:
        return _narrowing(pool, design, maximum, rng, reduction)
    people, counts, entry = enrol(pool, design, rng)
    assert entry is not None
    looks = design.looks or Looks()
    active = [i for i in range(len(design.arms)) if i != design.control]
    upper, lower = looks.bounds(len(active))
    order, chance = rng.integers(2**62, size=2)
    closed = dict.fromkeys(active, math.inf)
    stage, verdicts = dict.fromkeys(active, 0), dict[int, Verdict]()
    design_of = {i: design.pair(i) for i in active}

    def randomised() -> Trial:
        arm, times = assign(people, design, entry, closed, np.random.default_rng(order))
        again = np.random.default_rng(chance)
        everybody = follow(pool, design, people, counts, np.maximum(arm, 0), maximum, again, reduction, times)
        trial = replace(everybody, arm=arm).part(arm >= 0)
        return withdrawn(trial) if design.withdrawal else trial

    trial = randomised()
    pairs = {i: _pair(trial, design, i, closed[i], design_of[i]) for i in active}
    while len(verdicts) < len(active):
        due = {i: _when(pairs[i], looks, stage[i], design.planned(i)) for i in active if i not in verdicts}
        i = min(due, key=lambda a: due[a])
        time, k, last = due[i], stage[i], stage[i] == len(looks.at) - 1
        early = looks.decide if looks.decide and not last else design.primary
        estimate, failed = _estimate(cut(pairs[i], time, early, looks, last), early)
        z = math.nan if estimate is None else z_score(early, estimate)
        if not (z >= upper[k] or z <= lower[k] or last):
            stage[i] += 1
            continue
        shown = z >= upper[k] and early == design.primary
        reason = "end" if last else "efficacy" if shown else "futility"
        mine = int(((pairs[i].arm == 1) & (_entry(pairs[i]) <= time)).sum())
        verdicts[i] = Verdict(k + 1, reason, shown, time, mine, estimate if early == design.primary else None, failed)
        if not last:
            closed[i] = time
            trial = randomised()
            pairs = {i: _pair(trial, design, i, closed[i], design_of[i]) for i in active}
    return Conduct(trial, {design.arms[i].name: v for i, v in sorted(verdicts.items())}, len(entry))


def _narrowing(
    pool: Pool, design: Design, maximum: float | Array, rng: np.random.Generator, reduction: float | Array | None
) -> Conduct:
    """Run one trial with adaptive enrichment; see `conduct` and `metabolism.trials.boundaries.closed_test`.

    Patients are randomised in blocks within the part and outside it. After a narrowing those outside it are passed over
    until the planned number is reached, or three times as many have arrived in vain. The estimate is that of the
    population that went on, unadjusted for the choice.
    """
    from scipy.stats import norm

    rule, flow = design.enrichment, design.accrual
    assert rule is not None
    assert flow is not None
    people, counts, entry = enrol(pool, design, rng)
    assert entry is not None
    inside = (people[rule.column] >= rule.part[0]) & (people[rule.column] <= rule.part[1])
    arm = np.empty(len(entry), dtype=np.int64)
    for members in (inside, ~inside):
        arm[members] = randomise({k: v[members] for k, v in people.items()}, design, rng)
    active = 1 - design.control
    trial = follow(pool, design, people | {"inside": inside}, counts, arm, maximum, rng, reduction, entry)
    trial = replace(trial, design=design.pair(active), arm=(arm == active).astype(np.int64))
    wait = (rule.week * HOURS_PER_WEEK + design.window_days * 24) / HOURS_PER_MONTH
    look = float(entry[int(np.ceil(rule.at * design.patients)) - 1]) + wait
    early = (entry <= look) & (np.arange(len(entry)) < design.patients)

    def z_of(some: Trial) -> Array:
        """Return z of everybody and of the part; one that cannot be estimated shows nothing."""
        found = [_estimate(t, design.primary)[0] for t in (some, some.part(some.people["inside"]))]
        return np.array([-8.0 if e is None else z_score(design.primary, e) for e in found])

    known = cut(trial.part(early), look, design.primary, Looks(week=rule.week), last=False)
    everybody, part = z_of(known)
    name = design.arms[active].name
    if everybody < rule.everybody and part < rule.narrow:
        verdict = Verdict(1, "futility", False, look, int(trial.arm[early].sum()), None)
        return Conduct(trial.part(early), {name: verdict}, len(entry))
    narrowed = bool(everybody < rule.everybody)
    late = np.flatnonzero(~early & (inside | (not narrowed)))[: design.patients - int(early.sum())]
    later = np.isin(np.arange(len(entry)), late)
    share = rule.first(design.patients, flow.per_month)
    z = closed_test(z_of(trial.part(early)), z_of(trial.part(later)), share, np.array(narrowed))
    whole = trial.part(early | later)
    final = whole.part(whole.people["inside"]) if narrowed else whole
    estimate, failed = _estimate(final, design.primary)
    months = float(entry[early | later].max()) + design.hours / HOURS_PER_MONTH
    shown = bool((z >= norm.isf(rule.alpha)).any())
    kind = "part" if narrowed else "all"
    verdict = Verdict(2, "end", shown, months, int((whole.arm == 1).sum()), estimate, failed, kind)
    return Conduct(whole, {name: verdict}, len(entry))


def z_score(analysis: str, estimate: Estimate) -> float:
    """One-sided z of an estimate, above 0 for benefit, from its two-sided P."""
    from scipy.special import ndtri

    size = -float(ndtri(max(estimate.p, 1e-300) / 2))
    return size if benefit(analysis, estimate.value) > 0 else -size


def assign(
    people: Columns, design: Design, entry: Array, closed: dict[int, float], rng: np.random.Generator
) -> tuple[NDArray[np.int64], Array]:
    """Assign patients in the order they arrive, by permuted blocks of the open arms within strata.

    Parameters
    ----------
    people : dict of str to ndarray
    entry : ndarray, shape (patients,)
        Rising times of arrival [months]; while no arm is open, recruitment rests until the next one opens.
    closed : dict of int to float
        When each active arm was stopped [months]; infinite where it was not.

    Returns
    -------
    arm : ndarray of int, shape (patients,)
        -1 for those who came when all was over. The same up to a time for any two `closed` that agree up to it.
    entry : ndarray, shape (patients,)
        Times of randomisation [months].
    """
    labels = list(zip(*(people[s].tolist() for s in design.strata), strict=True)) or [()] * len(entry)
    number, blocks = dict.fromkeys(range(len(design.arms)), 0), dict[object, list[int]]()
    arm, rest, before = np.full(len(entry), -1, dtype=np.int64), 0.0, tuple[int, ...]()
    times = np.array(entry)
    for n, label in enumerate(labels):
        left = [i for i in closed if number[i] < (design.arms[i].patients or math.inf)]
        # the first moment from now on at which one of them is open
        time = min((t for i in left if (t := max(entry[n] + rest, design.arms[i].enters)) < closed[i]), default=None)
        if time is None:
            break
        rest, times[n] = time - entry[n], time
        now = tuple(i for i in left if design.arms[i].enters <= time < closed[i])
        if now != before:
            blocks, before = {}, now
        if not blocks.get(label):
            share = len(now) if design.control_share == "per arm" else 1
            ratios = [design.arms[design.control].ratio * share, *(design.arms[i].ratio for i in now)]
            block = np.repeat([design.control, *now], ratios)
            blocks[label] = rng.permutation(np.tile(block, design.block)).tolist()
        arm[n] = blocks[label].pop()
        number[int(arm[n])] += 1
    return arm, times


def _entry(trial: Trial) -> Array:
    assert trial.entry_months is not None
    return trial.entry_months


def _pair(trial: Trial, design: Design, arm: int, stop: float, two: Design) -> Trial:
    """An arm and its concurrent controls, as a trial of two arms."""
    entry, mine = _entry(trial), trial.arm == arm
    # a full arm closes with its last patient
    if mine.sum() == design.arms[arm].patients:
        stop = float(entry[mine].max())
    members = mine | ((trial.arm == design.control) & (entry >= design.arms[arm].enters) & (entry <= stop))
    pair = trial.part(members)
    two = two if design.withdrawal is None else trial.design.pair(arm)
    return replace(pair, design=two, arm=np.where(pair.arm == arm, 1, 0))


def _when(pair: Trial, looks: Looks, stage: int, planned: int) -> float:
    """Calendar time of an arm's next look [months]; infinite if nobody is in the arm."""
    entry, design = _entry(pair), pair.design
    mine = np.sort(entry[pair.arm == 1])
    if not len(mine):
        return math.inf
    last = stage == len(looks.at) - 1
    end = float(entry.max()) + design.hours / HOURS_PER_MONTH
    if looks.events is not None and (last or looks.decide in (None, design.primary)):
        times = np.sort((entry + pair.event_months)[pair.event])
        count = math.ceil(looks.at[stage] * looks.events - 1e-9)
        return float(times[count - 1]) if len(times) >= count else end
    count = math.ceil(looks.at[stage] * planned - 1e-9)
    if last or count > len(mine):
        return end
    week = looks.week if looks.week is not None else design.visits[-1]
    return float(mine[count - 1]) + (week * HOURS_PER_WEEK + design.window_days * 24) / HOURS_PER_MONTH


def cut(trial: Trial, months: float, analysis: str, looks: Looks | None = None, last: bool = True) -> Trial:
    """Return what is known of a trial at a calendar time.

    Parameters
    ----------
    trial : Trial
        With `entry_months`.
    months : float
        Calendar time; visits and events after it have not happened.
    analysis : str
        An analysis of last values counts those only who were due at the visit that counts.
    looks : Looks, optional
        Names that visit.
    """
    entry = _entry(trial)
    due = 0.0
    if analysis in LAST_VALUE and not last:
        due = looks.week if looks is not None and looks.week is not None else trial.design.visits[-1]
    known = trial.part(entry + due * HOURS_PER_WEEK / HOURS_PER_MONTH <= months + 1e-9)
    left = months - _entry(known) + 1e-9
    later = np.array(trial.design.visits) * HOURS_PER_WEEK / HOURS_PER_MONTH > left[:, None]
    return replace(
        known,
        rated=np.where(later, np.nan, known.rated),
        ln_nfl=None if known.ln_nfl is None else np.where(later, np.nan, known.ln_nfl),
        event=known.event & (known.event_months <= left),
        event_months=np.minimum(known.event_months, left),
    )


def _estimate(pair: Trial, analysis: str) -> tuple[Estimate | None, str]:
    arms = pair.design.arms
    if len(np.unique(pair.arm)) < 2:
        return None, "an arm is empty at the look"
    try:
        return estimates(pair, analysis)[f"{arms[1].name} - {arms[0].name}"], ""
    except FitFailed as error:
        return None, str(error)
