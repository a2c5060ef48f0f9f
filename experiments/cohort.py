"""Does the answer depend on how the virtual patients were made, and on who they are?"""

import numpy as np
import pandas as pd

from metabolism import Outcome, experiment, trials
from metabolism.plotting import intervals, new_figure

CONTRAST = "methylcobalamin_50mg - placebo"
#: Table 1 of JETALS: mean and SD, or share.
MOMENTS = {"age": (61.0, 11.7), "fvc": (92.0, 16.9), "onset_months": (8.35, 2.35), "baseline_rating": (42.35, 2.65)}


@experiment(
    title="Two ways to make the JETALS cohort, and its subgroups",
    question="Does the expected difference of JETALS depend on how the cohort is made, and on whom it contains?",
    source="Oki2022",
)
def run(ctx):
    model, design = ctx.model.with_set("als_patient"), trials.read_design("jetals")
    table = ctx.data("jetals/jetals")
    crowd = trials.bodies(model, 64 if ctx.quick else 256, ctx.seed)
    large = design.changed(patients=1500 if ctx.quick else 6000, trial_effect=False)
    emax = trials.scenario_maximum(model, trials.scenarios()["face_value"])
    pool = trials.make_pool(model, design, 0.2, drawn=crowd, seed=ctx.seed)
    trial = trials.simulate_trial(pool, large, emax, np.random.default_rng([ctx.seed, 12]))
    p = trial.people
    bulbar, young, slow = p["onset"] == "bulbar", p["age"] < 65, p["drop"] == 1
    shares = {"male": (p["male"], 0.569), "bulbar onset": (bulbar, 0.295), "run-in fall 1": (slow, 0.543)}
    methods, moments = trials.reweighted(trial, MOMENTS, shares)
    low, high = np.quantile(p["hcy_plasma"], [1 / 3, 2 / 3])
    riluzole, hcy = p["riluzole"].astype(bool), p["hcy_plasma"]
    groups = {
        "all": np.ones(len(trial.arm), dtype=bool),
        **{"bulbar onset": bulbar, "limb onset": ~bulbar, "riluzole": riluzole, "no riluzole": ~riluzole},
        f"tHcy below {low:.1f} µM": hcy < low,
        f"tHcy {low:.1f}-{high:.1f} µM": (hcy >= low) & (hcy < high),
        f"tHcy above {high:.1f} µM": hcy >= high,
        **{"MTHFR TT": p["genotype"] == "TT", "MTHFR CC or CT": p["genotype"] != "TT"},
        **{"age below 65": young, "age 65 or more": ~young, "run-in fall 1": slow, "run-in fall 2": p["drop"] == 2},
    }
    stages = {"bodies drawn": crowd.drawn, "bodies plausible and at rest": len(crowd.people)}
    stages |= {f"refused: {k}": v for k, v in crowd.refused.items()} | trial.counts
    parts = trials.subgroups(trial, groups, CONTRAST, 130)
    spread, width = parts["difference [points]"], parts["high [points]"][0] - parts["low [points]"][0]
    difference, slowing = methods["difference [points]"], methods["relative slowing [%]"]
    return Outcome(
        answer=(
            f"Sampled from fitted distributions the face-value difference is {difference[0]:.2f} points "
            f"({slowing[0]:.0f} % slowing); the same patients weighted to Table 1 of JETALS "
            f"(effective size {methods['effective sample size'][1]:.0f} of {len(trial.arm)}) give "
            f"{difference[1]:.2f} ({slowing[1]:.0f} %). Over subgroups the expected difference runs from "
            f"{spread.min():.2f} to {spread.max():.2f} points; a trial of 130 has an interval of {width:.1f} points "
            "for all of its patients."
        ),
        tables={
            "cohort_methods": methods,
            "cohort_moments": moments,
            "subgroups": parts,
            "filters": pd.DataFrame({"stage": list(stages), "patients": list(stages.values())}),
            "published": table,
        },
        notes=[
            "The effect is the same fraction of every patient's loss rate, by assumption; subgroups differ in rate "
            "and exposure alone."
        ],
    )


def figures(outcome):
    """Expected difference by subgroup."""
    figure, axes = new_figure(width=7.6, height=6.2)
    columns = ["difference [points]", "low [points]", "high [points]"]
    look, table = (("black", "D"), ("blue", "o")), outcome.tables["subgroups"]
    names = [f"{name} ({100 * share:.0f} %)" for name, share in table[["subgroup", "share"]].to_numpy()]
    spans = zip(names, table[columns].to_numpy(), strict=True)
    rows = [(name, *span, *look[i > 0]) for i, (name, span) in enumerate(spans)]
    intervals(axes, rows, "treatment difference [points]; interval of a trial of 130", reference=0.0)
    axes.set_title("Subgroups, face-value scenario: expected difference", fontsize=10)
    return {"1_subgroups": figure}
