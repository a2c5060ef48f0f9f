"""Reference-based multiple imputation: after leaving, an active patient goes on as control would have."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from metabolism.errors import FitFailed, UnknownName
from metabolism.trials.linear import accept_dead, contrasts, covariates, wald
from metabolism.trials.mmrm import Estimate, fit
from metabolism.types import Array

if TYPE_CHECKING:
    from metabolism.trials.trial import Trial


#: Imputed sets of data, and rounds of data augmentation before each; Monte-Carlo error is a few per cent of an SE.
IMPUTATIONS, ROUNDS = 100, 12


KINDS = ("random", "jump", "copy", "increments")


def jump_to_reference(trial: Trial) -> dict[str, Estimate]:
    """Change at the last visit, where those who left an active arm jump to the mean of control; see `impute`."""
    return impute(trial, "jump")


def copy_reference(trial: Trial) -> dict[str, Estimate]:
    """Change at the last visit, where those who left an active arm count as control from the start; see `impute`."""
    return impute(trial, "copy")


def copy_increments(trial: Trial) -> dict[str, Estimate]:
    """Change at the last visit, where those who left keep what they gained and fall as control; see `impute`."""
    return impute(trial, "increments")


def impute(trial: Trial, kind: str, seed: int = 0) -> dict[str, Estimate]:
    """Impute after the last visit seen by a rule, analyse each set by covariance analysis, pool by Rubin's rules.

    The model is normal with unstructured covariance, and every covariate acts by visit. Posterior draws under the prior
    ``|covariance|^(-(visits + 1)/2)`` come from parallel chains of data augmentation, begun at the restricted-maximum-
    likelihood fit (Carpenter 2013, doi:10.1080/10543406.2013.834911). Gaps before the last visit seen, and all of
    control, are missing at random; everyone randomised counts. Rubin's variance, with the degrees of freedom of
    Barnard and Rubin 1999 (doi:10.1093/biomet/86.4.948), anchors the information: what is missing does not add any
    (Cro 2019, doi:10.1111/rssa.12423), so the test is conservative at the null.

    Parameters
    ----------
    trial : Trial
    kind : str
        One of `KINDS`: the mean of an active arm after leaving is its own (missing at random); control's; control's at
        every visit, those seen included; its own at the last visit seen with control's changes since.
    seed : int
        Of the draws.

    Returns
    -------
    dict of str to Estimate
        ``<arm>`` is a mean change [points] at mean covariates, ``<arm> - <control>`` a difference.

    Raises
    ------
    InvalidValue
        If many died and the design does not state the treatment policy estimand; see `accept_dead`.
    FitFailed
        If the mixed model fails or there are fewer patients than it needs.
    """
    if kind not in KINDS:
        raise UnknownName("rule of imputation", kind, KINDS)
    accept_dead(trial, "treatment policy")
    change, everyone = trial.change, np.ones(len(trial.arm), dtype=bool)
    z, _, place = covariates(trial, everyone)
    columns = list(place.values())
    if len(z) <= z.shape[1] + change.shape[1]:
        raise FitFailed("there are too few patients to draw covariances for an imputation.")
    last = _complete(trial, z, columns, kind, seed)
    inverse = np.linalg.inv(z.T @ z)
    beta = last @ z @ inverse
    spare = len(z) - z.shape[1]
    noise = ((last - beta @ z.T) ** 2).sum(axis=1) / spare
    arms, control = trial.design.arms, trial.design.control
    line = np.eye(z.shape[1])
    lines = {arms[control].name: line[0]}
    for label, arm in contrasts(trial):
        lines |= {arms[arm].name: line[0] + line[place[arm]], label: line[place[arm]]}
    return {n: pooled(beta @ v, noise * (v @ inverse @ v), spare) for n, v in lines.items()}


def pooled(values: Array, variances: Array, spare: int) -> Estimate:
    """Rubin's rules with Barnard and Rubin's degrees of freedom."""
    m = len(values)
    within, between = variances.mean(), (1 + 1 / m) * values.var(ddof=1)
    total, own = within + between, (spare + 1) / (spare + 3) * spare * within / (within + between)
    df = own if between <= 0 else 1 / (1 / own + (between / total) ** 2 / (m - 1))
    return wald(values.mean(), np.sqrt(total), float(df))


@lru_cache(maxsize=1)
def _chains(trial: Trial, seed: int) -> tuple[Array, Array, Array, dict[str, Any]]:
    """Draw data, coefficients and covariances, missing at random, which all rules share; and the state of chance after.

    Shapes are (imputations, patients, visits), (imputations, visits, covariates) and (imputations, visits, visits).
    """
    change, z, rng = (
        trial.change,
        covariates(trial, np.ones(len(trial.arm), dtype=bool))[0],
        np.random.default_rng(seed),
    )
    seen = np.isfinite(change)
    visits, (n, size) = change.shape[1], z.shape
    model = fit(change, z, np.ones(size, dtype=bool))
    y = np.broadcast_to(np.where(seen, change, 0.0), (IMPUTATIONS, n, visits)).copy()
    b = np.broadcast_to(model.beta[model.place], (IMPUTATIONS, visits, size))
    sigma = np.broadcast_to(model.sigma, (IMPUTATIONS, visits, visits))
    patterns, label = np.unique(seen, axis=0, return_inverse=True)
    groups = [(p, np.flatnonzero(label.ravel() == i)) for i, p in enumerate(patterns) if not p.all()]
    inverse = np.linalg.inv(z.T @ z)
    root = np.linalg.cholesky(inverse)
    half = np.tril_indices(visits, -1)
    for _ in range(ROUNDS):
        mean = z @ b.swapaxes(1, 2)
        for observed, who in groups:
            y[:, who[:, None], ~observed] = _draw(y[:, who], mean[:, who], sigma, observed, ~observed, rng)
        # conjugate draws given complete data: inverse Wishart, then matrix normal
        estimate = (inverse @ z.T) @ y
        rest = y - z @ estimate
        bartlett = np.zeros(sigma.shape)
        bartlett[:, half[0], half[1]] = rng.standard_normal((IMPUTATIONS, len(half[0])))
        free = n - size - np.arange(visits)
        bartlett[:, np.arange(visits), np.arange(visits)] = np.sqrt(rng.chisquare(free, (IMPUTATIONS, visits)))
        scale = np.linalg.cholesky(rest.swapaxes(1, 2) @ rest)
        lower = np.linalg.solve(bartlett, scale.swapaxes(1, 2)).swapaxes(1, 2)
        sigma = lower @ lower.swapaxes(1, 2)
        b = (estimate + root @ rng.standard_normal(estimate.shape) @ lower.swapaxes(1, 2)).swapaxes(1, 2)
    return y, b, sigma, dict(rng.bit_generator.state)


def _complete(trial: Trial, z: Array, columns: list[int], kind: str, seed: int) -> Array:
    """Impute the last visit, shape (imputations, patients)."""
    drawn, b, sigma, state = _chains(trial, seed)
    y, rng, seen = drawn.copy(), np.random.default_rng(), np.isfinite(trial.change)
    rng.bit_generator.state = state
    visits = seen.shape[1]
    mean, left = z @ b.swapaxes(1, 2), visits - np.argmax(seen[:, ::-1], axis=1)
    left = np.where(seen.any(axis=1), left, 0)
    arm = np.array([next((c for c in columns if row[c] == 1), 0) for row in z])
    for count in np.unique(left[left < visits]):
        past = np.arange(visits) < count
        for column in (0, *columns):
            who = np.flatnonzero((left == count) & (arm == column))
            if not len(who):
                continue
            expected = mean[:, who]
            if column and kind != "random":
                gain = b[:, None, :, column]
                held = gain[..., [count - 1]] if count and kind == "increments" else 0.0
                expected = expected - gain + np.where(past & (kind != "copy"), gain, held)
            y[:, who, -1] = _draw(y[:, who], expected, sigma, past, np.arange(visits) == visits - 1, rng)[..., 0]
    return y[:, :, -1]


def _draw(y: Array, mean: Array, sigma: Array, given: Array, wanted: Array, rng: np.random.Generator) -> Array:
    """Draw some visits given others, shape (imputations, patients, wanted visits)."""
    across = sigma[:, given][:, :, wanted]
    weight = np.linalg.solve(sigma[:, given][:, :, given], across)
    spread = np.linalg.cholesky(sigma[:, wanted][:, :, wanted] - across.swapaxes(1, 2) @ weight).swapaxes(1, 2)
    middle = mean[..., wanted] + (y[..., given] - mean[..., given]) @ weight
    return np.asarray(middle + rng.standard_normal(middle.shape) @ spread)
