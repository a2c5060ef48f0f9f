"""Calibration: residuals and their scales, resumption, profiles and draws, on a small fit with a known answer."""

import csv
import json
import math
import re
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

import metabolism as mb
from metabolism.cases import Predictions, left_out_score, read_cases, residual_sds, score
from metabolism.data import models_dir
from metabolism.errors import InvalidValue, MetabolismError, ModelError, UsageError
from metabolism.fit.adoption import TABLES, adopt, fit_problems, with_coverage, write_fit
from metabolism.fit.definition import Definition, read_definition, shipped_fits
from metabolism.fit.left_out import leave_out
from metabolism.fit.objective import Fit, Objective, least_squares
from metabolism.fit.posterior import Profile, Sample, pareto_k, profiles, sample
from metabolism.model import closure, draws
from metabolism.simulation import steady_state
from tests.cases.test_cases import GOOD, write

SMALL = Definition(
    id="small",
    title="two parameters",
    cases=("homocysteine.csv",),
    role="calibration",
    starts=2,
    seed=1,
    draws=50,
    band_sd=1.645,
    parameters=("MCM_K_cbl", "MCM_n_cbl"),
)


class Linear(Objective):
    """An objective whose residuals are linear in the log parameters, so that every answer is known exactly."""

    def __init__(self, model, definition=SMALL):
        self.model, self.definition, self.workers, self.names = model, definition, 1, definition.parameters
        self.rows, self.evaluations, self._memo = [], 0, {}
        self.centre, self.sd = np.array([-1.5, 1.0]), np.array([0.8, 0.4])
        self.low, self.high = np.array([-6.0, -2.0]), np.array([3.0, 4.0])
        rng = np.random.default_rng(5)
        self.a, self.b = rng.normal(size=(6, 2)) * 3, rng.normal(size=6)

    def residuals(self, x):
        self.evaluations += len(x)
        return np.hstack([x @ self.a.T - self.b, (x - self.centre) / self.sd])

    def constrained(self, x):
        return self.residuals(x)

    @property
    def exact(self):
        """Mean and covariance of the Gaussian posterior."""
        precision = self.a.T @ self.a + np.diag(1 / self.sd**2)
        covariance = np.linalg.inv(precision)
        return covariance @ (self.a.T @ self.b + self.centre / self.sd**2), covariance


@pytest.fixture
def linear(model):
    return Linear(model)


@pytest.fixture
def fitted(linear, tmp_path):
    return least_squares(linear, tmp_path / "starts")


@pytest.fixture(scope="module")
def objective(model):
    """Residuals of the rows of methylmalonic acid by B12 status, as they are computed for the shipped fit."""
    made = Objective(model, SMALL)
    made.rows = [r for r in made.rows if r.case in ("C12", "C14")]
    return made


def test_residuals_count_half_a_band_as_the_stated_standard_deviations(objective):
    for row, (wide, target, sd) in zip(objective.rows, objective.scales, strict=True):
        assert wide == (row.low > 0 and row.high / row.low >= 3)
        turn = math.log if wide else float
        assert sd == pytest.approx((turn(row.high) - turn(row.low)) / 2 / 1.645)
        assert turn(row.low) <= target <= turn(row.high)
    values = np.array([[row.observed] for row in objective.rows])
    np.testing.assert_allclose(objective.data_residuals(values), 0, atol=1e-12)
    edge = np.array([[row.high] for row in objective.rows])
    assert (objective.data_residuals(edge) > 0).all()


def test_a_row_that_cannot_be_simulated_costs_six_standard_deviations(objective):
    assert objective.data_residuals(np.full((len(objective.rows), 1), np.nan)) == pytest.approx(6.0)


def test_must_pass_rows_are_walls_of_the_search_and_no_data(objective):
    """C12 must pass, C14 need not: only leaving a band of C12 costs more than its residual."""
    x = objective.centre[None]
    places, low, high = objective.walls
    assert [objective.rows[i].case for i in places] == ["C12", "C12"]
    values = objective.predictions(x).values
    expected = objective.distances(values)[0, places]
    free, all_ = objective.residuals(x)[0], objective.constrained(x)[0]
    np.testing.assert_array_equal(all_[: len(free)], free)
    wall = all_[len(free) :]
    np.testing.assert_allclose(wall, 8 * (np.maximum(expected - high, 0) + np.minimum(expected - low, 0)))
    edges = objective.distances(np.array([[r.low, r.high] for r in objective.rows]))[:, places]
    np.testing.assert_allclose([low - edges[0], edges[1] - high], 0.02 * 2 * 1.645, err_msg="clear of the very edge")


