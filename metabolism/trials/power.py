"""What a trial design can show: power, assurance and expected overstatement over effects and design choices."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.dosing import Regimen
from metabolism.errors import FitFailed, InvalidValue, UnknownName
from metabolism.model import Model
from metabolism.trials.design import Design
from metabolism.trials.effects import direct_maximum
from metabolism.trials.patients import HOURS_PER_WEEK
from metabolism.trials.pool import Slowing, bodies, make_pool
from metabolism.trials.replicates import replicate, request_hash

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


#: What a design study may vary, beside the effect.
CHOICES = ("patients", "weeks", "run_in", "onset_limit", "hcy_min", "dose", "interval")


_PART = re.compile(r"^(?P<amount>[\d.]+ \w+) (?P<middle>.*?)every (?P<gap>[\d.]+ \w+) x \d+$")


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
        if not end > 0:
            raise InvalidValue(f"a treatment of {end:g} weeks is not possible.")
        step = 4.0 if end <= 26 else 13.0
        changes["visits"] = (*np.arange(step, end - 1e-9, step).tolist(), end)
    watch = design.observation
    if "run_in" in given:
        window = (-48, 48) if given["run_in"] == "none" else tuple(given["run_in"])
        watch = replace(watch, drop=(int(window[0]), int(window[1])))
    if "onset_limit" in given:
        watch = replace(watch, onset_limit=float(given["onset_limit"]))
    changes["observation"] = watch
    if "hcy_min" in given:
        high = design.eligibility.get("hcy_plasma", (0.0, 100.0))[1]
        changes["eligibility"] = {**design.eligibility, "hcy_plasma": (float(given["hcy_min"]), high)}
    if {"weeks", "dose", "interval"} & given.keys():
        end = float(given.get("weeks", design.visits[-1]))
        arms = [a if a.regimen is None else replace(a, regimen=_redosed(a.regimen, end, given)) for a in design.arms]
        changes["arms"] = tuple(arms)
    return design.changed(**changes)


def _redosed(regimen: str, weeks: float, given: Mapping[str, Any]) -> str:
    part = _PART.match(" ".join(regimen.split()))
    if not part:
        raise InvalidValue(f"only a regimen like '50 mg im every 3.5 d x 32' can be varied, not '{regimen}'.")
    amount, gap = given.get("dose", part["amount"]), given.get("interval", part["gap"])
    pair = Regimen.parse(f"{amount} {part['middle']}every {gap} x 2")
    count = int(np.ceil(weeks * HOURS_PER_WEEK / (pair.doses[1].time - pair.doses[0].time) - 1e-9))
    return f"{amount} {part['middle']}every {gap} x {count}"


def power_table(
    model: Model,
    design: Design,
    effects: Sequence[float],
    *,
    prior: tuple[float, float] | None = (0.27, 0.10),
    choices: Mapping[str, Sequence[Any]] | None = None,
    beta_hcy: float = 0.2,
    replicates: int = 400,
    seed: int = 1,
    size: int = 256,
    folder: str | Path | None = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Power, assurance and overstatement over effects and every combination of design choices.

    Parameters
    ----------
    model : Model
        The patient model.
    effects : sequence of float
        Total reductions of the loss rate at 50 mg twice weekly over 16 weeks [fraction]; other regimens follow from
        the coupled model.
    prior : (mean, SD), optional
        Normal distribution of the effect for the assurance: the chance of significance when the effect itself is
        drawn. None leaves it out.
    choices : mapping of str to sequence
        Values of `CHOICES`; see `varied`.
    replicates : int
        Trials per row.
    folder : path, optional
        Makes the study resumable; see `metabolism.trials.replicates.replicate`.

    Returns
    -------
    DataFrame
        One row per effect and design (and one per design with the effect drawn from the prior).
    """
    import pandas as pd

    names = list(choices or {})
    grid = [dict(zip(names, values, strict=True)) for values in itertools.product(*(choices or {}).values())]
    # every design is checked before anything runs
    designs = [varied(design, **choice) for choice in grid]
    crowd, made = bodies(model, size, seed), dict[tuple[str | None, float, float], Slowing]()
    drawn = None
    if prior is not None:
        drawn = prior[0] + prior[1] * np.random.default_rng([seed, 5]).standard_normal(replicates)
    rows = []
    for choice, one in zip(grid, designs, strict=True):
        pool = make_pool(model, one, beta_hcy, seed=seed, workers=workers, drawn=crowd, done=made)
        cases: list[tuple[str, Any]] = [(f"{e:g}", e) for e in effects]
        if drawn is not None and prior is not None:
            cases.append((f"N({prior[0]:g}, {prior[1]:g})", drawn))
        for text, effect in cases:
            maximum = np.array([direct_maximum(model, float(e), beta_hcy) for e in np.atleast_1d(effect)])
            emax = maximum if maximum.size > 1 else maximum[0]
            mark = request_hash(pool, one, np.asarray(emax), seed, (one.primary,), False)
            place = None if folder is None else Path(folder) / mark[:16]
            found = replicate(pool, one, emax, replicates, seed=seed, folder=place, workers=workers, progress=progress)
            rows.append(
                {"effect": text, **_shown(choice, design)} | summary(found.table, one, found.failures(one.primary))
            )
    return pd.DataFrame(rows)


