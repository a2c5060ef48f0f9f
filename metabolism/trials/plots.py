"""Pictures of virtual trials: survival with numbers at risk, and one trial among the courses of many patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.errors import InvalidValue, UnknownName
from metabolism.plotting import COLOURS, new_figure
from metabolism.units import in_words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def kaplan_meier(table: pd.DataFrame, colours: Mapping[str, str], title: str) -> Figure:
    """Draw survival by arm with 95 % bands and, below, the patients at risk.

    Parameters
    ----------
    table : DataFrame
        One row per patient with ``arm``, ``months`` and ``event``; see `metabolism.trials.tables.wide`.
    colours : mapping of arm to colour
        Names of `metabolism.plotting.COLOURS`, in the order of the legend.
    title : str

    Raises
    ------
    InvalidValue, UnknownName
        For follow-up that is no time, or an arm that nobody was in.
    """
    from scipy.stats import CensoredData, ecdf

    months, events = (table[c].to_numpy(dtype=float) for c in ("months", "event"))
    if not (np.isfinite(months) & (months >= 0)).all() or not np.isin(events, (0, 1)).all():
        raise InvalidValue("a patient has no time of follow-up from 0 months on, or an event that is neither 0 nor 1.")
    for arm in colours:
        if not (table["arm"] == arm).any():
            raise UnknownName("arm", arm, table["arm"])
    figure, axes = new_figure(2, 1, width=7.6, height=5.4)
    curves, counts = axes[:, 0]
    curves.get_gridspec().set_height_ratios([4, 1])
    end = float(table["months"].max())
    times = np.arange(0, end + 1, 6)
    for i, (arm, name) in enumerate(colours.items()):
        part, colour = table[table["arm"] == arm], COLOURS[name]
        alive = ecdf(CensoredData.right_censored(part["months"].to_numpy(), part["event"].to_numpy() == 0)).sf
        band: Any = alive.confidence_interval()
        months = np.append(0.0, alive.quantiles)
        share, low, high = (
            np.append(100.0, np.clip(100 * course.probabilities, 0, 100)) for course in (alive, band.low, band.high)
        )
        label = f"{in_words(arm)} (n = {len(part)})"
        curves.step(months, share, where="post", color=colour, linewidth=1.8, label=label)
        curves.fill_between(months, low, high, step="post", color=colour, alpha=0.12, linewidth=0)
        for time in times:
            at_risk = int((part["months"] >= time).sum())
            counts.text(time, -i, at_risk, ha="center", va="center", fontsize=8.5, color=colour)
    curves.set(ylim=(0, 102), ylabel="free of death and\nfull ventilation [%]")
    curves.set_title(title, fontsize=10)
    curves.legend(fontsize=9)
    for ax in (curves, counts):
        ax.set(xlim=(-1, end + 1), xticks=times)
    counts.set(ylim=(0.6 - len(colours), 0.6), xlabel="time since randomisation [months]")
    counts.set_yticks([-i for i in range(len(colours))], [in_words(a) for a in colours], fontsize=8.5)
    counts.grid(visible=False)
    counts.set_title("patients at risk", fontsize=9, loc="left")
    return figure


def course_figure(
    one: pd.DataFrame,
    many: pd.DataFrame,
    colours: Mapping[str, str],
    published: Mapping[str, tuple[float, float, float]],
) -> Figure:
    """Draw by arm the patients of one trial over the spread of many, with a published mean and its interval.

    Parameters
    ----------
    one : DataFrame
        Of `metabolism.trials.tables.wide`.
    many : DataFrame
        Of `metabolism.trials.tables.course`.
    colours : mapping of arm to colour
    published : mapping of arm to (mean, low, high)
        At the last visit [points].
    """
    figure, axes = new_figure(1, len(colours), width=9.6, height=4.4)
    for ax, (arm, name) in zip(np.ravel(axes), colours.items(), strict=True):
        mine, spread = one[one["arm"] == arm], many[many["arm"] == arm]
        weeks = np.append(0, spread["week"])
        for row in mine[[c for c in mine if str(c).startswith("week")]].to_numpy():
            ax.plot(weeks, np.append(0, row), color=COLOURS[name], alpha=0.25, linewidth=0.8)
        low, high = (np.append(0, spread[c]) for c in ("5 %", "95 %"))
        ax.fill_between(weeks, low, high, color=COLOURS["amber"], alpha=0.2, linewidth=0, label="5-95 % of patients")
        ax.plot(
            weeks, np.append(0, spread["mean"]), color=COLOURS["black"], linewidth=1.5, linestyle="--", label="mean"
        )
        value, least, most = published[arm]
        place = weeks[-1] + 0.6
        error = [[value - least], [most - value]]
        ax.errorbar(
            place, value, error, color=COLOURS["orange"], marker="D", capsize=4, label="published mean (95 % CI)"
        )
        ax.set(xticks=weeks, xlabel="time since randomisation [weeks]", ylim=(-26, 6))
        ax.set_title(f"{in_words(arm)}: one virtual trial", fontsize=10)
    np.ravel(axes)[0].set_ylabel("change of rated ALSFRS-R [points]")
    np.ravel(axes)[0].legend(loc="lower left", fontsize=8)
    return figure


def in_percent(effect: str) -> str:
    """Words of a true effect, or of one for each arm, in percent; a distribution stays as it is.

    Examples
    --------
    >>> in_percent("0.3"), in_percent("drug_1 0.5, drug_2 0"), in_percent("N(0.27, 0.1)")
    ('30', 'drug 1 50, drug 2 0', 'N(0.27, 0.1)')
    """
    if effect.startswith("N("):
        return effect
    parts = (part.rpartition(" ") for part in effect.split(", "))
    return ", ".join(f"{in_words(arm)}{gap}{100 * float(value):g}" for arm, gap, value in parts)


def stops_figure(table: pd.DataFrame, title: str) -> Figure:
    """Draw by effect and arm how trials in calendar time ended, how many patients that took and how long.

    Parameters
    ----------
    table : DataFrame
        Of `metabolism.trials.power.power_table`, for a design with an accrual.
    title : str
    """
    labels = [f"{in_percent(e)} %" + " less loss" * (" " not in e) for e in table["effect"]]
    if table["arm"].nunique() > 1:
        labels = [f"{in_words(a)}, {e}" for a, e in zip(table["arm"], labels, strict=True)]
    figure, axes = new_figure(1, 3, width=10.5, height=1.9 + 0.34 * len(table))
    ends, size, length = axes[0]
    place = np.arange(len(table))[::-1]
    shown, early, futile = (
        100 * table[c].to_numpy(dtype=float)
        for c in ("power", "stopped early for efficacy", "stopped early for futility")
    )
    left = np.zeros(len(table))
    for name, share, colour in (
        ("shown early", early, "blue"),
        ("shown at the end", shown - early, "sky"),
        ("not shown at the end", 100 - shown - futile, "grey"),
        ("stopped for futility", futile, "amber"),
    ):
        ends.barh(place, share, left=left, color=COLOURS[colour], label=name, height=0.7)
        left = left + share
    ends.set(yticks=place, xlim=(0, 100), xlabel="trials [%]")
    ends.set_yticklabels(labels, fontsize=9)
    for ax, name, unit in ((size, "patients", "patients"), (length, "months", "months from the first patient")):
        for whose, colour, marker in (("arm", "orange", "o"), ("trial", "black", "D")):
            mean, low, high = (
                table[f"{whose} {name}{c}"].to_numpy(dtype=float) for c in ("", " 95 % low", " 95 % high")
            )
            label = "active arm, until its verdict" if whose == "arm" else "whole trial"
            error = np.nan_to_num([mean - low, high - mean])
            at = place + (0.13 if whose == "arm" else -0.13)
            ax.errorbar(mean, at, xerr=error, color=COLOURS[colour], marker=marker, linestyle="", label=label)
        ax.set(yticks=place, yticklabels=[], xlabel=unit, ylim=ends.get_ylim())
        ax.set_xlim(0, 1.05 * np.nanmax(high))
    figure.suptitle(f"{title}\nmeans with 95 % Monte-Carlo intervals", fontsize=10)
    figure.legend(*ends.get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=8.5)
    figure.legend(*size.get_legend_handles_labels(), loc="outside lower right", ncols=2, fontsize=8.5)
    return figure
