"""`metabolism doctor`: is this installation sound, and if not, what to do about it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from metabolism.errors import MetabolismError

PYTHON = ((3, 11), (3, 13))

_AGAIN = "pip install --force-reinstall -c constraints.txt"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: ``ok``, ``note`` (something optional is missing) or ``FAIL``, with the remedy."""

    state: str
    subject: str
    text: str
    remedy: str = ""


def examine(out: Path = Path("results"), referees: bool = False) -> list[Finding]:
    """Run every check and return what was found; a check that breaks is itself a finding.

    Parameters
    ----------
    out : Path
        Folder that results would be written to.
    referees : bool
        Run the engines that answer only by name too: libRoadRunner and scipy.
    """
    checks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("python", _python),
        ("packages", _packages),
        ("model", _model),
        ("solvers", lambda: _solvers(("fast", *(("roadrunner", "scipy") if referees else ())))),
        ("write access", lambda: _write_access(out)),
        ("fonts", _fonts),
        ("browser", _browser),
    ]
    findings = []
    for subject, check in checks:
        try:
            findings += check()
        except Exception as error:
            # the doctor must finish whatever is broken
            text = " ".join(str(error).split()) or type(error).__name__
            findings.append(Finding("FAIL", subject, text, f"reinstall: {_AGAIN} -e ."))
    return findings


def _python() -> list[Finding]:
    low, high = PYTHON
    text = f"Python {sys.version.split()[0]} at {sys.executable}"
    if low <= sys.version_info[:2] <= high:
        return [Finding("ok", "python", text)]
    span = f"{low[0]}.{low[1]} to {high[0]}.{high[1]}"
    return [Finding("FAIL" if sys.version_info[:2] < low else "note", "python", text, f"tested with Python {span}")]


def _packages() -> list[Finding]:
    from packaging.requirements import Requirement

    wanted = [Requirement(r) for r in requires("als-methionine") or [] if "extra ==" not in r]
    wrong = []
    for need in wanted:
        try:
            have = version(need.name)
        except PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(have, prereleases=True):
            wrong.append(f"{need.name} {have} is not {need.specifier}")
    if wrong:
        return [Finding("FAIL", "packages", "; ".join(wrong), "pip install -c constraints.txt -e .")]
    return [Finding("ok", "packages", f"als-methionine {version('als-methionine')} and its {len(wanted)} requirements")]


def _model() -> list[Finding]:
    from metabolism.model import equations, load

    system = equations(load())
    counts = (len(system.states), len(system.computed), len(system.parameters))
    return [Finding("ok", "model", "{} states, {} rules and reactions, {} constants".format(*counts))]


def _solvers(engines: tuple[str, ...]) -> list[Finding]:
    from metabolism.model import load
    from metabolism.simulation import simulate

    findings, levels = [], {}
    for engine in engines:
        try:
            run = simulate(load(), "1 mg im", 24, outputs=["cbl_plasma"], engine=engine)
            levels[engine] = float(run.curves["cbl_plasma"][-1])
            findings.append(Finding("ok", f"solver {engine}", "one dose, one day: done, and the dose arrived"))
        except (MetabolismError, ImportError, OSError, RuntimeError) as error:
            remedy = f"{_AGAIN} libroadrunner llvmlite scipy"
            findings.append(Finding("FAIL", f"solver {engine}", " ".join(str(error).split()), remedy))
    if levels and max(levels.values()) > min(levels.values()) * (1 + 1e-5):
        text = ", ".join(f"{k} {v:.8g}" for k, v in levels.items())
        findings.append(Finding("FAIL", "solvers agree", text, "run `metabolism check` and report this"))
    return findings


def _write_access(out: Path) -> list[Finding]:
    place = out.absolute()
    target = next(p for p in (place, *place.parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=target):
            pass
    except OSError as error:
        remedy = "run in a folder of your own, or give --out"
        return [Finding("FAIL", "write access", f"{place}: {error.strerror}", remedy)]
    free = shutil.disk_usage(target).free / 1e9
    state, remedy = ("ok", "") if free > 1 else ("note", "results of large cohorts need more room")
    return [Finding(state, "write access", f"{place}, {free:.0f} GB free", remedy)]


def _fonts() -> list[Finding]:
    from matplotlib import font_manager

    try:
        path = font_manager.findfont("DejaVu Sans", fallback_to_default=False)
    except ValueError:
        return [Finding("FAIL", "fonts", "matplotlib does not find DejaVu Sans", f"{_AGAIN} matplotlib")]
    return [Finding("ok", "fonts", f"DejaVu Sans ({Path(path).parent.name})")]


def browser() -> str | None:
    """Return the Chromium that the explorer's tests drive, if this machine has one."""
    named = os.environ.get("CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _browser() -> list[Finding]:
    path = browser()
    if path:
        return [Finding("ok", "browser", path)]
    return [Finding("note", "browser", "no Chromium: the page's browser tests are skipped", "apt-get install chromium")]
