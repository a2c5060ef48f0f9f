"""Faults put into the package one at a time: do the tests notice? python benchmarks/mutation.py [--rooms dosing units]

Each mutant of ``mutants.toml`` is run against its own tests in a copy of the repository; what was found stays in
``mutation.csv``, and a mutant that was noticed, or survived with a reason, is not run again. The page is
docs/evidence/mutation.md.
``--draw 8`` prints eight mutants for each room, drawn at random among the operators, comparisons and numbers of its
files, as lines to put into ``mutants.toml``.
"""

import argparse
import ast
import csv
import hashlib
import json
import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS, PAGE = HERE / "mutation.csv", ROOT / "docs" / "evidence" / "mutation.md"
COLUMNS = ("key", "verdict", "by")
#: [s] of processor time of one run of tests; more counts as noticed. Waiting for a busy machine is no sign of a fault.
LONGEST = 900


def listed() -> dict[str, dict[str, Any]]:
    """Return ``mutants.toml``: rooms with their folder, tests, files to draw from and mutants."""
    return tomllib.loads((HERE / "mutants.toml").read_text(encoding="utf-8"))


def mutants() -> list[dict[str, Any]]:
    """Return every mutant with its room, file, tests and key."""
    rows = [
        {
            **{"why": "", "drawn": False, "tests": room.get("tests_of", {}).get(m["in"], room["tests"])},
            **m,
            **{"room": name, "file": room["file"] + m["in"]},
        }
        for name, room in listed().items()
        for m in room["mutants"]
    ]
    for row in rows:
        text = "\n".join(row[k] for k in ("file", "before", "after", "tests"))
        row["key"] = hashlib.sha256(text.encode()).hexdigest()[:12]
    return rows


def results() -> dict[str, dict[str, str]]:
    """Return what is known of mutants by key."""
    if not RESULTS.is_file():
        return {}
    with RESULTS.open(encoding="utf-8", newline="") as handle:
        return {row["key"]: row for row in csv.DictReader(handle)}


