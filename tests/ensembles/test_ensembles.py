"""The public door: any model, its own units, the same results and the same bits, right by other tools."""

from __future__ import annotations

import csv
import importlib.util
import json
import logging
import math
import os
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metabolism as mb
from metabolism.cli import main
from metabolism.engines import kernel
from metabolism.ensembles import reading
from metabolism.errors import InvalidRegimen, InvalidValue, ModelError, SolverFailed, UnknownName, UsageError
from metabolism.model import equations
from tests.ensembles.models import JUMPS, MODELS
from tests.other_tools import run_in

CHAIN = MODELS["chain"][0]


@pytest.fixture(scope="module")
def opened():
    """Each model is opened once."""
    kept = {}

    def get(name):
        if name not in kept:
            kept[name] = mb.ensemble((MODELS | JUMPS)[name][0])
        return kept[name]

    return get


def members(ens, names, n=7, seed=3):
    return ens.draws(dict.fromkeys(names, "lognormal(0.2)"), n, seed)


class TestDoor:
    def test_a_file_says_what_it_holds_in_its_own_units(self, tmp_path):
        path = tmp_path / "units.ant"
        path.write_text(
            "model units; unit substance = 1e-9 mole; unit time_unit = 60 second;"
            "unit volume = 1 litre; compartment c = 1; species S in c = 10; k = 0.5; k has time_unit; J: S -> ; S/k;"
            "end"
        )
        ens = mb.ensemble(path)
        assert ens.states == ("S",)
        assert set(ens.parameters) == {"c", "k"}
        assert ens.values == {"S": 10.0, "c": 1.0, "k": 0.5}
        assert [ens.units[i] for i in "Sck"] == ["nmol/L", "L", "min"]
        assert (ens.model.time_unit, ens.model.amount_unit) == ("min", "nmol")
        assert "S = 10" in str(ens)
        assert "remark:" in str(ens)
        assert mb.ensemble(str(path)).values == ens.values

    def test_one_member_and_many_are_the_same_result_object(self, opened):
        ens = opened("chain")
        one = ens.simulate(until=10)
        assert isinstance(one, mb.Result)
        assert one["S1"].dims == ("time",)
        assert one["S1"].values[-1] == pytest.approx(10 * np.exp(-3), rel=1e-5)
        many = ens.simulate({"k1": [0.1, 0.3], "S1": [1.0, 10.0]}, until=10, outputs=["S1", "J1"], times=[0, 10])
        assert many["S1"].dims == ("patient", "time")
        assert many["S1"].values[:, -1] == pytest.approx([np.exp(-1), 10 * np.exp(-3)], rel=1e-5)
        assert many.manifest["until"] == 10.0
        assert many.manifest["time_unit"] == ens.model.time_unit
        assert "until_h" not in many.manifest
        assert "agrees with libRoadRunner" in ens.agreement

    def test_what_the_file_computes_at_the_start_follows_each_member(self, opened):
        result = opened("computed start").simulate({"n": [4.0, 5.0]}, until=1, times=[0.0])
        assert result["B"].values[:, 0].tolist() == pytest.approx([4.4, 5.0])

    def test_doses_reach_species_and_the_ledger_says_so(self, opened):
        ens = opened("volumes")
        text = ens.simulate(until=12, doses="2 A at 1 every 3 x 2; k = 0 from 0 to 1", times=[0.999, 1.0, 12.0])
        assert text.ledger.loc["A"].tolist() == [4.0, 4.0]
        # an amount of 2 in a volume of 2
        assert text["A"].values[1] - text["A"].values[0] == pytest.approx(1.0, abs=1e-3)
        rows = ens.simulate(until=12, doses=[(1, "A", 2), (4, "A", 2)], times=[12.0])
        assert rows.ledger.loc["A", "delivered"] == 4.0

    def test_endpoints_rest_scan_and_indices(self, opened, tmp_path):
        ens = opened("chain")
        exact = ens.endpoints({"k1": [0.1, 0.3]}, ["final(S1)", "auc(S1)", "change(S1)"], until=10)
        assert exact["auc(S1)"].tolist() == pytest.approx(
            [100 * (1 - np.exp(-1)), 10 / 0.3 * (1 - np.exp(-3))], rel=1e-5
        )
        rest = ens.steady_states({"S1": [10.0, 20.0]})
        assert rest["S3"].tolist() == pytest.approx([11.0, 21.0])
        assert not rest["failed"].any()
        options = {"until": 10, "endpoints": ["final(S2)"], "store": tmp_path / "store"}
        sweep = ens.scan({"k1": [0.1, 0.2], "k2": [0.1, 0.4]}, **options)
        again = ens.scan({"k1": [0.1, 0.2], "k2": [0.1, 0.4]}, **options)
        assert len(sweep) == 4
        assert sweep.frame().equals(again.frame())
        found = ens.sobol({"k1": "lognormal(0.3)", "k2": (0.15, 0.25)}, until=10, endpoints=["final(S3)"], n=64)
        assert found.ranking()["factor"].tolist() == ["k1", "k2"]

    def test_our_own_model_uses_the_same_door(self):
        ens, options = mb.ensemble(mb.load()), {"outputs": ["hcy_plasma"], "times": [0.0, 24.0]}
        assert ens.agreement == ""
        mine = ens.simulate({"GFR_rel": [0.5, 1.0]}, until="1 d", doses="50 mg im", **options)
        usual = mb.simulate(mb.load(), "50 mg im", "1 d", patients={"GFR_rel": [0.5, 1.0]}, **options)
        assert mine["hcy_plasma"].identical(usual["hcy_plasma"])
        assert mine.manifest == usual.manifest

    @pytest.mark.parametrize(
        ("call", "error", "words"),
        [
            (lambda e: e.simulate({"k3": [1.0]}, until=1), UnknownName, "Known: .*k1, k2"),
            (lambda e: e.simulate(until=1, outputs=["S4"]), UnknownName, "Known: .*S1, S2"),
            (lambda e: e.simulate(until=0), InvalidValue, "after 0"),
            (lambda e: e.simulate({"k1": [np.nan]}, until=1), InvalidValue, "not finite"),
            (lambda e: e.simulate(until=1, doses="5 of S1"), InvalidRegimen, "5 S1 at 0 every"),
            (lambda e: e.simulate(until=1, doses=[(0, "S9", 1)]), UnknownName, "dose target"),
            (lambda e: e.simulate(until=1, engine="roadrunner"), UsageError, "fast"),
            (lambda e: e.scan({"k1": [1.0]}, until=1), UsageError, "endpoints"),
            (lambda e: e.draws({"k1": "gamma(1,2)"}, 3), InvalidValue, "lognormal"),
            (lambda e: e.draws({"k9": "lognormal(1,2)"}, 3), UnknownName, "k"),
            (lambda e: e.draws({"k1": "lognormal(-1,2)"}, 3), InvalidValue, "above 0"),
            (lambda e: e.with_values(k1=float("nan")), InvalidValue, "finite"),
        ],
    )
    def test_wrong_requests_are_refused_with_the_remedy(self, opened, call, error, words):
        with pytest.raises(error, match=words):
            call(opened("chain"))

    def test_what_a_file_with_events_cannot_have_is_refused(self, opened):
        ens = opened("threshold")
        with pytest.raises(UsageError, match="events"):
            ens.simulate(until=1, engine="scipy")
        with pytest.raises(UsageError, match="no resting state"):
            ens.steady_states()
        with pytest.raises(ModelError, match="differences of whole runs"):
            ens.sensitivities(["c"], until=1)

    @pytest.mark.parametrize("text", ["<sbml", "no model at all", "x = ; y"])
    def test_what_is_no_model_is_refused_in_a_sentence(self, text):
        with pytest.raises(ModelError):
            mb.ensemble(text + "\n")

    def test_a_byte_order_mark_is_read_over_and_letters_that_no_name_has_are_named(self, tmp_path):
        text = "model decay; S = 10; k = 0.5; J: S -> ; k*S; # µ\nend"
        (tmp_path / "marked.ant").write_text(text, encoding="utf-8-sig")
        for source in (tmp_path / "marked.ant", f"\ufeff{text}"):
            assert mb.ensemble(source).values["k"] == 0.5
        with pytest.raises(ModelError, match="a name has the character 'µ'"):
            mb.ensemble(text.replace("k", "µ"))
        with pytest.raises(ModelError, match="not valid Antimony"):
            mb.ensemble("\ud800;\n")

    def test_a_model_travels_to_workers(self, opened):
        ens = opened("computed start").with_values(n=6)
        there = pickle.loads(pickle.dumps(ens))
        assert there == ens
        assert there.values == ens.values
        assert there.values["B"] == pytest.approx(2 * 2.8)


