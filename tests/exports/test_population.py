"""mrgsolve, rxode2 and NONMEM: what the files say is run here, line by line, and is the model."""

import re
from collections import defaultdict
from io import StringIO
from math import exp, log, sqrt

import numpy as np
import pandas as pd
import pytest

import metabolism as mb
from metabolism.errors import UsageError
from metabolism.exports.population import mrgsolve_text, nonmem_text, program, rxode2_text
from metabolism.exports.sbml import scenario
from metabolism.model import equations

REGIMEN = "0.5 mg iv q6h x 3 + 5 mg iv over 2 h from 5 h + 50 mg im from 6 h; GFR_rel = 0.6 from 3 h for 5 h"
TEXTS = {"mrgsolve": mrgsolve_text, "rxode2": rxode2_text}
FUNCTIONS = {"pow": pow, "exp": exp, "log": log, "sqrt": sqrt}


@pytest.fixture(scope="module")
def patient():
    return mb.load().with_set("als_patient")


def read_mrgsolve(text):
    """Constants, amounts at time 0, and equations with derivatives as Python."""
    blocks = dict(re.findall(r"^\$(\w+)(.*?)(?=^\$|\Z)", text, flags=re.M | re.S))
    lines = {name: [x.split("//")[0].strip() for x in body.strip().splitlines()] for name, body in blocks.items()}
    pairs = {name: dict(line.split(" = ") for line in lines[name]) for name in ("PARAM", "INIT")}
    code = [re.sub(r"^double |;$", "", line) for line in lines["ODE"]]
    table = [line.rstrip(";") for line in lines["TABLE"]]
    return (*({k: float(v) for k, v in pairs[n].items()} for n in ("PARAM", "INIT")), code, blocks["ENV"], table)


def read_rxode2(text):
    constants = {k: float(v) for k, v in re.findall(r"^    (\w+) <- fixed\((.*?)\); label", text, flags=re.M)}
    body = text.split("  model({\n")[1].split("\n  })")[0].splitlines()
    initial = {}
    code = []
    for line in (line.split(" # ")[0].strip() for line in body):
        if found := re.fullmatch(r"(\w+)\(0\) = (.*)", line):
            initial[found[1]] = float(found[2])
        else:
            code.append(re.sub(r"^d/dt\((\w+)\)", r"dxdt_\1", line).replace("^", "**"))
    return constants, initial, code, text.split("  })\n}")[1], []


READERS = {"mrgsolve": read_mrgsolve, "rxode2": read_rxode2}


def runner(code, constants, time):
    """The code as a function of time and amounts."""
    made = compile("\n".join(code), "model", "exec")

    def run(t, amounts):
        space = {**FUNCTIONS, **constants, **amounts, time: t}
        exec(made, space)
        return space

    return run


@pytest.mark.parametrize("tool", TEXTS)
def test_the_rates_in_the_file_are_ours_number_by_number(tool, patient):
    system, clock = equations(patient), {"mrgsolve": "SOLVERTIME", "rxode2": "t"}[tool]
    constants, initial, code, *_ = READERS[tool](TEXTS[tool](patient, None, "16 weeks", "rest"))
    volumes = {s: constants[v] for s, v in system.volume.items()}
    rest = scenario(patient, None, "16 weeks", "rest")[3]
    place = {s: f"A_{s}" if s in volumes else s for s in system.states}
    assert list(initial) == list(place.values())
    for s in system.states:
        assert initial[place[s]] == pytest.approx(rest[s] * volumes.get(s, 1), rel=1e-15), s
    draw = np.random.default_rng(7)
    for _ in range(5):
        own = {k: v * float(draw.lognormal(0, 0.2)) for k, v in constants.items() if k not in volumes.values()}
        own |= {v: constants[v] for v in system.volume.values()}
        values = {s: max(rest[s], 1e-3) * float(draw.lognormal(0, 0.5)) for s in system.states}
        x, p = system.vectors({**patient.values, **own, **values})
        got = runner(code, own, clock)(0.0, {place[s]: values[s] * volumes.get(s, 1) for s in system.states})
        found = [got[f"dxdt_{place[s]}"] / volumes.get(s, 1) for s in system.states]
        want = system.f(x, p)
        # a derivative is a sum of rates: what cancels is not seen more sharply than the largest of them
        turnover = np.abs(system.stoichiometry) @ np.abs(system.evaluate(list(system.reactions), x, p))
        np.testing.assert_allclose(found, want, rtol=1e-10, atol=1e-13 * turnover.max())
        for name in ("cbl_plasma", "alsfrs_r", "hcy_plasma", "MS_liver"):
            assert got[name] == pytest.approx(float(system.evaluate([name], x, p)[0]), rel=1e-10)


def played(rows):
    """Boluses and infusions of a data set, by the rules of NONMEM: time, compartment number, amount, length."""
    for row in rows.itertuples():
        for i in range(int(row.ADDL) + 1):
            if row.EVID == 1:
                yield row.TIME + i * row.II, int(row.CMT), row.AMT, row.AMT / row.RATE if row.RATE else 0.0


