"""Install the wheel as a stranger would and do the main jobs: python .ci/wheel_check.py [--by uvx]

A home of its own, a foreign folder, and nothing on the PATH but the installation itself: no make, no compiler, no git.
The same on every system; needs Python, its package index and, for uv and pipx, those tools.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WINDOWS = os.name == "nt"
SCRIPTS = "Scripts" if WINDOWS else "bin"
QUICK = (
    "doctor",
    "simulate --regimen '50 mg im every 3.5 d x 32' --until '16 weeks' --set als_patient --csv course.csv",
    "run pk_im_single_dose",
    "export sbml als.xml",
)
#: Every line of the README that begins with the program, in its order.
README = re.findall(r"(?m)^metabolism ([^#\n]*[^#\s])", (ROOT / "README.md").read_text(encoding="utf-8"))
JOBS = (
    *QUICK,
    "run jetals",
    "design jetals --replicates 4",
    "ensemble als.xml --dose '37 depot_im at 0' --vary 'GFR_rel=uniform(0.5,1)'"
    " --n 20 --until 336 --output hcy_plasma --csv members.csv",
    "explore --build trial.html",
    "evidence --pack pack",
)
#: What has to be there afterwards, and the least bytes of it.
LEFT = {"course.csv": 5_000, "results/*/*/report.html": 10_000, "als.xml": 100_000}
LEFT_BESIDES = {
    "members.csv": 1_000,
    "trial.html": 500_000,
    "pack/pack.html": 2_000,
    "results/jetals/*/report.html": 50_000,
}


def call(
    command: Iterable[str | Path], folder: Path, environment: dict[str, str], answers: tuple[int, ...] = (0,)
) -> str:
    """Run a command and return what it printed; its failure ends this program with its output."""
    words, begun = [str(w) for w in command], time.perf_counter()
    done = subprocess.run(
        words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    print(f"{time.perf_counter() - begun:7.1f} s  {' '.join(words)}", flush=True)
    if done.returncode not in answers:
        sys.exit(f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def tool(name: str) -> str:
    """Path of a tool beside this Python or on the PATH."""
    beside = Path(sys.executable).with_name(name + (".exe" if WINDOWS else ""))
    found = str(beside) if beside.exists() else shutil.which(name)
    return found or sys.exit(f"{name} is not installed: python -m pip install {name.replace('uvx', 'uv')}")


def installed(by: str, python: str, wheel: Path, home: Path, environment: dict[str, str]) -> list[str]:
    """Install the wheel by one of the tools; return the words that start the program."""
    program = "metabolism" + (".exe" if WINDOWS else "")
    if by == "pip":
        call([python, "-m", "venv", home / "env"], home, environment)
        call([home / "env" / SCRIPTS / "python", "-m", "pip", "install", "--quiet", wheel], home, environment)
        return [str(home / "env" / SCRIPTS / program)]
    if by == "uvx":
        return [tool("uvx"), "--quiet", "--python", python, "--from", str(wheel), "metabolism"]
    if by == "uv":
        call([tool("uv"), "tool", "install", "--quiet", "--python", python, wheel], home, environment)
    else:
        call([tool("pipx"), "install", "--quiet", "--python", python, wheel], home, environment)
    return [str(home / "bin" / program)]


def check(by: str, python: str, wheel: Path, jobs: tuple[str, ...]) -> None:
    """Install, work in a foreign folder, look at what was left."""
    import shlex

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home, work = Path(folder, "home"), Path(folder, "elsewhere")
        home.mkdir()
        work.mkdir()
        plain = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        plain |= {"HOME": str(home), "USERPROFILE": str(home), "PYTHONUTF8": "1"}
        plain |= {
            "UV_TOOL_BIN_DIR": str(home / "bin"),
            "PIPX_BIN_DIR": str(home / "bin"),
            "PIPX_HOME": str(home / "pipx"),
        }
        plain |= {f"XDG_{k}_HOME": str(home / k.lower()) for k in ("CACHE", "CONFIG", "DATA", "STATE")}
        # what was downloaded before may be used again
        caches = {"PIP_CACHE_DIR": "pip", "UV_CACHE_DIR": "uv"}
        plain |= {k: os.environ.get(k, str(Path.home() / ".cache" / v)) for k, v in caches.items()}
        start = installed(by, python, wheel, home, plain)
        # a tool that was installed needs none of the system's programs
        alone = plain | ({} if by == "uvx" or WINDOWS else {"PATH": str(home / "bin")})
        # two folders, where the lines of the README find no file of the other jobs
        of_readme = work / "of_readme"
        of_readme.mkdir()
        todo = [(work, job) for job in jobs] + [(of_readme, job) for job in README if jobs == JOBS]
        for place, job in todo:
            # a verdict against a study or a check of this machine is an answer, not a failure to run
            answers = (0, 1) if job.startswith(("evidence", "qualify", "check")) else (0,)
            call([*start, *shlex.split(job)], place, alone, answers)
        for pattern, least in (LEFT | (LEFT_BESIDES if jobs == JOBS else {})).items():
            sizes = [p.stat().st_size for p in work.glob(pattern)]
            assert max(sizes, default=0) >= least, f"{pattern}: {sizes or 'nothing'} bytes where {least} were expected"
        if by == "pip":
            listed = call([home / "env" / SCRIPTS / "python", "-m", "pip", "list", "--format", "freeze"], home, plain)
            others = {line.split("==")[0] for line in listed.split()} - {"pip", "setuptools", "als-methionine"}
            size = sum(p.stat().st_size for p in (home / "env").rglob("*") if p.is_file()) / 1e6
            print(f"{len(others)} other packages, {size:.0f} MB in all")
            assert len(others) <= 40, "the core is to need 40 other packages at most"
            assert size <= 800, "the core is to have 800 MB at most"


def main() -> None:
    """Build the wheel once, then check it by each tool and Python that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--by", nargs="*", choices=("pip", "uv", "uvx", "pipx"), default=["pip"])
    parser.add_argument("--python", nargs="*", default=[sys.executable], help="interpreters")
    parser.add_argument("--quick", action="store_true", help="the short jobs only")
    parser.add_argument("--wheel", type=Path, help="a wheel that was built already")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.wheel is None:
            environment = dict(os.environ)
            build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
            call(build, Path(folder), environment)
        wheel = asked.wheel.resolve() if asked.wheel else next(Path(folder).glob("*.whl"))
        for python in asked.python:
            for by in asked.by:
                print(f"--- {by}, {python}")
                check(by, python, wheel, QUICK if asked.quick else JOBS)


if __name__ == "__main__":
    main()
