"""What a trial design can show: power, assurance and expected overstatement over effects and design choices."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.dosing import Regimen
from metabolism.errors import FitFailed, InvalidValue, UnknownName
from metabolism.model import Model
from metabolism.progress import Tick, unseen
from metabolism.trials.analysis import benefit
from metabolism.trials.design import ANALYSES, Design
from metabolism.trials.disease import HOURS_PER_WEEK
from metabolism.trials.effects import direct_maximum
from metabolism.trials.limits import WEEKS, inside
from metabolism.trials.plots import in_percent, stops_figure
from metabolism.trials.pool import Slowing, bodies, make_pool
from metabolism.trials.replicates import replicate, request_hash
from metabolism.trials.sections import Looks
from metabolism.units import in_words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


#: What a design study may vary, beside the effect.
CHOICES = ("patients", "weeks", "run_in", "onset_limit", "hcy_min", "dose", "interval")


def closed_form(difference: float, se: float, alpha: float = 0.05) -> tuple[float, float]:
    """Power and type-M error of a normal estimate: chance of significance, and mean size of a significant one.

    Parameters
    ----------
    difference, se : float
        True difference and standard error of its estimate.

    Returns
    -------
    power : float
        Chance of a two-sided P below `alpha`, in either direction.
    overstatement : float
        Mean of |estimate| among significant results divided by the truth (Gelman and Carlin 2014,
        doi:10.1177/1745691614551642); infinite without a true difference.
    """
    from scipy.stats import norm

    inside("difference", difference, "[-1e6, 1e6]")
    inside("se", se, "(0, 1e6]")
    inside("alpha", alpha, "(0, 1)")
    cut = float(norm.isf(alpha / 2)) * se
    high, low = (cut - difference) / se, (-cut - difference) / se
    power = float(norm.sf(high) + norm.cdf(low))
    size = difference * norm.sf(high) + se * norm.pdf(high) - difference * norm.cdf(low) + se * norm.pdf(low)
    return power, float(size / power / abs(difference)) if difference else float("inf")


def varied(design: Design, **choices: Any) -> Design:
    """Return a design with some of `CHOICES` changed; None keeps what the design says.

    Parameters
    ----------
    patients : int
        Number randomised.
    weeks : float
        Length of treatment: visits every 4 weeks (13 beyond half a year) to there, doses until there.
    run_in : (low, high) or "none"
        Accepted fall in the observation period [points].
    onset_limit : float
        Longest time from onset to observation [months].
    hcy_min : float
        Smallest resting plasma homocysteine [µM].
    dose, interval : str
        Amount and spacing in every active arm, e.g. ``"25 mg"`` and ``"7 d"``.
    """
    for name in choices:
        if name not in CHOICES:
            raise UnknownName("design choice", name, CHOICES)
    given = {k: v for k, v in choices.items() if v is not None}
    changes: dict[str, Any] = {}
    if "patients" in given:
        changes["patients"] = given["patients"]
    if "weeks" in given:
        end = float(given["weeks"])
        inside("weeks", end, WEEKS)
        step = 4.0 if end <= 26 else 13.0
        changes["visits"] = (*np.arange(step, end - 1e-9, step).tolist(), end)
    watch = design.observation
    if "run_in" in given:
        window = (-48, 48) if given["run_in"] == "none" else tuple(given["run_in"])
        for edge in window:
            inside("run_in", edge, "whole [-48, 48]")
        watch = replace(watch, drop=(window[0], window[1]))
    if "onset_limit" in given:
        watch = replace(watch, onset_limit=float(given["onset_limit"]))
    changes["observation"] = watch
    if "hcy_min" in given:
        high = design.eligibility.get("hcy_plasma", (0.0, 100.0))[1]
        changes["eligibility"] = {**design.eligibility, "hcy_plasma": (float(given["hcy_min"]), high)}
    if {"weeks", "dose", "interval"} & given.keys():
        end = float(given.get("weeks", design.visits[-1]))

        def redosed(regimen: str) -> str:
            until, old = end * HOURS_PER_WEEK, Regimen.parse(regimen)
            if old.doses[0].time >= until:
                raise InvalidValue(f"a trial of {end:g} weeks ends before '{regimen}' begins.")
            return str(old.redosed(until, given.get("dose"), given.get("interval")))

        arms = [a if a.regimen is None else replace(a, regimen=redosed(a.regimen)) for a in design.arms]
        changes["arms"] = tuple(arms)
    return design.changed(**changes)


def power_table(
    model: Model,
    design: Design,
    effects: Sequence[float | Mapping[str, float]],
    *,
    prior: tuple[float, float] | None = (0.27, 0.10),
    choices: Mapping[str, Sequence[Any]] | None = None,
    beta_hcy: float = 0.2,
    replicates: int = 400,
    seed: int = 1,
    size: int = 256,
    folder: str | Path | None = None,
    workers: int = 1,
    tick: Tick = unseen,
) -> pd.DataFrame:
    """Power, assurance and overstatement over effects and every combination of design choices.

    Parameters
    ----------
    model : Model
        The patient model.
    effects : sequence of float or mapping of arm to float
        Total reductions of the loss rate, from 0 to below 1 [fraction]: at 50 mg twice weekly over 16 weeks in arms
        with a regimen, where other regimens follow from the coupled model, and as they are in comparator arms. One
        number is the truth of every active arm; a mapping has one for each.
    prior : (mean, SD), optional
        Normal distribution of the effect, cut to 0-1, for the assurance: the chance of significance when the effect
        itself is drawn. None leaves it out.
    choices : mapping of str to sequence
        Values of `CHOICES`; see `varied`.
    replicates : int
        Trials per row.
    folder : path, optional
        Makes the study resumable; see `metabolism.trials.replicates.replicate`.

    Returns
    -------
    DataFrame
        One row per effect, design and active arm (and one per design and arm with the effect drawn from the prior);
        see `summary`.

    Raises
    ------
    InvalidValue
        If an effect lies outside 0-1, or acts on no arm or not on every active arm of a design.
    """
    import pandas as pd

    names = list(choices or {})
    grid = [dict(zip(names, values, strict=True)) for values in itertools.product(*(choices or {}).values())]
    # every design is checked before anything runs
    designs = [varied(design, **choice) for choice in grid]
    for effect in effects:
        each = effect if isinstance(effect, Mapping) else {"": effect}
        for arm, value in each.items():
            inside(f"effect of {arm}" if arm else "effect", value, "[0, 1), a share of the loss rate")
            if arm and arm not in design.active:
                raise UnknownName("active arm", arm, design.active)
        if "" not in each and (rest := [a for a in design.active if a not in each]):
            raise InvalidValue(f"no effect is given for arm '{rest[0]}'; name every active arm.")
    for name, value in zip(("mean", "SD"), prior or (), strict=False):
        inside(f"{name} of the prior", value, "[0, 1)" if name == "mean" else "(0, 1]")
    inside("replicates", replicates, "whole [1, 10000000]")
    inert = [a.name for a in design.arms if a.name in design.active and a.regimen is None and not a.loss_reduction]
    if inert or not design.active:
        raise InvalidValue(
            f"design '{design.id}' has no active arm that the effect could act on"
            + (f" in '{inert[0]}'; give it a regimen or a loss_reduction." if inert else "; add a second [[arm]].")
        )
    crowd, made = bodies(model, size, seed), dict[tuple[str | None, float, float], Slowing]()
    drawn = None
    if prior is not None:
        from scipy.special import ndtr, ndtri

        low, high = (ndtr((edge - prior[0]) / prior[1]) for edge in (0.0, 1.0))
        chance = np.random.default_rng([seed, 5]).random(replicates)
        drawn = np.clip(prior[0] + prior[1] * ndtri(low + chance * (high - low)), 0, 0.999)
    rows = []
    redosed = {"weeks", "dose", "interval"} & {*names}
    for choice, one in zip(grid, designs, strict=True):
        pool = make_pool(model, one, beta_hcy, seed=seed, workers=workers, drawn=crowd, done=made)
        cases: list[tuple[str, Any]] = [_case(e, one) for e in effects]
        if drawn is not None and prior is not None:
            cases.append((f"N({prior[0]:g}, {prior[1]:g})", drawn))
        for text, effect in cases:
            reductions = np.atleast_1d(np.asarray(effect, dtype=float))
            maximum = np.vectorize(lambda e: direct_maximum(model, float(e), beta_hcy))(reductions)
            mark = request_hash(pool, one, maximum, seed, (one.primary,), False, reductions)
            done = replicate(
                pool,
                one,
                maximum,
                replicates,
                reduction=reductions,
                seed=seed,
                folder=None if folder is None else Path(folder) / mark[:16],
                workers=workers,
                tick=tick,
            )
            shown = {"effect": text, **_shown(choice, design)}
            # doses that a choice has changed are told: they go on to the last visit, however long the design's do
            given = {a.name: {"doses": a.regimen} for a in one.arms if redosed and a.regimen}
            found = summary(done.table, one, done.failures(one.primary))
            rows += [shown | {"arm": row["arm"]} | given.get(row["arm"], {}) | row for row in found]
    return pd.DataFrame(rows)


def _case(effect: float | Mapping[str, float], design: Design) -> tuple[str, Any]:
    """Words and value of a true effect; where arms differ, one for each arm, shape (1, arms)."""
    if not isinstance(effect, Mapping):
        return f"{effect:g}", effect
    return ", ".join(f"{a} {effect[a]:g}" for a in design.active), [[effect.get(a.name, 0.0) for a in design.arms]]


def _shown(choice: Mapping[str, Any], design: Design) -> dict[str, Any]:
    shown = {k: f"{v[0]}-{v[1]}" if isinstance(v, tuple) else v for k, v in choice.items()}
    return {"patients": design.patients} | shown


def summary(table: pd.DataFrame, design: Design, failed: int) -> list[dict[str, Any]]:
    """Summarise replicates of one design, one row for each active arm: power, type M, estimate, and what it cost.

    Parameters
    ----------
    table : DataFrame
        Of `Replicates`.
    design : Design
    failed : int
        Replicates whose primary analysis could not be fitted; they count as not significant.

    Returns
    -------
    list of dict
        ``power`` is the chance of a significant benefit at the 5 % level, divided by the number of active arms where
        there are several (Bonferroni; ``tested at`` says so). ``mean estimate`` is what ``estimate`` names, with
        benefit above 0. ``type M`` is the mean of significant estimates over the mean of all; NaN where fewer than five
        are significant or the mean is not above its Monte-Carlo error. With an accrual also the shares that stopped
        early, and the expected patients and months, of the arm until its verdict and of the whole trial.
    """
    if len(design.arms) < 2:
        raise InvalidValue(f"design '{design.id}' has one arm: there is nothing to compare.")
    control, rows = design.arms[design.control].name, []
    looks = design.looks or Looks()
    alpha = 2 * (design.enrichment.alpha if design.enrichment else looks.level(len(design.active)))
    shared = len(design.active) > 1 and looks.multiplicity == "bonferroni"
    many = f" (Bonferroni, {len(design.active)} arms)" if shared else ""
    many += f", {len(looks.at)} looks" if len(looks.at) > 1 else ", closed test" if design.enrichment else ""
    strategy, what = ANALYSES[design.primary]
    for arm in design.active:
        column = f"{design.primary}:{arm} - {control}"
        if f"{column}:value" not in table:
            reason = table[f"{design.primary}:failed"].iloc[0]
            raise FitFailed(f"no replicate of design '{design.id}' could be analysed: {reason}")
        value, p = table[f"{column}:value"].to_numpy(dtype=float), table[f"{column}:p"].to_numpy(dtype=float)
        estimate = np.asarray(benefit(design.primary, value))
        in_time = f"{arm}:shown" in table
        significant = table[f"{arm}:shown"].to_numpy(dtype=bool) if in_time else (p < alpha) & (estimate > 0)
        power, n = float(significant.mean()), len(p)
        mean, spread = float(np.nanmean(estimate)), float(np.nanstd(estimate))
        sure = significant.sum() >= 5 and mean > 3 * spread / np.sqrt(n)
        low, high = wilson(int(significant.sum()), n)
        rows.append(
            {
                "arm": arm,
                "power": power,
                "power 95 % low": low,
                "power 95 % high": high,
                "tested at": f"{alpha:.3g}{many}",
                "type M": float(estimate[significant].mean() / mean) if sure else float("nan"),
                "mean estimate": mean,
                "SD of estimate": spread,
                "mean SE": float(np.nanmean(table[f"{column}:se"])),
                "estimate": what,
                "estimand": strategy,
                "replicates": n,
                "failed fits": failed,
                "screened per randomised": float((table["candidates"] / table["randomised"]).mean()),
                **(_in_time(table, arm, design.active) if in_time else {}),
            }
        )
    return rows


def _in_time(table: pd.DataFrame, arm: str, active: Sequence[str]) -> dict[str, float]:
    """How an arm ended, and the expected size and length of the trial with their 95 % Monte-Carlo intervals."""
    from scipy.special import stdtrit

    ended = table[f"{arm}:reason"]
    row = {"benefit shown of any arm": float(table[[f"{a}:shown" for a in active]].any(axis=1).mean())}
    if "part" in set(table[f"{arm}:population"]):
        row["went on with a part"] = float((table[f"{arm}:population"] == "part").mean())
    row |= {f"stopped early for {why}": float((ended == why).mean()) for why in ("efficacy", "futility")}
    for name, column in (
        ("arm patients", f"{arm}:patients"),
        ("arm months", f"{arm}:months"),
        ("trial patients", "randomised"),
        ("trial months", "months"),
    ):
        values = table[column].to_numpy(dtype=float)
        # Student's t: 1.96 would be 6.5 times too narrow for two replicates
        n = len(values)
        half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
        mean = float(values.mean())
        row |= {name: mean, f"{name} 95 % low": mean - half, f"{name} 95 % high": mean + half}
    return row


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share seen in simulated trials (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Examples
    --------
    >>> [round(v, 3) for v in wilson(3, 40)]
    [0.026, 0.199]
    """
    from scipy.stats import binomtest

    inside("trials", trials, "whole [1, 1000000000]")
    inside("successes", successes, f"whole [0, {trials}]")
    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


