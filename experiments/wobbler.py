"""Which dose per kg gives a mouse the exposure of 50 mg twice weekly in people?

The doses and outcomes of the study in wobbler mice could not be traced, so nothing is claimed of them. No mouse
kinetics of methylcobalamin are published, so human clearance is scaled by body weight under three rules.
"""

import itertools

import numpy as np
import pandas as pd

from metabolism import Outcome, experiment, simulate
from metabolism.plotting import COLOURS, new_figure
from metabolism.simulation import endpoints

MOUSE, HUMAN = 0.02, 60.0  # body weight [kg]
DOSES = [0.3, 1, 3, 10, 30, 100]
#: Clearance goes with body weight to this power.
RULES = {"allometric": 0.75, "body surface": 0.67, "per kg": 1.0}


@experiment(
    title="Wobbler mouse: dose per kg beside the human regimen",
    question="Which dose per kg gives a mouse the exposure of JETALS?",
    source="Oki2022",
)
def run(ctx):
    published = ctx.data("studies/studies").query("study == 'wobbler'")
    options = {"outputs": ["cbl_free"], "times": np.arange(0, 672.1, 0.5), "engine": ctx.engine}
    result = simulate(ctx.model, "50 mg im every 3.5 d x 8", "4 weeks", **options)
    human = float(endpoints.area(result["cbl_free"].sel(time=slice(504, 672))))  # uM h per week of 100 mg
    rows = []
    for (rule, power), dose in itertools.product(RULES.items(), DOSES):
        # exposure = dose / clearance; clearance per animal falls with weight to the power
        weekly = 7 * dose * MOUSE / 100 * human * (HUMAN / MOUSE) ** power
        same = dose * (MOUSE / HUMAN) ** (1 - power)
        row = {"scaling of clearance": rule, "exponent": power, "dose [mg/kg/d]": dose}
        row |= {"human dose with the same exposure [mg/kg/d]": same, "the same in 60 kg [mg/week]": 7 * HUMAN * same}
        rows.append(row | {"weekly area [uM h]": weekly, "relative to JETALS": weekly / human})
    table = pd.DataFrame(rows)
    ratio = table.set_index(["scaling of clearance", "dose [mg/kg/d]"])["relative to JETALS"]
    same = {rule: 1 / ratio[rule, 1] for rule in RULES}  # exposure is proportional to dose
    return Outcome(
        answer=(
            f"A mouse reaches the weekly exposure of 50 mg twice weekly at {same['allometric']:.1f} mg/kg/d if "
            f"clearance goes with body weight^0.75, at {same['body surface']:.1f} mg/kg/d by body surface, and at "
            f"{same['per kg']:.2f} mg/kg/d if it goes with weight.\nThe doses and outcomes of the study in wobbler "
            "mice could not be traced; nothing is said of them."
        ),
        claims=[],
        results={"human_50mg": result},
        tables={"exposures": table, "published": published},
        cited=["Hotta2024", "Watanabe1994"],
        notes=[
            "Not available: doses, grip strength, motor-neuron counts, mouse kinetics. No effect in mice is "
            "simulated, because nothing could check it.",
            "Absorption is taken as complete in both species, and protein binding as equal.",
            "The model is of human metabolism; only its dose and exposure are carried over to the mouse.",
        ],
    )


def figures(outcome):
    """Exposure relative to JETALS by mouse dose and scaling rule."""
    table = outcome.tables["exposures"]
    figure, axes = new_figure(width=7.0, height=4.2)
    groups = table.groupby("scaling of clearance", sort=False)
    for (rule, part), colour, marker in zip(groups, ("blue", "green", "amber"), "osD", strict=True):
        text = f"{rule} (exponent {part['exponent'].iloc[0]:g})"
        axes.plot(part["dose [mg/kg/d]"], part["relative to JETALS"], color=COLOURS[colour], marker=marker, label=text)
    axes.axhline(1, color=COLOURS["black"], linewidth=1, linestyle="--")
    axes.text(110, 0.85, "50 mg twice weekly in people", fontsize=9, ha="right", va="top")
    axes.set(xscale="log", yscale="log", ylim=(0.015, 2000))
    axes.set_xticks(DOSES, [f"{d:g}" for d in DOSES])
    axes.minorticks_off()
    axes.set(xlabel="mouse dose [mg/kg/d]", ylabel="weekly exposure, relative to JETALS [ratio]")
    axes.legend(fontsize=9, loc="upper left")
    return {"1_exposure": figure}
