"""A hypothesis: does a lifetime of poor B-vitamin status raise homocysteine and, through it, the risk of ALS?

Resting states give homocysteine under each status; a rate of risk follows by a stated elasticity. Genetic studies,
which look at lifelong differences, found no relation but print no estimate; there is nothing of theirs to draw.
"""

import pandas as pd

from metabolism import Outcome, experiment, steady_state
from metabolism.plotting import COLOURS, new_figure
from metabolism.report import case_claims

ELASTICITIES = {"0.2: middle": 0.2, "0.67: largest observed in patients": 0.67}


@experiment(
    title="Prevention: lifetime B-vitamin status as a hypothesis",
    question="If homocysteine drove the risk of ALS, how much would vitamin status over a lifetime change it, and "
    "what does genetics say?",
    source="Mu2022;Liu2021",
)
def run(ctx):
    studies, model, carrier = ctx.data("studies/studies"), ctx.model, ctx.model.with_set("mthfr_677tt")
    half, double = ({"FOLATE_DIET_rate": f * model.values["FOLATE_DIET_rate"]} for f in (0.5, 2))
    states = {"reference": model, "folate intake halved": model.with_values(half)}
    states |= {"folate intake doubled": model.with_values(double)}
    states |= {f"vitamin {v} deficiency": model.with_set(f"{v.lower()}_deficient") for v in ("B12", "B6")}
    states |= {"MTHFR 677TT": carrier, "MTHFR 677TT, folate doubled": carrier.with_values(double)}
    level = {name: steady_state(changed).values["hcy_plasma"] for name, changed in states.items()}
    table = pd.DataFrame({"lifetime status": level.keys(), "tHcy at rest [uM]": level.values()})
    table["relative to reference"] = table["tHcy at rest [uM]"] / level["reference"]
    for text, b in ELASTICITIES.items():
        table[f"rate ratio, elasticity {text}"] = table["relative to reference"] ** b
    tt = level["MTHFR 677TT"] / level["reference"]
    return Outcome(
        f"Between halved and doubled folate intake homocysteine spans {level['folate intake doubled']:.1f} to "
        f"{level['folate intake halved']:.1f} µM; the TT genotype of MTHFR adds {100 * (tt - 1):.0f} %. If risk "
        "followed homocysteine with the largest elasticity seen in patients, 0.67, TT would raise it by "
        f"{100 * (tt**0.67 - 1):.0f} %; with 0.2 by {100 * (tt**0.2 - 1):.0f} %.\nThis is a hypothesis and not a "
        "finding: Mendelian randomisation of homocysteine, B12, folate and B6 found no causal relation with ALS or "
        "neurodegeneration. The model cannot say that vitamins prevent ALS, and nothing here supports it.",
        case_claims(model, {"C09b": "Homocysteine of MTHFR 677TT above others, fasting and after methionine"}),
        tables={"lifetime_status": table, "genetic_evidence": studies[studies["study"] == "prevention"]},
        cited=["Valentino2010", "Zoccolella2008", "Zhang2010"],
    )


def figures(outcome):
    table, (figure, axes) = outcome.tables["lifetime_status"].iloc[::-1], new_figure(width=7.8, height=4.0)
    labels = [f"{n}  ({v:.1f} µM)" for n, v in zip(table["lifetime status"], table["tHcy at rest [uM]"], strict=True)]
    for text, colour, marker in zip(ELASTICITIES, ("blue", "orange"), "os", strict=True):
        look = {"color": COLOURS[colour], "label": f"elasticity {text}"}
        axes.plot(table[f"rate ratio, elasticity {text}"], labels, marker, **look)
    axes.axvline(1, color=COLOURS["grey"], linewidth=1, linestyle="--")
    axes.set_xlabel("hypothetical risk relative to the reference [ratio]")
    axes.set_title("A hypothesis that genetic studies do not support", fontsize=10)
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=8.5, loc="lower right")
    return {"1_hypothetical_risk": figure}
