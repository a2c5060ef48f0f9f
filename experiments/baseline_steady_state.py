"""What does the model rest at, and is each resting level what people have?"""

import numpy as np
import pandas as pd

from metabolism import Outcome, experiment, simulate, steady_state
from metabolism.model import equations
from metabolism.plotting import COLOURS, new_figure
from metabolism.report import case_claims, draw, tally
from metabolism.units import label

#: Rows of the case files and what they read: levels are C04a to C04n, fluxes C05a to C05c.
LEVELS = """homocysteine, men of 40-42|homocysteine, women of 40-42|homocysteine, 65-67 years|methionine|cystathionine
|SAM|SAH|betaine|choline|methylmalonic acid|red-cell folate|pyridoxal phosphate|cysteine|holotranscobalamin"""
ROWS = {f"C04{c}": text.strip() for c, text in zip("abcdefghijklmn", LEVELS.split("|"), strict=True)}
FLUXES = ("transmethylation", "remethylation", "transsulfuration")
ROWS |= {f"C05{c}": f"{flux}, fasting" for c, flux in zip("abc", FLUXES, strict=True)}


@experiment(
    title="The resting reference state beside published baselines",
    question="Does the healthy reference rest at levels and fluxes that people have?",
    source="Nygard1995;VanGuldener1999",
)
def run(ctx):
    ctx.data("literature/homocysteine")
    state, units, claims = steady_state(ctx.model), equations(ctx.model).units, case_claims(ctx.model, ROWS)
    eigenvalues = np.sort(np.real(state.eigenvalues))
    still = simulate(ctx.model, None, "52 weeks", outputs=["hcy_plasma", "cbl_plasma", "mma_plasma"], engine=ctx.engine)
    drift = max(float(np.abs(still[o] / still[o][0] - 1).max()) for o in still.outputs)
    rows = [(k, v, units[k]) for k, v in state.values.items()]
    return Outcome(
        f"The reference rests: the largest scaled rate is {state.residual:.1e} per hour, all {len(eigenvalues)} "
        f"eigenvalues are negative ({eigenvalues[0]:,.0f} to {eigenvalues[-1]:.2g} per hour), and a year of "
        f"integration moves no observable by more than {drift:.0e}. tHcy is {state.values['hcy_plasma']:.2f} "
        f"µM.\n{tally(claims)} Most levels were put in as the reference state: they describe, and predict nothing.",
        claims,
        {"year_at_rest": still},
        {"resting_state": pd.DataFrame(rows, columns=["id", "value at rest", "unit"])},
        ["Reed2008"],
    )


def figures(outcome):
    """Each baseline relative to its published value, with its band."""
    figure, axes = new_figure(width=8.2, height=6.2)
    claims = outcome.claims[::-1]
    for i, c in enumerate(claims):
        axes.plot([c.low / c.published, c.high / c.published], [i, i], color=COLOURS["grey"], linewidth=5, alpha=0.35)
        axes.plot(c.predicted / c.published, i, "o", color=COLOURS["blue" if c.holds else "orange"])
    axes.axvline(1, color=COLOURS["grey"], linewidth=1, linestyle="--")
    labels = [f"{c.statement}, {c.published:g} {label(c.unit)} ({c.id}{', remembered' * c.remembered})" for c in claims]
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5)
    axes.set(xscale="log", xlim=(0.28, 2.3), xlabel="model / published (grey: acceptance band; orange: outside)")
    axes.set_xticks([0.3, 0.4, 0.5, 0.7, 1, 1.5, 2], ["0.3", "0.4", "0.5", "0.7", "1", "1.5", "2"])
    axes.minorticks_off()
    axes.grid(axis="y", visible=False)
    rest = outcome.tables["resting_state"].set_index("id")
    drawing = draw(rest["value at rest"].to_dict(), units=rest["unit"].to_dict(), title="The healthy reference at rest")
    return {"1_baselines": figure, "2_flux_map_of_the_reference": drawing}