def test_a_band_open_on_one_side_asks_nothing_inside_it(model, tmp_path):
    made = Objective(model, SMALL)
    open_above = GOOD | {"unit": "uM", "metric": "value", "observed": "", "low": "10", "high": "inf"}
    made.rows = read_cases(model, [write(tmp_path / "mine.csv", open_above)])
    residuals = made.data_residuals(np.array([[1e3, 10.0, 5.0, np.nan]]))[:, 0]
    np.testing.assert_allclose(residuals, [0, 0, -1.645, 6], atol=1e-12)


def test_a_candidate_that_cannot_rest_costs_every_row_and_leaves_its_neighbours_alone(model):
    definition = replace(SMALL, cases=("pharmacokinetics.csv",), parameters=("HOLOTC_UPTAKE_k", "CBL_CLns"))
    made = Objective(model, definition)
    made.rows = [r for r in made.rows if r.case == "P04"]
    good = np.log([model.values[n] for n in definition.parameters])
    # so slow an uptake of holotranscobalamin cannot pay for the bile
    both = np.array([good, np.log([0.02, 0.3])])
    assert np.isnan(made.columns(both)["CBL_RELEASE_liver_k"]).tolist() == [False, True]
    residuals = made.residuals(both)[:, : len(made.rows)]
    assert (residuals[1] == 6).all()
    np.testing.assert_array_equal(residuals[0], made.residuals(good[None])[0, : len(made.rows)])


def test_a_linear_problem_is_solved_exactly_from_every_start(linear, fitted):
    mean, covariance = linear.exact
    np.testing.assert_allclose(fitted.x, mean, atol=2e-4)
    np.testing.assert_allclose(fitted.covariance, covariance, rtol=1e-6)
    assert len(fitted.starts) == SMALL.starts
    assert len({round(start["cost"], 6) for start in fitted.starts}) == 1


def test_finished_starts_are_not_repeated_and_foreign_ones_are_refused(linear, tmp_path):
    first = least_squares(linear, tmp_path)
    before = linear.evaluations
    second = least_squares(linear, tmp_path)
    # only the final residuals and Jacobian
    assert linear.evaluations - before <= 1 + len(SMALL.parameters)
    np.testing.assert_array_equal(first.x, second.x)
    linear.sd = linear.sd * 1.5
    with pytest.raises(UsageError, match="another request"):
        least_squares(linear, tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"sha256": "0", "content": {"x": [1]}}'])
def test_a_damaged_start_is_fitted_again(linear, tmp_path, text):
    whole = least_squares(linear, tmp_path)
    (tmp_path / "start_0.json").write_text(text)
    again = least_squares(linear, tmp_path)
    np.testing.assert_array_equal(whole.x, again.x)
    assert again.starts == whole.starts


def test_starts_fitted_to_other_data_are_refused(objective, model):
    """The same rows with one published value changed are another request."""
    other = Objective(model, SMALL)
    other.rows = [replace(r, text={**r.text, "observed": "9"}) for r in objective.rows]
    assert objective.request == objective.request
    assert objective.request != other.request


def test_a_profile_of_a_linear_problem_is_the_exact_parabola(linear, fitted):
    mean, _ = linear.exact
    for i, profile in enumerate(profiles(linear, fitted)):
        assert profile.parameter == SMALL.parameters[i]
        assert (np.diff(profile.values) > 0).all()
        precision = linear.a.T @ linear.a + np.diag(np.where(np.arange(2) == i, 0, 1 / linear.sd**2))
        centre = np.linalg.solve(
            precision, linear.a.T @ linear.b + np.where(np.arange(2) == i, 0, linear.centre / linear.sd**2)
        )
        curvature = 1 / np.linalg.inv(precision)[i, i]
        exact = curvature * (np.log(profile.values) - centre[i]) ** 2
        np.testing.assert_allclose(profile.rise, exact - exact.min(), atol=1e-3 * exact.max())
    assert mean.shape == (2,)


