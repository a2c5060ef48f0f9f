"""Judging: every mechanism heard on the facts, how far the weights hang on doubts, and which experiment would tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from metabolism.court.facts import Facts, Score, information, posterior, resample, score
from metabolism.court.mechanisms import (
    DIRECT,
    MECHANISMS,
    REGIMENS,
    Exposures,
    Priors,
    cmap_event,
    draw,
    predictions,
)
from metabolism.court.response import Response
from metabolism.types import Array

if TYPE_CHECKING:
    import pandas as pd

#: Families that a reader can tell apart, in order.
FAMILIES = (
    *("no effect", "homocysteine or methylation only", "slower loss, direct", "symptomatic gain"),
    "symptomatic gain and slower loss",
)

#: Prior weights of no effect, of the seven single links together, and of the sums of two together.
WEIGHTS = {
    "base": (1, 1, 1),
    "sceptical: no effect 0.8": (8, 1, 1),
    "no sums": (1, 1, 0),
    "every mechanism alike": (1, 7, 15),
}

#: Possible experiments: name -> (patients in all, outcomes).
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


def family(mechanism: str) -> str:
    """Return the family of a mechanism.

    Examples
    --------
    >>> family("symptomatic + plasma")
    'symptomatic gain and slower loss'
    """
    parts = set(MECHANISMS[mechanism])
    if not parts:
        return "no effect"
    direct = parts & set(DIRECT)
    if "symptomatic" in parts:
        return "symptomatic gain and slower loss" if direct else "symptomatic gain"
    return "slower loss, direct" if direct else "homocysteine or methylation only"


def prior_weights(shares: tuple[float, float, float] = (1, 1, 1)) -> dict[str, float]:
    """Weights of the mechanisms when none, one and two links have these shares; they sum to 1."""
    counts = np.bincount([len(p) for p in MECHANISMS.values()])
    return {n: shares[len(p)] / sum(shares) / counts[len(p)] for n, p in MECHANISMS.items()}


@dataclass(frozen=True, eq=False)
class Hearing:
    """All mechanisms heard on the same facts.

    Attributes
    ----------
    predicted : dict of mechanism to dict
        What each draw of each mechanism predicts; see `metabolism.court.mechanisms.predictions`.
    scores : dict of mechanism to Score
    """

    facts: Facts
    predicted: dict[str, dict[str, Array]]
    scores: dict[str, Score]

    @classmethod
    def of(
        cls, facts: Facts, x: Exposures, response: Response, count: int, seed: int, priors: Priors | None = None
    ) -> Hearing:
        """Draw every mechanism from its prior and score it.

        Parameters
        ----------
        facts, x, response, priors : Facts, Exposures, Response, Priors
        count : int
            Draws of each mechanism.
        seed : int
            Of the draws; mechanism ``i`` depends on ``(seed, i)``.
        """
        rngs = [np.random.default_rng([seed, i]) for i in range(len(MECHANISMS))]
        drawn = {n: draw(n, count, rng, priors) for n, rng in zip(MECHANISMS, rngs, strict=True)}
        predicted = {n: predictions(n, p, x, response) for n, p in drawn.items()}
        return cls(facts, predicted, {n: score(facts, p) for n, p in predicted.items()})

    def on(self, facts: Facts, cmap_chance: float | None = None) -> Hearing:
        """Hear the same draws on other facts, or with another chance of a false CMAP finding."""
        predicted = self.predicted
        if cmap_chance is not None:
            events = {n: cmap_event(p["cmap_25"], p["cmap_0.5"], cmap_chance) for n, p in predicted.items()}
            predicted = {n: p | {"kaji_cmap": events[n]} for n, p in predicted.items()}
        return Hearing(facts, predicted, {n: score(facts, p) for n, p in predicted.items()})

    def weights(self, shares: tuple[float, float, float] = (1, 1, 1)) -> dict[str, float]:
        """Posterior weight of each mechanism; `shares` as in `prior_weights`."""
        return posterior(self.scores, prior_weights(shares))

    def families(self, shares: tuple[float, float, float] = (1, 1, 1)) -> dict[str, float]:
        """Posterior weight of each family."""
        weights = self.weights(shares)
        return {f: sum(w for n, w in weights.items() if family(n) == f) for f in FAMILIES}

    def averaged(self, quantity: str, count: int, rng: np.random.Generator) -> Array:
        """Draws of a predicted quantity from the posterior averaged over mechanisms."""
        shares = {n: k for n, w in self.weights().items() if (k := round(count * w))}
        drawn = {n: resample(self.scores[n].weights, k, rng) for n, k in shares.items()}
        return np.concatenate([self.predicted[n][quantity][places] for n, places in drawn.items()])

    def ranking(self) -> pd.DataFrame:
        """One row per mechanism, heaviest first: marginal likelihood, weights, and what it says of the two trials."""
        import pandas as pd

        prior, weights = prior_weights(), self.weights()
        none = self.scores["no effect"].log_marginal
        rows = [
            {
                "mechanism": n,
                "family": family(n),
                "log marginal likelihood": s.log_marginal,
                "Monte-Carlo error": s.error,
                "effective draws": s.effective,
                "Bayes factor against no effect": np.exp(s.log_marginal - none),
                "prior weight": prior[n],
                "posterior weight": weights[n],
                "JETALS difference [points]": (s.weights * self.predicted[n]["jetals"]).sum(),
                "E0761 hazard ratio": np.exp((s.weights * self.predicted[n]["e0761_itt"]).sum()),
            }
            for n, s in self.scores.items()
        ]
        return pd.DataFrame(rows).sort_values("posterior weight", ascending=False)

    def by_fact(self, shown: Facts) -> pd.DataFrame:
        """Log predictive density of each fact alone under each mechanism, also against no effect."""
        import pandas as pd

        rows: list[tuple[object, ...]] = []
        for fact in shown.table.index:
            alone = {n: score(shown.only(fact), p).log_marginal for n, p in self.predicted.items()}
            scored = "yes" if fact in self.facts.table.index else "no"
            rows += [(fact, n, own, own - alone["no effect"], scored) for n, own in alone.items()]
        columns = ["fact", "mechanism", "log predictive density", "against no effect", "scored"]
        return pd.DataFrame(rows, columns=columns)


def doubts(hearing: Hearing, other_priors: Mapping[str, Hearing], earlier: Facts) -> pd.DataFrame:
    """Posterior weights of the families under other priors, without each fact, and under doubts alone and together.

    Parameters
    ----------
    hearing : Hearing
        With the base priors.
    other_priors : mapping of str to Hearing
        The same facts under other priors.
    earlier : Facts
        The facts in the earlier reading of E0761: one derived hazard ratio, the smaller of two.
    """
    import pandas as pd

    facts = hearing.facts
    se = facts.table["se"].astype(float).to_dict()

    def early(given: Facts, **values: float) -> Facts:
        for name in ("e0761_early_50", "e0761_early_25"):
            given = given.changed(name, **values, **({} if values else {"se": se[name] / 1.5}))
        return given

    base, sceptical = WEIGHTS["base"], WEIGHTS["sceptical: no effect 0.8"]
    no_cmap, widened = facts.without("kaji_cmap"), 1.5 * se["jetals"]
    six, neither = early(facts, comparisons=6), early(no_cmap, comparisons=6)
    variants = [(f"prior weights: {k}", hearing, v) for k, v in WEIGHTS.items()]
    variants += [(f"prior: {k}", h, base) for k, h in other_priors.items()]
    variants += [(f"without {f}", hearing.on(facts.without(f)), base) for f in facts.table.index]
    variants += [(f"CMAP by chance {c:g}", hearing.on(facts, c), base) for c in (0.0, 0.1, 0.2, 0.3, 0.5)]
    together = "together: sceptical, no CMAP"
    variants += [
        ("E0761 (all) as one derived hazard ratio", hearing.on(earlier), base),
        ("E0761 (early) not widened", hearing.on(early(facts)), base),
        ("E0761 (early) best of six subgroups", hearing.on(six), base),
        ("JETALS SE times 1.5", hearing.on(facts.changed("jetals", se=widened)), base),
        ("together: CMAP 0.3, early of six", hearing.on(six, 0.3), base),
        ("together: no CMAP, early of six", hearing.on(neither), base),
        (together, hearing.on(no_cmap), sceptical),
        (f"{together}, early of six", hearing.on(neither), sceptical),
    ]
    last = hearing.on(neither.changed("jetals", se=widened))
    variants += [(f"{together}, early of six, JETALS SE times 1.5", last, sceptical)]
    rows = [(name, f, w) for name, heard, shares in variants for f, w in heard.families(shares).items()]
    return pd.DataFrame(rows, columns=["variant", "family", "posterior weight"])


def calibration(hearing: Hearing, truths: int, count: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How often the court names a simulated truth: mechanisms and draws from the prior, facts drawn from them.

    Parameters
    ----------
    hearing : Hearing
        Its draws serve; truths come from those beyond `count`.
    truths : int
        Simulated truths.
    count : int
        Draws per mechanism with which each is judged.
    seed : int
        Of truths and sampling errors.

    Returns
    -------
    named : DataFrame
        By true family: truths, and the share in which that family, and that mechanism, has the largest weight.
    reliability : DataFrame
        By claimed weight of a family: mean claim, and the share in which it was true.
    """
    import pandas as pd

    rng = np.random.default_rng([seed, 31])
    prior = prior_weights()
    names = list(MECHANISMS)
    available = len(next(iter(hearing.predicted[names[0]].values())))
    judged = {n: {k: v[:count] for k, v in p.items()} for n, p in hearing.predicted.items()}
    rows, claims = [], []
    for _ in range(truths):
        truth = names[rng.choice(len(names), p=list(prior.values()))]
        seen = hearing.facts.simulated(hearing.predicted[truth], int(rng.integers(count, available)), rng)
        weights = posterior({n: score(seen, p) for n, p in judged.items()}, prior)
        kin = {f: sum(w for n, w in weights.items() if family(n) == f) for f in FAMILIES}
        own = family(truth)
        rows.append((own, max(kin, key=kin.__getitem__) == own, max(weights, key=weights.__getitem__) == truth))
        claims += [(w, f == own) for f, w in kin.items()]
    table = pd.DataFrame(rows, columns=["true family", "family named", "mechanism named"])
    grouped = table.groupby("true family").agg(
        truths=("family named", "size"),
        **{f"{k} named [%]": (f"{k} named", lambda v: 100 * v.mean()) for k in ("family", "mechanism")},
    )
    claimed = pd.DataFrame(claims, columns=["weight", "true"])
    edges = [0, 0.05, 0.15, 0.3, 0.5, 0.7, 1]
    spans = [f"{100 * a:g} to {100 * b:g} %" for a, b in pairwise(edges)]
    claimed["claimed"] = pd.cut(claimed["weight"], edges, labels=spans, include_lowest=True)
    reliability = claimed.groupby("claimed", observed=True).agg(
        families=("true", "size"),
        **{"mean weight": ("weight", "mean")},
        **{"share true": ("true", "mean")},
    )
    order = [f for f in FAMILIES if f in grouped.index]
    return grouped.loc[order].reset_index(), reliability.reset_index()


