"""Published numbers that stand on the page's curves, from the data files and cases that hold them."""

from __future__ import annotations

from typing import Any

from metabolism.cases import read_cases
from metabolism.data import read_data
from metabolism.dosing import substance
from metabolism.model import Model, bibliography, citation
from metabolism.simulation import steady_state
from metabolism.trials import HOURS_PER_WEEK
from metabolism.units import magnitude

#: Weeks over which the rate of progression of a person is counted, those of JETALS.
PROGRESSION_WEEKS = 16


def jetals() -> dict[str, Any]:
    """The published ALSFRS-R of JETALS, from its data file."""
    rows = read_data("jetals/jetals").set_index(["group", "variable", "statistic"])["value"]

    def change(group: str) -> dict[str, float]:
        return {s: float(rows[group, "alsfrs_change_wk16", s]) for s in ("mean", "ci_low", "ci_high")}

    counts = {g: float(rows[g, "full_analysis_set", "count"]) for g in ("placebo", "methylcobalamin_50mg")}
    baseline = sum(float(rows[g, "alsfrs_baseline", "mean"]) * n for g, n in counts.items()) / sum(counts.values())
    return {
        "baseline": baseline,
        "counts": counts,
        "placebo": change("placebo"),
        "active": change("methylcobalamin_50mg"),
        "difference": change("difference"),
        "reference": citation("Oki2022"),
    }


def published() -> list[dict[str, Any]]:
    """Measured values that belong on a curve, with the choices they belong to."""
    scores, points = jetals(), []
    arms: tuple[tuple[str, str, float | None], ...] = (("placebo", "placebo arm", None), ("active", "50 mg arm", 50.0))
    for arm, text, given in arms:
        when: dict[str, Any] = {"baseline": "default", "progression": "default"}
        when |= {"interval": 3.5, "route": "im", "dose": given} if given else {}
        mean, low, high = (scores["baseline"] + scores[arm][s] for s in ("mean", "ci_low", "ci_high"))
        points.append(
            {
                "curve": "alsfrs_r",
                "hour": PROGRESSION_WEEKS * HOURS_PER_WEEK,
                "value": mean,
                "low": low,
                "high": high,
                "label": f"JETALS, {text}: mean of the change in 16 weeks, 95 % interval",
                "reference": scores["reference"],
                "when": when,
                "arm": "with" if given else "without",
            }
        )
    table = read_data("literature/pharmacokinetics")
    table = table[table["evidence"] == "[abs]"]
    for study, dose, route, tops in (
        ("Rozebalamin label 16.1.1", 25.0, "IM", ("plasma MeCbl Cmax", "tmax (median)")),
        ("Rozebalamin label 16.1.1", 50.0, "IM", ("plasma MeCbl Cmax", "tmax (median)")),
        ("Mecobalamin 0.5 mg crossover", 0.5, "IM", ("delta Cmax total B12", "tmax")),
    ):
        rows = table[(table["study"] == study) & (table["route"] == route)].set_index("analyte")
        rows = rows[rows["dose"].astype(float) == dose]
        top, time = (rows.loc[[name]].iloc[0].astype(str) for name in tops)
        per = magnitude(f"1 {top['unit'].replace('/mL', '')}", "umol", "level", substance("methylcobalamin").molar_mass)
        spread = top["spread"].split()
        # ng/mL is µg/L: per litre a thousand times the amount in a millilitre
        level = float(top["value"]) * per * 1e3 * 1e3
        half = float(spread[1]) * per * 1e6 if spread[0] == "SD" else None
        points.append(
            {
                "curve": "cbl_plasma",
                "hour": float(time["value"]),
                "value": level,
                "low": level - half if half else None,
                "high": level + half if half else None,
                "label": f"{study}: peak after a single {dose:g} mg dose, mean" + (" and SD" if half else ""),
                "reference": citation(top["reference"].split(";")[0]),
                "when": {"dose": dose, "route": route.lower(), "single": True},
                "arm": "with",
            }
        )
    return points


def measured(healthy: Model, person: Model, shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Numbers of shipped cases that belong to a preset; a relative one goes by the level it is relative to."""
    rows = {row.id: row for row in read_cases(healthy)}
    curves = {curve["output"]: curve for curve in shown if isinstance(curve["output"], str)}
    usual = dict.fromkeys(("gfr", "folate", "b12", "b6"), "default")
    points = []
    for name, text, when in (
        ("C12a", "long-standing B12 deficiency before treatment, mean", {"b12": "deficient"}),
        ("C12b", "long-standing B12 deficiency before treatment, mean", {"b12": "deficient"}),
        ("C09a", "677TT {size} than 677CC on the same diet, here from this person's 677CC", usual | {"mthfr": "tt"}),
        (
            "V11d",
            "677TT, {size} after 0.8 mg folic acid a day, here from this start",
            {"mthfr": "tt", "folate": "supplement"},
        ),
    ):
        row = rows[name]
        ((_, output),) = row.terms
        curve = curves[output]
        source, share = row.sources[0], 1.0 + row.observed / 100
        size = f"{abs(row.observed):g} % {'higher' if row.observed > 0 else 'lower'}"
        value = row.observed / row.factor * curve["factor"]
        change = row.text["metric"] == "percent_change"
        if row.text["metric"] == "percent_difference":
            value = share * steady_state(person).values[output] * curve["factor"]
        points.append(
            {
                "curve": curve["id"],
                "hour": max(0.0, row.times[0]),
                "value": None if change else value,
                "share": share if change else None,
                "low": None,
                "high": None,
                "label": f"{row.study}: {text.format(size=size)}",
                "reference": citation(source) if source in bibliography() else source,
                "when": when,
                "arm": "without",
            }
        )
    return points