def _shown(choice: Mapping[str, Any], design: Design) -> dict[str, Any]:
    shown = {k: f"{v[0]}-{v[1]}" if isinstance(v, tuple) else v for k, v in choice.items()}
    return {"patients": design.patients} | shown


def summary(table: pd.DataFrame, design: Design, failed: int, contrast: str | None = None) -> dict[str, float]:
    """Summarise replicates of one design: power, type M, mean estimate, and what it cost.

    Parameters
    ----------
    contrast : str, optional
        The last active arm against control by default.

    Returns
    -------
    dict of str to float
        ``type M`` is the mean |estimate| of significant trials over the mean estimate of all; NaN where fewer than five
        are significant or the mean is not above its Monte-Carlo error.
    """
    if len(design.arms) < 2:
        raise InvalidValue(f"design '{design.id}' has one arm: there is nothing to compare.")
    control = design.arms[design.control].name
    active = [a.name for i, a in enumerate(design.arms) if i != design.control]
    column = f"{design.primary}:{contrast or f'{active[-1]} - {control}'}"
    if f"{column}:value" not in table:
        raise FitFailed(
            f"no replicate of design '{design.id}' could be analysed: {table[f'{design.primary}:failed'].iloc[0]}"
        )
    value, p = table[f"{column}:value"].to_numpy(dtype=float), table[f"{column}:p"].to_numpy(dtype=float)
    estimate = -np.log(value) if design.primary == "survival" else value
    significant = (p < 0.05) & (estimate > 0)
    power = float(significant.mean())
    mean, spread = float(np.nanmean(estimate)), float(np.nanstd(estimate))
    sure = significant.sum() >= 5 and mean > 3 * spread / np.sqrt(len(estimate))
    return {
        "power": power,
        "Monte-Carlo SE": float(np.sqrt(power * (1 - power) / len(p))),
        "type M": float(estimate[significant].mean() / mean) if sure else float("nan"),
        "mean difference": mean,
        "SD of difference": spread,
        "mean SE": float(np.nanmean(table[f"{column}:se"])),
        "replicates": len(p),
        "failed fits": failed,
        "screened per randomised": float((table["candidates"] / table["randomised"]).mean()),
    }


def figures(table: pd.DataFrame, title: str) -> dict[str, Figure]:
    """Draw power against effect for each design, and a heat map of effect by design."""
    from metabolism.plotting import COLOURS, new_figure

    fixed = table[~table["effect"].str.startswith("N(")].assign(effect=lambda t: t["effect"].astype(float) * 100)
    varying = [
        c
        for c in ("patients", "weeks", "run_in", "onset_limit", "hcy_min", "dose", "interval")
        if c in table and (table[c].nunique() > 1 or c == "patients")
    ]
    label = fixed[varying].astype(str).agg(", ".join, axis=1)
    drawn = {}
    figure, axes = new_figure(width=7.4, height=4.2)
    palette: Sequence[str] = list(COLOURS.values())
    for i, (text, part) in enumerate(fixed.groupby(label, sort=False)):
        colour = palette[i % len(palette)]
        part = part.sort_values("effect")
        axes.errorbar(
            part["effect"],
            part["power"] * 100,
            part["Monte-Carlo SE"] * 196,
            color=colour,
            marker="o",
            capsize=3,
            label=str(text),
        )
    axes.axhline(80, color=COLOURS["grey"], linestyle="--", linewidth=1)
    axes.set_ylim(0, 102)
    axes.set_xlabel("true reduction of the motor-unit loss rate [%]")
    axes.set_ylabel("power [%]")
    axes.set_title(f"{title}\nbars: 95 % Monte-Carlo interval; dashed: 80 %", fontsize=10)
    axes.legend(title=", ".join(v.replace("_", " ") for v in varying), fontsize=8, title_fontsize=8)
    drawn["power_curves"] = figure
    wide = fixed.assign(design=label).pivot_table(index="design", columns="effect", values="power", sort=False)
    figure, axes = new_figure(width=7.4, height=1.6 + 0.45 * len(wide))
    image = axes.imshow(wide.to_numpy() * 100, vmin=0, vmax=100, cmap="cividis", aspect="auto")
    for (i, j), value in ((index, wide.to_numpy()[index] * 100) for index in _indices(wide.shape)):
        axes.text(j, i, f"{value:.0f}", ha="center", va="center", color="white" if value < 55 else "black", fontsize=9)
    axes.set_xticks(range(wide.shape[1]), [f"{c:g}" for c in wide.columns])
    axes.set_yticks(range(wide.shape[0]), list(wide.index))
    axes.set_xlabel("true reduction of the motor-unit loss rate [%]")
    axes.set_ylabel(", ".join(v.replace("_", " ") for v in varying))
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="power [%]")
    drawn["power_heat_map"] = figure
    return drawn


def _indices(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(i, j) for i in range(shape[0]) for j in range(shape[1])]
