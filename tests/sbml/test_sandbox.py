"""Nothing that lies in the current folder is run, whatever it is called and whichever command is given there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metabolism.model import sbml_from_antimony

TRAP = "import os; open(os.environ['MARK'], 'a').write('run'); raise SystemExit('the trap was run')"

COMMANDS = {
    "compare": ["compare", "BIOMD0000000268.xml"],
    "fingerprint": ["fingerprint", "BIOMD0000000268.xml"],
    "peers": ["qualify", "--cases", "CASES", "--peers", "BIOMD0000000268.xml"],
    "workers": ["scan", "--grid", "GFR_rel=0.4:1:66", "--endpoint", "hcy_change", "--workers", "2", "--chunk", "33"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_modules_in_the_current_folder_are_never_run(tmp_path, name):
    text = sbml_from_antimony("model BIOMD0000000268; -> x; 2; x -> ; k*x; x = 1; k = 1; hcy = 1; end")
    (tmp_path / "BIOMD0000000268.xml").write_text(text, encoding="utf-8")
    for module in ("numpy", "libsbml", "sympy", "json"):
        (tmp_path / f"{module}.py").write_text(TRAP)
    root = Path(__file__).parents[2]
    command = [root / "experiments" / "cases" / "homocysteine.csv" if c == "CASES" else c for c in COMMANDS[name]]
    mark = tmp_path / "mark"
    environment = {**os.environ, "PYTHONPATH": str(root), "MARK": str(mark)}
    environment.pop("PYTHONSAFEPATH", None)
    start = "import sys; sys.argv[0] = 'metabolism'; from metabolism.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", start, *map(str, command)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not mark.exists()
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr


def test_python_m_does_not_run_modules_of_the_current_folder(tmp_path):
    (tmp_path / "argparse.py").write_text("raise SystemExit('the trap was run')")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    environment.pop("PYTHONSAFEPATH", None)
    done = subprocess.run(
        [sys.executable, "-m", "metabolism", "--version"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "als-methionine" in done.stdout
