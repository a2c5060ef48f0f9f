"""Which ten parameters drive the JETALS difference?

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
PROBABILITIES = (np.arange(400) + 0.5) / 400


def disease_priors(model):
    """Priors of the disease and effect parameters: assumptions of this study, wide because nothing measured them."""
    from scipy.stats import beta, halfnorm, lognorm

    priors = {
        "MN_k": (lognorm(0.15, scale=model.values["MN_k"]), "assumed: SD of the logarithm 0.15"),
        "MN_gamma": (lognorm(0.25, scale=model.values["MN_gamma"]), "assumed: SD of the logarithm 0.25"),
        "MN_n50": (beta(12, 36), "assumed: Beta(12, 36)"),
        "MN_beta_hcy": (halfnorm(scale=0.3), "assumed: half-normal 0.3"),
        "MN_Emax": (beta(2, 3), "assumed: Beta(2, 3)"),
        "MN_EC50": (lognorm(1.2, scale=model.values["MN_EC50"]), "assumed: SD of the logarithm 1.2"),
    }
    factors = []
    for name, (distribution, source) in priors.items():
        values = distribution.ppf(PROBABILITIES).tolist()
        unit = model.table[name].unit
        factors.append(Factor(name, unit, values[0], values[-1], "empirical", source=source, sample=tuple(values)))
    return tuple(factors)


@experiment(
    title="Which ten parameters drive the JETALS difference?",
    question="Which ten parameters drive the difference in ALSFRS-R between 50 mg methylcobalamin and placebo after "
    "16 weeks?",
    source="Oki2022",
)
def run(ctx):
    base = ctx.model.with_set("als_patient")
    people = select(base, 60 if ctx.quick else 300, JETALS_RUN_IN, ctx.seed).people
    model = base.with_values(
        MN_k=float(people["MN_k"].median()), motor_units=float(people["motor_units"].median()), MN_Emax=0.4
    )
    priors = disease_priors(model)
    own = {f.name for f in priors}
    # far tails of two priors together leave no reference state to derive capacities from
    others = [f for f in choose(model).within(0.1, 0.9) if f.name not in own]
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
    return _outcome(ctx, model, swings, indices, len(tried))


def _outcome(ctx, model, swings, indices, tried):
    ctx.data("published/numbers")
    differences = indices.sweep.values()[:, 0]
    ranges = indices.factors.frame().rename(columns={"low": "range low", "high": "range high"})
    ranking = indices.ranking(DIFFERENCE)
    top = ranking.head(10).merge(ranges, on="factor")
    # the names carry the meaning for a reader who does not know the ids
    top.insert(2, "meaning", [model.table[n].name for n in top["factor"]])
    inside = [model.table[n].module == "motor_neuron" for n in ranking["factor"]]
    outside = ranking[~np.array(inside)].head(1).itertuples()
    falls = indices.ranking(FALL)
    falls = falls[falls["value"] > 0.01].head(3)
    words = ", ".join(f"{r.factor} ({r.value:.2f}, 95 % {r.low:.2f} to {r.high:.2f})" for r in top.head(4).itertuples())
    low, middle, high = np.nanquantile(differences, [0.025, 0.5, 0.975])
    most = "".join(f", of which {r.factor} has the largest total share, {r.value:.3f}" for r in outside)
    claim = Claim.of("sensitivity.prior_median_difference", middle)
    answer = (
        f"By total share of the variance the treatment difference is driven by {words}; then "
        f"{', '.join(top['factor'][4:])}. {sum(inside[: len(top)])} of these {len(top)} describe the disease or the "
        f"assumed effect; the others are metabolism and pharmacokinetics{most}.\n"
        f"Under these priors the difference in one typical patient is {middle:.2f} points (95 % {low:.2f} to "
        f"{high:.2f}); JETALS published {claim.published:.2f}. The fall of homocysteine is driven by "
        f"{', '.join(falls['factor'])}.\n"
        f"{indices.converged(DIFFERENCE)} {indices.runs:,} runs after {tried} parameters were tried alone; "
        f"{len(indices.failed)} failed."
    )
    return Outcome(
        answer=answer,
        claims=[claim],
        tables={
            **{"top_ten": top, "indices": indices.table, "convergence": indices.convergence, "one_at_a_time": swings},
            **{"factors": indices.factors.frame(), "failed_runs": indices.failed},
            "difference_sample": pd.DataFrame({"difference [points]": differences}),
        },
        cited=["Kaji2019"],
        notes=[
            *indices.notes,
            "Metabolism and pharmacokinetics vary between the 10 and 90 % points of their priors: beyond them some "
            "pairs of values have no reference state.",
            "Capacities are derived anew for every run, so each candidate rests at the reference state it was "
            "calibrated to.",
            "A parameter that matters only together with others can be missed by moving one at a time.",
            "Shares describe uncertainty about the typical patient, not differences between patients; ratings add "
            "noise on top.",
        ],
    )


def figures(outcome):
    """Draw from the saved tables."""
    top = outcome.tables["top_ten"].iloc[::-1]
    first = outcome.tables["indices"]
    first = first[(first["endpoint"] == DIFFERENCE) & (first["index"] == "S1")].set_index("factor")["value"]
    drawn = {}
    figure, axes = new_figure(width=7.6, height=4.6)
    y = np.arange(len(top))
    spread = [top["value"] - top["low"], top["high"] - top["value"]]
    look = {"fmt": "o", "color": COLOURS["blue"], "capsize": 3, "label": "total share (95 % interval)"}
    axes.errorbar(top["value"], y, xerr=spread, **look)
    axes.plot(first.loc[top["factor"]], y, "s", color=COLOURS["amber"], markersize=5, label="first-order share")
    axes.axvline(0, color=COLOURS["grey"], linewidth=1)
    axes.set_yticks(y, top["factor"])
    axes.set_xlabel("share of the variance of the treatment difference at week 16")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", fontsize=9)
    drawn["1_ten_parameters"] = figure
    drawn["2_one_at_a_time"] = tornado_figure(outcome.tables["one_at_a_time"], DIFFERENCE)
    figure, axes = new_figure(width=6.4, height=3.6)
    sample = outcome.tables["difference_sample"]["difference [points]"].dropna()
    axes.hist(sample, bins=40, color=COLOURS["sky"], edgecolor="white")
    claim, orange = outcome.claims[0], COLOURS["orange"]
    axes.axvline(claim.published, color=orange, linewidth=2, label="JETALS")
    axes.axvspan(claim.low, claim.high, color=orange, alpha=0.12, label="its 95 % interval")
    axes.set_xlabel("treatment difference of a typical patient under the priors [points]")
    axes.set_ylabel("runs")
    axes.legend(fontsize=9)
    drawn["3_difference_under_priors"] = figure
    return drawn
