"""What does the model rest at, and is each resting level what people have?

Every baseline row of the literature table is printed beside the model, also those it does not represent.
"""

import numpy as np
import pandas as pd

from metabolism import Claim, Outcome, Regimen, experiment, simulate, steady_state
from metabolism.model import equations, read_set
from metabolism.plotting import COLOURS, new_figure
from metabolism.report import draw

#: Row of the literature table -> (observable, factor to the table's unit).
ROWS = {
    "C04a": ("hcy_plasma", 1),
    "C04b": ("hcy_plasma", 1),
    "C04c": ("hcy_plasma", 1),
    "C04d": ("met_plasma", 1),
    "C04e": ("cystathionine_plasma", 1),
    "C04f": ("sam_plasma", 1000),
    "C04g": ("sah_plasma", 1000),
    "C04h": ("betaine_plasma", 1),
    "C04i": ("choline_plasma", 1),
    "C04j": ("mma_plasma", 1000),
    "C04k": ("folate_rbc", 1000),
    "C04l": ("plp_plasma", 1000),
    "C04m": ("cysteine_plasma", 1),
    "C04n": ("holo_tc", 1e6),
    "C05a": ("transmethylation", 1 / 70),
    "C05b": ("remethylation", 1 / 70),
    "C05c": ("transsulfuration", 1 / 70),
}
UNITS = {"umol/L": "uM", "nmol/L": "nM"}


@experiment(
    title="The resting reference state beside published baselines",
    question="Does the healthy reference rest at levels and fluxes that people have?",
    source="Nygard1995;VanGuldener1999",
)
def run(ctx):
    table = ctx.data("literature/homocysteine").set_index("id")
    state = steady_state(ctx.model)
    # the tracer rates were measured after an overnight fast
    fast = Regimen()
    for parameter, value in read_set("fasting").values.items():
        fast = fast.expose(parameter, value, 0)
    tracer = ["transmethylation", "remethylation", "transsulfuration"]
    fasted = simulate(ctx.model, fast, "12 h", outputs=tracer, engine=ctx.engine)
    rows, claims = [], []
    for row, (observable, factor) in ROWS.items():
        entry = table.loc[row]
        value = float(fasted[observable][-1]) if row.startswith("C05") else state.values[observable]
        predicted = value * factor
        low, high, published = (float(entry[c]) for c in ("accept_low", "accept_high", "observed"))
        unit = _unit(entry)
        key = str(entry["reference"]).split(";")[0]
        note = "after 12 h without food; 70 kg" if row.startswith("C05") else ""
        claims.append(
            Claim(row, f"{entry['analyte']} ({entry['population']})", predicted, published, low, high, unit, key, note)
        )
        rows.append(
            {
                "row": row,
                "analyte": entry["analyte"],
                "population": entry["population"],
                "model": predicted,
                "published": published,
                "low": low,
                "high": high,
                "unit": unit,
                "inside": "yes" if low <= predicted <= high else "no",
            }
        )
    levels = pd.DataFrame(rows)
    units = equations(ctx.model).units
    states = pd.DataFrame([{"id": k, "value at rest": v, "unit": units[k]} for k, v in state.values.items()])
    eigenvalues = np.sort(np.real(state.eigenvalues))
    still = simulate(ctx.model, None, "52 weeks", outputs=["hcy_plasma", "cbl_plasma", "mma_plasma"], engine=ctx.engine)
    drift = max(float(np.abs(still[o] / still[o][0] - 1).max()) for o in still.outputs)
    inside = int((levels["inside"] == "yes").sum())
    return Outcome(
        answer=(
            f"The reference rests: the largest scaled rate is {state.residual:.1e} per hour, all {len(eigenvalues)} eigenvalues are "
            f"negative ({eigenvalues[0]:.3g} to {eigenvalues[-1]:.2g} per hour), and a year of integration moves no observable by more "
            f"than {drift:.0e}. tHcy is {state.values['hcy_plasma']:.2f} uM.\n"
            f"{inside} of {len(levels)} published baselines lie inside their bands; the misses are listed with their reasons."
        ),
        claims=claims,
        results={"year_at_rest": still, "overnight_fast": fasted},
        tables={"baselines": levels, "resting_state": states},
        cited=["Reed2008"],
        notes=[
            "Sex, age and fortification are not yet represented: one reference is compared with all populations.",
            "Acceptance bands were fixed with the literature table before the model was run.",
        ],
    )


def _unit(entry):
    text = str(entry["compartment"])
    for long, short in UNITS.items():
        if long in text:
            return short
    return "umol/kg/h" if entry["analyte"].endswith("rate") else text.split("(")[-1].rstrip(")")


def figures(outcome):
    """Each baseline relative to its published value, with its band."""
    levels = outcome.tables["baselines"]
    figure, axes = new_figure(width=8.2, height=6.2)
    for i, row in levels[::-1].reset_index(drop=True).iterrows():
        colour = "blue" if row["inside"] == "yes" else "orange"
        axes.plot(
            [row["low"] / row["published"], row["high"] / row["published"]],
            [i, i],
            color=COLOURS["grey"],
            linewidth=5,
            alpha=0.35,
        )
        axes.plot(row["model"] / row["published"], i, marker="o", color=COLOURS[colour], markersize=7)
    axes.axvline(1, color=COLOURS["grey"], linewidth=1, linestyle="--")
    labels = [f"{r['analyte']}, {r['published']:g} {r['unit']} ({r['row']})" for _, r in levels[::-1].iterrows()]
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5)
    axes.set_xscale("log")
    axes.set_xlim(0.28, 2.3)
    axes.set_xticks([0.3, 0.4, 0.5, 0.7, 1, 1.5, 2], ["0.3", "0.4", "0.5", "0.7", "1", "1.5", "2"])
    axes.minorticks_off()
    axes.set_xlabel("model / published (grey: acceptance band; orange: outside)")
    axes.grid(axis="y", visible=False)
    rest = outcome.tables["resting_state"].set_index("id")
    drawing = draw(rest["value at rest"].to_dict(), units=rest["unit"].to_dict(), title="The healthy reference at rest")
    return {"1_baselines": figure, "2_flux_map_of_the_reference": drawing}