@pytest.mark.parametrize("tool", TEXTS)
def test_file_and_data_set_give_our_course_with_boluses_an_infusion_and_a_change(tool, patient):
    from scipy.integrate import solve_ivp

    clock = {"mrgsolve": "SOLVERTIME", "rxode2": "t"}[tool]
    constants, initial, code, *_ = READERS[tool](TEXTS[tool](patient, REGIMEN, "14 h", "rest"))
    rows = pd.read_csv(StringIO(nonmem_text(patient, REGIMEN, "14 h", "rest")))
    assert list(rows.columns) == ["ID", "TIME", "AMT", "RATE", "II", "ADDL", "EVID", "CMT"]
    assert list(rows.loc[rows["EVID"] == 2, "TIME"]) == [3.0, 8.0]
    run, names = runner(code, constants, clock), list(initial)
    doses = list(played(rows))
    amounts, now, rate = np.array(list(initial.values())), 0.0, np.zeros(len(names))
    moments = defaultdict(list)
    for time, cmt, amount, length in doses:
        if length:
            moments[time].append(("rate", cmt, amount / length))
            moments[time + length].append(("rate", cmt, -amount / length))
        else:
            moments[time].append(("bolus", cmt, amount))
    for time in {*rows["TIME"], 14.0}:
        moments[time] += []

    def slope(t, y):
        space = run(t, dict(zip(names, y.tolist(), strict=True)))
        return np.array([space[f"dxdt_{n}"] for n in names]) + rate

    for time in sorted(moments):
        if time > now:
            # up to the moment, not over it: a change is in force from its time on
            done = solve_ivp(slope, (now, np.nextafter(time, 0)), amounts, "LSODA", rtol=1e-8, atol=1e-12)
            amounts, now = done.y[:, -1], time
        for kind, cmt, amount in moments[time]:
            (amounts if kind == "bolus" else rate)[cmt - 1] += amount
    # not the emptied depot: what is left there is below the tolerance of this solver
    outputs = ["cbl_plasma", "cbl_free", "cbl_urine", "hcy_plasma"]
    ours = mb.simulate(patient, REGIMEN, 14, times=[0, 14.0], outputs=outputs, rtol=1e-9)
    last = run(14.0, dict(zip(names, amounts.tolist(), strict=True)))
    for name in ours.outputs:
        assert last[name] == pytest.approx(float(ours[name][-1]), rel=2e-6), name


def test_the_data_set_holds_the_ledger_and_numbers_compartments_as_the_files_do(patient):
    made = program(patient, "50 mg im every 3.5 d x 32; 1 mg/d folic acid; 2 mg iv over 1 h", "16 weeks", "rest")
    rows = nonmem_text(patient, "50 mg im every 3.5 d x 32", "16 weeks", "rest").splitlines()
    assert len(rows) == 2
    assert rows[1].split(",")[4:7] == ["84.0", "31", "1"]
    names = list(made.initial)
    given = defaultdict(float)
    for _, cmt, amount, _ in played(made.doses):
        given[names[cmt - 1].removeprefix("A_")] += amount
    ledger = mb.simulate(patient, "50 mg im every 3.5 d x 32; 2 mg iv over 1 h", "16 weeks", times=[0, 2688.0]).ledger
    asked = ledger["asked"].to_dict() if "asked" in ledger else {}
    assert given["depot_im"] == pytest.approx(asked["depot_im"], rel=1e-12)
    assert given["cbl_free"] == pytest.approx(asked["cbl_free"], rel=1e-12)


def test_what_is_captured_is_computed_again_for_the_record(patient):
    text = mrgsolve_text(patient, REGIMEN, "14 h", "rest")
    constants, initial, code, env, table = read_mrgsolve(text)
    space = {**FUNCTIONS, **constants, **initial, "TIME": 4.0, "SOLVERTIME": 4.0}
    exec("\n".join(table), space)
    whole = runner(code, constants, "SOLVERTIME")(4.0, initial)
    captured = re.search(r"^\$CAPTURE (.*)", text, flags=re.M)[1].split()
    assert {"hcy_plasma", "cbl_plasma", "alsfrs_r"} <= {*captured}
    assert {n: space[n] for n in captured} == {n: whole[n] for n in captured}
    assert "doses <- data.frame(" in env


@pytest.mark.parametrize("tool", TEXTS)
def test_a_file_for_population_tools_says_what_it_is_with_units_and_sources(tool, patient):
    text = TEXTS[tool](patient, REGIMEN, "14 h", "rest")
    for words in (
        "Parameter sets: als_patient",
        f"Parameter hash: {patient.parameter_hash}",
        "GFR_rel = 0.6 from 3 h for 5 h",
        "[uM] MAT I half-saturation for methionine | Reed2008",
        "Licence: CC0-1.0",
        "# Reed2008: ",
    ):
        assert words in text, words


def test_a_data_set_without_doses_is_refused(tmp_path, patient):
    with pytest.raises(UsageError, match="needs a regimen"):
        mb.export(patient, tmp_path / "doses.csv", "nonmem")
    assert list(tmp_path.iterdir()) == []
