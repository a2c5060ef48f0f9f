"""The command line as a user meets it: right output, one clear line for a mistake, honest exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

import metabolism as mb
from metabolism.__main__ import start
from metabolism.cli import commands
from metabolism.cli.commands import main
from metabolism.trials import with_scenario


def call(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fly"], 2, "no command 'fly'"),
        (["simulat"], 2, "Did you mean 'simulate'"),
        (["run"], 2, "name"),
        (["run", "jetal"], 2, "Did you mean 'jetals'"),
        (["run", "jetals", "--seed", "x"], 2, "--seed"),
        (["run", "jetals", "--seed", "-1"], 2, "--seed"),
        (["run", "jetals", "--workers", "0"], 2, "--workers"),
        (["run", "jetals", "--engine", "fats"], 2, "Did you mean 'fast'?"),
        (["run", "pk_im_single_dose", "--out", "/dev/null/x"], 1, "cannot write"),
        (["simulate", "--regimen", "50 mg im every x"], 2, "interval"),
        (["explore", "--port", "80_00"], 2, "cannot be read as one number"),
        (["explore", "--port", "8,0"], 2, "for a decimal comma write '8.0'"),
        (["explore", "--port", "80.5"], 2, "not a whole number"),
        (["explore", "--build", ""], 2, "--build is given no value"),
        (["qualify", "--scenario="], 2, "--scenario is given no value"),
        (["qualify", "--uncertainty=--"], 2, "--uncertainty is given no value"),
        (["fingerprint", "--rtol=-1"], 2, "--rtol -1 must lie between 0 and 1"),
        (["simulate", "--regimen", "1e99 mg im"], 2, "more than anybody can be given"),
        (["simulate", "--dose", "5"], 2, "no option '--dose'"),
        (["simulate", "50", "mg"], 2, "'50' is one word too many; put quotes"),
        (["search", "x"], 2, "Known: check, compare, completion"),
        (["design", "zzz"], 2, "mnd_smart, natural_history"),
        (["design", "jetals", "--analysis", "zzz"], 2, "Known: ancova, bayes_rate"),
        (["simulate", "--set", "zzz"], 2, "metabolism list sets"),
        (["simulate", "--param", "GFR_rel=80"], 2, "further than can be meant"),
        (["sensitivity", "sobol", "--spread", "0_8"], 2, "--spread = '0_8' cannot be read"),
        (["simulate", "--regimen", "-5 mg im"], 2, "negative"),
        (["simulate", "--regimen", "nan mg im"], 2, "finite"),
        (["simulate", "--regimen", "50 mg im every 3.5 d x 64"], 2, "outside the run"),
        (["simulate", "--until", "5 kg"], 2, "until"),
        (["simulate", "--output", "hcy"], 2, "no output 'hcy'. Did you mean 'hcy_plasma'"),
        (["simulate", "--until", "16"], 2, "16 weeks"),
        (["simulate", "--param", "GFR_rel=80"], 2, "bounds of 0.02 to 3"),
        (["simulate", "--param", "MN_Emax=5"], 2, "bounds of 0 to 1"),
        (["simulate", "--param", "motor_units=1.01"], 2, "bounds of 0.01 to 1, further than can be meant"),
        (["simulate", "--scenario", "face"], 2, "face_value"),
        (["simulate", "--plot", "x.bmp"], 2, ".png, .svg or .pdf"),
        (["simulate", "--units", "us"], 2, "clinical or model"),
        (["list", "parameters", "unobtainium"], 2, "try fewer words"),
        (["new", "experiment", "my-question"], 2, "no id of an experiment"),
        (["run", "nowhere/mine.py"], 2, "path of your own .py file"),
        (["run", "wobbler", "--regimen", "1 mg im"], 2, "doses of its own"),
        (["simulate", "--set", "als_patients"], 2, "Did you mean 'als_patient'"),
        (["simulate", "--set", "als_patient", "--set", "als_patient"], 2, "both change"),
        (["simulate", "--param", "MS_liver_km_hcy=1"], 2, "Did you mean 'MS_liver_Km_hcy'"),
        (["simulate", "--param", "MS_liver_Km_hcy=1 L"], 2, "not in uM"),
        (["simulate", "--param", "MS_liver_Km_hcy=-1"], 2, ">= 0"),
        (["simulate", "--param", "MS_liver_Km_hcy"], 2, "ID=VALUE"),
        (["simulate", "--param", "MS_liver_Km_hcy=nan"], 2, "finite"),
        (["simulate", "--engine", "warp"], 2, "no engine"),
        (["simulate", "--param", "hcy_plasma=5"], 2, "a level comes to rest before the run"),
        (["simulate", "--csv", "a.txt", "--json", "a.txt"], 2, "would be written to one file"),
        (["simulate", "--csv", "/dev/null/x.csv", "--until", "1 h"], 1, "cannot write"),
        (["show", "MS_livr"], 2, "Did you mean 'MS_liver'"),
        (["export", "sbml", "/dev/null/x.xml"], 1, "cannot write"),
        (["export", "pdf", "x"], 2, "no export format"),
        (["list", "sett"], 2, "Did you mean 'sets'"),
        (["simulate", "--unti", "1 d"], 2, "no option '--unti'. Did you mean '--until'"),
        (["scan", "--gird", "GFR_rel=0.5,1"], 2, "no option '--gird'. Did you mean '--grid'"),
        (["simulate", "-x"], 2, "no option '-x'"),
        (["export", "petab", "x", "--definition", "disease2"], 2, "it can express rows of onecarbon3"),
        (["export", "petab", "x", "--definition", "prognosis1"], 2, "it can express rows of onecarbon3"),
        (["export", "petab", "x", "--definition", "cobalamin2"], 2, "but of onecarbon3; without a fit"),
        (["export", "petab", "x", "--definition", "onecarbon2"], 2, "no fit 'onecarbon2'. Did you mean 'onecarbon3'"),
        (["export", "petab", "x", "--definition", "onecarbon3", "--until", "1 d"], 2, "leave --until out"),
        (["export", "petab", "x", "--definition", "onecarbon3", "--start", "rest"], 2, "leave --start out"),
        (["export", "sbml", "x", "--definition", "onecarbon3"], 2, "--definition goes with petab, not sbml"),
        (["export", "parameters", "x", "--until", "1 d"], 2, "leave --until out"),
        (["export", "petab", "x", "--start", "initial"], 2, "leave --start out"),
        (["fit", "--definition", "nowhere"], 2, "Known: cobalamin2, disease2, onecarbon3, prognosis1"),
        (["fit", "--definition", "disease2", "--starts", "2"], 2, "leave --starts out"),
        (["sensitivity", "control", "--endpoint", "hcy_change"], 2, "leave --endpoint out"),
        (["sensitivity", "slopes", "--factor", "GFR_rel", "--store", "x"], 2, "leave --store out"),
        (["scan", "--grid", "GFR_rel=1:2:99999999999"], 2, "with a count of 2 to 1000000"),
        (["scan", "--grid", "GFR_rel=1:2:2.5"], 2, "with a count of 2 to 1000000"),
        (["fingerprint", "--compare", "a", "b", "--regimen", "1 mg im"], 2, "leave --regimen out"),
    ],
)
def test_a_mistake_gets_one_clear_line(capsys, arguments, code, words):
    got, out, err = call(capsys, *arguments)
    assert got == code
    assert words in err
    assert err.startswith("metabolism: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err + out


@pytest.mark.parametrize("what", ["experiments", "sets", "parameters", "outputs", "substances", "scenarios"])
def test_lists_are_not_empty(capsys, what):
    code, out, _ = call(capsys, "list", what)
    assert code == 0
    assert len(out.splitlines()) >= 3


def numbers(line):
    return [float(word.replace(",", "")) for word in line.split() if re.fullmatch(r"-?[\d,.]+(e[-+]?\d+)?", word)]


def test_simulate_prints_a_summary_and_a_table_in_clinical_units_within_80_columns(capsys, model):
    regimen = "50 mg im every 3.5 d x 32"
    code, out, _ = call(capsys, "simulate", "--regimen", regimen, "--set", "als_patient", "--scenario", "face_value")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "scenario: face_value" in out
    assert "32 doses, 1190.13969 umol" in out
    patient = with_scenario(model.with_set("als_patient"), "face_value")
    ends = [0.0, 16 * 168.0]
    course, untreated = (
        mb.simulate(patient, r, times=ends, outputs=["alsfrs_r", "hcy_plasma"]) for r in (regimen, None)
    )
    first, last = course["alsfrs_r"].values
    gain = last - untreated["alsfrs_r"].values[-1]
    printed = numbers(next(line for line in out.splitlines() if line.startswith("ALSFRS-R [points]")))
    assert printed == pytest.approx([first, last, last - first, gain], rel=2e-3)
    hcy = numbers(next(line for line in out.splitlines() if line.startswith("tHcy")))
    assert hcy[:2] == pytest.approx(course["hcy_plasma"].values, rel=2e-3)
    # over the last interval: the engine's own extreme and area of the whole last dose interval
    below = out.split("over the last interval")[1].splitlines()[1:]
    cmax, _, trough, mean, area, _ = numbers(next(row for row in below if len(numbers(row)) == 6))
    times = 15.5 * 168 + 84 * np.linspace(0, 1, 20001) ** 2
    fine = mb.simulate(patient, regimen, times=times, outputs=["cbl_plasma"])["cbl_plasma"].values * 1e6
    assert cmax == pytest.approx(fine.max(), rel=2e-3)
    assert trough == pytest.approx(fine[-1], rel=2e-3)
    assert area == pytest.approx(np.trapezoid(fine, times), rel=2e-3)
    assert mean == pytest.approx(area / 84, rel=2e-3)


def test_without_a_scenario_the_output_says_that_none_is_in_force(capsys):
    _, out, _ = call(capsys, "simulate", "--until", "2 days", "--output", "hcy_plasma", "--param", "GFR_rel=0.5")
    assert "scenario: none" in out
    assert [numbers(line)[0] for line in out.splitlines()[-9:]] == pytest.approx([0, 6, 12, 18, 24, 30, 36, 42, 48])


def test_a_value_outside_its_bounds_is_remarked(capsys, caplog):
    code, _, _ = call(capsys, "simulate", "--param", "GFR_rel=5", "--until", "1 h", "--output", "hcy_plasma")
    assert code == 0
    assert "GFR_rel = 5 lies outside its bounds of 0.02 to 3; see `metabolism show GFR_rel`." in caplog.text


def test_simulate_draws_a_figure_and_never_over_a_file_by_accident(capsys, tmp_path):
    path = tmp_path / "course.svg"
    command = ("simulate", "--regimen", "1 mg im", "--until", "1 week", "--plot", str(path))
    assert call(capsys, *command)[0] == 0
    assert "tHcy [µmol/L]" in path.read_text(encoding="utf-8")
    code, _, err = call(capsys, *command)
    assert code == 1
    assert "--force" in err
    assert call(capsys, *command, "--force")[0] == 0


def test_the_band_of_draws_says_what_it_leaves_out(capsys):
    code, out, _ = call(capsys, "simulate", "--set", "als_patient", "--uncertainty", "4", "--until", "1 week")
    assert code == 0
    assert "leaves them out" in out
    assert max(map(len, out.splitlines())) <= 80


def test_an_experiment_of_ones_own_is_written_and_run_from_anywhere(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(capsys, "new", "experiment", "mine")[0] == 0
    assert len((tmp_path / "mine.py").read_text().splitlines()) <= 25
    code, out, _ = call(capsys, "run", "mine.py", "--quick", "--workers", "1", "--regimen", "1 mg im weekly x 16")
    assert code == 0
    assert "On 1 mg im weekly x 16 homocysteine changes by" in out
    assert list((tmp_path / "results" / "mine").glob("*/report.html"))
    assert call(capsys, "new", "experiment", "mine")[0] == 1


def test_the_rating_scale_counts_points(capsys):
    _, out, _ = call(capsys, "list", "outputs", "alsfrs_", "--json")
    units = {r["id"]: r["unit"] for r in json.loads(out)}
    assert {k for k, unit in units.items() if unit == "points"} == units.keys() - {"alsfrs_linear"}
    _, out, _ = call(capsys, "scan", "--grid", "GFR_rel=0.5,1", "--endpoint", "alsfrs_change", "--until", "1 d")
    assert re.search(r"alsfrs_change +points", out)


def test_lists_are_searched_by_words_in_any_order(capsys):
    _, out, _ = call(capsys, "list", "parameters", "homocysteine", "liver", "--json")
    rows = json.loads(out)
    assert "MS_liver_Km_hcy" in {r["id"] for r in rows}
    assert all("homocysteine" in " ".join(r.values()).casefold() for r in rows)
    assert {"id", "value", "what it is", "source", "grade"} == set(rows[0])


def test_a_console_without_greek_letters_gets_words(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "metabolism", "list", "outputs"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "uM" in done.stdout


#: What a first number needs none of.
HEAVY = ("sympy", "pandas", "xarray", "matplotlib", "scipy")


@pytest.mark.parametrize(
    ("words", "slept"),
    [
        ("simulate --regimen '50 mg im' --until '1 d'", (*HEAVY, "libsbml")),
        ("simulate --regimen '50 mg im' --until '1 d' --set als_patient --scenario face_value", (*HEAVY, "libsbml")),
        ("simulate --regimen '50 mg im' --until '1 d' --param GFR_rel=0.5 --output MS_liver", (*HEAVY, "libsbml")),
        ("export sbml m.xml", HEAVY),
    ],
)
def test_a_first_number_and_a_written_model_wake_no_algebra_and_no_data_frames(words, slept, tmp_path):
    code = (
        "import sys; from metabolism.cli import main; "
        f"main({[*shlex.split(words), '--quiet']}); "
        f"print('awake:', *{{*{slept}}} & {{*sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1].split() == ["awake:"]


def test_simulate_writes_a_csv_with_units(capsys, tmp_path):
    path = tmp_path / "out.csv"
    code, _, _ = call(
        capsys, "simulate", "--set", "b12_deficient", "--param", "GFR_rel=0.5", "--until", "1 week", "--csv", str(path)
    )
    assert code == 0
    with path.open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert {"time [h]", "hcy_plasma [uM]", "alsfrs_r [points]"} <= rows[0].keys()
    assert float(rows[0]["hcy_plasma [uM]"]) > 15


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MS_liver", ["hcy_liver + thf5m_liver -> met_liver + thf_liver", "Reed", "MS_liver_Km_hcy = 1 µM"]),
        ("hcy_plasma", ["µM", "made by HCY_EXPORT_liver", "Nyg"]),
        ("alsfrs_r", ["derived quantity", "MN_gamma"]),
        ("motor_units", ["dmotor_units/dt"]),
        ("MN_EC50", ["derivation: = 0.075 * 30 / 50", "confidence none"]),
        ("COHORT_k_median", ["3.2 %/month"]),
    ],
)
def test_show_explains_any_id(capsys, name, words):
    code, out, _ = call(capsys, "show", name)
    assert code == 0
    for word in words:
        assert word in out


def test_show_reflects_sets_and_changes(capsys):
    _, out, _ = call(capsys, "show", "GFR_rel", "--set", "renal_impairment")
    assert "GFR_rel = 0.4" in out
    assert "changed from 1" in out


def test_export_writes_a_file_once(capsys, tmp_path):
    path = str(tmp_path / "als.xml")
    assert call(capsys, "export", "sbml", path, "--regimen", "50 mg im every 3.5 d x 32")[0] == 0
    code, _, err = call(capsys, "export", "sbml", path)
    assert code == 1
    assert "--force" in err
    assert call(capsys, "export", "sbml", path, "--force")[0] == 0


def test_no_command_prints_help_with_examples(capsys):
    code, out, _ = call(capsys)
    assert code == 0
    assert "metabolism run jetals" in out


def test_the_module_can_be_interrupted_and_leaves_nothing_half_written(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "metabolism", "run", "jetals", "--quick", "--workers", "1", "--out", str(tmp_path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # a shell starts background jobs deaf to interrupts, and their children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    folder = tmp_path / "jetals"
    for _ in range(600):
        if folder.exists() and any(folder.iterdir()):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    # an interrupt inside exec() of a string (a dataclass being made) has CPython end by the signal itself although
    # main() returned 130; a shell shows 130 for both
    assert process.returncode in (130, -signal.SIGINT)
    assert err.strip().endswith("nothing half-written was kept.")
    assert "Traceback" not in err
    assert list(folder.iterdir()) == []


def test_an_interrupt_while_everything_is_still_being_loaded_is_one_line(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "build_parser", interrupt)
    assert commands.main(["list"]) == 130
    # the first import of the command line itself
    load = __import__
    monkeypatch.setattr("builtins.__import__", lambda name, *rest: interrupt() if "cli" in name else load(name, *rest))
    assert start() == 130
    assert capsys.readouterr().err == 2 * "metabolism: interrupted; nothing half-written was kept.\n"
    scripts = tomllib.loads((Path(mb.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert scripts["scripts"] == {"metabolism": "metabolism.__main__:start"}


def test_a_closed_pipe_is_not_an_error():
    command = f"{sys.executable} -m metabolism list parameters | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=os.environ, check=False)
    assert done.stderr == ""


def test_a_caller_gets_its_environment_back_as_it_was(monkeypatch, capsys):
    for given in (None, "", "1"):
        if given is None:
            monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
        else:
            monkeypatch.setenv("PYTHONSAFEPATH", given)
        before = dict(os.environ)
        assert main(["list", "scenarios"]) == 0
        assert dict(os.environ) == before


def test_counts_too_small_are_refused_before_anything_is_loaded(monkeypatch, capsys):
    def loaded(arguments):
        raise AssertionError("the command was begun")

    for name in commands.ACTIONS:
        monkeypatch.setitem(commands.ACTIONS, name, loaded)
    table = tomllib.loads((Path(commands.__file__).parent / "commands.toml").read_text(encoding="utf-8"))
    tried = 0
    for command in table["command"]:
        entries = [table["options"].get(o, o) if isinstance(o, str) else o for o in command["options"]]
        for entry in (e for e in entries + command.get("one_of", []) if e.get("type") == "int"):
            words = [o["flag"] for o in entries if not o["flag"].startswith("--") and "nargs" not in o]
            words = ["experiment" if w == "what" else w for w in words]
            code = commands.main([command["name"], *words, f"{entry['flag']}={entry['least'] - 1}"])
            said = capsys.readouterr().err
            assert (code, said.count("\n")) == (2, 1), (command["name"], entry["flag"], said)
            assert f"{entry['flag']} {entry['least'] - 1} must be at least {entry['least']}" in said
            tried += 1
    assert tried >= 20


def test_an_option_that_would_drop_a_value_is_refused_before_anything_is_loaded(monkeypatch, capsys):
    """Of two values for one thing, argparse keeps the last and says nothing."""
    ran = []
    for name in commands.ACTIONS:
        monkeypatch.setitem(commands.ACTIONS, name, lambda arguments: ran.append(arguments) or 0)
    table = tomllib.loads((Path(commands.__file__).parent / "commands.toml").read_text(encoding="utf-8"))
    tried = {"once": 0, "named": 0, "repeated": 0}
    for command in table["command"]:
        shared = command["options"] + table["everywhere"]
        entries = [table["options"].get(o, o) if isinstance(o, str) else o for o in shared]
        words = [o["flag"] for o in entries if not o["flag"].startswith("--") and "nargs" not in o]
        words = [command["name"], *("experiment" if w == "what" else w for w in words)]
        for entry in (e for e in entries + command.get("one_of", []) if e["flag"].startswith("--")):
            if entry.get("action") == "store_true":
                continue
            flag, several = entry["flag"], entry.get("nargs", 1)
            value = [str(entry.get("least", 5))] * (several if isinstance(several, int) else 1)
            sort = "once" if "action" not in entry else "named" if "=" in entry.get("metavar", "") else "repeated"
            first, second = ("A=1", " A =2") if sort == "named" else (value, value)
            pairs = [[flag, first], [flag, second]] if sort == "named" else [[flag, *value], [flag, *value]]
            if command["name"] == "scan" and entry not in command["one_of"]:
                pairs.append(["--draws", "3"])
            code = commands.main([*words, *(word for pair in pairs for word in pair)])
            said = capsys.readouterr().err
            if sort == "repeated":
                assert (code, said) == (0, ""), (words, flag)
            else:
                assert (code, said.count("\n")) == (2, 1), (words, flag, said)
                assert "twice; give it once" in said
            tried[sort] += 1
    assert tried["once"] >= 60
    assert tried["named"] >= 15
    assert tried["repeated"] >= 10
