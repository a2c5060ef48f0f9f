"""Build the wheel, install it into an empty environment, and run the main job from another folder.

The same on every system; needs nothing but Python and its package index.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def call(*command: str | Path, cwd: Path) -> str:
    """Run a command and return what it printed; its failure ends this program with its output."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONUTF8": "1"}
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    print("$", *map(str, command), "\n", done.stdout[-2000:], done.stderr[-2000:], sep=" ")
    if done.returncode:
        sys.exit(f"exit code {done.returncode}")
    return done.stdout


def main() -> None:
    """Wheel, empty environment, doctor, one simulation, one export."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        venv.create(here / "env", with_pip=True)
        scripts = here / "env" / ("Scripts" if os.name == "nt" else "bin")
        python = scripts / ("python.exe" if os.name == "nt" else "python")
        call(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", here / "dist", ROOT, cwd=here)
        (wheel,) = (here / "dist").glob("*.whl")
        call(python, "-m", "pip", "install", "--quiet", wheel, cwd=here)
        metabolism = (python, "-m", "metabolism")
        call(*metabolism, "doctor", cwd=here)
        call(*metabolism, "simulate", "--regimen", "50 mg im every 3.5 d x 32", "--until", "16 weeks", cwd=here)
        call(*metabolism, "export", "sbml", "als.xml", cwd=here)
        call(*metabolism, "run", "pk_im_single_dose", cwd=here)
        assert list((here / "results").rglob("report.html")), "no report was written"
        packages = call(python, "-m", "pip", "list", "--format", "freeze", cwd=here).split()
        print(f"{len(packages)} packages installed")


if __name__ == "__main__":
    main()
