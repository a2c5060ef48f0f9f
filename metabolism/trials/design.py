"""Trial designs: small declarative files, read with every mistake named before anything runs."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from metabolism.dosing import Regimen
from metabolism.errors import InvalidValue, MetabolismError, UnknownName
from metabolism.trials.disease import HOURS_PER_WEEK
from metabolism.trials.patients import PLAUSIBLE

#: Analyses, with the estimand (ICH E9 R1) of each: its strategy for death and leaving, and what a positive value is.
ANALYSES = {
    "mmrm": ("hypothetical", "difference of mean change at the last visit had nobody died or left [points]"),
    "proportional": ("hypothetical", "relative reduction of the mean decline had nobody died or left [fraction]"),
    "ancova": ("while alive", "difference of mean change at the last visit seen [points]"),
    "slope": ("while alive", "difference of mean slope over the visits seen [points/month]"),
    "joint_rate": ("while alive", "difference of mean rate of decline, deaths informing it [points/month]"),
    "jump_to_reference": ("treatment policy", "difference of mean change, leavers at once as control [points]"),
    "copy_reference": ("treatment policy", "difference of mean change, leavers as control all along [points]"),
    "copy_increments": (
        "treatment policy",
        "difference of mean change, leavers declining as control from then [points]",
    ),
    "responder": ("composite", "difference of share that fell little, a death being a failure [fraction]"),
    "cafs": ("composite", "difference of mean rank of function and survival, a death ranking last [ranks]"),
    "win_ratio": ("composite", "log ratio of wins to losses among all pairs, death before function"),
    "win_ratio_stratified": (
        "composite",
        "log ratio of wins to losses among pairs of a stratum, death before function",
    ),
    "net_benefit": ("composite", "share of pairs won less share lost, death before function [fraction]"),
    "bayes_rate": ("composite", "relative reduction of decline and hazard by one ratio, posterior mean [fraction]"),
    "survival": ("treatment policy", "lower log hazard of death or full ventilation"),
}


#: Columns that can limit eligibility, as ranges.
RANGES = (
    "age",
    "bmi",
    "weight",
    "fvc",
    "GFR_rel",
    "hcy_plasma",
    "cbl_plasma",
    "onset_months",
    "entry_rating",
    "baseline_rating",
    "drop",
)


#: Columns that can stratify a randomisation.
STRATA = ("drop", "onset", "male", "riluzole", "genotype")


_SECTIONS = {
    "observation": ("weeks", "onset_limit", "drop", "floor"),
    "eligibility": RANGES,
    "randomisation": ("strata", "block"),
    "visits": ("weeks", "window_days"),
    "conduct": ("missed_doses", "missing_visits", "drop_out", "drop_out_slope", "trial_effect", "edaravone"),
    "analysis": ("primary", "estimand", "early_share", "responder_points"),
}


_ARM = ("name", "regimen", "ratio", "loss_reduction")


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes
    ----------
    regimen : str or None
        Doses counted from randomisation; none for placebo.
    ratio : int
        Share of patients relative to the other arms.
    loss_reduction : float
        Reduction of the loss rate by a comparator that the model does not represent, such as edaravone [fraction].
    """

    name: str
    regimen: str | None = None
    ratio: int = 1
    loss_reduction: float = 0.0


