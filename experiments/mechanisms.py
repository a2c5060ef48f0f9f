"""The mechanism court: which link from methylcobalamin to slower decline survives all published facts?

Rival mechanisms and their sums predict the same facts from honest priors; each is scored by its marginal likelihood.
What the facts cannot tell apart stays apart, and a menu of experiments is ranked by how much it would tell.
"""

import numpy as np
import pandas as pd

from metabolism import Claim, Outcome, court, experiment
from metabolism.plotting import COLOURS, new_figure
from metabolism.trials import JETALS_RUN_IN, read_design, select
from metabolism.units import in_words

E0761 = ("e0761_linear", "e0761_saturating", "e0761_early_50", "e0761_early_25")
OTHER_PRIORS = {
    "effects wider": court.Priors(elasticity=2.0, maximum=(1.0, 1.0), cmap=2.0),
    "effects narrower": court.Priors(elasticity=0.3, maximum=(2.0, 8.0), cmap=0.5),
    "potency wider": court.Priors(dose=(60.0, 2.4)),
    "potency narrower": court.Priors(dose=(60.0, 0.6)),
}


@experiment(
    title="The mechanism court: rival links scored on the same facts",
    question="Which mechanism of methylcobalamin in ALS survives JETALS, E0761 and the inconvenient facts, and which "
    "experiment would tell the survivors apart?",
    source="Oki2022;Kaji2019",
)
def run(ctx):
    from scipy.stats import norm

    table, pairs, numbers = (ctx.data(f) for f in ("court/facts", "court/correlations", "published/numbers"))
    facts = court.Facts.of(table, pairs, numbers)
    earlier = table.assign(
        scored=table["scored"].mask(table["id"].isin(E0761[:2]), "no").mask(table["id"] == "e0761_itt", "yes")
    )
    shown = court.Facts.of(table.assign(scored=table["kind"].ne("none").map({True: "yes", False: "no"})), None, numbers)
    model = ctx.model.with_set("als_patient")
    x = court.exposures(model, tick=ctx.progress("exposures", 4 * len(court.REGIMENS)))
    size = 150 if ctx.quick else 3000
    people = [select(model, size, w, ctx.seed).people for w in (JETALS_RUN_IN, read_design("e0761").observation)]
    response = court.Response(model, *people)
    count, fewer, truths = (800, 400, 40) if ctx.quick else (25_000, 6_000, 300)
    hearing = court.Hearing.of(facts, x, response, count, ctx.seed)
    rng = np.random.default_rng([ctx.seed, 999])
    others = {k: court.Hearing.of(facts, x, response, fewer, ctx.seed, p) for k, p in OTHER_PRIORS.items()}
    sensitivity = court.doubts(hearing, others, court.Facts.of(earlier, pairs, numbers))
    named, reliability = court.calibration(hearing, truths, min(2000, count // 2), ctx.seed)
    gains = court.menu(hearing, response, 60 if ctx.quick else 300, rng)
    ranking = hearing.ranking()

    draws, seed, observed = 20_000, int(rng.integers(2**31)), 1.97
    by_hcy, total = (hearing.averaged(q, draws, np.random.default_rng(seed)) for q in ("d50_16_hcy", "jetals"))
    fallen = court.Hearing.of(facts, court.deeper(x, 0.20), response, fewer, ctx.seed)
    deep = fallen.averaged("d50_16_hcy", draws, rng) / observed
    share = by_hcy / observed
    fall = 100 * (1 - x.homocysteine["50"][x.days <= 112].min())
    blind = facts
    for name in E0761:
        blind = blind.without(name)
    # one published number under each draw: the prediction without E0761, with the sampling error of that number
    seed, judged = int(rng.integers(2**31)), hearing.on(blind)
    ahead = {n: judged.averaged(n, draws, np.random.default_rng(seed)) for n in E0761}
    noise = rng.standard_normal((4, len(ahead[E0761[0]])))
    contrasts = (
        ahead["e0761_linear"] / 0.155 + noise[0],
        ahead["e0761_saturating"] / 0.134 + 0.866 * noise[0] + 0.5 * noise[1],
    )
    smallest = np.minimum(*(2 * norm.sf(np.abs(z)) for z in contrasts))
    claims = [
        Claim.of("court.share", np.quantile(share, 0.975)),
        Claim.of("court.difference", total.mean()),
        Claim.of("e0761.smallest_p", np.median(smallest), _interval(smallest), "predicted without E0761"),
    ]
    for i, (name, se) in enumerate((("early_50", 0.318), ("early_25", 0.270))):
        ratio = np.exp(ahead[f"e0761_{name}"] + se * noise[2 + i])
        claims.append(Claim.of(f"e0761.{name}", np.median(ratio), _interval(ratio), "predicted without E0761"))
    falls = np.linspace(0.03, 0.55, 53)
    curve = pd.DataFrame({"fall of tHcy [%]": 100 * falls})
    curve["elasticity needed"] = court.elasticity_needed(response, observed, falls)
    marks = numbers[numbers["id"].str.startswith("hcy_fall.")][["quantity", "value", "source"]]
    marks.loc[len(numbers)] = ["model: 50 mg in JETALS' patients, week 16", fall, "this run"]
    marks["elasticity needed"] = court.elasticity_needed(response, observed, marks["value"].to_numpy(dtype=float) / 100)
    quantities = {
        "difference carried by homocysteine / 1.97 points": share,
        "the same, mechanisms that contain homocysteine": share[by_hcy > 1e-9],
        "the same, if it fell by 20 %": deep,
        "difference at week 16, all facts [points]": total,
        "smallest P of E0761's contrasts, without E0761": smallest,
        **{f"{in_words(n)}: hazard ratio without E0761": np.exp(ahead[n]) for n in E0761[2:]},
    }
    summary = [(q, *np.quantile(v, [0.5, 0.025, 0.975])) for q, v in quantities.items()]
    kin, ends = hearing.families(), sensitivity.groupby("family")["posterior weight"].agg(["min", "max"]) * 100
    span = ", ".join(
        f"{f} {100 * kin[f]:.0f} % ({ends.loc[f, 'min']:.0f}-{ends.loc[f, 'max']:.0f})" for f in court.FAMILIES
    )
    best, again = gains.iloc[0], gains.set_index("experiment").loc["JETALS again"]
    symptomatic = named.set_index("true family")["family named [%]"].get("symptomatic gain", np.nan)
    first = max(kin, key=kin.get)
    verdict = "does not decide" if ends.loc[first, "min"] < 50 else "decides"
    answer = (
        f"The court {verdict}: '{first}' has the most weight, {100 * kin[first]:.0f} %, and from "
        f"{ends.loc[first, 'min']:.0f} to {ends.loc[first, 'max']:.0f} % under other priors and doubts.\n"
        f"Posterior weights by family, in brackets their range over {sensitivity['variant'].nunique()} choices of "
        f"priors and facts, doubts together included: {span}. "
        f"The best single mechanism, '{ranking.iloc[0]['mechanism']}', has "
        f"{100 * ranking.iloc[0]['posterior weight']:.0f} %. Were a gain of function the truth, the court would name "
        f"it in {symptomatic:.0f} % of cases.\n"
        f"In the model 50 mg twice weekly lowers homocysteine by {fall:.1f} %, while the JETALS group reports a "
        "'marked reduction' without a number (Kaji 2024) and takes homocysteine for a key factor. "
        f"With the model's fall homocysteine carries at most {100 * np.quantile(share, 0.975):.0f} % of the "
        f"published 1.97 points, with a fall of 20 % at most {100 * np.quantile(deep, 0.975):.0f} %. To carry all of "
        "it, a fall of 9 / 20 / 40 % needs an elasticity of "
        f"{' / '.join(f'{e:.1f}' for e in court.elasticity_needed(response, observed, np.array([0.09, 0.2, 0.4])))}; "
        "the largest observed is 0.67, which would need a fall of "
        f"{np.interp(-0.67, -curve['elasticity needed'], curve['fall of tHcy [%]']):.0f} %.\n"
        f"The experiment that would best tell the mechanisms apart is '{best['experiment']}' "
        f"({best['information [bit]']:.2f} bit of {best['uncertainty [bit]']:.2f}); repeating JETALS gives "
        f"{again['information [bit]']:.2f} bit."
    )
    return Outcome(
        answer=answer,
        claims=claims,
        tables={
            "ranking": ranking,
            "fact_by_mechanism": hearing.by_fact(shown),
            "sensitivity": sensitivity,
            "calibration": named,
            "reliability": reliability,
            "information": gains,
            "quantities": pd.DataFrame(summary, columns=["quantity", "median", "2.5 %", "97.5 %"]),
            "elasticity_curve": curve,
            "published_falls": marks,
            "facts": table,
            "parts": pd.DataFrame([{"part": k, "meaning": v} for k, v in court.PARTS.items()]),
            "exposures": court.exposure_table(x),
        },
        cited=[
            *("Kaji2015", "Kaji1998", "Valentino2010", "Zoccolella2008", "Mu2022", "Liu2021", "Hemendinger2011"),
            *("Akaike1993", "Watanabe1994", "Kaji2024", "Trimarchi2002", "HLT2005", "Ubbink1994", "ElianHoffer"),
        ],
        notes=[
            "E0761 outcomes are scored here and fitted nowhere: no parameter of the model depends on them, except "
            "the hazard level, set to the placebo arm of its early group. What was published is that two "
            "dose-response contrasts of each of two endpoints gave no P below .087: that is what is scored. The "
            "earlier reading, ln HR -0.23 (SE 0.15) as the smaller of two, stands among the variants.",
            "Weights are conditional on this list of mechanisms and on their priors. Read ratios of 3 or less as "
            "silence. The table of calibration says how often the court names a simulated truth.",
            "The symptomatic links lean on one trial of 24 people (Kaji 1998); rows of the sensitivity table show "
            "the weights without it and with a larger allowance for chance.",
            "Methylation is represented by SAM/SAH of the liver. The model has no methylation pool of the nervous "
            "system, where SAM could move otherwise.",
            "How much a week-4 visit or a wash-out tells rests on the effect site's assumed half-time of 14 days, "
            "after which a gain of function would be lost again.",
            "The CSF link is penalised because nM cobalamin in CSF is compared with an IC50 near 0.5 µM in cells; "
            "its ratio to plasma is unmeasured and drawn over a tenfold range.",
            "Unknown errors common to all mechanisms (the run-in misfit, the sidedness of P = .087, publication of "
            "positive subgroups) are not in the score.",
            "Animal and cell studies without a number that maps to patients are listed in the table of facts and not "
            "scored.",
        ],
    )


def _interval(values):
    return np.quantile(values, [0.025, 0.975])


def figures(outcome):
    """Fact-by-mechanism matrix, weights, doubts, the elasticity needed, and information of experiments."""
    t = outcome.tables
    drawn = {"1_fact_by_mechanism": court.fact_figure(t["ranking"], t["fact_by_mechanism"])}
    drawn["2_doubts_alone_and_together"] = court.doubt_figure(t["sensitivity"])
    figure, axes = new_figure(width=7.6, height=4.8)
    axes.plot("fall of tHcy [%]", "elasticity needed", color=COLOURS["orange"], data=t["elasticity_curve"], label="")
    axes.axhspan(0.01, 0.67, color=COLOURS["grey"], alpha=0.2, linewidth=0, label="observed in patients: 0 to 0.67")
    for _, row in t["published_falls"].iterrows():
        colour = COLOURS["blue" if row["source"] == "this run" else "black"]
        axes.plot(row["value"], row["elasticity needed"], "o", color=colour)
        place = (row["value"] + 1.2, row["elasticity needed"] + 0.3)
        axes.annotate(f"{row['value']:.1f} %: {row['quantity']}", place, fontsize=8)
    axes.set(ylim=(0, 24), xlim=(0, 56), xlabel="fall of plasma homocysteine, there from the start [%]")
    axes.set_ylabel("elasticity at which homocysteine\nalone gives 1.97 points")
    axes.legend(fontsize=9, loc="center right")
    drawn["3_elasticity_needed"] = figure

    gains = t["information"].iloc[::-1]
    figure, axes = new_figure(width=7.8, height=4.6)
    y = np.arange(len(gains))
    axes.barh(y + 0.2, gains["information [bit]"], height=0.38, color=COLOURS["blue"], label="about the mechanism")
    axes.barh(y - 0.2, gains["about the family [bit]"], height=0.38, color=COLOURS["amber"], label="about its family")
    names = [f"{n} (n = {p})" for n, p in zip(gains["experiment"], gains["patients"], strict=True)]
    axes.set_yticks(y, names, fontsize=8.5)
    axes.set_xlabel(f"expected information [bit]; uncertainty now {gains.iloc[0]['uncertainty [bit]']:.2f} bit")
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=9, loc="lower right")
    drawn["4_expected_information"] = figure
    return drawn