#: Choices in the words of a legend.
_WORDS = {
    "patients": "{} patients",
    "weeks": "{} weeks",
    "run_in": "a fall of {} points",
    "onset_limit": "onset within {} months",
    "hcy_min": "homocysteine from {} µM",
    "interval": "every {}",
}


def figures(table: pd.DataFrame, title: str) -> dict[str, Figure]:
    """Draw power against effect for each design, a heat map of effect by design and, in calendar time, how it ended."""
    from metabolism.plotting import COLOURS, new_figure

    rows = table[~table["effect"].str.startswith("N(")]
    varying = [c for c in CHOICES if c in table and (table[c].nunique() > 1 or c == "patients")]
    varying += ["arm"] if table["arm"].nunique() > 1 else []
    fewer = "trial patients" in table and (table["trial patients"] < table["patients"] - 0.5).any()
    said = _WORDS | ({"patients": "up to {} patients"} if fewer else {})
    words = {c: rows[c].map(lambda v, c=c: in_words(said.get(c, "{}").format(v))) for c in varying}
    rows = rows.assign(design=[", ".join(parts) for parts in zip(*words.values(), strict=True)])
    # where arms differ in their effect, there is no one number to draw them against
    fixed = rows[~rows["effect"].str.contains(" ")].assign(percent=lambda t: 100 * t["effect"].astype(float))
    drawn = {}
    axis = "true reduction of the motor-unit loss rate [%]"
    if len(fixed):
        figure, axes = new_figure(width=7.4, height=4.2)
        palette: Sequence[str] = list(COLOURS.values())
        for i, (text, part) in enumerate(fixed.sort_values("percent", kind="stable").groupby("design", sort=False)):
            power, low, high = (100 * part[c] for c in ("power", "power 95 % low", "power 95 % high"))
            look: dict[str, Any] = {"color": palette[i % len(palette)], "marker": "o", "capsize": 3, "label": str(text)}
            axes.errorbar(part["percent"], power, [power - low, high - power], **look)
        axes.axhline(80, color=COLOURS["grey"], linestyle="--", linewidth=1)
        axes.set(ylim=(0, 102), xlabel=axis, ylabel="power [%]")
        axes.set_xticks(ticks := sorted(fixed["percent"].unique()), [f"{t:g}" for t in ticks])
        axes.set_title(f"{title}\nbars: 95 % Monte-Carlo interval; dashed: 80 %", fontsize=10)
        axes.legend(fontsize=8)
        drawn["power_curves"] = figure
    effects = {e: in_percent(e) for e in rows["effect"].unique()}
    wide = rows.pivot_table(index="design", columns="effect", values="power", sort=False)[list(effects)]
    figure, axes = new_figure(width=7.4, height=1.6 + 0.45 * len(wide))
    image = axes.imshow(wide.to_numpy() * 100, vmin=0, vmax=100, cmap="cividis", aspect="auto")
    for (i, j), share in np.ndenumerate(wide.to_numpy()):
        colour = "white" if share < 0.55 else "black"
        axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(wide.shape[1]), list(effects.values()))
    axes.set_yticks(range(wide.shape[0]), list(wide.index))
    axes.set_xlabel(axis)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="power [%]")
    drawn["power_heat_map"] = figure
    if "trial months" in table:
        drawn["stops"] = stops_figure(table, title)
    return drawn