@dataclass(frozen=True)
class Design:
    """A trial.

    Attributes
    ----------
    patients : int
        Number randomised.
    observation : RunIn
        Period before randomisation, and how it selects.
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
        One of `ANALYSES`; the first arm without regimen and without loss reduction is the control.
    estimand : str or None
        Must be that of the primary analysis. Saying ``"hypothetical"`` accepts a mixed model where many die.
    early_share : float or None
        Share of patients nearest to onset, a subgroup whose survival is analysed as well [fraction].
    responder_points : float
        A fall of at most this many points makes a responder.
    """

    id: str
    title: str
    source: str
    patients: int
    arms: tuple[Arm, ...]
    observation: RunIn
    visits: tuple[float, ...]
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

    def __post_init__(self) -> None:
        _validate(self)

    @property
    def hours(self) -> float:
        """Length of treatment, with the last visit's window [h]."""
        return self.visits[-1] * HOURS_PER_WEEK + self.window_days * 24

    @property
    def control(self) -> int:
        """Index of the control arm."""
        return next((i for i, a in enumerate(self.arms) if a.regimen is None and a.loss_reduction == 0), 0)

    @property
    def active(self) -> list[str]:
        """Names of the arms that are compared with the control."""
        return [a.name for i, a in enumerate(self.arms) if i != self.control]

    def changed(self, **values: Any) -> Design:
        """Return a copy with some attributes changed, checked again."""
        return dataclasses.replace(self, **values)

    def text(self) -> str:
        """Return the design as stable JSON, for hashes and manifests."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def designs_dir() -> Path:
    """Return the folder of shipped designs."""
    from metabolism.data import experiments_dir

    return experiments_dir() / "designs"


def design_names() -> list[str]:
    """Return the ids of the shipped designs."""
    return sorted(p.stem for p in designs_dir().glob("*.toml"))


def read_design(name: str | Path) -> Design:
    """Read a design: the id of a shipped one, or the path of a TOML file.

    Raises
    ------
    UnknownName
        For an unknown id, section, key, column or analysis.
    InvalidValue
        For a file that cannot be read, or a design that cannot be carried out.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in design_names():
            raise UnknownName("design", str(name), design_names(), "Or give the path of a .toml file.")
        path = designs_dir() / f"{name}.toml"
    try:
        with path.open("rb") as handle:
            found = tomllib.load(handle)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidValue(f"design '{path}' cannot be read: {error}.") from None
    return parse_design(path.stem, found)


def parse_design(name: str, found: Mapping[str, Any]) -> Design:
    """Turn the content of a design file into a `Design`; see `read_design`."""
    top = ("title", "source", "patients", "arm", *_SECTIONS)
    for key in found:
        if key not in top:
            raise UnknownName(f"entry of design '{name}'", key, top)
    for section, keys in _SECTIONS.items():
        part = found.get(section, {})
        if not isinstance(part, Mapping):
            raise InvalidValue(f"design '{name}': [{section}] must be a table.")
        for key in part:
            if key not in keys:
                raise UnknownName(f"entry in [{section}] of design '{name}'", key, keys)
    for key in ("patients", "arm", "observation", "visits"):
        if key not in found:
            raise InvalidValue(f"design '{name}' has no '{key}'.")
    get = {s: dict(found.get(s, {})) for s in _SECTIONS}
    try:
        arms = []
        for entry in found["arm"]:
            for key in entry:
                if key not in _ARM:
                    raise UnknownName(f"entry in [[arm]] of design '{name}'", key, _ARM)
            arms.append(Arm(**entry))
        watch, visits, analysis = get["observation"], get["visits"], get["analysis"]
        drop = watch["drop"]
        return Design(
            id=name,
            title=str(found.get("title", name)),
            source=str(found.get("source", "")),
            patients=found["patients"],
            arms=tuple(arms),
            observation=RunIn(float(watch["weeks"]), float(watch["onset_limit"]), (drop[0], drop[1]), watch["floor"]),
            visits=tuple(float(w) for w in visits["weeks"]),
            window_days=float(visits.get("window_days", 0)),
            eligibility={k: (float(v[0]), float(v[1])) for k, v in get["eligibility"].items()},
            strata=tuple(get["randomisation"].get("strata", ())),
            block=get["randomisation"].get("block", 2),
            **get["conduct"],
            **analysis,
        )
    except MetabolismError:
        raise
    except KeyError as error:
        raise InvalidValue(f"design '{name}' lacks the entry {error}.") from None
    except (TypeError, ValueError, IndexError) as error:
        raise InvalidValue(f"design '{name}' has an entry of the wrong form: {error}.") from None


