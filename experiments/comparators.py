"""Riluzole and edaravone beside methylcobalamin: what do their published effects mean in the same disease model?

Comparators act as a stated reduction of the loss rate; the model does not represent how they work.
"""

import numpy as np
import pandas as pd

from metabolism import Claim, Outcome, experiment
from metabolism.plotting import COLOURS, new_figure
from metabolism.trials import (
    HOURS_PER_MONTH,
    HOURS_PER_WEEK,
    JETALS_RUN_IN,
    alsfrs_r,
    large_sample_log_hr,
    read_design,
    scenarios,
    select,
)


@experiment(
    title="Riluzole and edaravone as comparators",
    question="How large are the published effects of riluzole and edaravone in the terms in which methylcobalamin is judged?",
    source="Miller2012;Abe2014",
)
def run(ctx):
    published = ctx.data("studies/studies").set_index("id")
    model = ctx.model.with_set("als_patient")
    size = 400 if ctx.quick else 4000
    trials = {"JETALS": JETALS_RUN_IN, **{t: read_design(t).observation for t in ("mci186_16", "mci186_19", "e0761")}}
    people = {name: select(model, size, window, ctx.seed).people for name, window in trials.items()}
    riluzole, edaravone = (model.table[f"COHORT_{d}_effect"].value for d in ("riluzole", "edaravone"))
    score_map = model.values["MN_gamma"], model.values["MN_n50"]

    def gain(trial, effect, weeks):
        """Difference of ALSFRS-R change from control [points]."""
        loss = people[trial]["MN_k"].to_numpy() * weeks * HOURS_PER_WEEK
        start = people[trial]["motor_units"].to_numpy()
        return float(
            (
                alsfrs_r(start * np.exp(-(1 - effect) * loss), *score_map) - alsfrs_r(start * np.exp(-loss), *score_map)
            ).mean()
        )

    def hazard(effect):
        grid = np.arange(0, 18.01, 0.5) * HOURS_PER_MONTH
        start, k = (people["e0761"][c].to_numpy()[:, None] for c in ("motor_units", "MN_k"))
        score = alsfrs_r(start * np.exp(-k * (1 - effect) * grid), *score_map)
        h = model.table["COHORT_h0"].value * np.exp(model.table["COHORT_h_slope"].value * (48 - score) / 48)
        return (h[:, 1:] + h[:, :-1]) / 2 * np.diff(grid)

    ratio = float(np.exp(large_sample_log_hr(hazard(0), hazard(riluzole))))
    arms = {
        "riluzole": riluzole,
        "edaravone (MCI186-19)": edaravone,
        "edaravone (MCI186-16)": read_design("mci186_16").arms[1].loss_reduction,
    }
    arms |= {f"methylcobalamin, {n.replace('_', ' ')}": s.effect for n, s in scenarios().items() if s.effect}
    pooled = scenarios()["pooled"].effect
    arms |= {"methylcobalamin (pooled) and edaravone": 1 - (1 - pooled) * (1 - edaravone)}
    table = pd.DataFrame(
        [
            {
                "treatment": n,
                "reduction of the loss rate [fraction]": e,
                "JETALS population, 16 weeks [points]": gain("JETALS", e, 16),
                "MCI186-19 population, 24 weeks [points]": gain("mci186_19", e, 24),
                "hazard ratio over 18 months": float(np.exp(large_sample_log_hr(hazard(0), hazard(e)))),
            }
            for n, e in arms.items()
        ]
    )
    found = {"mci186_16": gain("mci186_16", edaravone, 24), "mci186_19": gain("mci186_19", edaravone, 24)}
    claims = [
        Claim(
            "riluzole_hazard",
            "Hazard ratio of riluzole over 18 months",
            ratio,
            *map(float, published.loc["hazard_ratio", ["value", "low", "high"]]),
            "ratio",
            "Miller2012",
            "its reduction of the loss rate was set from this ratio",
        )
    ]
    for trial, key in (("mci186_16", "Abe2014"), ("mci186_19", "Edaravone2017")):
        row = published.loc[trial]
        claims.append(
            Claim(
                f"edaravone_{trial}",
                f"Edaravone at 24 weeks, one effect for both trials: {row['quantity']}",
                found[trial],
                *map(float, row[["value", "low", "high"]]),
                "points",
                key,
                "effect set from MCI186-19" + ("" if trial == "mci186_16" else ": not a prediction"),
            )
        )
    return Outcome(
        answer=(
            f"Riluzole's hazard ratio of 0.84 corresponds to {100 * riluzole:.0f} % less loss of motor units (model: {ratio:.2f} over 18 months) and to "
            f"{table.iloc[0]['JETALS population, 16 weeks [points]']:.2f} points in a trial like JETALS, less than its standard error of 0.78.\n"
            f"Edaravone at the effect of MCI186-19 would give {found['mci186_19']:.2f} points there and {found['mci186_16']:.2f} in MCI186-16, which observed 0.65 (SE 0.78). "
            f"Pooled methylcobalamin stands for {100 * pooled:.0f} %, riluzole for {100 * riluzole:.0f} %, edaravone for "
            f"{100 * arms['edaravone (MCI186-16)']:.0f} or {100 * edaravone:.0f} % by trial. No head-to-head trial exists."
        ),
        claims=claims,
        tables={"effects": table, "published": published.reset_index()},
        cited=["Oki2022", "Kaji2019"],
        notes=[
            "Reductions are read off published endpoints; comparing them across trials compares populations too.",
            "Nine in ten patients of the trials took riluzole: loss rates of the cohort hold for that share, and the effects shown come on top of it.",
            "Effects together are multiplied, by assumption. 'pooled' and 'sceptical' use outcomes of E0761.",
        ],
    )