def test_a_profile_has_no_spike_where_constraints_hold_the_fit_off_the_data(linear):
    """The point at the fitted value is re-fitted like the others: all lie on the parabola of the data."""
    held = linear.exact[0] + [0.3, -0.4]
    jacobian = np.vstack([linear.a, np.diag(1 / linear.sd)])
    fit = Fit(SMALL, held, 0.0, linear.residuals(held[None])[0], jacobian)
    for i, profile in enumerate(profiles(linear, fit)):
        assert np.exp(held[i]) in profile.values
        x, rise = np.log(profile.values), profile.rise
        parabola = np.polyval(np.polyfit(x, rise, 2), x)
        np.testing.assert_allclose(rise, parabola, atol=1e-6 * rise.max())


class Curved(Linear):
    """One residual of two parameters, y and z: 4 (y + 1.5 - (exp(z - 1) - 1)). Straight steps along it stop short."""

    def residuals(self, x):
        self.sd = np.array([0.8, 2.0])
        seen = 4 * (x[:, :1] + 1.5 - np.expm1(x[:, 1:] - 1.0))
        return np.hstack([seen, (x - self.centre) / self.sd])


def test_the_ends_of_a_profile_are_minima_and_not_where_a_few_steps_stopped(model):
    """A large y is paid by a z of ln 3 at little cost; a small one by none, since exp(z) has an end."""
    curved = Curved(model)
    residuals = curved.residuals(curved.centre[None])[0]
    fit = Fit(SMALL, curved.centre.copy(), 0.0, residuals, curved.jacobian(curved.centre))
    stopped, _ = profiles(curved, fit, rounds=1, limit=1)
    assert stopped.verdict == "identified", "what a few steps would have said"
    own, _ = profiles(curved, fit, rounds=1, limit=50)
    assert own.verdict == "one-sided: lower bound"
    z = np.linspace(curved.low[1], curved.high[1], 400_001)
    for value, rise in zip(own.values[[0, -1]], own.rise[[0, -1]], strict=True):
        both = np.column_stack([np.full(len(z), np.log(value)), z])
        exact = (curved.residuals(both)[:, [0, 2]] ** 2).sum(axis=1).min()
        assert rise == pytest.approx(exact, rel=1e-3), "the centre costs nothing"


@pytest.mark.parametrize(
    ("rise", "verdict"),
    [
        ([9, 0, 9], "identified"),
        ([9, 0, 1], "one-sided: lower bound"),
        ([1, 0, 9], "one-sided: upper bound"),
        ([1, 0, 1], "not identified"),
    ],
)
def test_the_verdict_is_read_off_the_rise(rise, verdict):
    assert Profile("x", np.array([1.0, 2.0, 3.0]), np.array(rise, dtype=float)).verdict == verdict


def test_draws_have_the_mean_and_covariance_of_the_exact_posterior(linear, fitted):
    mean, covariance = linear.exact
    found = sample(linear, fitted, 4000, proposals=6000, seed=3)
    assert isinstance(found, Sample)
    assert found.effective > 3000
    assert found.pareto_k < 0.7
    logs = np.log(found.draws.to_numpy())
    np.testing.assert_allclose(logs.mean(axis=0), mean, atol=0.06 * np.sqrt(np.diag(covariance)).max())
    np.testing.assert_allclose(np.cov(logs.T), covariance, atol=0.08 * covariance.max())


class Levels(Objective):
    """Rows whose logarithms are linear in the log parameters, so that leaving one out is known in closed form."""

    def __init__(self, model, rows):
        self.model, self.definition, self.workers, self.names = model, SMALL, 1, SMALL.parameters
        self.rows, self.evaluations, self._memo = rows, 0, {}
        self.centre, self.sd = np.zeros(2), np.array([2.0, 3.0])
        self.low, self.high = np.full(2, -9.0), np.full(2, 9.0)
        self.a = np.random.default_rng(2).normal(size=(len(rows), 2))

    def predictions(self, x):
        self.evaluations += len(x)
        return Predictions(self.rows, np.exp(self.a @ x.T), {})


