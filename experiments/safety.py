"""Safety: what exposure each regimen gives, and which adverse-reaction rates were published. No curve joins the two."""

import numpy as np
import pandas as pd

from metabolism import Claim, Outcome, experiment, simulate
from metabolism.plotting import COLOURS, intervals, new_figure
from metabolism.report import tally
from metabolism.simulation import area

NG_PER_ML = 1344.38  # ng/mL per uM methylcobalamin
REGIMENS = {"0.5 mg twice weekly": 0.5, "25 mg twice weekly": 25, "50 mg twice weekly": 50}
MEASURED = (
    *("peak of total cobalamin [ng/mL]", "trough of total cobalamin [ng/mL]", "weekly area, total [ng h/mL]"),
    *("mean unbound cobalamin [nM]", "mean CSF cobalamin [pg/mL]"),
)
RATES = ("rate [%]", "low 2.5 % [%]", "high 97.5 % [%]")
RENAL = {"normal": 1.0, "GFR x 0.6": 0.6, "GFR x 0.3": 0.3}


@experiment(
    title="Safety: exposures and published adverse reactions",
    question="What exposure do the regimens give after 16 weeks, also in renal impairment, and what is known of harm?",
    source="EisaiNews2024;RozebalaminLabel",
)
def run(ctx):
    from scipy.stats import beta, fisher_exact

    ctx.data("published/numbers")
    studies = ctx.data("studies/studies").query("study == 'safety'").set_index("id")
    model = ctx.model.with_set("als_patient")
    times = [np.arange(0, 2689, 12.0), 2604 + np.arange(0, 84.1, 0.25), np.arange(0, 72.1, 0.25)]
    options = {"outputs": ["cbl_plasma", "cbl_free", "cbl_csf"], "times": np.unique(np.concatenate(times))}
    options |= {"patients": {"GFR_rel": list(RENAL.values())}, "engine": ctx.engine}
    tick, rows, runs = ctx.progress("regimens", len(REGIMENS)), [], {}
    for name, dose in REGIMENS.items():
        runs[name] = simulate(model, f"{dose} mg im every 3.5 d x 32", "16 weeks", **options)
        tick(1)
        for i, kidney in enumerate(RENAL):
            total, free, csf = (runs[name][o].isel(patient=i).sel(time=slice(2604, 2688)) for o in runs[name].outputs)
            means = 1e3 * float(area(free)) / 84, 1e3 * NG_PER_ML * float(area(csf)) / 84
            levels = (NG_PER_ML * float(v) for v in (total.max(), total[-1], 2 * area(total)))
            rows.append((name, kidney, *levels, *means))
    table = pd.DataFrame(rows, columns=["regimen", "kidney", *MEASURED])
    active, placebo = (int(studies.loc[f"adr_{arm}", "value"]) for arm in ("active", "placebo"))
    counts = {"50 mg twice weekly": (active, 65), "placebo": (placebo, 64)}
    ends = [(100 * beta.ppf(0.025, k, m - k + 1), 100 * beta.ppf(0.975, k + 1, m - k)) for k, m in counts.values()]
    rows = [(n, k, m, 100 * k / m, *span) for (n, (k, m)), span in zip(counts.items(), ends, strict=True)]
    reactions = pd.DataFrame(rows, columns=["arm", "patients with a reaction", "patients", *RATES])
    p = float(fisher_exact([[k, m - k] for k, m in counts.values()]).pvalue)
    shown = ", ".join(f"{k} of {m} ({100 * k / m:.1f} %) on {n}" for n, (k, m) in counts.items())
    top = table[table["regimen"] == "50 mg twice weekly"].set_index("kidney")
    peak, trough, weekly = (top[c] for c in table.columns[2:5])
    claims = [Claim.of("safety.cmax_50", peak["normal"]), Claim.of("safety.auc_50", weekly["normal"] / 2)]
    return Outcome(
        answer=(
            f"On 50 mg twice weekly total cobalamin peaks at {peak['normal']:.0f} ng/mL and falls to "
            f"{trough['normal']:.1f} ng/mL before the next dose; at 30 % of normal GFR the area is "
            f"{weekly['GFR x 0.3'] / weekly['normal']:.1f} times as large.\n"
            f"Adverse drug reactions: {shown} (Fisher's exact P = {p:.2f}): constipation, injection-site pain, "
            "pyrexia, QT prolongation and rash, one patient each. The label adds a rise of white cells (1 % or "
            "more), and anaphylaxis of unknown frequency. "
            "'Free of side effects' is wrong; so small a trial leaves the intervals of the table.\nNo relation of "
            f"exposure to harm is published, and none is drawn here. {tally(claims)}"
        ),
        claims=claims,
        results={n.replace(" ", "_").replace(".", "p"): r for n, r in runs.items()},
        tables={"exposures": table, "adverse_reactions": reactions, "published": studies.reset_index()},
        cited=["Kaji2019", "MethycobalInjectionLabel"],
        notes=[
            "There is no exposure-toxicity curve in this model: two rates and one QT case in 65 cannot support one.",
            "Renal impairment rests on filtration alone; the eight patients of the label by renal function, whose "
            "values are not available, would test it.",
            "E0761 reported treatment-related events as similar and low in all groups over 182 weeks, without "
            "percentages.",
            "The trough depends on how long the 7 % not found in urine stays, which the data leave open.",
        ],
    )


def figures(outcome):
    """Exposure by regimen and kidney as points on a log axis, and the published rates with exact intervals."""
    table, reactions = outcome.tables["exposures"], outcome.tables["adverse_reactions"]
    figure, axes = new_figure(width=7.0, height=3.9)
    groups = table.groupby("kidney", sort=False)
    for shift, (kidney, part), colour in zip((-0.1, 0, 0.1), groups, ("blue", "sky", "orange"), strict=True):
        x, look = np.arange(len(part)) + shift, {"color": COLOURS[colour], "label": kidney}
        axes.plot(x, part["weekly area, total [ng h/mL]"], "o", **look)
    axes.set(yscale="log", ylabel="weekly area of total cobalamin [ng h/mL]", xlim=(-0.5, 2.5))
    axes.set_xticks(range(len(REGIMENS)), list(REGIMENS))
    axes.legend(title="kidney", fontsize=9)
    second, forest = new_figure(width=7.0, height=2.6)
    names = [f"{arm} ({k} of {m})" for arm, k, m in reactions.iloc[:, :3].to_numpy()]
    parts = zip(names, reactions[[*RATES]].to_numpy(), ("blue", "grey"), strict=True)
    rows = [(name, *rates, colour, "o") for name, rates, colour in parts]
    intervals(forest, rows, "patients with an adverse drug reaction [%]")
    forest.set_xlim(-2, 19)
    forest.set_title("16 weeks, exact 95 % intervals", fontsize=10)
    return {"1_exposures": figure, "2_adverse_reactions": second}
