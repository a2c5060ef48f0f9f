"""Riluzole and edaravone beside methylcobalamin: what do their published effects mean in the same disease model?"""

import numpy as np
import pandas as pd

from metabolism import Claim, Outcome, experiment, trials
from metabolism.plotting import bars, new_figure
from metabolism.report import tally

COLUMNS = {"JETALS, 16 weeks [points]": ("JETALS", 16), "MCI186-19, 24 weeks [points]": ("mci186_19", 24)}
NAMES = ["treatment", "reduction of the loss rate [fraction]", *COLUMNS, "hazard ratio over 18 months"]


@experiment(
    title="Riluzole and edaravone as comparators",
    question="How large are the published effects of riluzole and edaravone in the terms of methylcobalamin?",
    source="Miller2012;Abe2014",
)
def run(ctx):
    ctx.data("published/numbers")
    model, known, size = ctx.model.with_set("als_patient"), trials.scenarios(), 400 if ctx.quick else 4000
    windows = {t: trials.read_design(t).observation for t in ("mci186_16", "mci186_19", "e0761")}
    people = {n: trials.select(model, size, w, ctx.seed).people for n, w in windows.items()}
    people["JETALS"] = trials.select(model, size, trials.JETALS_RUN_IN, ctx.seed).people
    riluzole, edaravone = (model.table[f"COHORT_{d}_effect"].value for d in ("riluzole", "edaravone"))
    score_map, months = (model.values["MN_gamma"], model.values["MN_n50"]), np.arange(0, 18.01, 0.5)

    def hazard(effect, hours=months * trials.HOURS_PER_MONTH, long=people["e0761"]):
        return trials.mortality(long, long["MN_k"].to_numpy()[:, None] * (1 - effect) * hours, hours, model.values)

    pooled, sixteen = known["pooled"].effect, trials.read_design("mci186_16").arms[1].loss_reduction
    arms = {"riluzole": riluzole, "edaravone (MCI186-19)": edaravone, "edaravone (MCI186-16)": sixteen}
    arms |= {f"methylcobalamin, {n.replace('_', ' ')}": s.effect for n, s in known.items() if s.effect}
    arms |= {"methylcobalamin (pooled) and edaravone": 1 - (1 - pooled) * (1 - edaravone)}
    rows = []
    for name, effect in arms.items():
        points = [trials.points_gained(people[trial], effect, weeks, score_map) for trial, weeks in COLUMNS.values()]
        rows.append((name, effect, *points, np.exp(trials.large_sample_log_hr(hazard(0), hazard(effect)))))
    table, claims = pd.DataFrame(rows, columns=NAMES), [Claim.of("riluzole.hazard", rows[0][-1])]
    for t in ("mci186_16", "mci186_19"):
        gained = trials.points_gained(people[t], edaravone, 24, score_map)
        claims.append(Claim.of(f"{t}.difference", gained, name=f"edaravone_{t}"))
    return Outcome(
        f"Riluzole's hazard ratio of 0.84 corresponds to {100 * riluzole:.0f} % less loss of motor units (model: "
        f"{rows[0][-1]:.2f} over 18 months) and to {rows[0][2]:.2f} points in a trial like JETALS, less than its "
        f"standard error of 0.77.\nEdaravone at the effect of MCI186-19 would give {claims[2].predicted:.2f} points "
        f"there and {claims[1].predicted:.2f} in MCI186-16, which observed 0.65 (SE 0.78). Pooled methylcobalamin "
        f"stands for {100 * pooled:.0f} %, riluzole for {100 * riluzole:.0f} %, edaravone for {100 * sixteen:.0f} or "
        f"{100 * edaravone:.0f} % by trial. No head-to-head trial exists.\n{tally(claims)}",
        claims,
        tables={"effects": table},
        cited=["Oki2022", "Kaji2019"],
    )


def figures(outcome):
    table, (figure, axes) = outcome.tables["effects"], new_figure(width=7.6, height=4.4)
    bars(axes, table["treatment"], {c.removesuffix(" [points]"): table[c] for c in COLUMNS}, ["blue", "amber"])
    axes.set_xlabel("difference of ALSFRS-R change from control [points]")
    return {"1_effects": figure}
