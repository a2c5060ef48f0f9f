"""What a result shows of itself, and own observations beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metabolism as mb
from metabolism.errors import Implausible, InvalidValue, UnitMismatch, UnknownName
from metabolism.simulation.curves import Curve, panel_times
from metabolism.simulation.views import exposure

TWICE_WEEKLY = "50 mg im every 3.5 d x 4"


@pytest.fixture(scope="module")
def run():
    return mb.simulate(mb.load(), TWICE_WEEKLY, "2 weeks", outputs=["cbl_plasma", "hcy_plasma"])


@pytest.fixture(scope="module")
def many():
    return mb.simulate(mb.load(), TWICE_WEEKLY, "2 weeks", outputs="cbl_plasma", patients={"GFR_rel": [0.3, 1.0, 2.0]})


@pytest.fixture
def seen():
    return pd.DataFrame(
        {
            "time": [24.0, "2 d", 200],
            "output": ["cbl_plasma", "cbl_plasma", "hcy_plasma"],
            "value": [9000.0, 5000.0, 9.0],
            "unit": ["pmol/L", "pmol/L", "µmol/L"],
            "sd": [900.0, 500.0, 0.5],
        }
    )


# --- reading a curve ----------------------------------------------------------------------------------------


def test_a_curve_is_read_between_its_points_and_on_both_sides_of_a_jump():
    times = panel_times(0.0, [10.0], 20.0)
    curve = Curve(times, np.where(times < 10, times**3, 5.0), panels=True)
    asked = np.array([0.0, 0.0005, 3.3, 9.999, 10.0, 15.0, 20.0])
    np.testing.assert_allclose(curve.at(asked), [0, 1.25e-10, 3.3**3, 9.999**3, 5, 5, 5], rtol=1e-9, atol=1e-15)
    part = curve.between(3.0, 10.0)
    assert (part.times[0], part.times[-1]) == (3.0, 10.0)
    assert part.values[-1] == pytest.approx(1000)
    assert float(part.area()) == pytest.approx((10**4 - 3**4) / 4, rel=1e-6)
    assert Curve(np.array([0.0, 2.0]), np.array([[1.0, 3.0]]), panels=False).at(np.array([0.5])) == pytest.approx(1.5)


def test_added_times_are_as_exact_as_times_of_ones_own(model):
    asked = [25.0, 60.0, 100.0]
    added = mb.simulate(model, "5 mg im weekly", "1 weeks", outputs="cbl_free", add=asked)
    own = mb.simulate(model, "5 mg im weekly", "1 weeks", outputs="cbl_free", times=asked)
    np.testing.assert_allclose(added.curve("cbl_free").at(np.array(asked)), own.curves["cbl_free"], rtol=1e-13)
    plain = mb.simulate(model, "5 mg im weekly", "1 weeks", outputs="cbl_free")
    assert mb.endpoints.area(added["cbl_free"]) == pytest.approx(mb.endpoints.area(plain["cbl_free"]), rel=1e-4)


def test_exposure_of_an_exponential_over_a_baseline_is_the_closed_form():
    rate, base, top = 0.1, 2.0, 8.0
    times = panel_times(0.0, [1.0], 61.0)
    curve = Curve(times, np.where(times < 1, base, base + top * np.exp(-rate * (times - 1))), panels=True)
    found = {name: float(value) for name, (_, value) in exposure(curve, 1.0, 61.0).items()}
    area = base * 60 + top / rate * (1 - np.exp(-rate * 60))
    expected = {
        "Cmax": base + top,
        "tmax": 0.0,
        "Cmin": base + top * np.exp(-6),
        "Ctrough": base + top * np.exp(-6),
        "Cavg": area / 60,
        "AUCtau": area,
        "half_life": np.log(2) / rate,
    }
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_nca_of_a_run_is_that_of_its_last_dosing_interval(run, many, model):
    found = run.nca()
    begin, end = found.attrs["window"]
    assert (begin, end) == (252.0, 336.0)
    samples = mb.simulate(model, TWICE_WEEKLY, end, outputs="cbl_plasma", times=np.linspace(begin, end, 40_001))
    dense = samples.curves["cbl_plasma"]
    assert found["median"]["Cmax"] == pytest.approx(dense.max(), rel=1e-6)
    assert found["median"]["AUCtau"] == pytest.approx(np.trapezoid(dense, samples.curves["time"]), rel=1e-5)
    assert found["median"]["Ctrough"] == pytest.approx(dense[-1], rel=1e-9)
    clinical = run.nca(units="clinical")
    assert clinical["unit"].to_dict() == {
        **dict.fromkeys(("Cmax", "Cmin", "Ctrough", "Cavg"), "pmol/L"),
        "AUCtau": "pmol/L h",
        "tmax": "h",
        "half_life": "h",
    }
    assert clinical["median"]["Cavg"] == pytest.approx(1e6 * found["median"]["AUCtau"] / 84)
    assert clinical["median"]["tmax"] == found["median"]["tmax"]
    spread = many.nca()
    assert spread["n"]["AUCtau"] == 3
    assert spread["low"]["AUCtau"] < spread["median"]["AUCtau"] < spread["high"]["AUCtau"]
    assert many.exposure()[1]["AUCtau"][1].shape == (3,)
    # what does not fall has no half-life, and a run without doses is one interval
    rest = mb.simulate(model, None, 100.0, outputs="cbl_plasma").nca()
    assert rest.attrs["window"] == (0.0, 100.0)
    assert np.isnan(rest["median"]["half_life"])
    with pytest.raises(InvalidValue, match="must lie inside the run"):
        run.nca(window=(100, 1000))


# --- a result as a table, a text and a figure ------------------------------------------------------------------


def test_a_tidy_frame_has_a_row_per_patient_time_and_output(run, many):
    frame = run.to_dataframe()
    assert list(frame) == ["patient", "arm", "time", "output", "value", "unit"]
    assert len(frame) == 2 * len(run.curves["time"])
    assert set(frame["arm"]) == {TWICE_WEEKLY}
    clinical = many.to_dataframe(units="clinical")
    assert clinical["patient"].unique().tolist() == [0, 1, 2]
    assert clinical["unit"].unique().tolist() == ["pmol/L"]
    np.testing.assert_allclose(clinical["value"], 1e6 * many.curves["cbl_plasma"].ravel())
    with pytest.raises(UnknownName, match="clinical, model"):
        run.to_dataframe(units="us")


def test_a_result_names_itself_and_survives_a_file(run, many, tmp_path):
    assert repr(many).startswith(f"<Result: {TWICE_WEEKLY}; 3 patients, 0 to 336 h")
    assert "B12 [pmol/L]" in run._repr_html_()
    loaded = mb.Result.load(run.save(tmp_path / "run.nc"))
    assert loaded.outputs == run.outputs == run._ipython_key_completions_()
    pd.testing.assert_frame_equal(loaded.nca(), run.nca())


def test_a_plot_has_a_panel_per_output_and_a_line_per_arm(run, many):
    figure = run.plot()
    assert [axes.get_ylabel() for axes in figure.axes] == ["B12 [pmol/L]", "tHcy [µmol/L]"]
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear"]
    both = run.plot("cbl_plasma", beside={"three people": many}, units="model")
    (panel,) = both.axes
    assert len(panel.lines) == 2
    assert len(panel.collections) == 1
    assert [text.get_text() for text in both.legends[0].get_texts()] == [TWICE_WEEKLY, "three people"]
    np.testing.assert_allclose(panel.lines[1].get_ydata(), np.median(many.curves["cbl_plasma"], axis=0))
    with pytest.raises(UnknownName, match="Did you mean 'hcy_plasma'"):
        run.plot("hcy")


def test_rounding_does_not_look_like_a_course(model):
    figure = mb.simulate(model, None, "16 weeks", outputs=["hcy_plasma", "motor_units"]).plot()
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert high - low > 0.1 * axes.lines[0].get_ydata()[0]


# --- observations ------------------------------------------------------------------------------------------------


def test_a_run_laid_over_itself_leaves_nothing(run, many):
    for result in (run, many):
        found = mb.overlay(result, result.to_dataframe(units="clinical"))
        np.testing.assert_allclose(found.residuals["residual"], 0, atol=1e-12)
        assert found.statistics["r2"].tolist() == pytest.approx([1.0] * len(result.outputs))
        assert found.statistics["within_twofold"].tolist() == [1.0] * len(result.outputs)


def test_residuals_are_in_the_units_of_the_model_and_over_their_sd(run, seen, tmp_path):
    found = mb.overlay(run, seen)
    predicted = run.curve("cbl_plasma").at(np.array([24.0, 48.0]))
    rows = found.residuals[found.residuals["output"] == "cbl_plasma"]
    np.testing.assert_allclose(rows["observed"], [0.009, 0.005])
    np.testing.assert_allclose(rows["residual"], [0.009, 0.005] - predicted)
    np.testing.assert_allclose(rows["standardized"], rows["residual"] / [0.0009, 0.0005])
    assert found.statistics["bias"]["cbl_plasma"] == pytest.approx(rows["residual"].mean())
    assert found.statistics["rmse"]["cbl_plasma"] == pytest.approx(np.sqrt((rows["residual"] ** 2).mean()))
    fold = np.exp(np.abs(np.log([0.009, 0.005] / predicted)).mean())
    assert found.statistics["gmfe"]["cbl_plasma"] == pytest.approx(fold)
    seen.to_csv(tmp_path / "seen.csv", index=False)
    pd.testing.assert_frame_equal(mb.overlay(run, tmp_path / "seen.csv").residuals, found.residuals)
    assert "rmse" in found._repr_html_()


def test_who_is_not_named_is_compared_with_the_median(many, seen):
    rows = seen[seen["output"] == "cbl_plasma"]
    people = many.curve("cbl_plasma").at(np.array([24.0, 48.0]))
    np.testing.assert_allclose(mb.overlay(many, rows).residuals["predicted"], np.median(people, axis=0))
    named = mb.overlay(many, rows.assign(patient=[2, 0])).residuals["predicted"]
    np.testing.assert_allclose(named, [people[2, 0], people[0, 1]])


def test_goodness_of_fit_has_three_panels_per_output(run, seen):
    figure = mb.overlay(run, seen).goodness_of_fit()
    assert len(figure.axes) == 6
    assert figure.axes[0].get_ylabel() == "observed B12 [pmol/L]"
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), [9000, 5000])
    curves = mb.overlay(run, seen).plot()
    assert [len(axes.containers) for axes in curves.axes] == [1, 1]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda d: d.rename(columns={"value": "Value"}), InvalidValue, "write 'value'"),
        (lambda d: d.drop(columns="value"), InvalidValue, "no column value"),
        (lambda d: d.assign(weight=70), UnknownName, "no column 'weight'"),
        (lambda d: d.assign(output="hcy"), UnknownName, "Did you mean 'hcy_plasma'"),
        (lambda d: d.assign(unit="kg"), UnitMismatch, "is not in uM"),
        (lambda d: d.assign(time=5000), InvalidValue, "outside the run"),
        (lambda d: d.assign(value="< 5"), InvalidValue, "no number"),
        (lambda d: d.assign(value=np.nan), InvalidValue, "not finite"),
        (lambda d: d.assign(sd=0), InvalidValue, "above 0"),
        (lambda d: d.assign(patient=1), InvalidValue, "from 0 to 0"),
        (lambda d: d.assign(arm=["a", "a", "b"]), InvalidValue, "2 arms"),
        (lambda d: d.iloc[:0], InvalidValue, "no rows"),
    ],
)
def test_observations_that_cannot_be_are_refused_in_words(run, seen, change, error, words):
    with pytest.raises(error, match=words):
        mb.overlay(run, change(seen))


def test_observations_without_a_unit_that_cannot_be_in_that_of_the_model_are_remarked_on(run, recwarn):
    seen = pd.DataFrame({"time": [24.0], "output": ["cbl_plasma"], "value": [9000.0]})
    with pytest.warns(Implausible, match=r"no unit for 'cbl_plasma', so its values are taken in .M: .* with pmol/L"):
        mb.overlay(run, seen)
    recwarn.clear()
    mb.overlay(run, seen.assign(unit="pmol/L"))
    mb.overlay(run, seen.assign(value=0.009))
    mb.overlay(run, seen.assign(value=0.009, unit=[None]))
    assert not recwarn.list