class TestProof:
    @pytest.mark.parametrize("name", [*MODELS, *JUMPS])
    def test_a_member_has_the_same_bits_alone_in_a_batch_and_on_threads(self, name, opened):
        ens, (_, until, names) = opened(name), (MODELS | JUMPS)[name]
        table = members(ens, names, 150)
        options = {"until": until, "times": np.linspace(0, until, 9)}
        whole = ens.simulate(table, **options)
        threads = ens.simulate(table, workers=3, **options)
        alone = ens.simulate(table.iloc[[3, 97]], **options)
        assert not whole.failures
        for state in ens.states:
            assert np.array_equal(whole[state].values, threads[state].values)
            assert np.array_equal(whole[state].values[[3, 97]], alone[state].values)

    @pytest.mark.parametrize("lanes", [2, 8])
    @pytest.mark.parametrize("name", ["repressilator", "threshold"])
    def test_a_member_has_the_same_bits_on_other_lanes(self, name, lanes, opened, monkeypatch, tmp_path):
        ens, (_, until, names) = opened(name), (MODELS | JUMPS)[name]
        table = members(ens, names, 11)
        here = ens.endpoints(table, [f"final({s})" for s in ens.states], until=until)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        compiler = sys.modules[kernel.__module__]
        monkeypatch.setattr(compiler, "_kernels", {})
        monkeypatch.setattr(compiler, "_lanes", lambda features: lanes)
        assert kernel(equations(ens.model)).lanes == lanes
        assert ens.endpoints(table, [f"final({s})" for s in ens.states], until=until).equals(here)

    @pytest.mark.parametrize("name", MODELS)
    def test_sensitivities_are_those_of_finite_differences(self, name, opened):
        ens, (_, until, names) = opened(name), MODELS[name]
        times = np.linspace(0, until, 6)
        found = ens.sensitivities(list(names), until=until, times=times, rtol=1e-9)
        for place, parameter in enumerate(names):
            value, step = ens.values[parameter], 1e-4
            table = {parameter: value * (1 + step * np.array([-2.0, -1.0, 1.0, 2.0]))}
            runs = ens.simulate(table, until=until, times=times, rtol=1e-12)
            for state in ens.states:
                low2, low, high, high2 = runs[state].values
                # fourth order, so that the step may be far above rounding; what is left of that is 1e-12 / step
                slope = (8 * (high - low) - (high2 - low2)) / (12 * step * value)
                size = np.abs(slope).max() + 1e-3 * np.abs(runs[state].values).max() / abs(value)
                assert np.abs(found[f"d_{state}"].values[place] - slope).max() < 2e-5 * size, (parameter, state)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", [*MODELS, *JUMPS])
    def test_an_exported_member_agrees_with_copasi(self, name, opened, tmp_path):
        ens, (_, until, names) = opened(name), (MODELS | JUMPS)[name]
        row = members(ens, names, 1).iloc[0]
        file = tmp_path / "member.xml"
        file.write_text(ens.with_values(row.to_dict()).sbml(), encoding="utf-8")
        theirs = run_in("copasi", file, until, [23], list(ens.states))[0]
        ours = ens.simulate(row.to_frame().T, until=until, times=theirs["time"].to_numpy(), rtol=1e-9)
        for state in ens.states:
            mine = ours[state].values[0]
            assert np.abs(mine - theirs[state].to_numpy()).max() < 1e-6 * np.abs(mine).max(), state