@pytest.fixture
def levels(model, tmp_path):
    rng = np.random.default_rng(4)
    lines = []
    for i, value in enumerate(np.exp(rng.normal(size=24) * 0.4)):
        band = {"observed": repr(float(value)), "low": repr(float(value / 3)), "high": repr(float(value * 3))}
        # the first two rows are of one study; the last is never left out
        source = f"PMID:{max(1, i)}"
        split = "fit 2026-11-29" if i == 23 else "cross-validation 2026-11-29"
        lines.append(
            GOOD
            | {"row": f"L{i}", "case": f"L{i}", "study": "", "source": source, "role": "calibration", "split": split}
            | {"metric": "value", "unit": "uM", "reading": "rest", "interventions": ""}
            | band
        )
    return Levels(model, read_cases(model, [write(tmp_path / "levels.csv", *lines)]))


def test_a_study_is_predicted_by_a_fit_without_it_and_its_interval_by_the_others(levels, tmp_path):
    fit = least_squares(levels, tmp_path / "starts", starts=1)
    found = leave_out(levels, fit, tmp_path / "left")
    lines = found.rows.set_index("row")
    assert "L23" not in lines.index
    assert list(lines.index[:2]) == ["L0", "L1"]
    assert lines["study"].nunique() == 22
    observed = np.log([r.observed for r in levels.rows])
    sd = math.log(3) / 1.645
    for left in ([0, 1], *([i] for i in range(2, 23))):
        seen = np.setdiff1d(np.arange(24), left)
        precision = levels.a[seen].T @ levels.a[seen] / sd**2 + np.diag(1 / levels.sd**2)
        best = np.linalg.solve(precision, levels.a[seen].T @ observed[seen] / sd**2)
        for i in left:
            spread = math.sqrt(levels.a[i] @ np.linalg.solve(precision, levels.a[i]))
            line = lines.loc[f"L{i}"]
            assert math.log(line["predicted"]) == pytest.approx(levels.a[i] @ best, abs=2e-3)
            assert line["sd_parameters"] == pytest.approx(spread, rel=1e-3)
            half = 1.6449 * math.hypot(line["sd_parameters"], line["sd_residual"])
            assert line["low90"] == pytest.approx(line["predicted"] * math.exp(-half), rel=1e-3)
            inside = abs(observed[i] - math.log(line["predicted"])) <= half
            assert line["covered"] == str(inside)
            assert line["step_left"] < 0.01, "a linear problem is solved at once"
            assert line["in_band"] == (abs(observed[i] - levels.a[i] @ best) < math.log(3))
    # the residual of a study does not know the study's own error
    errors = np.log(lines["observed"] / lines["predicted"]).to_numpy()
    others = residual_sds(["level of x"] * 21, errors[2:], lines["sd_parameters"].to_numpy()[2:])
    assert lines["sd_residual"].iloc[0] == pytest.approx(others["level"][1], rel=1e-3)
    assert set(found.sds["class"]) == {"level", "level of homocysteine"}
    assert not lines["put_in"].any()
    levels.a[5] = 0
    levels._memo.clear()
    fixed = leave_out(levels, fit, tmp_path / "fixed").rows.set_index("row")
    assert fixed.index[fixed["put_in"]].tolist() == ["L5"], "a number that no parameter moves predicts nothing"
    assert fixed.loc["L5", "covered"] == ""
    assert "(1 more rest on no fitted parameter and are not counted)" in score("x", fixed.to_dict("records"))
    said = score("small", found.rows.to_dict("records"))
    assert "22 studies" in said
    assert f"cover {(lines['covered'] == 'True').sum()} of 23" in said


def test_finished_studies_are_not_left_out_again_and_those_of_another_fit_are_refused(levels, tmp_path):
    fit = least_squares(levels, tmp_path / "starts", starts=1)
    first = leave_out(levels, fit, tmp_path / "left")
    (tmp_path / "left" / "study_3.json").write_text("{")
    before = levels.evaluations
    again = leave_out(levels, fit, tmp_path / "left")
    assert again.rows.equals(first.rows)
    assert levels.evaluations - before <= 20, "one damaged study only"
    fit.x = fit.x + 0.1
    with pytest.raises(UsageError, match="another request"):
        leave_out(levels, fit, tmp_path / "left")


