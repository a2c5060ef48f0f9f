"""The designs people run today in this disease model: how often they err and find, and what that costs."""

import pandas as pd

from metabolism import Outcome, experiment, trials
from metabolism.units import in_words

#: Figures, each named after its design.
DRAWN = ("1_healey", "2_mnd_smart", "3_magnet", "4_experts_als", "5_nfl_gate", "6_delayed_start", "7_withdrawal")
COLUMNS = (
    "effect",
    "arm",
    "power",
    "power 95 % low",
    "power 95 % high",
    "benefit shown of any arm",
    "tested at",
    "estimand",
)


@experiment(
    title="Platforms, looks, delayed starts",
    question="How often do the designs that people run now show an effect that is there, and one that is not, and with "
    "how many patients and months?",
    source="HealeyDesign2023;Wong2022;Willemse2022;ExpertsALS",
)
def run(ctx):
    numbers = ctx.data("published/numbers").set_index("id")["value"]
    count, effect = 60 if ctx.quick else 400, trials.scenarios()["pooled"].effect
    model, designs = ctx.model.with_set("als_patient"), [trials.read_design(n[2:]) for n in DRAWN]
    options = {"replicates": count, "seed": ctx.seed, "size": 64 if ctx.quick else 256, "workers": ctx.workers}
    tick, parts = ctx.progress("trials", 2 * count * len(designs)), []
    for design in designs:
        rows = trials.power_table(model, design, (0.0, effect), prior=None, tick=tick, **options)
        parts.append(rows.assign(design=design.id, primary=design.primary))
    table = pd.concat(parts, ignore_index=True)
    times = [c for c in table if c.startswith(("arm ", "trial ", "stopped"))]
    table = table[["design", "primary", *COLUMNS, *times]]
    lines = [f"At {100 * effect:.0f} % less loss, the pooled effect, and at none (brackets: Monte-Carlo error):"]
    for name, rows in table.groupby("design", sort=False):
        both = [rows[rows["effect"] == f"{e:g}"].iloc[0] for e in (0.0, effect)]
        cost = [f"{r['trial patients']:.0f} patients in {r['trial months']:.0f} months" for r in both]
        spans = [100 * r[list(COLUMNS[2:5])] for r in both]
        level, power = ("{:.1f} % ({:.1f}-{:.1f})".format(*span) for span in spans)
        shown = f"shown in {level} without effect, {power} with it; {' and '.join(cost)}"
        lines.append(f"{in_words(name)}, {in_words(both[0]['arm'])}: {shown}.")
    fixed, _ = trials.closed_form(-effect * numbers["jetals.placebo_change"], numbers["jetals.se"])
    lines.append(f"A fixed trial like JETALS with its published standard error has {100 * fixed:.0f} %.")
    return Outcome(
        answer="\n".join(lines),
        tables={"operating_characteristics": table},
        cited=["Oki2022", "Westeneng2018", "Witzel2021"],
        notes=[
            "Arms, allocation, size and length are published; what the files mark as assumed is not, above all the "
            "rules by which the platforms stop. Level and power are those of the assumed rules.",
            "The effect slows the loss of motor units in every active arm; no drug acts on symptoms alone, so that a "
            "delayed start or a withdrawal tests the same quantity in fewer weeks.",
            "NfL observes the loss rate: its elasticity, noise and delay are assumed, and no drug moves it without "
            "slowing the disease.",
        ],
    )


def figures(outcome):
    """How the trials of each design ended, with their size and length."""
    parts = outcome.tables["operating_characteristics"].groupby("design", sort=False)
    named = {name: trials.stops_figure(rows, trials.read_design(name).title) for name, rows in parts}
    return {name: named[name[2:]] for name in DRAWN if name[2:] in named}
