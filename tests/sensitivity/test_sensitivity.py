"""Sensitivity: known indices of known functions, exact slopes, honest refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metabolism as mb
import metabolism.sensitivity.overall as sens
from metabolism.cli import main
from metabolism.errors import InvalidValue, SolverFailed, UnknownName, UsageError
from metabolism.sensitivity import plots as plots
from metabolism.sensitivity.factors import Factor, Factors, choose, from_cohort
from metabolism.sensitivity.local import curves, reference_control, slopes, tornado

CUBE = Factors(tuple(Factor(n, "", 0.0, 1.0) for n in "abc"))
QUICK = {"regimen": "50 mg im", "until": "48 h"}
DOSED = [("GFR_rel", 0.6, 1.2), ("CBL_CLf", 4.0, 7.0), ("CBS_Km_hcy", 500.0, 2000.0)]


def ishigami(u, a=7.0, b=0.1):
    x = np.pi * (2 * u - 1)
    return np.sin(x[:, 0]) + a * np.sin(x[:, 1]) ** 2 + b * x[:, 2] ** 4 * np.sin(x[:, 0])


def known_ishigami(a=7.0, b=0.1):
    """First-order and total shares in closed form (Ishigami and Homma 1990)."""
    v1 = 0.5 * (1 + b * np.pi**4 / 5) ** 2
    v2 = a**2 / 8
    v13 = b**2 * np.pi**8 * (1 / 18 - 1 / 50)
    total = v1 + v2 + v13
    return np.array([v1, v2, 0]) / total, np.array([v1 + v13, v2, v13]) / total, v13 / total


def column(found, index, what="value"):
    return (
        found.table[found.table["index"] == index].set_index("factor")[what].loc[list(found.factors.names)].to_numpy()
    )


class TestKnownIndices:
    @pytest.mark.parametrize(
        ("method", "n", "atol"), [("sobol", 1024, 0.04), ("sobol_first", 1024, 0.04), ("efast", 513, 0.06)]
    )
    def test_variance_shares_of_ishigami(self, method, n, atol):
        found = sens.of_function(method, ishigami, CUBE, n=n)
        first, total, pair = known_ishigami()
        assert column(found, "S1") == pytest.approx(first, abs=atol)
        assert column(found, "ST") == pytest.approx(total, abs=atol)
        if method == "sobol":
            inside = (column(found, "ST", "low") <= total) & (total <= column(found, "ST", "high"))
            assert inside.all()
            row = found.interactions.set_index(["factor", "other"]).loc[("a", "c")]
            assert row["low"] < pair < row["high"]

    def test_effects_of_a_linear_function_are_its_coefficients(self):
        found = sens.of_function("morris", lambda u: 3 * u[:, 0] - 2 * u[:, 1], CUBE, n=10)
        assert column(found, "mu_star") == pytest.approx([3, 2, 0], abs=1e-9)
        assert column(found, "mu") == pytest.approx([3, -2, 0], abs=1e-9)
        assert column(found, "sigma") == pytest.approx([0, 0, 0], abs=1e-9)
        assert found.runs == 40

    def test_pawn_and_delta_rank_factors_and_know_their_noise_floor(self):
        f = lambda u: 3 * u[:, 0] + 1.5 * u[:, 1]  # noqa: E731
        pawn, delta = (sens.of_function(method, f, CUBE, n=512) for method in ("pawn", "delta"))
        for found, index in ((pawn, "median"), (delta, "delta")):
            a, b, c = column(found, index)
            assert a > b > c
        floor = float(next(n for n in pawn.notes if "without any effect" in n).split("median of ")[1].split(" ")[0])
        assert column(pawn, "median")[2] == pytest.approx(floor, abs=0.08)

    def test_delta_of_two_equal_normal_terms_is_that_of_theory(self):
        from scipy.stats import norm

        y = np.linspace(-8, 8, 2001)
        apart = [
            np.trapezoid(np.abs(norm.pdf(y, 0, 2**0.5) - norm.pdf(y, z)), y)
            for z in norm.ppf((np.arange(200) + 0.5) / 200)
        ]
        exact = 0.5 * np.mean(apart)
        found = sens.of_function("delta", lambda u: norm.ppf(u[:, 0]) + norm.ppf(u[:, 1]), CUBE, n=1000)
        assert column(found, "delta")[:2] == pytest.approx([exact, exact], abs=0.04)

    def test_partial_rank_correlation_sees_through_the_other_factors(self):
        rng = np.random.default_rng(3)
        noise = rng.standard_normal(512)
        found = sens.of_function("prcc", lambda u: np.exp(3 * u[:, 0]) * np.exp(-u[:, 1]) + 1e-3 * noise, CUBE, n=512)
        a, b, c = column(found, "PRCC")
        assert a > 0.95
        assert b < -0.8
        assert column(found, "PRCC", "low")[2] < 0 < column(found, "PRCC", "high")[2]
        assert abs(c) < 0.2
        # one cause and nothing else: the others have nothing left to explain
        alone = sens.of_function("prcc", lambda u: u[:, 0] ** 3, CUBE, n=64)
        assert column(alone, "PRCC") == pytest.approx([1, 0, 0], abs=1e-6)

    def test_seeds_repeat_every_number_and_change_it(self):
        def table(seed):
            return sens.of_function("sobol", ishigami, CUBE, n=64, seed=seed).table

        pd.testing.assert_frame_equal(table(0), table(0), check_exact=True)
        assert not table(0)["value"].equals(table(1)["value"])

    def test_convergence_is_shown_and_judged(self):
        poor = sens.of_function("sobol", ishigami, CUBE, n=64)
        good = sens.of_function("sobol_first", lambda u: u[:, 0] + 0.1 * u[:, 1], CUBE, n=2048)
        assert list(poor.convergence["n"].unique()) == [8, 16, 32, 64]
        last = poor.convergence[poor.convergence["n"] == 64]["value"].to_numpy()
        assert np.array_equal(last, column(poor, "ST"))
        assert poor.converged("function").startswith("Not converged")
        assert good.converged("function", width=0.12).startswith("Converged")


class TestFailures:
    @staticmethod
    def failing(share):
        return lambda u: np.where(u[:, 1] > 1 - share, np.nan, ishigami(u))

    @pytest.mark.parametrize("method", ["sobol", "morris", "pawn"])
    def test_a_few_failures_are_counted_located_and_left_out(self, method):
        n = {"sobol": 512, "morris": 40, "pawn": 1024}[method]
        marked = []

        def few(u):
            y = ishigami(u)
            if not marked:
                marked.extend(np.argsort(-u[:, 1])[: max(1, len(y) // 500)])
            y[marked] = np.nan
            return y

        found = sens.of_function(method, few, CUBE, n=n)
        assert len(found.failed) == len(marked)
        note = next(n for n in found.notes if "failed" in n)
        assert f"{len(marked)} of {found.runs}" in note
        assert "high b" in note
        assert np.isfinite(found.table[found.table["index"] == found.main]["value"]).all()

    def test_indices_are_refused_above_one_per_cent(self):
        with pytest.raises(SolverFailed, match=r"gather at high b \([^ ]+ to [^ ]+\)\. .*refused above 1 %"):
            sens.of_function("sobol", self.failing(0.03), CUBE, n=256)

    def test_efast_needs_every_run(self):
        with pytest.raises(SolverFailed, match="needs every run"):
            sens.of_function("efast", self.failing(0.003), CUBE, n=257)


class TestFactors:
    def test_quantiles_follow_the_stated_distribution(self, model):
        prior = choose(model, ["MS_liver_Km_hcy"]).items[0]
        u = (np.arange(4000) + 0.5) / 4000
        x = prior.quantile(u)
        assert np.log(x).mean() == pytest.approx(np.log(model.values["MS_liver_Km_hcy"]), abs=0.02)
        assert np.log(x).std() == pytest.approx(prior.sd, rel=0.02)
        assert x.min() >= prior.low
        assert Factor("a", "", 1.0, 100.0, "log-uniform").quantile(np.array([0, 0.5, 1])).tolist() == pytest.approx(
            [1, 10, 100]
        )
        assert choose(model, ["GFR_rel"], spread=0.2).items[0].quantile(np.array([0.0, 1.0])) == pytest.approx(
            [0.8, 1.2]
        )

    def test_a_distribution_can_be_cut_at_its_tails(self, model):
        whole = choose(model, ["GFR_rel"])
        cut = whole.within(0.1, 0.9)
        assert cut.quantile(np.array([[0.0], [1.0]]))[:, 0] == pytest.approx(
            whole.quantile(np.array([[0.1], [0.9]]))[:, 0]
        )
        assert cut.frame()["low"][0] == cut.quantile(np.zeros((1, 1)))[0, 0]
        with pytest.raises(InvalidValue, match="increasing"):
            whole.within(0.9, 0.1)

    def test_filters_choose_by_module_kind_and_confidence(self, model):
        found = choose(model, module="motor_neuron")
        assert {"MN_gamma", "MN_n50"} <= set(found.names)
        assert all(model.table[n].module == "motor_neuron" for n in found.names)
        both = choose(model, kind=["Km", "Ki"], confidence="D")
        assert {model.table[n].kind for n in both.names} == {"Km", "Ki"}
        assert all(not model.table[n].derivation for n in both.names)
        assert choose(model, ranges={"GFR_rel": (0.5, 1.0)}).names == ("GFR_rel",)

    def test_a_cohort_brings_its_distribution_and_its_dependence(self, model):
        rng = np.random.default_rng(1)
        z = rng.standard_normal(300)
        people = pd.DataFrame(
            {"CBL_CLf": np.exp(z), "GFR_rel": np.exp(0.5 * z + 0.1 * rng.standard_normal(300)), "age": 60.0}
        )
        found = from_cohort(model, people)
        assert found.names == ("CBL_CLf", "GFR_rel")
        assert "0.9" in found.dependence
        assert found.quantile(np.array([[0.5, 0.5]]))[0, 0] == pytest.approx(np.median(people["CBL_CLf"]))
        given = sens.of_function("prcc", lambda x: x[:, 0], found, n=200)
        assert any("PAWN, delta and PRCC keep it" in n for n in given.notes)
        with pytest.raises(InvalidValue, match="300 patients"):
            sens.of_function("prcc", lambda x: x[:, 0], found, n=400)

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"names": ["MN_gama"]}, UnknownName, "Did you mean 'MN_gamma'"),
            ({"module": "motor_neurone"}, UnknownName, "Did you mean 'motor_neuron'"),
            ({"confidence": "E"}, UnknownName, "Known: A, B, C, D"),
            ({"ranges": {"GFR_rel": (1.0, 0.5)}}, InvalidValue, "inverted"),
            ({"ranges": {"GFR_rel": (np.nan, 0.5)}}, InvalidValue, "no finite bounds"),
            ({"ranges": {"GFR_rel": (-1.0, 0.5)}}, InvalidValue, "above 0"),
            ({"names": ["CBL_infusion"], "spread": 0.1}, InvalidValue, "give a range"),
            ({"names": ["GFR_rel"], "spread": 1.5}, InvalidValue, "between 0 and 1"),
            ({"names": []}, InvalidValue, "no factor"),
            ({"names": ["GFR_rel", "GFR_rel"]}, InvalidValue, "twice"),
        ],
    )
    def test_wrong_choices_are_refused(self, model, options, error, words):
        with pytest.raises(error, match=words):
            choose(model, **options)


@pytest.fixture(scope="module")
def factors():
    return Factors(tuple(Factor(n, "", low, high) for n, low, high in DOSED))


@pytest.fixture(scope="module")
def sobol(model, factors, tmp_path_factory):
    request = {"factors": factors, "endpoints": ["hcy_change", "cobalamin_auc"], "n": 16, **QUICK}
    return mb.sensitivity.sobol(model, store=tmp_path_factory.mktemp("sobol") / "s", **request)


class TestOnTheModel:
    def test_a_study_is_one_call_and_its_runs_are_a_sweep(self, sobol, model, factors):
        assert sobol.runs == 16 * 8
        assert len(sobol.sweep) == sobol.runs
        assert list(sobol.ranking("cobalamin_auc")["factor"])[2] == "CBS_Km_hcy"
        again = mb.sensitivity.sobol(
            model,
            **QUICK,
            factors=factors,
            endpoints=["hcy_change", "cobalamin_auc"],
            n=16,
            store=sobol.sweep.path,
            progress=lambda label, total: pytest.fail("ran again"),
        )
        pd.testing.assert_frame_equal(again.table, sobol.table, check_exact=True)

    def test_figures_can_be_drawn(self, sobol, model, factors, tmp_path):
        from metabolism.plotting import save_figure

        swings = tornado(model, **QUICK, factors=factors, endpoints=["cobalamin_auc"])
        course = curves(model, ["CBL_CLf", "GFR_rel"], **QUICK, outputs=["cbl_plasma"], times=[0, 4, 8, 24])
        table = slopes(model, ["CBL_CLf", "GFR_rel"], **QUICK, endpoints=["cobalamin_auc", "max(cbl_plasma)"])
        for i, figure in enumerate(
            (
                plots.bars(sobol),
                plots.convergence(sobol, "cobalamin_auc"),
                plots.heat(sobol),
                plots.tornado_figure(swings, "cobalamin_auc"),
                plots.curve_map(course["cbl_plasma"]),
                plots.slope_map(table),
            )
        ):
            save_figure(figure, tmp_path / f"f{i}")
            assert (tmp_path / f"f{i}.png").stat().st_size > 5000

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"endpoints": ["alsfrs_change"]}, UsageError, "constant"),
            ({"endpoints": ["percent_change(cbl_urine)"]}, UsageError, "every one of .* failed"),
            ({"endpoints": ["hcy_chnge"]}, UnknownName, "hcy_change"),
            ({"n": 17}, InvalidValue, "power of 2"),
            ({"n": 8}, InvalidValue, "at least 16"),
            ({"seed": -1}, InvalidValue, "seed"),
            ({"confidence": 1.5}, InvalidValue, "confidence"),
            ({"cluster": "tcp://127.0.0.1:9"}, UsageError, "scheduler"),
        ],
    )
    def test_what_cannot_work_is_refused_before_the_study(
        self, model, factors, tmp_path, monkeypatch, options, error, words
    ):
        monkeypatch.setattr("metabolism.sweep.workers.CONNECT", 0.5)
        request = {
            "factors": factors,
            "endpoints": ["hcy_change"],
            "n": 16,
            "store": tmp_path / "s",
            **QUICK,
            **options,
        }
        with pytest.raises(error, match=words):
            mb.sensitivity.sobol(model, **request)
        assert not list(tmp_path.glob("s/part-*"))

    def test_every_other_method_runs_on_the_model(self, model, factors):
        for method, n in (("morris", 4), ("prcc", 64)):
            found = getattr(mb.sensitivity, method)(model, **QUICK, factors=factors, endpoints=["cobalamin_auc"], n=n)
            assert set(found.ranking()["factor"][:2]) == {"GFR_rel", "CBL_CLf"}

    def test_without_factors_the_most_influential_are_chosen(self, model, monkeypatch):
        monkeypatch.setattr(sens, "DEFAULT_FACTORS", 3)
        found = mb.sensitivity.morris(model, "50 mg im", "12 h", endpoints=["max(cbl_plasma)"], n=4)
        assert len(found.factors) == 3
        assert {"central", "IM_ka"} & set(found.factors.names)
        assert any("can be missed" in n for n in found.notes)

    def test_closed_runs_rest_at_the_reference(self, model):
        design = pd.DataFrame({"CBS_Km_hcy": model.values["CBS_Km_hcy"] * np.array([1.0, 2.0])})
        open_, closed = (
            mb.scan(model, design, None, 1, endpoints=["initial(hcy_plasma)"], closed=c).values()[:, 0]
            for c in (False, True)
        )
        assert closed == pytest.approx([closed[0]] * 2, rel=1e-6)
        assert abs(open_[1] / open_[0] - 1) > 1e-3


class TestLocal:
    ASKED = (
        "initial(hcy_plasma)",
        "percent_change(hcy_plasma)",
        "final(sam_liver / sah_liver)",
        "auc(cbl_plasma)",
        "mean(mma_plasma)",
        "max(cbl_free)",
        "change(alsfrs_r) vs untreated",
    )

    def test_slopes_agree_with_finite_differences(self, model):
        patient = model.with_set("als_patient").with_values(MN_Emax=0.4)
        names, own = ["CBL_CLf", "CBS_Km_hcy"], {"MN_hcy_ref": "hcy_plasma"}
        request = {"regimen": "50 mg im every 3.5 d x 2", "until": "1 week", "own_baseline": own, "rtol": 1e-9}
        exact = slopes(patient, names, endpoints=self.ASKED, **request).pivot(
            index="endpoint", columns="parameter", values="slope"
        )
        rows = []
        for name in names:
            for sign in (1, -1):
                rows.append({n: patient.values[n] * (1 + sign * 1e-3 * (n == name)) for n in names})
        found = mb.scan(patient, pd.DataFrame(rows), endpoints=self.ASKED, **request).values()
        for j, name in enumerate(names):
            difference = (found[2 * j] - found[2 * j + 1]) / (2e-3 * patient.values[name])
            for endpoint, value in zip(self.ASKED, difference, strict=True):
                assert exact.loc[endpoint, name] == pytest.approx(value, rel=1e-4, abs=1e-9), (endpoint, name)

    def test_elasticities_of_a_linear_system_are_known(self, model):
        # free cobalamin after a dose goes as 1 / clearance in the area to infinity; at first it does not matter
        found = (
            slopes(model, ["GFR_rel", "MN_k"], **QUICK, endpoints=["auc(cbl_free)"])
            if model.values["MN_k"]
            else slopes(model, ["GFR_rel", "CBL_CLf"], **QUICK, endpoints=["auc(cbl_free)"])
        )
        first, second = found["elasticity"]
        # glomerular filtration enters the equations of cobalamin as GFR_rel x CBL_CLf only
        assert first == pytest.approx(second, rel=2e-2)
        assert -1 < first < 0

    def test_sensitivity_curves_are_labelled_and_scaled(self, model):
        found = curves(model, ["CBL_CLf"], **QUICK, outputs=["cbl_free"], times=[0.0, 6.0, 48.0])["cbl_free"]
        assert found.dims == ("parameter", "time")
        assert found.attrs["units"] == "dimensionless"
        assert found.sel(parameter="CBL_CLf", time=6.0) < found.sel(parameter="CBL_CLf", time=0.0) < 0

    def test_control_coefficients_obey_their_theorems(self, model):
        found = reference_control(model, parameters=["MET_DIET_rate", "CBL_CLf"], outputs=["hcy_plasma", "met_plasma"])
        assert (found["theorems"]["violation"] < 1e-6).all()
        assert found["response"].loc["met_plasma", "MET_DIET_rate"] > 0
        sums = found["flux_control"].sum(axis=1, skipna=False).dropna()
        assert sums.to_numpy() == pytest.approx(np.ones(len(sums)), abs=1e-6)

    def test_a_tornado_has_the_swings_of_single_runs(self, model):
        factors = choose(model, ["GFR_rel", "CBL_CLf"], spread=0.2)
        found = tornado(model, **QUICK, factors=factors, endpoints=["auc(cbl_free)"], ends=(0.0, 1.0))
        row = found[found["factor"] == "CBL_CLf"].iloc[0]
        single = mb.scan(
            model, pd.DataFrame({"CBL_CLf": [row["low"], row["high"]]}), **QUICK, endpoints=["auc(cbl_free)"]
        ).values()
        assert [row["at_low"], row["at_high"]] == pytest.approx(single[:, 0], rel=1e-9)
        assert found["swing"].abs().is_monotonic_decreasing
        with pytest.raises(InvalidValue, match="ends"):
            tornado(model, **QUICK, factors=factors, ends=(0.9, 0.1))


class TestCommands:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["scan"], "required"),
            (["scan", "--grid", "GFR_rel=1:2"], "ID=LOW:HIGH:COUNT"),
            (["scan", "--grid", "GFR_re=1,2"], "Did you mean 'GFR_rel'"),
            (["scan", "--grid", "GFR_rel=1,2", "--endpoint", "hcy_chang"], "hcy_change"),
            (["scan", "--design", "none.csv"], "no design file"),
            (["scan", "--grid", "GFR_rel=1,2", "--own-baseline", "MN_hcy_ref"], "ID=VALUE"),
            (["scan", "--cohort", "0"], "cohort"),
            (["sensitivity", "sobl"], "Did you mean 'sobol'"),
            (["sensitivity", "sobol", "--factor", "GFR_rel=2"], "ID=LOW:HIGH"),
            (["sensitivity", "sobol", "--factor", "GFR_rel=2:1"], "inverted"),
            (["sensitivity", "tornado", "--n", "5"], "--n"),
            (["sensitivity", "slopes"], "--factor"),
            (["sensitivity", "morris", "--cohort", "20", "--spread", "0.1"], "own distributions"),
            (
                [
                    "sensitivity",
                    "sobol",
                    "--factor",
                    "GFR_rel",
                    "--workers",
                    "0",
                    "--endpoint",
                    "mma",
                    "--until",
                    "1 h",
                ],
                "workers",
            ),
        ],
    )
    def test_a_mistake_gets_one_clear_line(self, capsys, arguments, words):
        assert main(arguments) == 2
        err = capsys.readouterr().err
        assert words in err
        assert err.startswith("metabolism: ")
        assert err.count("\n") == 1

    def test_scan_and_sensitivity_write_what_they_print(self, capsys, tmp_path):
        common = ["--regimen", "50 mg im", "--until", "24 h", "--endpoint", "max(cbl_free)"]
        assert (
            main(
                [
                    "scan",
                    "--grid",
                    "GFR_rel=0.5:1:3",
                    "--store",
                    str(tmp_path / "s"),
                    "--csv",
                    str(tmp_path / "t.csv"),
                    *common,
                ]
            )
            == 0
        )
        out = capsys.readouterr().out
        assert "3 runs on engine 'fast', 0 failed" in out
        assert len(pd.read_csv(tmp_path / "t.csv")) == 3
        assert len(mb.Sweep(tmp_path / "s")) == 3
        factors = ["--factor", "GFR_rel=0.5:1", "--factor", "CBL_CLf", "--out", str(tmp_path / "out")]
        for method in (["prcc", "--n", "64"], ["tornado"], ["slopes"]):
            assert main(["sensitivity", *method, *common, *factors]) == 0
        out = capsys.readouterr().out
        assert "64 runs, 0 failed, seed 1" in out
        assert {p.name for p in (tmp_path / "out").glob("*.csv")} == {
            "indices.csv",
            "convergence.csv",
            "factors.csv",
            "tornado.csv",
            "slopes.csv",
        }

    def test_a_cohort_can_be_scanned(self, capsys):
        assert (
            main(["scan", "--cohort", "5", "--set", "als_patient", "--until", "1 week", "--endpoint", "alsfrs_change"])
            == 0
        )
        assert "5 runs" in capsys.readouterr().out
