"""Which parameters drive the JETALS difference?

Every parameter that is not derived from others is first moved alone through its prior; the most influential ones then
enter a Sobol study of the treatment difference and of the fall in homocysteine, in a patient with the median loss rate
and motor-unit count of a virtual JETALS cohort.
"""

import numpy as np
import pandas as pd

from metabolism import Claim, Outcome, experiment, sensitivity
from metabolism.plotting import COLOURS, new_figure
from metabolism.sensitivity import Factor, Factors, choose, tornado, tornado_figure
from metabolism.trials import JETALS_RUN_IN, select

REGIMEN = "50 mg im every 3.5 d x 32"
OWN = {"MN_hcy_ref": "hcy_plasma"}
DIFFERENCE, FALL = "treatment_difference", "hcy_change"


#: Priors of the disease and effect parameters, wide because nothing measured them: SD of the logarithm about the value
#: of the patient, or a distribution with its numbers.
PRIORS = {"MN_k": 0.15, "MN_gamma": 0.25, "MN_EC50": 1.2}
PRIORS |= {"MN_n50": ("beta", 12, 36), "MN_beta_hcy": ("halfnorm", 0, 0.3), "MN_Emax": ("beta", 2, 3)}


def disease_priors(model):
    """Return the priors as samples at equally likely points."""
    from scipy import stats

    factors = []
    for name, prior in PRIORS.items():
        if isinstance(prior, float):
            drawn, source = stats.lognorm(prior, scale=model.values[name]), f"SD of the logarithm {prior:g}"
        else:
            drawn, source = getattr(stats, prior[0])(*prior[1:]), f"{prior[0]}{prior[1:]}"
        values = tuple(drawn.ppf((np.arange(400) + 0.5) / 400).tolist())
        more = {"source": f"assumed: {source}", "sample": values}
        factors.append(Factor(name, model.table[name].unit, values[0], values[-1], "empirical", **more))
    return tuple(factors)


