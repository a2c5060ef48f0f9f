"""The first ten minutes: a greeting, a doctor, examples under every help, completion, and output for scripts."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

import metabolism.cli.doctor as doctor
from metabolism.cli.commands import ACTIONS, build_parser, main
from metabolism.errors import UsageError
from metabolism.report import checks

ROOT = Path(__file__).resolve().parents[2]


def call(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def subcommands():
    return next(a.choices for a in build_parser()._actions if isinstance(a.choices, dict))


def test_no_arguments_greets_with_three_things_that_work(capsys):
    code, out, _ = call(capsys)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    out = out.replace("\\\n", "")
    offered = [
        line.split("    ")[0].strip() if "--" not in line else line.strip()
        for line in out.splitlines()
        if line.startswith("  metabolism")
    ]
    assert len(offered) == 3
    for line in offered:
        build_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("name", ["", *sorted(subcommands())])
def test_no_help_is_wider_than_a_terminal(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*name.split(), "--help"])
    wide = [line for line in capsys.readouterr().out.splitlines() if len(line) > 80]
    assert not wide


@pytest.mark.parametrize("name", sorted(subcommands()))
def test_every_help_has_examples_that_parse(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out.replace("\\\n", "")
    lines = [line.strip() for line in text.split("examples:")[-1].splitlines() if "metabolism" in line]
    assert lines, f"{name} has no examples: add them to commands.toml"
    for line in lines:
        if line.startswith("metabolism"):
            words = shlex.split(line.split(">>")[0])
            assert build_parser().parse_args(words[1:]).command == name


def commands_of(text):
    """Commands of a page, quoted or in blocks for a shell, up to a pipe or a comment."""
    blocks = "\n".join(re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, flags=re.S)).replace("\\\n", " ")
    lines = [line.strip().removeprefix("$ ").split(" #")[0] for line in blocks.splitlines()]
    quoted = [found.replace("\n", " ") for found in re.findall(r"`(metabolism [^`]+)`", text)]
    return [re.split(r" [|>] | && |;$", c)[0] for c in (*quoted, *lines) if c.startswith("metabolism ")]


def test_every_command_that_a_page_prints_is_one_that_the_program_reads():
    """A verb may be named without its arguments; what is given to it has to be right."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("[em]*/*.md")]
    pages = [p for p in pages if not {"_build", "_generated"} & {*p.parts}]
    pages += (ROOT / "metabolism" / "report" / "templates").iterdir()
    read, wrong = 0, []
    for page in pages:
        for command in commands_of(page.read_text(encoding="utf-8")):
            if "--help" in command or "--version" in command:
                continue
            read += 1
            try:
                build_parser().parse_args(shlex.split(command)[1:])
            except UsageError as error:
                if not re.search("arguments? (are|is) required|arguments .* is required|expected one arg", str(error)):
                    wrong.append(f"{page.name}: {command}: {error}")
    assert wrong == []
    assert read > 100


def test_json_is_all_of_standard_output_and_strict(capsys):
    code, out, _ = call(capsys, "list", "scenarios", "--json")
    assert code == 0
    assert {"id", "total effect", "title", "source"} == set(json.loads(out)[0])
    _, out, _ = call(capsys, "simulate", "--until", "2 h", "--output", "hcy_plasma", "--regimen", "1 mg im", "--json")
    data = json.loads(out)
    assert data["units"] == {"time": "h", "hcy_plasma": "uM"}
    assert len(data["columns"]["time"]) == len(data["columns"]["hcy_plasma"])
    assert data["ledger_umol"]["depot_im"]["asked"] == pytest.approx(0.7438, rel=1e-3)
    assert data["manifest"]["regimen"]


def test_json_goes_to_a_file_beside_the_text(capsys, tmp_path):
    path = tmp_path / "doctor.json"
    code, out, _ = call(capsys, "doctor", "--json", str(path))
    assert code == 0
    assert "The installation is sound." in out
    assert "JSON written to" in out
    assert {f["state"] for f in json.loads(path.read_text(encoding="utf-8"))} <= {"ok", "note"}
    code, _, err = call(capsys, "list", "--json", "/dev/null/x.json")
    assert code == 1
    assert "cannot write" in err


def test_quiet_says_nothing_but_the_exit_code(capsys, monkeypatch):
    assert call(capsys, "list", "--quiet") == (0, "", "")
    code, out, err = call(capsys, "list", "sett", "--quiet")
    assert (code, out) == (2, "")
    assert "Did you mean" in err
    bad = checks()[0].__class__("bad", "always fails", lambda: ["wrong"])
    monkeypatch.setattr("metabolism.report.checks", lambda: [bad])
    assert call(capsys, "check", "--quiet") == (1, "", "")
    code, out, _ = call(capsys, "check", "--json")
    assert (code, json.loads(out)) == (1, [{"check": "bad", "expectation": "always fails", "problems": ["wrong"]}])


def test_numbers_that_are_not_finite_become_null():
    import numpy as np

    from metabolism.cli import plain

    assert plain({"a": np.array([1.0, np.nan]), 2: (np.float64(np.inf), np.int64(3), "x")}) == {
        "a": [1.0, None],
        "2": [None, 3, "x"],
    }


def test_the_doctor_names_what_is_wrong_and_the_remedy(capsys, monkeypatch, tmp_path):
    def missing(name):
        if name == "pint":
            raise PackageNotFoundError(name)
        return "1000"

    monkeypatch.setattr(doctor, "version", missing)
    monkeypatch.setattr(doctor, "browser", lambda: None)
    monkeypatch.setattr(doctor, "_solvers", lambda engines: 1 / 0)
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    code, out, _ = call(capsys, "doctor", "--out", str(blocked / "results"))
    assert code == 1
    for words in (
        "pint is missing",
        "pip install",
        "no Chromium",
        "division by zero",
        "write access",
    ):
        assert words in out, words
    assert out.count("remedy:") >= 4


def test_the_doctor_sees_engines_that_disagree(monkeypatch):
    from metabolism import simulation

    real = simulation.simulate

    def skewed(model, *args, engine, **options):
        run = real(model, *args, engine=engine, **options)
        curve = run.curves["cbl_plasma"] * (2 if engine == "scipy" else 1)
        return SimpleNamespace(curves={"cbl_plasma": curve})

    monkeypatch.setattr(simulation, "simulate", skewed)
    assert [f.state for f in doctor._solvers(("fast", "scipy")) if f.subject == "solvers agree"] == ["FAIL"]


def completed(line):
    environment = os.environ | {
        "_ARGCOMPLETE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_COMP_WORDBREAKS": " \t\n",
        "_ARGCOMPLETE_IFS": "\n",
    }
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m metabolism 8>&1 9>/dev/null"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return {word.strip() for word in done.stdout.split("\n")}


def test_the_shell_completes_commands_and_names(tmp_path, monkeypatch):
    assert {"report", "explore", "doctor"} <= completed("metabolism ")
    assert "jetals" in completed("metabolism run je")
    assert "b12_deficient" in completed("metabolism simulate --set b12")
    # a word that is wrong, or a file whose name is no text, keeps nobody from going on
    assert "--until" in completed("metabolism simulate --foo x --unt")
    assert "--until" in completed("metabolism simulate --engine fast --engine fast --unt")
    assert "--unt" not in completed("metabolism simulate --unt")
    name = os.fsencode(tmp_path) + b"/\xff.xml"
    Path(os.fsdecode(name)).touch()
    monkeypatch.chdir(tmp_path)
    assert completed("metabolism export sbml ") == {""}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_for_this_command(capsys, shell):
    code, out, _ = call(capsys, "completion", shell)
    assert code == 0
    assert "metabolism" in out


def test_an_unknown_shell_is_a_usage_error(capsys):
    code, _, err = call(capsys, "completion", "csh")
    assert code == 2
    assert "bash" in err


def test_every_command_has_both_modes_for_scripts_and_force():
    choices = subcommands()
    assert set(ACTIONS) == choices.keys()
    for sub in choices.values():
        assert {"--json", "--quiet", "--force"} <= set(sub._option_string_actions)


def test_what_cannot_change_and_what_nobody_has_been_given_is_said(capsys):
    _, out, _ = call(capsys, "scan", "--grid", "GFR_rel=0.5,1", "--until", "1 week", "--endpoint", "alsfrs_change")
    assert out.index("alsfrs_change: constant in a healthy adult") < out.index("alsfrs_change is the same in every run")
    code, _, err = call(capsys, "simulate", "--regimen", "50 g im", "--until", "1 d", "--output", "hcy_plasma")
    assert (code, err.count("50 g im is over ten times the largest dose")) == (0, 1)
    _, out, err = call(capsys, "simulate", "--regimen", "50 mg im daily", "--until", "3 d", "--output", "hcy_plasma")
    assert "dose ledger: 3 doses" in out
    assert err == ""


def test_the_start_of_a_table_is_the_level_before_the_first_dose_by_any_route(capsys):
    starts = set()
    for route in ("iv", "im"):
        _, out, _ = call(
            capsys, "simulate", "--regimen", f"50 mg {route}", "--output", "cbl_plasma", "--until", "1 week"
        )
        row = next(line for line in out.splitlines() if line.startswith("B12"))
        starts.add(re.split(r"\s{2,}", row)[1])
    assert len(starts) == 1
    assert float(starts.pop().replace(",", "")) < 1000