def elasticity_needed(response: Response, difference: float, falls: Array) -> Array:
    """Elasticity at which homocysteine alone gives a difference in JETALS, for falls that are there from the start.

    Parameters
    ----------
    response : Response
    difference : float
        At week 16 [points].
    falls : ndarray
        Fractions by which homocysteine is lower throughout.
    """
    reductions, none = np.linspace(0, 0.9, 91), np.zeros(91)
    gained = response.points("16", reductions, none, "early", 12 + none)
    needed = float(np.interp(difference, gained, reductions))
    return np.asarray(np.log(1 - needed) / np.log(1 - np.asarray(falls)))


def deeper(x: Exposures, fall: float) -> Exposures:
    """The same exposures with homocysteine falling so far on 50 mg, whatever the model says."""
    scale = fall / (1 - x.homocysteine["50"][x.days <= 112].min())
    course = {k: v if k.startswith("folate") else 1 - scale * (1 - v) for k, v in x.homocysteine.items()}
    return replace(x, homocysteine=course)


def menu(hearing: Hearing, response: Response, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Expected information of each experiment of `MENU` about the mechanism and about its family [bit].

    Parameters
    ----------
    hearing, response : Hearing, Response
        The second supplies the noise of ratings.
    count : int
        Posterior draws of each mechanism.
    rng : numpy Generator
    """
    import pandas as pd

    weights, kin = hearing.weights(), hearing.families()
    chosen = {n: resample(s.weights, count, rng) for n, s in hearing.scores.items()}
    entropy = -sum(w * np.log2(w) for w in weights.values() if w > 0)
    rows = []
    for name, (patients, outcomes) in MENU.items():
        noise = _noise(patients, outcomes, response)
        means = {n: np.stack([p[o][chosen[n]] for o in outcomes], axis=1) for n, p in hearing.predicted.items()}
        pooled: dict[str, list[Array]] = {f: [] for f in FAMILIES}
        for n, values in means.items():
            f = family(n)
            pooled[f].append(values[rng.integers(count, size=max(1, round(2000 * weights[n] / kin[f])))])
        together = {f: np.concatenate(v) for f, v in pooled.items()}
        bits = [information(m, w, noise) / np.log(2) for m, w in ((means, weights), (together, kin))]
        rows.append((name, patients, ", ".join(outcomes), *bits, entropy))
    columns = ["information [bit]", "about the family [bit]", "uncertainty [bit]"]
    table = pd.DataFrame(rows, columns=["experiment", "patients", "outcomes", *columns])
    return table.sort_values("information [bit]", ascending=False)


def _noise(patients: int, outcomes: tuple[str, ...], response: Response) -> Array:
    """Covariance of the outcomes of one experiment."""
    if outcomes[0] == "ln_csf":
        return np.array([[0.3**2 / patients]])  # assay and between-patient CV of 30 %, by judgement
    if outcomes[0].startswith("cmap"):
        return np.asarray(np.eye(2) * 2 / patients)  # paired changes, in SDs of change
    covariance, week_16 = np.asarray(response.covariance, dtype=float), response.visits.index("16")
    at = [response.visits.index(o.split("_")[1]) if o.startswith("d") else week_16 for o in outcomes]
    last = float(covariance[week_16, week_16])
    doses = {o.split("_")[0] for o in outcomes}
    arms = 3 if len(outcomes) == 2 and len(doses) == 2 and "interaction" not in outcomes else 2
    n = patients / arms
    matrix = np.asarray(2 * covariance[np.ix_(at, at)] / n)
    if arms == 3:
        matrix[0, 1] = matrix[1, 0] = last / n  # the placebo arm is shared
    if "interaction" in outcomes:
        matrix = np.diag([2 * last / n, 8 * last / n])
    return matrix


def exposure_table(x: Exposures) -> pd.DataFrame:
    """Mean exposures over weeks 8-16 by regimen."""
    import pandas as pd

    late = (x.days >= 56) & (x.days <= 112)
    columns = {
        "tHcy [% of rest]": (100, x.homocysteine),
        "SAM/SAH [% of rest]": (100, x.methylation),
        "effect site, plasma [nM]": (1e3, x.plasma),
        "effect site, CSF at ratio 0.003 [nM]": (1e3, x.csf_low),
        "effect site, CSF at ratio 0.03 [nM]": (1e3, x.csf_high),
    }
    rows = [
        {"regimen": text} | {c: scale * course[name][late].mean() for c, (scale, course) in columns.items()}
        for name, text in REGIMENS.items()
    ]
    return pd.DataFrame(rows)