@experiment(
    title="Which parameters drive the JETALS difference?",
    question="Which parameters drive the difference in ALSFRS-R between 50 mg methylcobalamin and placebo after "
    "16 weeks?",
    source="Oki2022",
)
def run(ctx):
    _, base = ctx.data("published/numbers"), ctx.model.with_set("als_patient")
    people = select(base, 60 if ctx.quick else 300, JETALS_RUN_IN, ctx.seed).people
    model = base.with_values({k: float(people[k].median()) for k in ("MN_k", "motor_units")} | {"MN_Emax": 0.4})
    priors = disease_priors(model)
    # far tails of two priors together leave no reference state to derive capacities from
    others = [f for f in choose(model).within(0.1, 0.9) if f.name not in PRIORS]
    everything = Factors((*priors, *others))
    # quick keeps the disease and every sixth other parameter
    tried = Factors((*priors, *others[::6])) if ctx.quick else everything
    request = {"endpoints": [DIFFERENCE, FALL], "own_baseline": OWN, "closed": True, "engine": ctx.engine}
    request |= {"workers": ctx.workers, "progress": ctx.progress}
    swings = tornado(model, REGIMEN, factors=tried, ends=(0.05, 0.95), **request)
    size = swings["swing"].abs()
    share = size / size.groupby(swings["endpoint"]).transform("max")
    ranked = swings.assign(s=share).sort_values("s", ascending=False).groupby("endpoint")["factor"].agg(list)
    wanted = {*ranked[DIFFERENCE][: 6 if ctx.quick else 12], *ranked[FALL][: 2 if ctx.quick else 6]}
    request |= {"second_order": False, "n": 16 if ctx.quick else 256, "seed": ctx.seed}
    factors = Factors(tuple(f for f in everything if f.name in wanted))
    indices = sensitivity.sobol(model, REGIMEN, factors=factors, **request)
    drawn, ranking, falls = indices.sweep.values()[:, 0], indices.ranking(DIFFERENCE), indices.ranking(FALL)
    top = ranking.head(10).merge(
        factors.frame().rename(columns={"low": "range low", "high": "range high"}), on="factor"
    )
    # the names carry the meaning for a reader who does not know the ids
    top.insert(2, "meaning", [model.table[n].name for n in top["factor"]])
    inside = np.array([model.table[n].module == "motor_neuron" for n in ranking["factor"]])
    said = {n: f"{model.table[n].name} ({n})" for n in ranking["factor"]}
    words = "; ".join(
        f"{said[r.factor]} {r.value:.2f}, 95 % {r.low:.2f} to {r.high:.2f}" for r in top.head(4).itertuples()
    )
    low, middle, high = np.nanquantile(drawn, [0.025, 0.5, 0.975])
    outside = ranking[~inside].head(1).itertuples()
    most = "".join(f", of which {said[r.factor]} has the largest total share, {r.value:.3f}" for r in outside)
    claim = Claim.of("sensitivity.prior_median_difference", middle)
    rest = ", ".join(said[n] for n in top["factor"][4:])
    falling = ", ".join(said[n] for n in falls[falls["value"] > 0.01].head(3)["factor"])
    return Outcome(
        f"By total share of the variance the treatment difference is driven by: {words}; then {rest}. "
        f"{sum(inside[: len(top)])} of these {len(top)} describe the disease or the assumed effect; the others are "
        f"metabolism and pharmacokinetics{most}.\nUnder these priors the difference in one typical patient is "
        f"{middle:.2f} points (95 % {low:.2f} to {high:.2f}); JETALS published {claim.published:.2f}. The fall of "
        f"homocysteine is driven by {falling}.\n{indices.converged(DIFFERENCE)} "
        f"{indices.runs:,} runs after {len(tried)} parameters were tried alone; {len(indices.failed)} failed.",
        [claim],
        tables={
            **{"top_ten": top, "indices": indices.table, "convergence": indices.convergence, "one_at_a_time": swings},
            **{"factors": indices.factors.frame(), "failed_runs": indices.failed},
            "difference_sample": pd.DataFrame({"difference [points]": drawn}),
        },
        cited=["Kaji2019"],
        notes=list(indices.notes),
    )


def figures(outcome):
    """Draw from the saved tables."""
    top, indices, drawn = outcome.tables["top_ten"].iloc[::-1], outcome.tables["indices"], {}
    first = indices[(indices["endpoint"] == DIFFERENCE) & (indices["index"] == "S1")].set_index("factor")["value"]
    drawn["1_largest_shares"], axes = new_figure(width=8.2, height=4.6)
    names = [f"{n}\n({r})" for r, n in zip(top["factor"], top["meaning"], strict=True)]
    spread = [top["value"] - top["low"], top["high"] - top["value"]]
    look = {"fmt": "o", "color": COLOURS["blue"], "capsize": 3, "label": "total share (95 % interval)"}
    axes.errorbar(top["value"], names, xerr=spread, **look)
    axes.plot(first.loc[top["factor"]], names, "s", color=COLOURS["amber"], markersize=5, label="first-order share")
    axes.axvline(0, color=COLOURS["grey"], linewidth=1)
    axes.set_xlabel("share of the variance of the difference at week 16")
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", fontsize=9)
    drawn["2_one_at_a_time"] = tornado_figure(outcome.tables["one_at_a_time"], DIFFERENCE)
    drawn["2_one_at_a_time"].axes[0].set_xlabel("treatment difference at week 16 [points]")
    drawn["3_difference_under_priors"], axes = new_figure(width=6.4, height=3.6)
    sample, claim, orange = outcome.tables["difference_sample"].dropna(), outcome.claims[0], COLOURS["orange"]
    axes.hist(sample["difference [points]"], bins=40, color=COLOURS["sky"], edgecolor="white")
    axes.axvline(claim.published, color=orange, linewidth=2, label="JETALS")
    axes.axvspan(claim.low, claim.high, color=orange, alpha=0.12, label="its 95 % interval")
    axes.set(xlabel="treatment difference of a typical patient under the priors [points]", ylabel="runs")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=9)
    return drawn
