"""Safety: what exposure each regimen gives, and which adverse-reaction rates were published. No curve joins the two."""

import numpy as np
import pandas as pd
from scipy.stats import binomtest, fisher_exact

from metabolism import Claim, Outcome, experiment, simulate
from metabolism.plotting import COLOURS, intervals, new_figure
from metabolism.report import tally

SCALE = np.array([1344.38, 1344.38, 2 * 1344.38, 1e3, 1344.38e3])  # from uM, and uM h of half a week
AREA = "weekly area, total [ng h/mL]"
READ = ["peak of total cobalamin [ng/mL]", "trough of total cobalamin [ng/mL]", AREA]
READ += ["mean unbound cobalamin [nM]", "mean CSF cobalamin [pg/mL]"]
RENAL, RATES = {"normal": 1.0, "GFR x 0.6": 0.6, "GFR x 0.3": 0.3}, ["rate [%]", "95 % low [%]", "95 % high [%]"]


@experiment(
    title="Safety: exposures and published adverse reactions",
    question="What exposure do the regimens give after 16 weeks, also in renal impairment, and what is known of harm?",
    source="EisaiNews2024;RozebalaminLabel;Kaji2019;MethycobalInjectionLabel",
)
def run(ctx):
    facts, _ = ctx.data("studies/studies").query("study == 'safety'").set_index("id"), ctx.data("published/numbers")
    model, runs, parts = ctx.model.with_set("als_patient"), {}, {}
    options = {"outputs": ["cbl_plasma", "cbl_free", "cbl_csf"], "patients": {"GFR_rel": [*RENAL.values()]}}
    for mg in (0.5, 25, 50):
        run = simulate(model, f"{mg} mg im every 3.5 d x 32", "16 weeks", engine=ctx.engine, **options)
        total, free, csf = ({k: v for k, (_, v) in run.exposure(o, units="model")[1].items()} for o in run.outputs)
        values = [total["Cmax"], total["Ctrough"], total["AUCtau"], free["Cavg"], csf["Cavg"]]
        parts[f"{mg} mg twice weekly"] = pd.DataFrame(np.transpose(values) * SCALE, RENAL, READ)
        runs[f"{mg}_mg_twice_weekly".replace(".", "p")] = run
    table = pd.concat(parts, names=["regimen", "kidney"]).reset_index()
    had, arms = facts.loc[["adr_active", "adr_placebo"], "value"].to_numpy(dtype=int), np.array([65, 64])
    reactions = pd.DataFrame({"arm": ["50 mg", "placebo"], "patients with a reaction": had, "patients": arms})
    exact = [binomtest(k, n).proportion_ci() for k, n in zip(had, arms, strict=True)]  # Clopper and Pearson
    reactions[RATES] = 100 * np.column_stack([had / arms, np.array(exact)])
    shown = ", ".join(f"{k} of {m} ({r:.1f} %) on {n}" for n, k, m, r in reactions.iloc[:, :4].to_numpy())
    peak, trough, weekly = table.loc[6, READ[:3]]
    claims = [Claim.of("safety.cmax_50", peak), Claim.of("safety.auc_50", weekly / 2)]
    answer = (
        f"On 50 mg twice weekly total cobalamin peaks at {peak:.0f} ng/mL and falls to {trough:.1f} ng/mL before the "
        f"next dose; at 30 % of normal GFR the area is {table.loc[8, AREA] / weekly:.1f} times as large.\nAdverse "
        f"drug reactions: {shown} (Fisher's exact P = {fisher_exact([had, arms - had]).pvalue:.2f}). So small a trial "
        "leaves the intervals of the table; no relation of exposure to harm is published, and none is drawn here. "
        f"{tally(claims)}"
    )
    tables = {"exposures": table, "adverse_reactions": reactions, "published": facts.reset_index()}
    return Outcome(answer, claims, runs, tables)


def figures(outcome):
    table, reactions = outcome.tables["exposures"], outcome.tables["adverse_reactions"]
    (figure, axes), (second, forest) = new_figure(width=7.0, height=3.9), new_figure(width=7.0, height=2.6)
    for kidney, colour, marker in zip(RENAL, ("blue", "sky", "orange"), "osD", strict=True):
        axes.plot("regimen", AREA, marker, data=table[table["kidney"] == kidney], color=COLOURS[colour], label=kidney)
    axes.set(yscale="log", ylabel="weekly area of total cobalamin [ng h/mL]", xlim=(-0.5, 2.5))
    axes.legend(title="kidney", fontsize=9)
    rows = [(f"{arm} ({k} of {m})", *rates, "blue", "o") for arm, k, m, *rates in reactions.to_numpy()]
    intervals(forest, rows, "patients with an adverse drug reaction [%]")
    forest.set(xlim=(-2, 19), title="16 weeks, exact 95 % intervals")
    return {"1_exposures": figure, "2_adverse_reactions": second}
