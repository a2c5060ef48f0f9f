"""Riluzole and edaravone beside methylcobalamin: what do their published effects mean in the same disease model?

Comparators act as a stated reduction of the loss rate; the model does not represent how they work.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from metabolism import Claim, Outcome, experiment, trials
from metabolism.plotting import COLOURS, new_figure
from metabolism.report import tally

JETALS, EDARAVONE = "JETALS population, 16 weeks [points]", "MCI186-19 population, 24 weeks [points]"
COLUMNS = {JETALS: ("JETALS", 16), EDARAVONE: ("mci186_19", 24)}


@experiment(
    title="Riluzole and edaravone as comparators",
    question="How large are the published effects of riluzole and edaravone in the terms in which methylcobalamin is "
    "judged?",
    source="Miller2012;Abe2014",
)
def run(ctx):
    ctx.data("published/numbers")
    model, known, size = ctx.model.with_set("als_patient"), trials.scenarios(), 400 if ctx.quick else 4000
    windows = {t: trials.read_design(t).observation for t in ("mci186_16", "mci186_19", "e0761")}
    windows |= {"JETALS": trials.JETALS_RUN_IN}
    people = {name: trials.select(model, size, window, ctx.seed).people for name, window in windows.items()}
    riluzole, edaravone = (model.table[f"COHORT_{d}_effect"].value for d in ("riluzole", "edaravone"))
    score_map = model.values["MN_gamma"], model.values["MN_n50"]
    months = np.arange(0, 18.01, 0.5) * trials.HOURS_PER_MONTH
    long = people["e0761"]

    def hazard(effect):
        loss = long["MN_k"].to_numpy()[:, None] * (1 - effect) * months
        return trials.mortality(long, loss, months, model.values)

    pooled, sixteen = known["pooled"].effect, trials.read_design("mci186_16").arms[1].loss_reduction
    arms = {"riluzole": riluzole, "edaravone (MCI186-19)": edaravone, "edaravone (MCI186-16)": sixteen}
    arms |= {f"methylcobalamin, {n.replace('_', ' ')}": s.effect for n, s in known.items() if s.effect}
    arms |= {"methylcobalamin (pooled) and edaravone": 1 - (1 - pooled) * (1 - edaravone)}
    rows = []
    for name, effect in arms.items():
        points = [trials.points_gained(people[trial], effect, weeks, score_map) for trial, weeks in COLUMNS.values()]
        rows.append((name, effect, *points, np.exp(trials.large_sample_log_hr(hazard(0), hazard(effect)))))
    columns = ["treatment", "reduction of the loss rate [fraction]", *COLUMNS, "hazard ratio over 18 months"]
    table = pd.DataFrame(rows, columns=columns)
    expected = {t: trials.points_gained(people[t], edaravone, 24, score_map) for t in ("mci186_16", "mci186_19")}
    ratio = table["hazard ratio over 18 months"][0]
    claims = [Claim.of("riluzole.hazard", ratio), *(Claim.of(f"{t}.difference", v) for t, v in expected.items())]
    claims[1:] = [replace(c, id=f"edaravone_{t}") for c, t in zip(claims[1:], expected, strict=True)]
    return Outcome(
        answer=(
            f"Riluzole's hazard ratio of 0.84 corresponds to {100 * riluzole:.0f} % less loss of motor units (model: "
            f"{ratio:.2f} over 18 months) and to {table.iloc[0, 2]:.2f} points in a trial like JETALS, less than its "
            "standard error of 0.77.\n"
            f"Edaravone at the effect of MCI186-19 would give {expected['mci186_19']:.2f} points there and "
            f"{expected['mci186_16']:.2f} in MCI186-16, which observed 0.65 (SE 0.78). Pooled methylcobalamin stands "
            f"for {100 * pooled:.0f} %, riluzole for {100 * riluzole:.0f} %, edaravone for "
            f"{100 * sixteen:.0f} or {100 * edaravone:.0f} % by trial. No head-to-head trial exists.\n{tally(claims)}"
        ),
        claims=claims,
        tables={"effects": table},
        cited=["Oki2022", "Kaji2019"],
        notes=[
            "Reductions are read off published endpoints; comparing them across trials compares populations too.",
            "Nine in ten patients of the trials took riluzole: loss rates of the cohort hold for that share, and the "
            "effects shown come on top of it.",
            "Effects together are multiplied, by assumption. 'pooled' and 'sceptical' use outcomes of E0761.",
        ],
    )


def figures(outcome):
    """Points by treatment in two populations."""
    table = outcome.tables["effects"]
    figure, axes = new_figure(width=7.6, height=4.2)
    y, colours = np.arange(len(table))[::-1], ["blue" if "methyl" in n else "amber" for n in table["treatment"]]
    for column, shift, alpha in zip(COLUMNS, (0.2, -0.2), (1.0, 0.5), strict=True):
        axes.barh(y + shift, table[column], height=0.38, color=[COLOURS[c] for c in colours], alpha=alpha)
        for at, v in zip(y + shift, table[column], strict=True):
            axes.text(v + 0.04, at, f"{v:.2f}", va="center", fontsize=8.5)
    axes.set_yticks(y, table["treatment"], fontsize=9)
    axes.set(xlabel="difference of ALSFRS-R change from control [points]", xlim=(0, table[EDARAVONE].max() * 1.12))
    axes.grid(axis="y", visible=False)
    axes.set_title("Dark: JETALS population, 16 weeks\npale: MCI186-19 population, 24 weeks", fontsize=10)
    return {"1_effects": figure}
