"""Campaigns too long for the tests: benchmarks/campaigns.py [patients engines inputs kills files] [--limit N]

patients  virtual patients under random regimens: every number right, or a patient who failed with the reason
engines   random patients on two engines: equal to 1e-6 of each output's largest value
inputs    wrong command lines over all commands: one clear line and an exit code of 1 or 2
kills     commands killed at random moments and started again: the same bits as without
files     broken SBML files, made from the SBML Test Suite in the folder that SBML_TEST_SUITE names: run or refused

Each block is drawn from its own number; what was run stays in ``campaigns.csv`` and is not run again. `--limit` is the
number of blocks of this call. Blocks are removed from the table by hand where the code they tried has changed.
"""

import argparse
import contextlib
import csv
import hashlib
import io
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "campaigns.csv"
COLUMNS = ("campaign", "block", "date", "tried", "right", "flagged", "wrong", "worst", "remark")

#: Blocks of each campaign, and what one is.
BLOCKS = {"patients": (100, 1000), "engines": (100, 10), "inputs": (47, 30), "kills": (20, 5), "files": (100, 100)}

#: Patients run at once under one regimen.
BATCH = 40

#: Relative tolerance of the patients.
RTOL = 1e-6

#: What is asked of every patient; the cobalamins add up to what came in.
COBALAMIN = (
    *("depot_im", "depot_sc", "transit_im", "depot_oh", "ohcbl", "cbl_stomach", "cbl_gut", "cbl_gut_oh", "cbl_ileum"),
    *("tc_receptor", "cbl_free", "cbl_peripheral", "holo_tc", "holo_hc", "cbl_kidney", "cbl_tail", "cbl_liver"),
    *("cbl_tissue", "cbl_urine", "cbl_faeces"),
)
READ = ("hcy_plasma", "cbl_plasma", "motor_units", "alsfrs_r")

#: A wrong command line is answered within this time of a processor, and on a busy machine within that on the clock [s];
#: the costliest of a block is named from the third number on.
PATIENCE, LONGEST, COSTLY = 30, 600, 2.0


def results() -> dict[tuple[str, str], dict[str, str]]:
    """Return the rows that are known, by campaign and block."""
    if not RESULTS.is_file():
        return {}
    with RESULTS.open(encoding="utf-8", newline="") as handle:
        return {(row["campaign"], row["block"]): row for row in csv.DictReader(handle)}


def keep(rows: dict[tuple[str, str], dict[str, str]]) -> None:
    """Write the table, campaigns and blocks in order."""
    order = list(BLOCKS)
    with RESULTS.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[key] for key in sorted(rows, key=lambda k: (order.index(k[0]), int(k[1]))))


# --- patients and engines --------------------------------------------------------------------------------------------


