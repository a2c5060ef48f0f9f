"""The mixed model for repeated measures against R and SAS, closed forms and its own likelihood."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as statsmodels
from scipy import stats

from metabolism.errors import FitFailed, InvalidValue
from metabolism.trials.mmrm import Moments, fit, fit_moments, maximise

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def example() -> Moments:
    """The public example of R mmrm (FEV1, 197 patients, 4 visits), as sums of products."""
    found = json.loads((HERE / "data" / "mmrm_fev_moments.json").read_text(encoding="utf-8"))
    arrays = {k: np.array(found[k], dtype=float) for k in ("count", "zz", "zy", "yy")}
    return Moments(np.array(found["observed"], dtype=bool), **arrays)


#: R mmrm 0.3, README: FEV1 ~ RACE + SEX + ARMCD * AVISIT + us(AVISIT | USUBJID); estimate, SE, Satterthwaite df.
PUBLISHED = {
    "intercept": ({(0, 0): 1}, 30.77748, 0.88656, 218.80),
    "black": ({(0, 1): 1}, 1.53050, 0.62448, 168.67),
    "white": ({(0, 2): 1}, 5.64357, 0.66561, 157.14),
    "female": ({(0, 3): 1}, 0.32606, 0.53195, 166.13),
    "treatment at visit 1": ({(0, 4): 1}, 3.77423, 1.07415, 145.55),
    "visit 2": ({(1, 0): 1, (0, 0): -1}, 4.83959, 0.80172, 143.88),
    "visit 3": ({(2, 0): 1, (0, 0): -1}, 10.34211, 0.82269, 155.56),
    "visit 4": ({(3, 0): 1, (0, 0): -1}, 15.05390, 1.31281, 138.47),
    "treatment by visit 2": ({(1, 4): 1, (0, 4): -1}, -0.04193, 1.12932, 138.56),
    "treatment by visit 3": ({(2, 4): 1, (0, 4): -1}, -0.69369, 1.18765, 158.17),
    "treatment by visit 4": ({(3, 4): 1, (0, 4): -1}, 0.62423, 1.85085, 129.72),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_r_mmrm_example_coefficients_errors_and_degrees_of_freedom(example, name):
    model = fit_moments(example, [True, False, False, False, True])
    weights, value, se, df = PUBLISHED[name]
    found = model.contrast(model.vector(weights), "satterthwaite")
    # R's optimiser stops within 2e-4 of the maximum; its other published run agrees with ours to 1e-8
    assert found.value == pytest.approx(value, abs=3e-4)
    assert found.se == pytest.approx(se, rel=2e-4)
    assert found.df == pytest.approx(df, rel=2e-4)


def test_r_mmrm_example_likelihood_and_covariance(example):
    model = fit_moments(example, [True, False, False, False, True])
    assert -2 * model.loglik == pytest.approx(3386.45, abs=0.005)
    published = [
        [40.5537, 14.3960, 4.9747, 13.3867],
        [14.3960, 26.5715, 2.7855, 7.4745],
        [4.9747, 2.7855, 14.8979, 0.9082],
        [13.3867, 7.4745, 0.9082, 95.5568],
    ]
    np.testing.assert_allclose(model.sigma, published, atol=0.02)
    # the snapshot of R's own tests was taken nearer to the maximum
    for (visit, column), value in {
        (0, 0): 30.77740652,
        (0, 1): 1.53059491,
        (0, 2): 5.64356778,
        (0, 3): 0.32602727,
    }.items():
        assert model.beta[model.place[visit, column]] == pytest.approx(value, abs=2e-7)


def test_sas_kenward_roger_on_the_same_example(example):
    """PROC MIXED, FEV1 ~ ARMCD, unstructured, DDFM=KR: SE 0.661244, df 160.7333 (in R mmrm's tests, tolerance 1e-3)."""
    two = Moments(
        example.observed, example.count, example.zz[:, [0, 4]][:, :, [0, 4]], example.zy[:, [0, 4]], example.yy
    )
    model = fit_moments(two, [False, False])
    found = model.contrast([0, 1])
    assert found.se == pytest.approx(0.66124382270307, rel=1e-3)
    assert found.df == pytest.approx(160.733266403768, rel=1e-3)


def test_complete_data_give_the_t_test_at_each_visit():
    """With complete data and arm by visit alone the model is Student's t test, and Kenward-Roger is exact."""
    rng = np.random.default_rng(3)
    arm = np.repeat([0, 1], 17)
    y = rng.standard_normal((34, 4)).cumsum(axis=1) + arm[:, None]
    model = fit(y, np.column_stack([np.ones(34), arm]), [True, True])
    for visit in range(4):
        expected = stats.ttest_ind(y[arm == 1, visit], y[arm == 0, visit])
        for method in ("kenward-roger", "satterthwaite"):
            found = model.contrast(model.vector({(visit, 1): 1}), method)
            assert found.p == pytest.approx(expected.pvalue, rel=1e-6)
            assert found.df == pytest.approx(32, rel=1e-6)
            assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-6)
    # and the covariance is the pooled sample covariance
    residual = np.vstack([y[arm == a] - y[arm == a].mean(axis=0) for a in (0, 1)])
    np.testing.assert_allclose(model.sigma, residual.T @ residual / 32, rtol=1e-6)