def run_tests(folder: Path, tests: str) -> tuple[bool, str]:
    """Run tests in a copy; return whether they pass, and the first that does not."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *shlex.split(tests)]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST + 5))

    try:
        # who waits for ever takes no processor time
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=20 * LONGEST,
            preexec_fn=limited,
        )
    except subprocess.TimeoutExpired:
        return False, "waiting for ever"
    if done.returncode == -signal.SIGXCPU:
        return False, "time limit"
    if done.returncode not in (0, 1, 2):
        raise SystemExit(f"no tests were run by '{tests}':\n{done.stdout[-2000:]}")
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode == 0, failed[0].split()[1].rpartition("::")[2].partition("[")[0] if failed else ""


def run(rooms: list[str], limit: int) -> None:
    """Run the mutants that are not known yet, and those that survived without a reason."""
    known = results()
    settled = {m["key"] for m in mutants() if m["why"]} & known.keys()
    settled |= {key for key, row in known.items() if row["verdict"] == "noticed"}
    todo = [m for m in mutants() if m["key"] not in settled and (not rooms or m["room"] in rooms)]
    # those that somebody thought of come first
    todo = sorted(todo, key=lambda m: m["drawn"])[:limit]
    with tempfile.TemporaryDirectory() as home:
        copy = Path(home) / "copy"
        leave = shutil.ignore_patterns(".git", ".venv", "results", "_build", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, copy, ignore=leave)
        sound: set[str] = set()
        for m in todo:
            if m["tests"] not in sound:
                passed, by = run_tests(copy, m["tests"])
                if not passed:
                    raise SystemExit(f"without any fault {by} fails already, of: {m['tests']}")
                sound.add(m["tests"])
            path = copy / m["file"]
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(m["before"], m["after"]), encoding="utf-8")
            passed, by = run_tests(copy, m["tests"])
            path.write_text(text, encoding="utf-8")
            # another process may have written meanwhile
            known = results() | {m["key"]: {"key": m["key"], "verdict": "survived" if passed else "noticed", "by": by}}
            print(f"{known[m['key']]['verdict']:<9} {m['file']}: {m['before']} -> {m['after']}  {by}", flush=True)
            write(known)


def write(known: dict[str, dict[str, str]]) -> None:
    """Keep the results of mutants that are still listed, and write the page."""
    rows = mutants()
    with RESULTS.open("w", encoding="utf-8", newline="") as handle:
        table = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(known[m["key"]] for m in rows if m["key"] in known)
    PAGE.write_text(page(rows, known), encoding="utf-8")


#: What an operator is turned into.
SWAPPED = {
    **{ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">")},
    **{ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.And: ("and", "or"), ast.Or: ("or", "and")},
    **{ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*")},
}


def places(text: str) -> Iterator[tuple[str, str]]:
    """Yield what may be changed in a file, with what it becomes; each stands there once. Words of errors are left."""
    lines = text.splitlines()
    todo: list[ast.AST] = [ast.parse(text)]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Assert)):
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            old, start, end = repr(node.value), node.col_offset, node.end_col_offset
            new = repr(node.value + 1 if isinstance(node.value, int) else node.value * 1.1)
        elif isinstance(node, (ast.BinOp, ast.BoolOp, ast.Compare)):
            left = {ast.BinOp: "left", ast.Compare: "left"}.get(type(node))
            first = getattr(node, left) if left else node.values[0]  # type: ignore[union-attr]
            kind = type(node.ops[0] if isinstance(node, ast.Compare) else node.op)
            if kind not in SWAPPED or first.end_lineno != node.lineno:
                continue
            old, new = SWAPPED[kind]
            start, end = first.end_col_offset, len(lines[node.lineno - 1].encode())
        else:
            continue
        raw = lines[node.lineno - 1].encode()
        rest = raw[start:end].decode()
        before = raw.decode().strip()
        after = (raw[:start].decode() + rest.replace(old, new, 1) + raw[end:].decode()).strip()
        if after != before and text.count(before) == 1:
            yield before, after


def draw(rooms: list[str], count: int, seed: int) -> None:
    """Print mutants of each room, drawn at random, as lines of ``mutants.toml``."""
    for name, room in listed().items():
        if rooms and name not in rooms:
            continue
        files = [p for pattern in room["draw"] for p in sorted(ROOT.glob(room["file"] + pattern))]
        found = [(p, *place) for p in files for place in sorted(set(places(p.read_text(encoding="utf-8"))))]
        print(f"# {name}: {count} of {len(found)} places, seed {seed}")
        for path, before, after in sorted(random.Random(seed).sample(found, count)):
            told = path.relative_to(ROOT / room["file"]).as_posix() if path != ROOT / room["file"] else ""
            words = {"in": told, "before": before, "after": after}
            print("  { " + ", ".join(f"{k} = {json.dumps(v)}" for k, v in words.items() if v) + ", drawn = true },")


def page(rows: list[dict[str, Any]], known: dict[str, dict[str, str]]) -> str:
    """Return the page: score by room and by origin, every mutant with the test that noticed it."""

    def score(chosen: list[dict[str, Any]]) -> str:
        ran = [known[m["key"]]["verdict"] for m in chosen if m["key"] in known]
        return (
            f"{ran.count('noticed')} of {len(ran)} ({100 * (ran.count('noticed') / len(ran)):.0f} %)"
            if ran
            else "none run"
        )

    drawn, left = [m for m in rows if m["drawn"]], sum(m["key"] not in known for m in rows)
    lines = [
        "# Do the tests notice a fault?",
        "",
        f"Faults put into the package one at a time: the tests named for their room noticed {score(rows)}. "
        f"Of those drawn at random among the operators, comparisons and numbers of a room's files they noticed "
        f"{score(drawn)}: an estimate for faults of this kind. Of those written by hand, most of which survived when "
        f"they were first tried, they noticed {score([m for m in rows if not m['drawn']])}."
        + (f" {left} are listed and not run yet." if left else ""),
        "",
        "Written by `make mutation`. A survivor gets a test and is run again, or a reason why it is no fault or what "
        "is missing.",
        "",
        "| room | noticed |",
        "|---|---|",
        *(
            f"| {room} | {score([m for m in rows if m['room'] == room])} |"
            for room in dict.fromkeys(m["room"] for m in rows)
        ),
        "",
        "| room | file | fault | verdict | test that noticed, or why it survived |",
        "|---|---|---|---|---|",
    ]
    for m in rows:
        found = known.get(m["key"], {"verdict": "not run", "by": ""})
        said = (m["why"] or "not explained yet") if found["verdict"] == "survived" else found["by"]
        fault = f"`{m['before']}` to `{m['after']}`".replace("|", "\\|")
        lines.append(f"| {m['room']} | {Path(m['file']).name} | {fault} | {found['verdict']} | {said} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", nargs="*", default=[])
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--draw", type=int, metavar="N", help="print N mutants of each room, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.draw:
        draw(arguments.rooms, arguments.draw, arguments.seed)
        raise SystemExit
    run(arguments.rooms, arguments.limit)
    write(results())
