"""Does the answer depend on how the virtual patients were made, and on who they are?"""

import numpy as np
import pandas as pd

from metabolism import Outcome, experiment, trials
from metabolism.plotting import intervals, new_figure

#: Table 1 of JETALS: mean and SD, or share.
MOMENTS = {"age": (61.0, 11.7), "fvc": (92.0, 16.9), "onset_months": (8.35, 2.35), "baseline_rating": (42.35, 2.65)}
CONTRAST, SPAN = "methylcobalamin_50mg - placebo", ["difference [points]", "low [points]", "high [points]"]


@experiment(
    title="Two ways to make the JETALS cohort, and its subgroups",
    question="Does the expected difference of JETALS depend on how the cohort is made, and on whom it contains?",
    source="Oki2022",
)
def run(ctx):
    model, design = ctx.model.with_set("als_patient"), trials.read_design("jetals")
    crowd = trials.bodies(model, 64 if ctx.quick else 256, ctx.seed)
    large = design.changed(patients=1500 if ctx.quick else 6000, trial_effect=False)
    emax = trials.scenario_maximum(model, trials.scenarios()["face_value"])
    pool = trials.make_pool(model, design, 0.2, drawn=crowd, seed=ctx.seed)
    trial = trials.simulate_trial(pool, large, emax, np.random.default_rng([ctx.seed, 12]))
    p, hcy = trial.people, trial.people["hcy_plasma"]
    bulbar, young, slow, riluzole = p["onset"] == "bulbar", p["age"] < 65, p["drop"] == 1, p["riluzole"].astype(bool)
    shares = {"male": (p["male"], 0.569), "bulbar onset": (bulbar, 0.295), "run-in fall 1": (slow, 0.543)}
    methods, moments = trials.reweighted(trial, MOMENTS, shares)
    low, high = np.quantile(hcy, [1 / 3, 2 / 3])
    groups = {"all": hcy > 0, "bulbar onset": bulbar, "limb onset": ~bulbar, "riluzole": riluzole}
    groups |= {"no riluzole": ~riluzole, f"tHcy below {low:.1f} µM": hcy < low}
    groups |= {f"tHcy {low:.1f}-{high:.1f} µM": (hcy >= low) & (hcy < high), f"tHcy above {high:.1f} µM": hcy >= high}
    groups |= {"MTHFR TT": p["genotype"] == "TT", "MTHFR CC or CT": p["genotype"] != "TT", "age below 65": young}
    groups |= {"age 65 or more": ~young, "run-in fall 1": slow, "run-in fall 2": p["drop"] == 2}
    stages = {"bodies drawn": crowd.drawn, "bodies plausible and at rest": len(crowd.people)}
    stages |= {f"refused: {k}": v for k, v in crowd.refused.items()} | trial.counts
    parts = trials.subgroups(trial, {k: np.asarray(v) for k, v in groups.items()}, CONTRAST, 130)
    filters = pd.DataFrame(stages.items(), columns=["stage", "patients"])
    spread, width = parts[SPAN[0]], parts[SPAN[2]][0] - parts[SPAN[1]][0]
    (one, two), (slowing, other) = methods["difference [points]"], methods["relative slowing [%]"]
    return Outcome(
        f"Sampled from fitted distributions the face-value difference is {one:.2f} points ({slowing:.0f} % slowing); "
        f"the same patients weighted to Table 1 of JETALS (effective size {methods['effective sample size'][1]:.0f} "
        f"of {len(trial.arm)}) give {two:.2f} ({other:.0f} %). Over subgroups the expected difference runs from "
        f"{spread.min():.2f} to {spread.max():.2f} points; a trial of 130 has an interval of {width:.1f} points for "
        "all of its patients.",
        tables={"cohort_methods": methods, "cohort_moments": moments, "subgroups": parts, "filters": filters}
        | {"published": ctx.data("jetals/jetals")},
    )


def figures(outcome):
    table, (figure, axes) = outcome.tables["subgroups"], new_figure(width=7.6, height=6.2)
    names = [f"{name} ({100 * share:.0f} %)" for name, share in table[["subgroup", "share"]].to_numpy()]
    look = [("black", "D"), *[("blue", "o")] * (len(table) - 1)]
    rows = [(name, *span, *how) for name, span, how in zip(names, table[SPAN].to_numpy(), look, strict=True)]
    intervals(axes, rows, "difference [points]; interval of a trial of 130 patients", reference=0.0)
    axes.set_title("Subgroups, face-value scenario: expected difference", fontsize=10)
    return {"1_subgroups": figure}