def _whole(value: object) -> bool:
    """Whether what a file gave is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def _validate(d: Design) -> None:
    def refuse(condition: bool, text: str) -> None:
        if condition:
            raise InvalidValue(f"design '{d.id}': {text}")

    names = [a.name for a in d.arms]
    refuse(not d.arms, "there is no arm; add [[arm]].")
    refuse(len(set(names)) < len(names), f"two arms share a name: {', '.join(names)}.")
    refuse(
        not _whole(d.patients),
        f"patients = {d.patients} must be a whole number.",
    )
    for arm in d.arms:
        refuse(
            not _whole(arm.ratio) or arm.ratio < 1,
            f"arm '{arm.name}' with ratio {arm.ratio} would have no patients.",
        )
        refuse(not 0 <= arm.loss_reduction < 1, f"loss_reduction of arm '{arm.name}' must lie in [0, 1).")
        if arm.regimen is not None:
            Regimen.parse(arm.regimen)
    share = min(a.ratio for a in d.arms) / sum(a.ratio for a in d.arms)
    refuse(d.patients * share < 2, f"{d.patients} patients leave an arm with fewer than 2.")
    refuse(
        not d.visits or d.visits[0] <= 0 or any(b <= a for a, b in pairwise(d.visits)),
        f"visits {list(d.visits)} must rise from above 0 weeks.",
    )
    refuse(not all(math.isfinite(w) for w in d.visits), "a visit is not at a finite time.")
    gap = min(b - a for a, b in pairwise((0.0, *d.visits)))
    refuse(
        not 0 <= d.window_days * 2 < gap * 7,
        f"a window of +/- {d.window_days:g} days does not fit visits {gap:g} weeks apart.",
    )
    watch = d.observation
    low, high = watch.drop
    refuse(low > high, f"the run-in window {low} to {high} points is empty.")
    refuse(
        not (watch.weeks >= 0 and watch.onset_limit > 0),
        "observation weeks must be >= 0 and onset_limit above 0 months.",
    )
    refuse(watch.weeks == 0 and (low > 0 or high < 0), "a run-in window needs an observation period above 0 weeks.")
    refuse(not 0 <= watch.floor <= 48, f"the floor of {watch.floor} points must lie in 0-48.")
    for column, (a, b) in d.eligibility.items():
        if column not in RANGES:
            raise UnknownName(f"eligibility column of design '{d.id}'", column, RANGES)
        refuse(not a <= b, f"eligibility {column} from {a:g} to {b:g} contradicts itself.")
        if column in PLAUSIBLE:
            least, most = PLAUSIBLE[column]
            refuse(
                b < least or a > most,
                f"eligibility {column} {a:g}-{b:g} lies outside the plausible {least:g}-{most:g}.",
            )
    limit = d.eligibility.get("onset_months", (0.0, math.inf))[0]
    refuse(
        limit > watch.onset_limit,
        f"onset_months from {limit:g} contradicts the onset limit of {watch.onset_limit:g} months.",
    )
    for column in d.strata:
        if column not in STRATA:
            raise UnknownName(f"stratum of design '{d.id}'", column, STRATA)
    refuse(not _whole(d.block) or d.block < 1, f"block = {d.block} must be a whole number from 1.")
    for name in ("missed_doses", "missing_visits", "edaravone"):
        refuse(not 0 <= getattr(d, name) < 1, f"{name} = {getattr(d, name)} is a probability and must lie in [0, 1).")
    refuse(not (math.isfinite(d.drop_out) and d.drop_out >= 0), f"drop_out = {d.drop_out} per month must be 0 or more.")
    refuse(not math.isfinite(d.drop_out_slope), f"drop_out_slope = {d.drop_out_slope} must be a finite number.")
    refuse(d.drop_out_slope != 0 and d.drop_out == 0, "drop_out_slope without drop_out lets nobody leave.")
    refuse(not (d.early_share is None or 0 < d.early_share < 1), f"early_share = {d.early_share} must lie in (0, 1).")
    if d.primary not in ANALYSES:
        raise UnknownName("analysis", d.primary, ANALYSES)
    own = ANALYSES[d.primary][0]
    refuse(d.estimand not in (None, own), f"the estimand of '{d.primary}' is '{own}', not '{d.estimand}'.")


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


#: The observation period of JETALS (Oki2022): at most 12 months from onset, a fall of 1-2 points.
JETALS_RUN_IN = RunIn(weeks=12, onset_limit=12, drop=(1, 2), floor=36)