def test_finished_rounds_of_draws_are_not_repeated(linear, fitted, tmp_path):
    first = sample(linear, fitted, 50, proposals=200, folder=tmp_path)
    before = linear.evaluations
    second = sample(linear, fitted, 50, proposals=200, folder=tmp_path)
    assert linear.evaluations == before
    assert first.draws.equals(second.draws)
    assert len(list(tmp_path.glob("round_*.json"))) == 8


def test_pareto_k_tells_light_from_heavy_tails():
    rng = np.random.default_rng(1)
    assert pareto_k(rng.random(2000)) < 0.3
    assert pareto_k(rng.pareto(0.8, 2000)) > 0.7


def test_a_fit_leaves_every_table_and_says_what_it_did(model, tmp_path):
    objective = Objective(model, SMALL)
    objective.rows = [r for r in objective.rows if r.id in ("C14b", "C14c")]
    objective.definition = replace(SMALL, starts=1)
    fit = least_squares(objective, tmp_path / "starts", limit=2)
    found = profiles(objective, fit, rounds=1)
    drawn = sample(objective, fit, 200, proposals=200)
    write_fit(tmp_path, objective, fit, found, drawn, leave_out(objective, fit, tmp_path / "left_out"))
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == set(TABLES)
    with (tmp_path / "values.csv").open(newline="") as handle:
        rows = {r["parameterId"]: r for r in csv.DictReader(handle)}
    assert set(rows) == set(SMALL.parameters)
    assert all(r["source"] == "fit:small" and float(r["se_log"]) > 0 for r in rows.values())
    with (tmp_path / "covariance.csv").open(newline="") as handle:
        variances = {r["parameterId"]: float(r[r["parameterId"]]) for r in csv.DictReader(handle)}
    for name, low, high in zip(SMALL.parameters, objective.low, objective.high, strict=True):
        ends = [float(rows[name]["low95"]), float(rows[name]["high95"])]
        # one statement: that of the draws, which keep to the bounds
        assert ends == pytest.approx(drawn.draws[name].quantile([0.025, 0.975]).tolist(), rel=0.05)
        assert math.exp(low) <= ends[0] <= ends[1] <= math.exp(high)
        assert variances[name] == pytest.approx(float(rows[name]["se_log"]) ** 2, rel=1e-4)
    report = (tmp_path / "report.md").read_text()
    assert "2 parameters, 2 rows" in report
    assert "Pareto k" in report
    assert "left-out studies of fit small: 1 studies, " in report
    assert "It conditions on the priors of all the other fitted parameters" in report
    with pytest.raises(MetabolismError, match="not a complete fit"):
        adopt(tmp_path / "elsewhere")


def test_adopted_values_are_those_of_the_fit_they_cite():
    assert fit_problems() == []


def test_the_readme_says_how_the_adopted_fits_predicted_unseen_studies():
    page = (models_dir().parent / "README.md").read_text(encoding="utf-8")
    assert with_coverage(page) == page
    lines = left_out_score()
    assert all(f"- {line[0].upper()}{line[1:]}.\n" in page for line in lines)


@pytest.mark.parametrize("name", shipped_fits())
def test_a_shipped_fit_has_far_fewer_parameters_than_rows(model, name):
    definition = read_definition(name)
    rows = Objective(model, definition).rows
    assert len(definition.parameters) < 0.5 * len(rows)
    table = model.table
    assert all(f"fit:{definition.id}" in table[name].source for name in definition.parameters)


@pytest.mark.parametrize("name", shipped_fits())
def test_a_shipped_posterior_holds_the_fitted_parameters(name):
    with (models_dir() / "fits" / name / "posterior.csv").open(newline="") as handle:
        lines = list(csv.reader(handle))
    assert tuple(lines[0]) == read_definition(name).parameters
    assert len(lines) - 1 >= 500


def test_every_draw_of_the_shipped_posterior_rests(model):
    for _, row in draws(model, 5).iterrows():
        state = steady_state(model.with_values(row.to_dict()))
        assert state.residual < 1e-9
        assert state.stable


def test_a_model_closed_anew_rests_at_its_reference(model):
    moved = {"ref_TM_tissue": 250.0, "MS_tissue_Km_thf5m": 1.0}
    values = moved | closure(model.table).values(moved)
    changed = model.with_values({k: v for k, v in values.items() if k in model.values and v != model.values[k]})
    assert steady_state(changed).values["hcy_plasma"] == pytest.approx(model.values["hcy_plasma"], rel=1e-8)