def regimen(rng: np.random.Generator, horizon: float, most: int = 500):
    """Draw a regimen: up to `most` doses of any substance by any route, at equal, nearly equal and odd times [h]."""
    from metabolism.dosing import Dose, Regimen, substances

    doses = []
    for _ in range(int(rng.integers(0, 4))):
        chosen = substances()[str(rng.choice(sorted(n for n, s in substances().items() if s.routes)))]
        if rng.random() < 0.6:
            chosen = substances()["methylcobalamin"]
        route = str(rng.choice(sorted(chosen.routes)))
        infused = bool(chosen.routes[route][1]) and rng.random() < 0.4
        length = float(rng.choice([0.1, 0.5, 2.0, 26.4])) if infused else 0.0
        largest = 5e6 if "cobalamin" in chosen.name else 2e7
        amount = float(np.exp(rng.uniform(0, np.log(largest)))) / chosen.molar_mass
        gap = float(rng.choice([0.1, 1.0, 8.0, 24.0, 26.4, 33.6, 84.0, 168.0, float(rng.uniform(0.1, 300))]))
        first = float(rng.choice([0.0, 0.0, 24.0, float(rng.uniform(0, horizon / 2))]))
        room = max(1, int((horizon - first - length) / gap) - 1)
        count = int(min(room, np.exp(rng.uniform(0, np.log(most / 3 + 1)))))
        times = first + gap * np.arange(count)
        kind = rng.random()
        if kind < 0.2:
            # equal but for rounding, in both directions
            times = times * (1 + 1e-15 * rng.integers(-3, 4, count))
        elif kind < 0.3:
            times = np.repeat(times[: (count + 1) // 2], 2)[:count] + rng.choice([0.0, 1e-9, 1e-6, 1e-3], count)
        doses += [Dose(float(t), amount, chosen.name, route, length) for t in times if t + length < horizon * 0.999]
    return Regimen(tuple(doses))


def people(rng: np.random.Generator, count: int, model) -> dict[str, np.ndarray]:
    """Draw patients: every input about its value, a few of them far out, none beyond its bounds."""
    from metabolism.model import MODEL_KINDS

    table, middle = {}, model.values
    for p in model.table.values():
        if p.kind not in MODEL_KINDS - {"initial"} or not middle[p.id]:
            continue
        spread = 0.3 if rng.random() < 0.85 else 1.0
        values = middle[p.id] * np.exp(spread * rng.standard_normal(count))
        table[p.id] = np.clip(values, min(p.lower, middle[p.id]), max(p.upper, middle[p.id]))
    chosen = rng.choice(sorted(table), size=int(rng.integers(1, min(60, len(table)))), replace=False)
    return {name: table[name] for name in chosen.tolist()}


def patients(block: int, size: int) -> dict[str, object]:
    """Run one block of patients; a number that is wrong and not flagged is what is looked for.

    Below nothing by more than the absolute tolerance that was asked for is wrong. (At first nothing below -1e-13 was
    let pass; blocks 17, 28, 29, 35 and 37 then had 31 patients with -1e-13 to -5e-11 uM or umol of states whose
    tolerances are 1e-10 to 1e-8.)
    """
    import metabolism as mb
    from metabolism.errors import MetabolismError
    from metabolism.model import equations
    from metabolism.simulation import ATOL_FRACTION

    base = [mb.load(), mb.load().with_set("als_patient"), mb.load().with_set("b12_deficient")]
    tally, worst, remarks = {"right": 0, "flagged": 0, "wrong": 0}, 0.0, []
    reasons: Counter[str] = Counter()
    for number in range(size // BATCH):
        seed = block * 1000 + number
        rng = np.random.default_rng(seed)
        model = base[int(rng.integers(len(base)))]
        horizon = float(
            rng.choice([1.0, 24.0, 168.0, 672.0, 2688.0, 8766.0, 87660.0], p=[0.1, 0.1, 0.2, 0.25, 0.23, 0.1, 0.02])
        )
        given, table = regimen(rng, horizon), people(rng, BATCH, model)
        try:
            run = mb.simulate(
                model,
                given,
                horizon,
                outputs=[*COBALAMIN, *READ],
                times=np.linspace(0, horizon, 5),
                patients=table,
                rtol=RTOL,
            )
        except MetabolismError as error:
            tally["wrong"] += BATCH
            remarks.append(f"{seed}: {error}")
            continue
        except Exception as error:
            tally["wrong"] += BATCH
            remarks.append(f"{seed}: raw {type(error).__name__} {error}")
            continue
        failed, system, middle = set(run.failures), equations(model), model.values
        volumes = {s: table.get(v, np.full(BATCH, middle[v])) for s, v in system.volume.items()}
        curves = {name: run[name].values for name in (*COBALAMIN, *READ)}
        finest = dict(zip(system.states, RTOL * ATOL_FRACTION * model.scale, strict=True))
        held = sum(curves[s] * np.asarray(volumes.get(s, np.ones(BATCH)))[:, None] for s in COBALAMIN)
        diet = np.asarray(table.get("CBL_DIET_rate", np.full(BATCH, middle["CBL_DIET_rate"])))
        # the value at time 0 is that after what is given then
        doses = sum(d.amount for d in given.doses if "cobalamin" in d.substance and (d.time > 0 or d.duration))
        # the cerebrospinal fluid is a declared side branch
        aside = any(d.route == "intrathecal" for d in given.doses)
        gap = np.abs(held[:, -1] - held[:, 0] - doses - diet * horizon) / (doses + diet * horizon + held[:, 0])
        for i in range(BATCH):
            if i in failed:
                tally["flagged"] += 1
                reasons[str(run.failures[i])[:60]] += 1
                continue
            problems = [] if gap[i] < 1e-6 or aside else [f"balance {gap[i]:.1e}"]
            for name in (*COBALAMIN, *READ):
                values = curves[name][i]
                if not np.isfinite(values).all():
                    problems.append(f"{name} is no number")
                elif (values < -max(1e-7 * np.abs(values).max(), finest.get(name, 1e-13))).any():
                    problems.append(f"{name} falls to {values.min():.1e}")
            score, units = curves["alsfrs_r"][i], curves["motor_units"][i]
            if score.max() > 48 + 1e-6 or (np.diff(units) > 1e-9).any():
                problems.append("ALSFRS-R or motor units out of range")
            worst = max(worst, 0.0 if aside else gap[i])
            tally["wrong" if problems else "right"] += 1
            remarks += [f"{seed}/{i}: {', '.join(problems[:3])}"] if problems else []
    remarks += [f"{count} failed: {reason}" for reason, count in reasons.most_common(3)]
    return {"tried": size, **tally, "worst": f"{worst:.1e}", "remark": "; ".join(remarks)[:400]}


def engines(block: int, size: int) -> dict[str, object]:
    """Compare the fast engine with a referee on single patients, up to 60 doses within 16 weeks."""
    import metabolism as mb
    from metabolism.errors import MetabolismError

    model, tally, worst, remarks = mb.load(), {"right": 0, "flagged": 0, "wrong": 0}, 0.0, []
    for number in range(size):
        seed = 10**6 + block * 1000 + number
        rng = np.random.default_rng(seed)
        horizon = float(rng.choice([24.0, 168.0, 672.0, 2688.0]))
        given, table = regimen(rng, horizon, 60), people(rng, 1, model)
        options = {"outputs": READ, "times": np.linspace(0, horizon, 41), "patients": table}
        try:
            fast = mb.simulate(model, given, horizon, rtol=1e-8, **options)
            # scipy takes fifty times as long
            referee = "roadrunner" if number or block % 2 else "scipy"
            other = mb.simulate(model, given, horizon, engine=referee, rtol=1e-10, **options)
        except MetabolismError as error:
            tally["wrong"] += 1
            remarks.append(f"{seed}: {error}")
            continue
        if set(fast.failures) != set(other.failures):
            # a referee that gives up is no fault of the other
            tally["wrong" if fast.failures else "flagged"] += 1
            remarks.append(f"{seed}: {fast.failures or other.failures}")
            continue
        if fast.failures:
            tally["flagged"] += 1
            continue
        far = max(float(np.abs(fast[o].values - other[o].values).max() / np.abs(other[o].values).max()) for o in READ)
        worst = max(worst, far)
        tally["right" if far <= 1e-6 else "wrong"] += 1
        remarks += [f"{seed}: {far:.1e}"] if far > 1e-6 else []
    return {"tried": size, **tally, "worst": f"{worst:.1e}", "remark": "; ".join(remarks)[:400]}


# --- inputs ----------------------------------------------------------------------------------------------------------

_NUMBERS = ("0,5", "1.5.2", "nan", "-1", "1e999", "abc", "9**9**9", "", "1_0", "0x1f", "--", "١", "1 2")
_TIMES = ("16", "5 kg", "-1 d", "0 h", "3,5 d", "9**9**9 h", "soon", "", "inf h", "1e400 d", "1 d 2", "d")
_REGIMENS = (
    *("50", "50 mg", "mg im", "50 mg im every", "50 mg im every 0 d x 3", "50 mg im x 3", "50 mg im every 3,5 d x 3"),
    *(
        "50 mg im every 3.5 d x 0",
        "50 mg im every 3.5 d x 2.5",
        "50 mg in daily",
        "50 ml im",
        "-5 mg im",
        "0 mg im",
        "+",
    ),
    *(
        "nan mg im",
        "1e99 mg im",
        "50 mg im from 900 weeks",
        "5 mg im over 2 h",
        "50 mg im lifelong",
        "50 mg im and 5 mg iv",
    ),
    *(
        "50 mg aspirin oral",
        "enzyme XYZ x 2",
        "nitrous oxide 160 %",
        "set nowhere",
        "fasting for 0 h",
        "NOTHING = 3",
        "",
    ),
    *(
        "CBS_activity = 1,5",
        "50 mg im every 3.5 d every 2 d x 2",
        "50 mg im at 0, x d",
        "0.4 mg/d cyanocobalamin",
        "; ;",
    ),
)
_NAMES = ("", "nothing", "als_patien", "../als_patient", "a b", "*", "hcy_plasm", "HCY_PLASMA", "-", "None")
_PATHS = ("/proc/nowhere/x.csv", "/dev/null/x", "/", "", "/proc/x/y.csv", "\0", "x" * 300 + ".csv")
_PARAMS = (
    "GFR_rel",
    "=1",
    "GFR_rel=",
    "GFR_rel=0,5",
    "gfr_rel=1",
    "GFR_rel=1 kg",
    "GFR_rel=-1",
    "MN_Emax=5",
    "GFR_rel=80",
)
_ENDPOINTS = (
    "max(nothing)",
    "max",
    "maximum(hcy_plasma)",
    "",
    "max(hcy_plasma",
    "change(alsfrs_r) vs placebo",
    "time_above(hcy_plasma)",
)

#: A command that would do something if only the tried option were right.
_SOUND = {
    "simulate": ["--until", "1 h"],
    "scan": ["--grid", "GFR_rel=0.5,1", "--endpoint", "final(hcy_plasma)", "--until", "1 h"],
    "sensitivity": ["sobol", "--n", "8", "--factor", "GFR_rel", "--endpoint", "final(hcy_plasma)", "--until", "1 h"],
    "design": ["jetals", "--replicates", "2", "--bodies", "8", "--prior", "none"],
    "fit": ["--starts", "1"],
    "run": ["pk_im_single_dose", "--quick"],
    "export": ["sbml", "out.xml"],
    "fingerprint": [],
    "qualify": [],
    "show": ["hcy_plasma"],
    "compare": ["model.xml"],
    "ensemble": ["model.xml"],
    "evidence": [],
    "explore": ["--build", "page.html"],
    "report": [],
    "list": [],
    "check": [],
    "doctor": [],
    "new": ["experiment", "mine"],
    "completion": ["bash"],
}

#: What each option may not be.
_WRONG = {
    **dict.fromkeys(("--set", "--scenario", "--output", "--engine", "--units", "--analysis", "--definition"), _NAMES),
    **dict.fromkeys(("--kind", "--module", "--confidence"), _NAMES[1:]),
    **dict.fromkeys(("--csv", "--plot", "--store", "--cases", "--design", "--junit"), _PATHS),
    **dict.fromkeys(("--until", "--interval"), _TIMES),
    **dict.fromkeys(
        ("--seconds", "--megabytes", "--seed", "--n", "--workers", "--starts", "--chunk"), (*_NUMBERS, "1.5")
    ),
    **dict.fromkeys(("--port", "--replicates", "--bodies", "--patients", "--effect", "--spread", "--rtol"), _NUMBERS),
    **dict.fromkeys(("--cohort", "--draws", "--uncertainty", "--weeks", "--proposals"), _NUMBERS),
    "--regimen": _REGIMENS,
    "--param": _PARAMS,
    "--endpoint": _ENDPOINTS,
    "--grid": (
        "GFR_rel",
        "GFR_rel=",
        "GFR_rel=1:2",
        "GFR_rel=1:2:x",
        "GFR_rel=0,a",
        "NO=1:2:3",
        "GFR_rel=1:2:-3",
        "GFR_rel=nan",
    ),
    "--own-baseline": ("MN_hcy_ref", "NO=hcy_plasma", "MN_hcy_ref=nothing", "="),
    "--factor": ("NO", "GFR_rel=1", "GFR_rel=2:1", "GFR_rel=a:b", "GFR_rel=-1:1"),
    "--prior": ("0.27", "a,b", "0.27,-1", "nan,nan", "0,27,0,1"),
    "--dose": ("25", "25 kg of it", "nan mg", "-5 mg"),
    "--run-in": ("4-1", "a", "1", "-1-2"),
    "--peers": ("nowhere.xml", "/dev/null", "/"),
    "--vary": ("k1", "k1=", "NO=normal(1,1)", "k1=gauss(1,1)"),
    "--start": ("resting", "", "0"),
}


def command_lines() -> list[list[str]]:
    """Return every wrong command line: each option of each command with each value it may not have."""
    commands = tomllib.loads((ROOT / "metabolism" / "cli" / "commands.toml").read_text(encoding="utf-8"))
    lines = [[name] for name in ("", "fly", "simulat", "--nothing", "run run")]
    for command in commands["command"]:
        name, sound = command["name"], _SOUND.get(command["name"], [])
        lines += [
            [name, *sound, "--nothing"],
            [name, *sound, "one", "too", "many", "words"] if name != "list" else [name, "x"],
        ]
        for option in command["options"]:
            flag = (commands["options"][option] if isinstance(option, str) else option)["flag"]
            if not flag.startswith("--"):
                lines += [[name, bad] for bad in _NAMES if bad and name not in ("list", "explore")]
                continue
            rest = list(sound)
            if flag in rest:
                place = rest.index(flag)
                del rest[place : place + 2]
            if flag in ("--design", "--cohort", "--draws") and name == "scan":
                rest = rest[2:]
            lines += [[name, *rest, f"{flag}={bad}"] for bad in _WRONG.get(flag, ())]
    kept = {tuple(line): line for line in lines if not any("\0" in word for word in line)}
    return list(kept.values())


def inputs(block: int, size: int) -> dict[str, object]:
    """Try wrong command lines, each in a process of its own."""
    lines = command_lines()
    random.Random(7).shuffle(lines)
    tally, remarks, slowest, costly = {"right": 0, "flagged": 0, "wrong": 0}, [], 0.0, ""
    with tempfile.TemporaryDirectory() as home:
        # warm the imports once: every try is a fork of this process
        import metabolism.cli.commands as cli
        import metabolism.simulation  # noqa: F401

        for line in lines[block * size : (block + 1) * size]:
            out = Path(home) / "said"
            child = os.fork()
            if not child:
                _answer(cli, line, home, out)
            code, spent = _wait(child, LONGEST)
            if spent > slowest:
                slowest, costly = spent, " ".join(line)
            said = out.read_text(encoding="utf-8", errors="replace") if out.is_file() else ""
            out.unlink(missing_ok=True)
            errors = [text for text in said.splitlines() if text.startswith("metabolism: ")]
            if code in (1, 2) and len(errors) == 1 and "Traceback" not in said:
                tally["right"] += 1
            else:
                tally["wrong"] += 1
                shown = said.strip().splitlines()[-1:] or [""]
                remarks.append(f"{' '.join(line)[:60]!r}: {code}, {shown[0][:70]}")
    worst = f"{slowest:.1f} s" + (f": {costly[:80]}" if slowest > COSTLY else "")
    return {"tried": sum(tally.values()), **tally, "worst": worst, "remark": "; ".join(remarks)[:1500]}


def _answer(cli, line: list[str], home: str, out: Path) -> None:
    """What a child does: the command, its last words kept."""
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE))
    os.setpgid(0, 0)
    os.chdir(home)
    with out.open("w", encoding="utf-8") as said, open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(said.fileno(), 2)
        code = 99
        with contextlib.suppress(BaseException):
            try:
                sys.stdout, sys.stderr = io.TextIOWrapper(io.FileIO(1, "w")), said
                code = cli.main(line)
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else 1
            except BaseException:
                import traceback

                traceback.print_exc(file=said)
                raise
        said.flush()
        os._exit(code)


def _wait(child: int, seconds: float) -> tuple[int | str, float]:
    """Return the exit code of a child and the processor time it took [s]."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return f"no answer within {seconds:g} s", seconds


# --- kills -----------------------------------------------------------------------------------------------------------

#: Small studies, where they write, and what of it must be the same.
_STUDIES = {
    "scan": (
        ["scan", "--grid", "GFR_rel=0.3:1:300", "--endpoint", "hcy_change", "--until", "1 week", "--chunk", "10"],
        "--store",
        "part*.parquet",
    ),
    "design": (
        ["design", "jetals", "--effect", "0.3", "--prior", "none", "--replicates", "50", "--bodies", "8"],
        "--out",
        "**/*.*",
    ),
    "run": (["run", "pk_im_single_dose", "--quick"], "--out", "**/tables/*.csv"),
    "qualify": (["qualify", "--cases", str(ROOT / "experiments/cases/hydroxocobalamin.csv")], "--json", "board.json"),
    "fit": (["fit", "--definition", "small.toml", "--proposals", "100"], "--out", "**/*.*"),
}

#: The fit of the shipped definitions takes half an hour; one number and one case file go the same way.
_SMALL = """
id = "small"
title = "One number of hydroxocobalamin"
cases = ["hydroxocobalamin.csv"]
role = "calibration"
starts = 1
seed = 1
draws = 50
band_sd = 1.645
parameters = ["OHCBL_ka"]
"""


def _command(name: str, folder: Path) -> list[str]:
    words, flag, _ = _STUDIES[name]
    target = folder / "board.json" if flag == "--json" else folder / "out"
    return [sys.executable, "-m", "metabolism", *words, flag, str(target), *(["--force"] if flag == "--json" else [])]


def _bits(name: str, folder: Path) -> dict[str, str]:
    """Digest of every file that the study is for, without the moment it was made at."""
    from re import sub

    found, pattern = {}, _STUDIES[name][2]
    for path in sorted(folder.glob(pattern if "**" in pattern else f"**/{pattern}")):
        # hidden: what was being made when a process was killed, and is removed by the next
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            place = sub(r"\d{8}T\d{6}_\d+Z", "TIME", str(path.relative_to(folder)))
            found[place] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def kills(block: int, size: int) -> dict[str, object]:
    """Kill one study `size` times at random moments of its course: in the end the same bits as without."""
    name = list(_STUDIES)[block % len(_STUDIES)]
    rng, tally, remarks = random.Random(block), {"right": 0, "flagged": 0, "wrong": 0}, [name]
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "small.toml").write_text(_SMALL, encoding="utf-8")
        whole, broken = Path(home) / "whole", Path(home) / "broken"
        whole.mkdir()
        broken.mkdir()
        # the folder is not the reason why the project is found
        here = {"cwd": home, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
        begin = time.monotonic()
        done = subprocess.run(_command(name, whole), capture_output=True, text=True, check=False, **here)
        length, want, code = time.monotonic() - begin, _bits(name, whole), done.returncode
        if not want or code not in (0, 1):
            return {"tried": 0, **tally, "worst": "", "remark": f"{name}: {code} {done.stderr.strip()[-200:]}"}
        killed, since = 0, 0
        while killed < size or since:
            # after the last kill it is left alone
            limit = rng.uniform(0.05, 0.9) * length if killed < size else None
            with subprocess.Popen(
                _command(name, broken),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                text=True,
                **here,
            ) as process:
                try:
                    said = process.communicate(timeout=limit)[1]
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    killed, since = killed + 1, since + 1
                    continue
            differ = sorted(set(want.items()) ^ set(_bits(name, broken).items()))
            hidden = [p.name for p in broken.rglob(".*.part-*")]
            same = process.returncode == code and not differ and not hidden
            tally["right" if same else "wrong"] += since
            if not same:
                remarks.append(f"{process.returncode}, {[n for n, _ in differ][:4]}, {said.strip()[-200:]}")
            if hidden:
                remarks.append(f"left behind: {hidden}")
            # ended: the next one from the beginning
            since = 0
            shutil.rmtree(broken)
            broken.mkdir()
    return {"tried": killed, **tally, "worst": f"{length:.0f} s", "remark": "; ".join(remarks)[:400]}


def files(block: int, size: int) -> dict[str, object]:
    """Open broken SBML files; exceptions that are none of ours and ends of the reader are flagged, hangs are wrong."""
    from fuzz_sbml import tried

    total, remarks = tried(Path(os.environ["SBML_TEST_SUITE"]), size, block)
    wrong, flagged = total["hang"], total["raw exception"] + total["ended"]
    tally = {"right": size - wrong - flagged, "flagged": flagged, "wrong": wrong}
    kinds = [f"{total[kind]} {kind}" for kind in ("runs", "refused", "failed")]
    return {"tried": size, **tally, "worst": "", "remark": "; ".join([", ".join(kinds), *remarks])[:600]}


def todo(names: list[str], known: dict[tuple[str, str], dict[str, str]]) -> Iterator[tuple[str, int]]:
    """Yield the blocks that are not known yet."""
    for name in names:
        for block in range(BLOCKS[name][0]):
            if (name, str(block)) not in known:
                yield name, block


def main() -> None:
    """Run what is left of the campaigns that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *BLOCKS], default=list(BLOCKS))
    parser.add_argument("--limit", type=int, default=10**6, help="blocks at most")
    arguments = parser.parse_args()
    work = {"patients": patients, "engines": engines, "inputs": inputs, "kills": kills, "files": files}
    names = arguments.names or list(BLOCKS)
    if "files" in names and "SBML_TEST_SUITE" not in os.environ:
        print("files: left out, SBML_TEST_SUITE names no folder of the SBML Test Suite", flush=True)
        names = [n for n in names if n != "files"]
    for number, (name, block) in enumerate(todo(names, results())):
        if number >= arguments.limit:
            break
        row = {"campaign": name, "block": str(block), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
        row |= {k: str(v) for k, v in work[name](block, BLOCKS[name][1]).items()}
        # read again: another campaign may run beside
        keep(results() | {(name, str(block)): row})
        print(", ".join(f"{k} {v}" for k, v in row.items()), flush=True)


if __name__ == "__main__":
    main()
