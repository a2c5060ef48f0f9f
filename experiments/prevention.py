"""A hypothesis: does a lifetime of poor B-vitamin status raise homocysteine and, through it, the risk of ALS?

Resting states give homocysteine under each status; a rate of risk follows by a stated elasticity. Genetic studies, which
look at lifelong differences, found no relation. They stand beside the hypothesis.
"""

import numpy as np
import pandas as pd

from metabolism import Claim, Outcome, experiment, steady_state
from metabolism.plotting import COLOURS, new_figure

ELASTICITIES = {"0: genetic evidence": 0.0, "0.2: middle": 0.2, "0.67: largest observed in patients": 0.67}


@experiment(
    title="Prevention: lifetime B-vitamin status as a hypothesis",
    question="If homocysteine drove the risk of ALS, how much would vitamin status over a lifetime change it, and what does genetics say?",
    source="Mu2022;Liu2021",
)
def run(ctx):
    studies = ctx.data("studies/studies")
    cases = ctx.data("literature/homocysteine").set_index("id")
    model = ctx.model
    folate = model.values["FOLATE_DIET_rate"]
    states = {
        "reference": model,
        "folate intake halved": model.with_values(FOLATE_DIET_rate=0.5 * folate),
        "folate intake doubled": model.with_values(FOLATE_DIET_rate=2 * folate),
        "vitamin B12 deficiency": model.with_set("b12_deficient"),
        "vitamin B6 deficiency": model.with_set("b6_deficient"),
        "MTHFR 677TT": model.with_set("mthfr_677tt"),
        "MTHFR 677TT, folate doubled": model.with_set("mthfr_677tt").with_values(FOLATE_DIET_rate=2 * folate),
    }
    tick = ctx.progress("resting states", len(states))
    level = {}
    for name, changed in states.items():
        level[name] = steady_state(changed).values["hcy_plasma"]
        tick(1)
    table = pd.DataFrame(
        [
            {
                "lifetime status": n,
                "tHcy at rest [uM]": v,
                "relative to reference": v / level["reference"],
                **{f"rate ratio, elasticity {e}": (v / level["reference"]) ** b for e, b in ELASTICITIES.items()},
            }
            for n, v in level.items()
        ]
    )
    carriers = 100 * (level["MTHFR 677TT"] / level["reference"] - 1)
    row = cases.loc["C09b"]
    genotype = table.set_index("lifetime status").loc["MTHFR 677TT"]
    return Outcome(
        answer=(
            f"Between halved and doubled folate intake homocysteine spans {level['folate intake doubled']:.1f} to {level['folate intake halved']:.1f} uM; the TT genotype of MTHFR adds "
            f"{carriers:.0f} %. If risk followed homocysteine with the largest elasticity seen in patients, 0.67, TT would raise it by "
            f"{100 * (genotype.iloc[-1] - 1):.0f} %; with 0.2 by {100 * (genotype.iloc[-2] - 1):.0f} %.\n"
            "This is a hypothesis and not a finding: Mendelian randomisation of homocysteine, B12, folate and B6 found no causal relation with ALS or "
            "neurodegeneration. The model cannot say that vitamins prevent ALS, and nothing here supports it."
        ),
        claims=[
            Claim(
                "tt_homocysteine",
                "Homocysteine of MTHFR 677TT above the reference",
                float(carriers),
                float(row["observed_change_pct"]),
                float(row["accept_low"]),
                float(row["accept_high"]),
                "%",
                "DeJonge2004",
                "the lifelong difference on which genetic studies rest",
            )
        ],
        tables={"lifetime_status": table, "genetic_evidence": studies[studies["study"] == "prevention"]},
        cited=["Valentino2010", "Zoccolella2008", "Zhang2010"],
        notes=[
            "Risk and progression are different things; the elasticities come from progression, cross-sectionally.",
            "The genetic studies print no estimate in their abstracts, so the null is stated and not quantified.",
            "In SOD1 mice homocysteine rose only after motor signs (Zhang 2010): it may follow disease and not precede it.",
        ],
    )


def figures(outcome):
    """Rate ratio by lifetime status under each elasticity."""
    table = outcome.tables["lifetime_status"]
    figure, axes = new_figure(width=7.8, height=4.4)
    y = np.arange(len(table))[::-1]
    for (text, _), colour, marker, shift in zip(
        ELASTICITIES.items(), ("black", "blue", "orange"), "Dos", (0.18, 0, -0.18), strict=True
    ):
        axes.plot(
            table[f"rate ratio, elasticity {text}"],
            y + shift,
            marker,
            color=COLOURS[colour],
            markersize=7,
            label=f"elasticity {text}",
        )
    axes.axvline(1, color=COLOURS["grey"], linewidth=1, linestyle="--")
    axes.set_yticks(
        y,
        [f"{n}  ({v:.1f} µM)" for n, v in zip(table["lifetime status"], table["tHcy at rest [uM]"], strict=True)],
        fontsize=9,
    )
    axes.set_xlabel("hypothetical rate of risk relative to the reference [ratio]")
    axes.set_title("A hypothesis; the genetic evidence (diamonds) says 1 throughout", fontsize=10)
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=8.5, loc="lower right", bbox_to_anchor=(1.0, 0.02))
    return {"1_hypothetical_risk": figure}