def test_one_visit_is_ordinary_least_squares():
    rng = np.random.default_rng(4)
    z = np.column_stack([np.ones(40), rng.standard_normal((40, 3))])
    y = z @ [1, 2, 0, -1] + rng.standard_normal(40)
    expected = statsmodels.OLS(y, z).fit()
    model = fit(y[:, None], z, [False] * 4)
    for j in range(4):
        found = model.contrast(model.vector({(0, j): 1}))
        assert (found.value, found.se, found.p) == pytest.approx(
            (expected.params[j], expected.bse[j], expected.pvalues[j])
        )
        assert found.df == pytest.approx(36)


def test_incomplete_data_reach_the_maximum_that_brute_force_finds():
    """The restricted likelihood, written out patient by patient, is highest at the fit."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(5)
    y = rng.standard_normal((40, 3)).cumsum(axis=1)
    y[rng.random(y.shape) < 0.2] = np.nan
    x = rng.standard_normal(40)
    model = fit(y, np.column_stack([np.ones(40), x]), [True, False])

    def deviance(free):
        root = np.zeros((3, 3))
        root[np.tril_indices(3)] = free
        sigma = root @ root.T
        xvx, xvy, yvy, logdet, total = np.zeros((4, 4)), np.zeros(4), 0.0, 0.0, 0
        for row, value in zip(y, x, strict=True):
            seen = np.flatnonzero(np.isfinite(row))
            if not len(seen):
                continue
            design = np.column_stack([np.eye(3)[seen], np.full(len(seen), value)])
            v = np.linalg.inv(sigma[np.ix_(seen, seen)])
            xvx, xvy = xvx + design.T @ v @ design, xvy + design.T @ v @ row[seen]
            yvy, total = yvy + row[seen] @ v @ row[seen], total + len(seen)
            logdet -= np.linalg.slogdet(v)[1]
        quadratic = yvy - xvy @ np.linalg.solve(xvx, xvy)
        return logdet + np.linalg.slogdet(xvx)[1] + quadratic + (total - 4) * np.log(2 * np.pi)

    start = np.linalg.cholesky(model.sigma)[np.tril_indices(3)]
    assert deviance(start) == pytest.approx(-2 * model.loglik, rel=1e-10)
    best = minimize(deviance, start, method="Nelder-Mead", options={"maxiter": 400, "xatol": 1e-6, "fatol": 1e-9})
    assert best.fun >= -2 * model.loglik - 1e-6


def test_derivatives_agree_with_finite_differences():
    rng = np.random.default_rng(6)
    y = rng.standard_normal((30, 2)).cumsum(axis=1)
    y[rng.random(y.shape) < 0.2] = np.nan
    z = np.column_stack([np.ones(30), rng.standard_normal(30)])
    from metabolism.trials.mmrm import _evaluate

    moments = Moments.of(y, z)
    place = np.array([[0, 2], [1, 2]])
    select = np.zeros((4, 3))
    select[np.arange(4), place.ravel()] = 1
    basis = np.array([[[1, 0], [0, 0]], [[0, 1], [1, 0]], [[0, 0], [0, 1]]], dtype=float)
    sigma = np.array([[1.3, 0.7], [0.7, 2.4]])

    def at(theta):
        return _evaluate(moments, sigma + np.einsum("k,kts->ts", theta, basis), select)

    here, step = at(np.zeros(3)), 1e-5
    for k in range(3):
        up, down = at(step * np.eye(3)[k]), at(-step * np.eye(3)[k])
        assert (up.loglik - down.loglik) / (2 * step) == pytest.approx(here.gradient[k], rel=1e-6)
        np.testing.assert_allclose(-(up.gradient - down.gradient) / (2 * step), here.hessian[k], rtol=1e-5, atol=1e-7)


def test_ten_visits_take_a_fifth_of_a_second_and_their_gradient_vanishes():
    """The cost bar, with head room for a slow machine."""
    rng = np.random.default_rng(7)
    y = rng.standard_normal((370, 10)).cumsum(axis=1)
    y[rng.random(y.shape) < 0.15] = np.nan
    arm = np.arange(370) % 2
    begun = time.process_time()
    model = fit(y, np.column_stack([np.ones(370), arm]), [True, True])
    contrast = model.contrast(model.vector({(9, 1): 1}))
    assert time.process_time() - begun < 0.6
    assert np.abs(model.parts.gradient).max() < 1e-5
    assert contrast.se == pytest.approx(2 * np.sqrt(model.sigma[9, 9] / 370), rel=0.1)


@pytest.mark.parametrize(
    ("y", "z", "message"),
    [
        (np.ones((5, 2)) * np.arange(5)[:, None], np.ones((5, 2)), "collinear"),
        (np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, 3.0]]), np.ones((3, 1)), "fewer than two patients"),
        (np.array([[1.0, 4], [2.0, np.nan], [np.nan, 3.0], [3, np.nan]]), np.ones((4, 1)), "fewer than two patients"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_reason(y, z, message):
    with pytest.raises(FitFailed, match=message):
        fit(y, z, [True] * z.shape[1])


def _with_gaps():
    """Visits so alike that the covariance of two, over those seen at both, passes the product of their deviations."""
    rng = np.random.default_rng(3)
    y = rng.multivariate_normal([0, 1, 2], [[1, 0.9, 0.8], [0.9, 1.2, 1], [0.8, 1, 2]], 24)
    y[rng.random(y.shape) < 0.2] = np.nan
    y = y[np.isfinite(y).any(axis=1)]
    return y, np.column_stack([np.ones(len(y)), rng.random(len(y)) < 0.5])


def test_visits_that_are_missed_do_not_make_two_look_the_same():
    y, z = _with_gaps()
    model = fit(y, z, [True, True])
    far = maximise(Moments.of(y, z), np.eye(6)[model.place.ravel()], model.place, 3 * np.eye(3))
    assert model.loglik == pytest.approx(far.loglik, abs=1e-8)
    assert model.sigma == pytest.approx(far.sigma, rel=1e-5)


def test_a_step_that_lowers_the_likelihood_is_halved():
    """From far away whole steps overshoot, and take twice as many."""
    y, z = _with_gaps()
    place = np.arange(6).reshape(2, 3).T
    select = np.eye(6)[place.ravel()]
    assert maximise(Moments.of(y, z), select, place, 5 * np.eye(3)).iterations <= 12


def test_wrong_input_is_named():
    with pytest.raises(InvalidValue, match="one row per patient"):
        fit(np.ones((3, 2)), np.ones((4, 1)), [True])
    with pytest.raises(InvalidValue, match="missing or not finite"):
        fit(np.ones((3, 2)), np.full((3, 1), np.nan), [True])
    with pytest.raises(InvalidValue, match="1 entries for 2"):
        fit(np.ones((3, 2)), np.ones((3, 2)), [True])
    model = fit(np.random.default_rng(1).standard_normal((9, 2)), np.ones((9, 1)), [True])
    with pytest.raises(InvalidValue, match="must be one of"):
        model.contrast([1, 0], "student")


def _three_visits():
    rng = np.random.default_rng(0)
    arm, base = np.repeat([0.0, 1.0], 30), rng.normal(40, 4, 60)
    noise = rng.multivariate_normal(np.zeros(3), [[4, 2.4, 2], [2.4, 6, 2.8], [2, 2.8, 8]], 60)
    return arm[:, None] + 0.1 * (base - 40)[:, None] + noise, np.column_stack([np.ones(60), arm, base])


@pytest.mark.parametrize(
    ("of_response", "of_baseline", "factor"),
    [(1e4, 0, 1), (1e6, 0, 1), (-1e8, 0, 1), (0, 1e6, 1), (0, 0, 1e6), (1e6, 1e6, 1e-2)],
)
@pytest.mark.parametrize("by_visit", [(True, True, True), (True, True, False), (False, True, False)])
def test_origin_and_unit_of_the_numbers_do_not_matter(of_response, of_baseline, factor, by_visit):
    """Likelihood apart: in another unit of a covariate the restricted one moves by the logarithm of the unit."""
    y, z = _three_visits()
    fits = [fit(y, z, by_visit), fit(y + of_response, z * [1, 1, factor] + [0, 0, of_baseline], by_visit)]
    here, there = (f.contrast(f.vector({(2, 1): 1})) for f in fits)
    assert (there.value, there.se, there.df) == pytest.approx((here.value, here.se, here.df), rel=1e-6)
    slope, again = (f.contrast(f.vector({(2, 2): 1})) for f in fits)
    assert (again.value * factor, again.p) == pytest.approx((slope.value, slope.p), rel=1e-5)
    # at the patients' mean baseline the expected response moves by what was added
    middle = z[:, 2].mean()
    means = [
        f.contrast(f.vector({(2, 0): 1, (2, 2): b})).value
        for f, b in zip(fits, (middle, middle * factor + of_baseline), strict=True)
    ]
    assert means[1] - of_response == pytest.approx(means[0], abs=1e-6)
    # R's likelihood is that of the covariates as given
    slopes_by_visit = 3 if by_visit[2] else 1
    assert fits[1].loglik == pytest.approx(fits[0].loglik - slopes_by_visit * np.log(factor), abs=1e-5)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (lambda y, z: np.full(y.shape, 3.0), "does not vary beyond what the covariates explain"),
        (lambda y, z: np.column_stack([y[:, 0], 2 * z[:, 2]]), "does not vary beyond"),
        (lambda y, z: y[:, [0, 1, 0]], "two visits hold the same responses"),
        (lambda y, z: np.nan * y, "no patient has a response"),
    ],
)
def test_a_response_without_error_is_refused(response, message):
    y, z = _three_visits()
    with pytest.raises(FitFailed, match=message):
        fit(response(y, z), z, [True, True, True])


def test_an_infinite_response_is_no_missing_one():
    y, z = _three_visits()
    y[0, 0] = -np.inf
    with pytest.raises(InvalidValue, match="a response is infinite; NaN stands for a missing visit"):
        fit(y, z, [True, True, True])
