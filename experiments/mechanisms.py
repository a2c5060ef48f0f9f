"""The mechanism court: which link from methylcobalamin to slower decline survives all published facts?

Rival mechanisms and their sums predict the same facts from honest priors; each is scored by its marginal likelihood. What
the facts cannot tell apart stays apart, and a menu of experiments is ranked by how much it would tell.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from metabolism import Claim, Outcome, experiment
from metabolism.court import (
    MECHANISMS,
    PARTS,
    REGIMENS,
    Facts,
    Priors,
    Response,
    draw,
    exposures,
    information,
    posterior,
    predictions,
    resample,
    score,
)
from metabolism.plotting import COLOURS, new_figure
from metabolism.trials import JETALS_RUN_IN, read_design, select

E0761 = ("e0761_itt", "e0761_early_50", "e0761_early_25")
#: Families that a reader can tell apart, in order, with their colours.
FAMILIES = {
    "no effect": "grey",
    "homocysteine or methylation only": "amber",
    "slower loss, direct": "blue",
    "symptomatic gain": "green",
    "symptomatic gain and slower loss": "pink",
}
#: Prior weights of no effect, of the seven single links together, and of the sums of two together.
WEIGHTS = {
    "base": (1, 1, 1),
    "sceptical: no effect 0.8": (8, 1, 1),
    "no sums": (1, 1, 0),
    "every mechanism alike": (1, 7, 15),
}
#: Patients; name -> (patients in all, outcomes); see `_noise`.
MENU = {
    "JETALS again": (130, ("d50_16",)),
    "JETALS with 500 patients": (500, ("d50_16",)),
    "0.5 mg arm added": (195, ("d50_16", "d0.5_16")),
    "25 mg arm added": (195, ("d50_16", "d25_16")),
    "folic acid arm added": (195, ("d50_16", "dfolate_16")),
    "analysis stratified by tHcy": (130, ("d50_16", "interaction")),
    "week-4 visit": (130, ("d50_16", "d50_4")),
    "8 weeks of wash-out": (130, ("d50_16", "d50_24")),
    "CSF cobalamin": (20, ("ln_csf",)),
    "CMAP on 25 and 0.5 mg daily": (80, ("cmap_25", "cmap_0.5")),
}


def family(name):
    parts = set(MECHANISMS[name])
    if not parts:
        return "no effect"
    direct = parts & {"plasma", "csf", "early", "waning"}
    if "symptomatic" in parts:
        return "symptomatic gain and slower loss" if direct else "symptomatic gain"
    return "slower loss, direct" if direct else "homocysteine or methylation only"


def prior_weights(shares):
    """Weights of mechanisms when none, one and two links have these shares."""
    counts = np.bincount([len(p) for p in MECHANISMS.values()])
    total = sum(shares)
    return {n: shares[len(p)] / total / counts[len(p)] for n, p in MECHANISMS.items()}


def hear(facts, priors, x, response, count, seed):
    """Predictions and scores of every mechanism."""
    predicted = {
        n: predictions(n, draw(n, count, np.random.default_rng([seed, i]), priors), x, response)
        for i, n in enumerate(MECHANISMS)
    }
    return predicted, {n: score(facts, p) for n, p in predicted.items()}


def averaged(predicted, scores, weights, quantity, count, rng):
    """Draws of a quantity from the posterior averaged over mechanisms."""
    parts = [
        predicted[n][quantity][resample(scores[n].weights, round(count * w), rng)]
        for n, w in weights.items()
        if round(count * w)
    ]
    return np.concatenate(parts)


@experiment(
    title="The mechanism court: rival links scored on the same facts",
    question="Which mechanism of methylcobalamin in ALS survives JETALS, E0761 and the inconvenient facts, and which experiment would tell the survivors apart?",
    source="Oki2022;Kaji2019",
)
def run(ctx):
    table = ctx.data("court/facts")
    facts = Facts.of(table, ctx.data("court/correlations"))
    model = ctx.model.with_set("als_patient")
    x = exposures(model, progress=ctx.progress("exposures", 4 * len(REGIMENS)))
    size = 150 if ctx.quick else 3000
    response = Response(
        model,
        select(model, size, JETALS_RUN_IN, ctx.seed).people,
        select(model, size, read_design("e0761").observation, ctx.seed).people,
    )
    count, fewer = (800, 400) if ctx.quick else (25_000, 8_000)
    predicted, scores = hear(facts, None, x, response, count, ctx.seed)
    prior = prior_weights(WEIGHTS["base"])
    weights = posterior(scores, prior)
    rng = np.random.default_rng([ctx.seed, 999])

    none = scores["no effect"].log_marginal
    ranking = pd.DataFrame(
        [
            {
                "mechanism": n,
                "family": family(n),
                "log marginal likelihood": s.log_marginal,
                "Monte-Carlo error": s.error,
                "effective draws": s.effective,
                "Bayes factor against no effect": np.exp(s.log_marginal - none),
                "prior weight": prior[n],
                "posterior weight": weights[n],
                "JETALS difference [points]": (s.weights * predicted[n]["jetals"]).sum(),
                "E0761 hazard ratio": np.exp((s.weights * predicted[n]["e0761_itt"]).sum()),
            }
            for n, s in scores.items()
        ]
    ).sort_values("posterior weight", ascending=False)
    shown = Facts.of(table.assign(scored=table["kind"].ne("none").map({True: "yes", False: "no"})))
    matrix = pd.DataFrame(
        [
            {
                "fact": f,
                "mechanism": n,
                "log predictive density": (own := score(shown.only(f), predicted[n]).log_marginal),
                "against no effect": own - score(shown.only(f), predicted["no effect"]).log_marginal,
                "scored": "yes" if f in facts.table.index else "no",
            }
            for f in shown.table.index
            for n in MECHANISMS
        ]
    )
    sensitivity = _sensitivity(ctx, facts, x, response, predicted, scores, fewer)
    gains = _menu(predicted, scores, weights, response, 60 if ctx.quick else 300, rng)

    draws = 20_000
    seed = int(rng.integers(2**31))
    by_hcy, total = (
        averaged(predicted, scores, weights, q, draws, np.random.default_rng(seed)) for q in ("d50_16_hcy", "jetals")
    )
    deeper = _deeper(x, 0.20)
    deep, deep_scores = hear(facts, None, deeper, response, fewer, ctx.seed)
    by_hcy_deep = averaged(deep, deep_scores, posterior(deep_scores, prior), "d50_16_hcy", draws, rng)
    face_value = 1.97
    share, share_deep = by_hcy / face_value, by_hcy_deep / face_value
    within = share[by_hcy > 1e-9]  # draws whose mechanism contains homocysteine
    of_effect = by_hcy[total >= 1] / total[total >= 1]
    fall = 1 - x.homocysteine["50"][x.days <= 112]
    # external prediction of E0761: its outcomes left out
    blind = facts
    for name in E0761:
        blind = blind.without(name)
    blind_scores = {n: score(blind, p) for n, p in predicted.items()}
    blind_weights = posterior(blind_scores, prior)
    ahead = {name: np.exp(averaged(predicted, blind_scores, blind_weights, name, draws, rng)) for name in E0761}
    summary = pd.DataFrame(
        [
            {
                "quantity": q,
                "median": np.median(v),
                "low 2.5 %": np.quantile(v, 0.025),
                "high 97.5 %": np.quantile(v, 0.975),
            }
            for q, v in [
                ("difference carried by homocysteine / 1.97 points", share),
                ("the same, mechanisms that contain homocysteine", within),
                ("share of the effect, where it is 1 point or more", of_effect),
                ("difference carried by homocysteine / 1.97 points, if it fell by 20 %", share_deep),
                ("difference at week 16, all facts [points]", total),
                *((f"{n}: hazard ratio without E0761", v) for n, v in ahead.items()),
            ]
        ]
    )
    one, zero = np.ones(1), np.zeros(1)
    reductions = np.linspace(0, 0.9, 91)
    needed = float(
        np.interp(
            face_value,
            [float(response.points("16", e * one, zero, "early", 12 * one)[0]) for e in reductions],
            reductions,
        )
    )
    elasticity = np.log(1 - needed) / np.log(x.homocysteine["50"][x.days <= 112]).mean()

    claims = [
        Claim(
            "share_homocysteine",
            "Homocysteine's part of the published difference, 97.5 % bound",
            float(np.quantile(share, 0.975)),
            0.14 / 0.41,
            0,
            0.34,
            "fraction",
            "Zoccolella2008",
            "bound from the largest observed elasticity, 0.67, with 20 % less homocysteine",
        ),
        Claim(
            "elasticity_needed",
            "Elasticity at which homocysteine alone gives 1.97 points",
            float(elasticity),
            0.67,
            0,
            0.67,
            "dimensionless",
            "Zoccolella2008",
            "band: no relation to the largest observed",
        ),
        Claim(
            "jetals_difference",
            "Difference at week 16 under all facts",
            float(total.mean()),
            face_value,
            0.44,
            3.50,
            "points",
            "Oki2022",
            "JETALS is among the facts",
        ),
        Claim(
            "e0761_itt",
            "E0761 hazard ratio of 50 mg, predicted without E0761",
            float(np.median(ahead["e0761_itt"])),
            0.79,
            0.59,
            1.07,
            "ratio",
            "Kaji2019",
            "band: ln HR -0.23 (SE 0.15) derived from P = .087",
        ),
        Claim(
            "e0761_early_50",
            "E0761 early group, 50 mg, predicted without E0761",
            float(np.median(ahead["e0761_early_50"])),
            0.498,
            0.267,
            0.929,
            "ratio",
            "Kaji2015",
        ),
        Claim(
            "e0761_early_25",
            "E0761 early group, 25 mg, predicted without E0761",
            float(np.median(ahead["e0761_early_25"])),
            0.640,
            0.377,
            1.085,
            "ratio",
            "Kaji2015",
        ),
    ]
    kin = ranking.groupby("family", sort=False)["posterior weight"].sum()
    base = sensitivity.groupby("family")["posterior weight"].agg(["min", "max"])
    best, gain = gains.iloc[0]["experiment"], gains.iloc[0]["information [bit]"]
    span = ", ".join(
        f"{f} {100 * kin[f]:.1f} % ({100 * base.loc[f, 'min']:.0f}-{100 * base.loc[f, 'max']:.0f})"
        for f in FAMILIES
        if f in kin
    )
    answer = (
        f"Posterior weights by family, with their range over {sensitivity['variant'].nunique()} choices of priors and facts in brackets: {span}. "
        f"The best single mechanism, '{ranking.iloc[0]['mechanism']}', has {100 * ranking.iloc[0]['posterior weight']:.0f} %.\n"
        f"In the model 50 mg twice weekly lowers homocysteine by {100 * fall.max():.1f} %. Homocysteine then carries {100 * np.median(share):.1f} % of the published "
        f"1.97 points (95 % interval {100 * np.quantile(share, 0.025):.0f} to {100 * np.quantile(share, 0.975):.0f} %; in mechanisms that contain it {100 * np.median(within):.1f} %, "
        f"{100 * np.quantile(within, 0.025):.0f} to {100 * np.quantile(within, 0.975):.0f}), and at most "
        f"{100 * np.quantile(share_deep, 0.975):.0f} % if it fell by 20 %; to carry all of it, the elasticity would have to be {elasticity:.1f}, "
        "where the largest observed is 0.67.\n"
        f"The experiment that would best tell the mechanisms apart is '{best}' ({gain:.2f} bit of {gains.iloc[0]['uncertainty [bit]']:.2f}); "
        f"repeating JETALS gives {gains.set_index('experiment').loc['JETALS again', 'information [bit]']:.2f} bit."
    )
    return Outcome(
        answer=answer,
        claims=claims,
        tables={
            "ranking": ranking,
            "fact_by_mechanism": matrix,
            "sensitivity": sensitivity,
            "information": gains,
            "quantities": summary,
            "facts": table,
            "parts": pd.DataFrame([{"part": k, "meaning": v} for k, v in PARTS.items()]),
            "exposures": _exposure_table(x),
        },
        cited=[
            "Kaji2015",
            "Kaji1998",
            "Valentino2010",
            "Zoccolella2008",
            "Mu2022",
            "Liu2021",
            "Hemendinger2011",
            "Akaike1993",
            "Watanabe1994",
            "Kaji2024",
        ],
        notes=[
            "E0761 outcomes are scored here and fitted nowhere: no parameter of the model depends on them, except the hazard level, set to the placebo arm of its early group.",
            "Weights are conditional on this list of mechanisms, on their priors and on derived facts: the E0761 hazard ratio comes from one P value. Read ratios of 3 or less as silence.",
            "The symptomatic links lean on one trial of 24 people (Kaji 1998); the row 'without kaji_cmap' shows the weights without it.",
            "Methylation is represented by SAM/SAH of the liver. The model has no methylation pool of the nervous system, where SAM could move otherwise.",
            "How much a week-4 visit or a wash-out tells rests on the effect site's assumed half-time of 14 days, after which a gain of function would be lost again.",
            "The CSF link is penalised because nM cobalamin in CSF is compared with an IC50 near 0.5 uM in cells; its ratio to plasma is unmeasured and drawn over a tenfold range.",
            "Unknown errors common to all mechanisms (the run-in misfit, the sidedness of P = .087, publication of positive subgroups) are not in the score.",
            "Animal and cell studies without a number that maps to patients are listed in the table of facts and not scored.",
        ],
    )


def _sensitivity(ctx, facts, x, response, predicted, scores, count):
    """Posterior weights by family under other priors and other facts."""
    variants = {
        "effects wider": Priors(elasticity=2.0, maximum=(1.0, 1.0), cmap=2.0),
        "effects narrower": Priors(elasticity=0.3, maximum=(2.0, 8.0), cmap=0.5),
        "potency wider": Priors(dose=(60.0, 2.4)),
        "potency narrower": Priors(dose=(60.0, 0.6)),
    }
    heard = {f"weights: {k}": (scores, v) for k, v in WEIGHTS.items()}
    for name, priors in variants.items():
        heard[f"prior: {name}"] = (hear(facts, priors, x, response, count, ctx.seed)[1], WEIGHTS["base"])
    changed = {f"without {f}": facts.without(f) for f in facts.table.index} | {
        "E0761 (all) one comparison": facts.changed("e0761_itt", comparisons=1),
        "E0761 (all) best of four": facts.changed("e0761_itt", comparisons=4),
        "E0761 (all) as a bound only": facts.changed("e0761_itt", kind="bound", value=-0.23),
        "JETALS SE times 1.5": facts.changed("jetals", se=1.17),
        "E0761 (early) not inflated": facts.changed("e0761_early_50", se=0.318).changed("e0761_early_25", se=0.270),
    }
    for name, other in changed.items():
        heard[name] = ({n: score(other, p) for n, p in predicted.items()}, WEIGHTS["base"])
    rows = []
    for variant, (found, shares) in heard.items():
        weights = posterior(found, prior_weights(shares))
        for f in FAMILIES:
            rows.append(
                {
                    "variant": variant,
                    "family": f,
                    "posterior weight": sum(w for n, w in weights.items() if family(n) == f),
                }
            )
    return pd.DataFrame(rows)


def _noise(patients, outcomes, response):
    """Covariance of the outcomes of one experiment."""
    v = pd.DataFrame(response.covariance, index=response.visits, columns=response.visits)
    if outcomes[0] == "ln_csf":
        return np.array([[0.3**2 / patients]])  # assay and between-patient CV of 30 %, by judgement
    if outcomes[0].startswith("cmap"):
        return np.eye(2) * 2 / patients  # paired changes, in SDs of change
    at = [o.split("_")[1] if o.startswith("d") else "16" for o in outcomes]
    doses = {o.split("_")[0] for o in outcomes}
    arms = 3 if len(outcomes) == 2 and len(doses) == 2 and "interaction" not in outcomes else 2
    n = patients / arms
    matrix = np.array([[2 * v.loc[a, b] / n for b in at] for a in at])
    if arms == 3:
        matrix[0, 1] = matrix[1, 0] = v.loc["16", "16"] / n  # the placebo arm is shared
    if "interaction" in outcomes:
        matrix = np.diag([2 * v.loc["16", "16"] / n, 8 * v.loc["16", "16"] / n])
    return matrix


def _menu(predicted, scores, weights, response, count, rng):
    """Expected information of each experiment about the mechanism and about its family [bit]."""
    chosen = {n: resample(s.weights, count, rng) for n, s in scores.items()}
    kin = {f: sum(w for n, w in weights.items() if family(n) == f) for f in FAMILIES}
    entropy = -sum(w * np.log2(w) for w in weights.values() if w > 0)
    members = {f: [n for n in weights if family(n) == f] for f in FAMILIES}
    rows = []
    for name, (patients, outcomes) in MENU.items():
        noise = _noise(patients, outcomes, response)
        means = {n: np.stack([predicted[n][o][chosen[n]] for o in outcomes], axis=1) for n in predicted}
        pooled = {
            f: np.concatenate(
                [means[n][rng.integers(count, size=max(1, round(2000 * weights[n] / kin[f])))] for n in ns]
            )
            for f, ns in members.items()
        }
        rows.append(
            {
                "experiment": name,
                "patients": patients,
                "outcomes": ", ".join(outcomes),
                "information [bit]": information(means, weights, noise) / np.log(2),
                "about the family [bit]": information(pooled, kin, noise) / np.log(2),
                "uncertainty [bit]": entropy,
            }
        )
    return pd.DataFrame(rows).sort_values("information [bit]", ascending=False)


def _deeper(x, fall):
    """The same exposures with homocysteine falling so far on 50 mg, whatever the model says."""
    scale = fall / (1 - x.homocysteine["50"][x.days <= 112].min())
    return replace(
        x, homocysteine={k: v if k.startswith("folate") else 1 - scale * (1 - v) for k, v in x.homocysteine.items()}
    )


def _exposure_table(x):
    late = (x.days >= 56) & (x.days <= 112)
    return pd.DataFrame(
        [
            {
                "regimen": REGIMENS[r],
                "tHcy [% of rest]": 100 * x.homocysteine[r][late].mean(),
                "SAM/SAH [% of rest]": 100 * x.methylation[r][late].mean(),
                "effect site, plasma [nM]": 1e3 * x.plasma[r][late].mean(),
                "effect site, CSF at ratio 0.003 [nM]": 1e3 * x.csf_low[r][late].mean(),
                "effect site, CSF at ratio 0.03 [nM]": 1e3 * x.csf_high[r][late].mean(),
            }
            for r in REGIMENS
        ]
    )


def figures(outcome):
    """Fact-by-mechanism matrix, posterior weights, sensitivity, and information of experiments."""
    ranking, matrix = outcome.tables["ranking"], outcome.tables["fact_by_mechanism"]
    drawn = {}
    facts = list(dict.fromkeys(matrix["fact"]))
    names = list(ranking["mechanism"])
    values = matrix.pivot(index="mechanism", columns="fact", values="against no effect").loc[names, facts].to_numpy()
    figure, axes = new_figure(width=9.6, height=8.2)
    image = axes.imshow(values, cmap="RdBu", vmin=-3, vmax=3, aspect="auto")
    for (i, j), v in np.ndenumerate(values):
        axes.text(
            j,
            i,
            f"{v:+.1f}".replace("-", "−") if abs(v) >= 0.05 else "0",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if abs(v) > 2 else COLOURS["black"],
        )
    texts = {
        "jetals": "JETALS",
        "e0761_itt": "E0761\nall",
        "e0761_early_50": "early\nE0761\n50 mg",
        "e0761_early_25": "early\nE0761\n25 mg",
        "kaji_cmap": "CMAP:\n25, not\n0.5 mg",
        "elasticity": "tHcy and\nprogres-\nsion",
        "mendelian": "Mendelian\nrandomi-\nsation",
        "potency": "potency\nin cells",
        "dose_contrast": "50\nagainst\n25 mg*",
    }
    axes.set_xticks(range(len(facts)), [texts.get(f, f) for f in facts], fontsize=8)
    axes.set_yticks(
        range(len(names)),
        [f"{n}  ({100 * w:.1f} %)" for n, w in zip(names, ranking["posterior weight"], strict=True)],
        fontsize=8.5,
    )
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, shrink=0.6, label="log predictive density, against no effect")
    axes.set_title(
        "How each mechanism meets each fact alone; posterior weight in brackets\n* shown, not scored: contained in the two early rows",
        fontsize=10,
    )
    drawn["1_fact_by_mechanism"] = figure

    figure, axes = new_figure(width=7.6, height=6.6)
    y = np.arange(len(names))[::-1]
    colours = [COLOURS[FAMILIES[f]] for f in ranking["family"]]
    axes.barh(y, 100 * ranking["posterior weight"], color=colours)
    axes.plot(
        100 * ranking["prior weight"],
        y,
        "|",
        color=COLOURS["black"],
        markersize=11,
        markeredgewidth=1.8,
        label="prior weight",
    )
    for f, c in FAMILIES.items():
        axes.barh([-9], [0], color=COLOURS[c], label=f)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_yticks(y, names, fontsize=8.5)
    axes.set_xlabel("weight [%]")
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=8.5, loc="lower right")
    axes.set_title("Posterior weight of each mechanism", fontsize=10)
    drawn["2_posterior_weights"] = figure

    table = outcome.tables["sensitivity"]
    variants = list(dict.fromkeys(table["variant"]))
    wide = table.pivot(index="variant", columns="family", values="posterior weight").loc[variants]
    figure, axes = new_figure(width=8.2, height=6.0)
    y, left = np.arange(len(variants))[::-1], np.zeros(len(variants))
    for f, c in FAMILIES.items():
        axes.barh(y, 100 * wide[f], left=left, color=COLOURS[c], label=f, edgecolor="white", linewidth=0.6)
        left = left + 100 * wide[f].to_numpy()
    axes.set_yticks(y, variants, fontsize=8.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("posterior weight of the family [%]")
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)
    drawn["3_prior_sensitivity"] = figure

    gains = outcome.tables["information"].iloc[::-1]
    figure, axes = new_figure(width=7.8, height=4.6)
    y = np.arange(len(gains))
    axes.barh(y + 0.2, gains["information [bit]"], height=0.38, color=COLOURS["blue"], label="about the mechanism")
    axes.barh(y - 0.2, gains["about the family [bit]"], height=0.38, color=COLOURS["amber"], label="about its family")
    axes.set_yticks(
        y, [f"{n} (n = {p})" for n, p in zip(gains["experiment"], gains["patients"], strict=True)], fontsize=8.5
    )
    axes.set_xlabel(f"expected information [bit]; uncertainty now {gains.iloc[0]['uncertainty [bit]']:.2f} bit")
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=9, loc="lower right")
    drawn["4_expected_information"] = figure
    return drawn
