"""A hypothesis: does a lifetime of poor B-vitamin status raise homocysteine and, through it, the risk of ALS?

Resting states give homocysteine under each status; a rate of risk follows by a stated elasticity. Genetic studies,
which look at lifelong differences, found no relation but print no estimate; there is nothing of theirs to draw.
"""

import numpy as np
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
    studies, model = ctx.data("studies/studies"), ctx.model
    folate, carrier = model.values["FOLATE_DIET_rate"], model.with_set("mthfr_677tt")
    states = {
        "reference": model,
        "folate intake halved": model.with_values(FOLATE_DIET_rate=0.5 * folate),
        "folate intake doubled": model.with_values(FOLATE_DIET_rate=2 * folate),
        "vitamin B12 deficiency": model.with_set("b12_deficient"),
        "vitamin B6 deficiency": model.with_set("b6_deficient"),
        "MTHFR 677TT": carrier,
        "MTHFR 677TT, folate doubled": carrier.with_values(FOLATE_DIET_rate=2 * folate),
    }
    level = {name: steady_state(changed).values["hcy_plasma"] for name, changed in states.items()}
    table = pd.DataFrame({"lifetime status": level.keys(), "tHcy at rest [uM]": level.values()})
    table["relative to reference"] = table["tHcy at rest [uM]"] / level["reference"]
    for text, b in ELASTICITIES.items():
        table[f"rate ratio, elasticity {text}"] = table["relative to reference"] ** b
    tt = level["MTHFR 677TT"] / level["reference"]
    return Outcome(
        answer=(
            f"Between halved and doubled folate intake homocysteine spans {level['folate intake doubled']:.1f} to "
            f"{level['folate intake halved']:.1f} uM; the TT genotype of MTHFR adds {100 * (tt - 1):.0f} %. If risk "
            "followed homocysteine with the largest elasticity seen in patients, 0.67, TT would raise it by "
            f"{100 * (tt**0.67 - 1):.0f} %; with 0.2 by {100 * (tt**0.2 - 1):.0f} %.\nThis is a hypothesis and not a "
            "finding: Mendelian randomisation of homocysteine, B12, folate and B6 found no causal relation with ALS or "
            "neurodegeneration. The model cannot say that vitamins prevent ALS, and nothing here supports it."
        ),
        claims=case_claims(model, {"C09b": "Homocysteine of MTHFR 677TT above others, fasting and after methionine"}),
        tables={"lifetime_status": table, "genetic_evidence": studies[studies["study"] == "prevention"]},
        cited=["Valentino2010", "Zoccolella2008", "Zhang2010"],
        notes=[
            "Risk and progression are different things; the elasticities come from progression, cross-sectionally.",
            "The genetic studies print no estimate in their abstracts, so the null is stated and not drawn; B12 "
            "deficiency was not among their instruments.",
            "In SOD1 mice homocysteine rose only after motor signs (Zhang 2010): it may follow disease and not "
            "precede it.",
        ],
    )


def figures(outcome):
    """Rate ratio by lifetime status under each elasticity."""
    table = outcome.tables["lifetime_status"]
    figure, axes = new_figure(width=7.8, height=4.0)
    y = np.arange(len(table))[::-1]
    for text, colour, marker, shift in zip(ELASTICITIES, ("blue", "orange"), "os", (0.1, -0.1), strict=True):
        look = {"color": COLOURS[colour], "label": f"elasticity {text}"}
        axes.plot(table[f"rate ratio, elasticity {text}"], y + shift, marker, **look)
    axes.axvline(1, color=COLOURS["grey"], linewidth=1, linestyle="--")
    labels = [f"{n}  ({v:.1f} µM)" for n, v in zip(table["lifetime status"], table["tHcy at rest [uM]"], strict=True)]
    axes.set_yticks(y, labels, fontsize=9)
    axes.set_xlabel("hypothetical rate of risk relative to the reference [ratio]")
    axes.set_title("A hypothesis that genetic studies do not support", fontsize=10)
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=8.5, loc="lower right")
    return {"1_hypothetical_risk": figure}
