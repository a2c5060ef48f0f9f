"""The extension of JETALS: what an early start of 50 mg should show against one delayed by 16 weeks.

Said before any result is published; the written prediction lies in ``docs/evidence/predictions``.
"""

import numpy as np

from metabolism import Outcome, court, experiment
from metabolism.plotting import intervals, new_figure
from metabolism.trials import JETALS_RUN_IN, read_design, select

WEEKS, PATIENTS, SE_AT_16 = (32, 52, 68, 104), 124, 0.77
SPAN = ["expected [points]", "observed 2.5 %", "observed 97.5 %"]


@experiment(
    title="The extension of JETALS: a prediction before the result",
    question="What should patients on 50 mg from the start show against those who began 16 weeks later?",
    source="Oki2022",
)
def run(ctx):
    table, pairs, numbers = (ctx.data(f) for f in ("court/facts", "court/correlations", "published/numbers"))
    model = ctx.model.with_set("als_patient")
    x = court.exposures(model, tick=ctx.progress("exposures", 4 * len(court.REGIMENS)))
    size, count, drawn = (150, 800, 100) if ctx.quick else (1000, 12_000, 1000)
    people = [select(model, size, w, ctx.seed).people for w in (JETALS_RUN_IN, read_design("e0761").observation)]
    response = court.Response(model, *people, visits=(4, 16, 24, *WEEKS))
    hearing = court.Hearing.of(court.Facts.of(table, pairs, numbers), x, response, count, ctx.seed)
    draws = court.delayed_start(hearing, model, people[0].iloc[:200], WEEKS, count=drawn, seed=ctx.seed)
    sd = np.sqrt(np.diag(response.covariance))
    visits = dict(zip(WEEKS, SE_AT_16 * sd[3:] / sd[1] * np.sqrt(129 / PATIENTS), strict=True))
    result = court.expected_and_observed(draws, hearing.weights(), visits, ctx.seed)
    asked = result[result["week"] == 68]
    mean, low, high = asked.iloc[0][SPAN]
    at = asked.set_index("mechanism").loc[list(court.FAMILIES)]
    answer = (
        f"One year into the extension (week 68) the early start is expected to be ahead by {mean:.2f} points, and the "
        f"published difference to lie between {low:.1f} and {high:.1f} (95 %).\n"
        + "; ".join(f"{f}: {r['expected [points]']:.2f} (weight {100 * r['weight']:.0f} %)" for f, r in at.iterrows())
        + ". A gain of function is made up by those who start late; a slower loss is not.\n"
        "Rule of scoring: the published difference nearest to week 68, with its published standard error, under the "
        "normal density of each row of the table of predictions; it holds if it lies within the last two columns."
    )
    notes = [
        f"The standard error is that of JETALS (0.77), grown with the model's spread at each visit and for {PATIENTS} "
        "patients; loss to follow-up and deaths, which are not published, would widen it.",
        "The split of the 124 by arm is not published; halves are assumed. All know their treatment in the extension.",
    ]
    return Outcome(answer, tables={"prediction": asked, "all_weeks": result}, notes=notes)


def figures(outcome):
    """Expected difference by family of mechanisms one year into the extension."""
    table = outcome.tables["prediction"].head(1 + len(court.FAMILIES))
    figure, axes = new_figure(width=7.8, height=3.4)
    names = [f"{n} ({100 * w:.0f} %)" for n, w in table[["mechanism", "weight"]].to_numpy()]
    looks = [("black", "D"), *[("blue", "o")] * len(court.FAMILIES)]
    rows = [(name, *span, *look) for name, span, look in zip(names, table[SPAN].to_numpy(), looks, strict=True)]
    intervals(axes, rows, "early minus delayed start, week 68 [points]", reference=0)
    return {"1_extension": figure}