def test_values_of_which_no_reference_state_follows_are_a_reason_and_never_a_traceback(model):
    """A share above one leaves a root of a negative number, which Python makes complex."""
    closed, table = closure(model.table), model.table
    own, given = closed.values(), {n: table[n].value for n in table if n not in closed.names and table[n].value > 0}
    changes = [{name: factor * value} for name, value in given.items() for factor in (0.0, 1.5, 1e6, -1.0)]
    reasons = []
    for change in changes:
        try:
            found = closed.values(change)
        except ModelError as error:
            reasons.append(str(error))
        else:
            assert found.keys() == own.keys()
            assert all(isinstance(v, float) for v in found.values())
    assert 0 < len(reasons) < len(changes) / 4
    assert [r for r in reasons if not re.search(r"'\w+' has no value: |do not settle", r)] == []
    with pytest.raises(
        ModelError, match="'MTHFR_tissue_Vmax' has no value: a division by 0 or a root of a number below"
    ):
        closed.values({"ref_FOLATE_STORE_share": 1.5 * given["ref_FOLATE_STORE_share"]})
    # the same for a row of a sweep and for a candidate of a fit: theirs alone
    shares = {"ref_FOLATE_STORE_share": [0.6, 1.05, 0.8]}
    sweep = mb.scan(model, shares, None, "1 h", endpoints=["final(hcy_plasma)"], closed=True)
    assert sweep.failures["run"].tolist() == [1]
    assert "no reference state: 'MTHFR_tissue_Vmax' has no value" in sweep.failures["failure"].iloc[0]
    objective = Objective(model, read_definition("onecarbon3"))
    x = np.tile(np.log([given[n] for n in objective.names]), (2, 1))
    x[1, objective.names.index("ref_FOLATE_STORE_share")] = math.log(1.05)
    assert all(np.isnan(column).tolist() == [False, True] for column in objective.columns(x).values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("id = [", "no fit definition"),
        ({"id": "../../../x"}, "id = '../../../x'; write letters, digits"),
        ({"id": [1]}, "write letters, digits"),
        ({"band_sd": 0}, "band_sd = 0; write a number above 0"),
        ({"band_sd": math.inf}, "write a number above 0"),
        ({"seed": -1}, "seed = -1; write a whole number from 0"),
        ({"starts": "x"}, "starts = 'x'; write a whole number from 1 to 65"),
        ({"starts": True}, "write a whole number from 1 to 65"),
        ({"draws": 0}, "write a whole number from 1"),
        ({"role": "fit"}, "write 'calibration' or 'check'"),
        ({"cases": ["homocystein.csv"]}, "Did you mean 'homocysteine.csv'"),
        ({"cases": []}, "write a list of files of experiments/cases"),
        ({"parameters": ["MCM_K_cbl", "MCM_K_cbl"]}, "each once"),
        ({"parameters": ["MCM_K_cb"]}, "Did you mean 'MCM_K_cbl'"),
        ({"title": None}, "'title' is missing"),
        ({"band_sds": 1}, "Did you mean 'band_sd'"),
    ],
)
def test_a_bad_definition_is_refused_by_entry_and_remedy(model, tmp_path, change, words):
    path = tmp_path / "fit.toml"
    if isinstance(change, str):
        path.write_text(change)
    else:
        entries = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(SMALL).items()} | change
        written = {k: json.dumps(v) if v != math.inf else "inf" for k, v in entries.items() if v is not None}
        path.write_text("\n".join(f"{k} = {v}" for k, v in written.items()))
    with pytest.raises(MetabolismError, match=re.escape(words)):
        Objective(model, read_definition(path))


def test_a_fit_with_more_parameters_than_rows_or_without_priors_is_refused(model):
    with pytest.raises(InvalidValue, match="fit fewer"):
        Objective(model, replace(SMALL, role="check", cases=("homocysteine.csv",), parameters=tuple(model.table)[:60]))
    with pytest.raises(InvalidValue, match="cannot be fitted"):
        Objective(model, replace(SMALL, parameters=("GFR_rel",)))


def test_the_command_refuses_nonsense_in_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "metabolism", "fit", "--proposals", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch(r"metabolism: --proposals 3 must be at least 100\.\n", done.stderr)
