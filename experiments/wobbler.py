"""Which dose per kg gives a mouse the exposure of 50 mg twice weekly in people?

No mouse kinetics of methylcobalamin are published, so human clearance is scaled by body weight under three rules.
"""

import numpy as np
import pandas as pd

from metabolism import Outcome, experiment, simulate
from metabolism.plotting import COLOURS, new_figure
from metabolism.simulation import endpoints

MOUSE, HUMAN, DOSES = 0.02, 60.0, [0.3, 1, 3, 10, 30, 100]  # body weights [kg]
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
    table = pd.DataFrame([(r, d) for r in RULES for d in DOSES], columns=["scaling of clearance", "dose [mg/kg/d]"])
    dose = table["dose [mg/kg/d]"]
    table["exponent"] = power = table["scaling of clearance"].map(RULES)
    # exposure = dose / clearance; clearance per animal falls with weight to the power
    table["human dose with the same exposure [mg/kg/d]"] = human_dose = dose * (MOUSE / HUMAN) ** (1 - power)
    table["the same in 60 kg [mg/week]"] = 7 * HUMAN * human_dose
    table["relative to JETALS"] = 7 * dose * MOUSE / 100 * (HUMAN / MOUSE) ** power
    table["weekly area [uM h]"] = human * table["relative to JETALS"]
    same = {rule: 100 / (7 * MOUSE) * (MOUSE / HUMAN) ** power for rule, power in RULES.items()}
    return Outcome(
        f"A mouse reaches the weekly exposure of 50 mg twice weekly at {same['allometric']:.1f} mg/kg/d if clearance "
        f"goes with body weight^0.75, at {same['body surface']:.1f} mg/kg/d by body surface, and at "
        f"{same['per kg']:.2f} mg/kg/d if it goes with weight.\nThe doses and outcomes of the study in wobbler mice "
        "could not be traced; nothing is said of them.",
        results={"human_50mg": result},
        tables={"exposures": table, "published": published},
        cited=["Hotta2024", "Watanabe1994"],
    )


def figures(outcome):
    figure, axes = new_figure(width=7.0, height=4.2)
    groups = outcome.tables["exposures"].groupby(["scaling of clearance", "exponent"], sort=False)
    for ((rule, power), part), colour, marker in zip(groups, ("blue", "green", "amber"), "osD", strict=True):
        look = {"color": COLOURS[colour], "marker": marker, "label": f"{rule} (exponent {power:g})"}
        axes.plot(part["dose [mg/kg/d]"], part["relative to JETALS"], **look)
    axes.axhline(1, color=COLOURS["black"], linewidth=1, linestyle="--")
    axes.text(110, 0.85, "50 mg twice weekly in people", fontsize=9, ha="right", va="top")
    axes.set(xscale="log", yscale="log", ylim=(0.015, 2000))
    axes.set(xlabel="mouse dose [mg/kg/d]", ylabel="weekly exposure, relative to JETALS [ratio]")
    axes.set_xticks(DOSES, [f"{d:g}" for d in DOSES], minor=False)
    axes.legend(fontsize=9, loc="upper left")
    return {"1_exposure": figure}
