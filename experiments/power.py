"""The worked example of the design mode: what a trial like JETALS can show, simulated and in closed form."""

import numpy as np

from metabolism import Outcome, experiment, trials
from metabolism.plotting import COLOURS

EFFECTS = (0.25, 0.35, 0.425)


@experiment(
    title="Power of the JETALS design",
    question="How often would a trial like JETALS show an effect of a given size, and how far does a significant "
    "result overstate it?",
    source="Oki2022",
)
def run(ctx):
    numbers = ctx.data("published/numbers").set_index("id")["value"]
    design, count = trials.read_design("jetals"), 100 if ctx.quick else 400
    options = {"replicates": count, "seed": ctx.seed, "size": 64 if ctx.quick else 256, "workers": ctx.workers}
    tick, model = ctx.progress("trials", count * (len(EFFECTS) + 1)), ctx.model.with_set("als_patient")
    table = trials.power_table(model, design, EFFECTS, tick=tick, **options)
    closed = [trials.closed_form(-f * numbers["jetals.placebo_change"], numbers["jetals.se"]) for f in EFFECTS]
    table["closed form power, published SE"] = [*(c[0] for c in closed), np.nan]
    table["closed form type M"] = [*(c[1] for c in closed), np.nan]
    rows = table.iloc[: len(EFFECTS)]
    spans = 100 * rows[["power", "power 95 % low", "power 95 % high"]].to_numpy()
    shown = " / ".join(f"{power:.0f} % ({low:.0f}-{high:.0f})" for power, low, high in spans)
    return Outcome(
        answer=(
            f"At {' / '.join(f'{100 * e:g}' for e in EFFECTS)} % true slowing the JETALS design has {shown} power in "
            f"the model (brackets: Monte-Carlo error), and {' / '.join(f'{100 * c[0]:.0f}' for c in closed)} % with "
            "the published standard error. A significant result then overstates the effect "
            f"{' / '.join(f'{v:.2f}' for v in rows['type M'])} times in the model, "
            f"{' / '.join(f'{c[1]:.2f}' for c in closed)} times by the closed form."
        ),
        tables={"power": table},
        notes=[
            f"Estimand: {table['estimand'][0]}, {table['estimate'][0]}. The model's standard error is smaller than "
            "the published 0.77: its power is optimistic."
        ],
    )


def figures(outcome):
    """Power by effect, with the closed form."""
    table = outcome.tables["power"]
    figure = trials.figures(table, "Power of the JETALS design")["power_curves"]
    axes, rows = figure.axes[0], table[table["closed form power, published SE"].notna()]
    look = {"color": COLOURS["orange"], "marker": "D", "label": "closed form, published SE 0.77"}
    axes.plot(rows["effect"].astype(float) * 100, 100 * rows["closed form power, published SE"], **look)
    axes.legend(fontsize=8, loc="lower right")
    return {"1_power": figure}