def figures(outcome):
    """Points in the JETALS population by treatment, beside the published edaravone trials."""
    table, claims = outcome.tables["effects"], {c.id: c for c in outcome.claims}
    figure, axes = new_figure(width=7.6, height=4.2)
    y = np.arange(len(table))[::-1]
    colours = ["amber" if "methyl" not in n else "blue" for n in table["treatment"]]
    for column, shift, alpha in (
        ("JETALS population, 16 weeks [points]", 0.2, 1.0),
        ("MCI186-19 population, 24 weeks [points]", -0.2, 0.5),
    ):
        axes.barh(y + shift, table[column], height=0.38, color=[COLOURS[c] for c in colours], alpha=alpha)
        for at, v in zip(y + shift, table[column], strict=True):
            axes.text(v + 0.04, at, f"{v:.2f}", va="center", fontsize=8.5)
    axes.set_yticks(y, table["treatment"], fontsize=9)
    axes.set_xlabel("difference of ALSFRS-R change from control [points]")
    axes.grid(axis="y", visible=False)
    axes.set_title("Dark: JETALS population, 16 weeks\npale: MCI186-19 population, 24 weeks", fontsize=10)
    axes.set_xlim(0, table["MCI186-19 population, 24 weeks [points]"].max() * 1.12)
    second, forest = new_figure(width=7.6, height=3.2)
    for i, (key, text) in enumerate((("edaravone_mci186_19", "MCI186-19"), ("edaravone_mci186_16", "MCI186-16"))):
        c = claims[key]
        forest.errorbar(
            c.published,
            i,
            xerr=[[c.published - c.low], [c.high - c.published]],
            color=COLOURS["black"],
            marker="D",
            capsize=4,
            label="published (95 % interval)" if i == 0 else None,
        )
        forest.plot(
            c.predicted,
            i - 0.15,
            "o",
            color=COLOURS["amber"],
            markersize=8,
            label="model, one effect for both" if i == 0 else None,
        )
        forest.text(-1.1, i + 0.12, text, fontsize=9)
    forest.axvline(0, color=COLOURS["grey"], linewidth=1, linestyle="--")
    forest.set_yticks([])
    forest.set_ylim(-0.5, 1.9)
    forest.set_xlim(-1.2, 4.2)
    forest.set_xlabel("edaravone: difference of ALSFRS-R change at 24 weeks [points]")
    forest.legend(fontsize=9, loc="upper left", ncols=2)
    return {"1_effects": figure, "2_edaravone": second}