SOBOL = ["--until", "1", "--vary", "k1=lognormal(0.3)", "--endpoint", "final(S3)", "--sobol"]


class TestCommand:
    def test_a_file_alone_is_described_and_members_are_summarised_and_drawn(self, tmp_path, capsys):
        file, figure = tmp_path / "chain.ant", tmp_path / "out.png"
        file.write_text(CHAIN)
        assert main(["ensemble", str(file)]) == 0
        assert "S1 = 10" in capsys.readouterr().out
        options = ["--vary", "k1=lognormal(0.3,0.2)", "--n", "50", "--until", "10", "--plot", str(figure)]
        assert main(["ensemble", str(file), *options]) == 0
        out = capsys.readouterr().out
        assert "50 members, k1 ~ lognormal(0.3,0.2); to t = 10, in the file's own units; 0 failed" in out
        assert figure.stat().st_size > 10_000
        more = ["--sobol", "32", "--endpoint", "final(S3)", "--vary", "k2=uniform(0.1,0.3)", "--json", "-"]
        assert main(["ensemble", str(file), *options[:2], "--until", "10", *more]) == 0
        indices = json.loads(capsys.readouterr().out)["indices"]
        assert {row["factor"] for row in indices} == {"k1", "k2"}

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            (["--vary", "k1"], "ID=VALUE"),
            (["--vary", "k1=lognormal", "--until", "1"], "lognormal(1,0.3)"),
            (["--until", "1", "--plot", "x.bmp"], ".png, .svg or .pdf"),
            (["--until", "1", "--sobol", "8"], "--endpoint"),
            (["--n", "0"], "--n 0"),
            (["--until", "0"], "--until 0 must be a time after 0."),
            (["--until", "nan"], "must be a time after 0."),
            (["--until", "1,5"], "for a decimal comma write '1.5'"),
            (["--until", "1", "--vary", "k1=lognormal(1_0)"], "k1=lognormal(1_0) cannot be read"),
            (["--until", "1", "--vary", "k1=uniform(3,1)"], "inverted"),
            (["--until", "1", "--vary", "k1=lognormal(0.3)", "--vary", "k1=uniform(0,1)"], "names 'k1' twice"),
            (["--until", "1", "--dose", "5 of S1"], "write doses as"),
            (["--until", "1", "--engine", "fats"], "Did you mean 'fast'?"),
            (["--plot", "x.png"], "leave --plot out"),
            (["--until", "1", "--n", "5"], "leave --n out"),
            ([*SOBOL, "7"], "sobol of 1 factor needs at least 16 and a power of 2"),
            ([*SOBOL, "24"], "sobol of 1 factor needs at least 16 and a power of 2"),
            ([*SOBOL, "16", "--csv", "x.csv", "--n", "5"], "leave --n and --csv out"),
            ([*SOBOL[:-3], "--sobol", "16"], "--sobol needs --vary and --endpoint"),
        ],
    )
    def test_mistakes_are_one_line_before_the_file_is_read(self, tmp_path, capsys, more, words):
        assert main(["ensemble", str(tmp_path / "chain.ant"), *more]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1

    def test_endpoints_are_printed_with_the_members(self, tmp_path, capsys):
        file = tmp_path / "chain.ant"
        file.write_text("S = 10; k = 0.5; J: S -> ; k*S")
        options = ["--until", "2", "--endpoint", "final(S)", "--endpoint", "auc(S)", "--json", "-"]
        assert main(["ensemble", str(file), *options]) == 0
        (row,) = json.loads(capsys.readouterr().out)["endpoints"]
        assert row["final(S)"] == pytest.approx(10 * math.exp(-1), rel=1e-6)
        assert row["auc(S)"] == pytest.approx(20 * (1 - math.exp(-1)), rel=1e-6)
        assert main(["ensemble", str(file), *options[:-2], "--vary", "k=uniform(0.4,0.6)", "--n", "5"]) == 0
        line = next(row for row in capsys.readouterr().out.splitlines() if row.startswith("final(S)"))
        drawn = mb.ensemble(file).draws({"k": "uniform(0.4,0.6)"}, 5)["k"]
        assert f"{10 * math.exp(-2 * drawn.median()):.4g} (" in line

    def test_a_time_with_a_unit_is_refused_where_the_file_says_none(self, tmp_path, capsys):
        file = tmp_path / "chain.ant"
        file.write_text("S = 10; k = 0.5; J: S -> ; k*S")
        assert main(["ensemble", str(file), "--until", "10 h"]) == 2
        assert "the file does not say its unit of time; give the number alone" in capsys.readouterr().err


@pytest.mark.parametrize(("table", "error"), [({"time": [0.0, 3.0]}, UnknownName), ({"k": []}, InvalidValue)])
def test_a_table_that_says_nothing_is_refused(table, error):
    with pytest.raises(error):
        mb.ensemble("model m; x = 1; x' = -k * x + sin(time); k = 1; end").simulate(table, until=1)


def test_threads_that_attend_to_events_at_once_give_the_bits_of_one():
    # a crash, or another number: what one thread was told lay where the other wrote
    ens = mb.ensemble("model m; x = 0; x' = k; k = 1; y = 1; y' = -0.3*y; at x > 1: x = 0, y = y + 1; end")
    table = {"k": np.linspace(0.5, 3, 64)}
    runs = [ens.simulate(parameters=table, until=20, outputs=["x", "y"], workers=n) for n in (1, 2, 2, 2)]
    for other in runs[1:]:
        for output in ("x", "y"):
            np.testing.assert_array_equal(other[output].values, runs[0][output].values)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["--vary", "k3=lognormal(1,0.3)"], "no parameter or state 'k3'. Known: "),
        (["--output", "S9"], "no output 'S9'. Known: "),
        (["--vary", "k1=uniform(0,1)", "--sobol", "16", "--endpoint", "final(S9)"], "no output 'S9'. Known: "),
        (["--vary", "k1=uniform(0,1)", "--sobol", "16", "--endpoint", "S1"], "write e.g. 'final(S1)'"),
        (["--vary", "k1=lognrmal(1,0.3)"], "k1=lognrmal(1,0.3) cannot be read"),
    ],
)
def test_the_command_says_what_the_file_does_not_have_before_anything_else(asked, words, tmp_path, capsys, monkeypatch):
    """Nothing is listed and nothing compiled; the advice works in a shell and names no output of our own model."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "model.ant"
    path.write_text(CHAIN)
    assert main(["ensemble", str(path), "--until", "10", *asked]) != 0
    said = capsys.readouterr()
    assert words in said.err
    assert "hcy" not in said.err
    assert "states:" not in said.out
    if "lognrmal" not in str(asked):
        assert not [path for path in tmp_path.glob("**/*") if path.is_file() and path.suffix != ".ant"]


def test_a_long_wait_for_the_first_run_is_said_aloud(tmp_path, monkeypatch, caplog):
    os.mkfifo(tmp_path / "pipe.xml")
    assert reading.compile_time(tmp_path / "pipe.xml") == reading.compile_time(tmp_path / "none.xml") == 1
    caplog.set_level(logging.INFO, "metabolism")
    small = "model m; S1 = 1; k1 = 0.5; J: S1 -> ; k1*S1; end"
    mb.ensemble(small)
    monkeypatch.setattr(reading, "LONG", 0.5)
    mb.ensemble(small)
    levels = [record.levelname for record in caplog.records if "of CPU" in record.message]
    assert levels == ["INFO", "WARNING"]


def test_the_time_to_a_first_run_is_foretold_within_a_factor_of_two_and_a_half(tmp_path):
    spec = importlib.util.spec_from_file_location(
        "compile_times", Path(mb.__file__).parents[1] / "benchmarks" / "compile_times.py"
    )
    times = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(times)
    with times.TABLE.open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert [int(row["states"]) for row in rows] == list(times.SIZES)
    for row in rows:
        path = tmp_path / f"{row['states']}.ant"
        path.write_text(times.network(int(row["states"])), encoding="utf-8")
        taken = float(row["read_s"]) + float(row["compile_s"])
        assert taken / 2.5 < reading.compile_time(path) < 2.5 * taken


def test_a_long_oscillation_is_compared_as_far_as_steps_reach_and_a_longer_one_is_refused_in_words():
    """One of two parts stopped, and saying why was a traceback."""
    ens = mb.ensemble("model m; x = 1; y = 0; z = 0; x' = y; y' = -x; z' = x^2 - z; end")
    result = ens.simulate(until=8000, times=[0, 100])
    assert not result.failures
    assert re.search(r"0 to 8000: agrees .* up to \d{4}, beyond which comparing takes too many steps", ens.agreement)
    assert result["x"].values[-1] == pytest.approx(np.cos(100), abs=1e-3)
    with pytest.raises(SolverFailed, match="more than 100000 steps"):
        ens.simulate(until=40000)


def test_a_column_that_is_none_of_the_files_ids_is_refused_and_time_takes_no_dose():
    ens = mb.ensemble("model m; S1 = 1; k1 = 0.5; J: S1 -> ; k1*S1*(1 + time); end")
    with pytest.raises(UnknownName, match="no parameter or state 'kk'"):
        ens.simulate(pd.DataFrame({"kk": [1.0, 2.0]}), until=5)
    with pytest.raises(UnknownName, match=r"no dose target 'time'\. Known: S1"):
        ens.simulate(until=5, doses="5 time at 1")


def test_a_resting_state_says_whether_it_is_stable():
    """The Brusselator rests at X = a, Y = b / a, unstable where b > 1 + a^2; beside it an amount is conserved."""
    brusselator = "X = 1; Y = 2; a = 1; b = 3; X' = a + X^2*Y - (b + 1)*X; Y' = b*X - X^2*Y;"
    ens = mb.ensemble(f"model m; {brusselator} A = 1; B = 0; J: A -> B; 3*A - B; end")
    found = ens.steady_states({"b": [3.0, 1.9, 2.1]})
    assert not found["failed"].any()
    assert list(found["stable"]) == [False, True, False]
    np.testing.assert_allclose(found["Y"], [3.0, 1.9, 2.1], rtol=1e-9)
    np.testing.assert_allclose(found["B"], 0.75, rtol=1e-9)


def test_a_centre_is_not_stable_and_a_file_without_parameters_says_so(tmp_path, capsys):
    """Around the rest of Lotka and Volterra every orbit is closed: real parts are 0, and nothing dies away."""
    predators = "A = 1; B = 1; k = 1; J1: -> A; k*A; J2: A -> ; A*B; J3: -> B; A*B; J4: B -> ; B;"
    assert not mb.ensemble(f"model m; {predators} end").steady_states({"k": [1.0, 2.0]})["stable"].any()
    bare = "model m; x = 1; y = 1; x' = 1 - x; y' = x - y; end"
    with pytest.raises(InvalidValue, match="no parameter, so no members"):
        mb.ensemble(bare).steady_states()
    assert mb.steady_state(mb.ensemble(bare).model).stable
    (tmp_path / "bare.ant").write_text(bare, encoding="utf-8")
    assert main(["ensemble", str(tmp_path / "bare.ant"), "--until", "5", "--endpoint", "final(y)"]) == 0
    assert "final(y)" in capsys.readouterr().out
