"""Homocysteine over serum B12 at rest, and its course under 50 mg twice weekly: the numbers of misfits.md.

python benchmarks/b12_curve.py
"""

import numpy as np
import pandas as pd

import metabolism as mb

SERUM = (50, 69, 110, 150, 210, 300, 420)  # pmol/L
WEEKS = (1, 2, 4, 8, 16)


def main() -> None:
    """Print both rows."""
    model = mb.load()
    diets = model.table["CBL_DIET_rate"].value * np.geomspace(0.08, 1.3, 80)
    people = pd.DataFrame({"CBL_DIET_rate": diets})
    rest = mb.simulate(model, None, 1, patients=people, outputs=["cbl_plasma", "hcy_plasma"])
    serum, level = (rest[name].values[:, 0] for name in ("cbl_plasma", "hcy_plasma"))
    print("serum B12 [pmol/L]     ", *(f"{b:6d}" for b in SERUM))
    print("homocysteine [umol/L]  ", *(f"{v:6.1f}" for v in np.interp(SERUM, serum * 1e6, level)))
    course = mb.simulate(model, "50 mg im every 3.5 d x 32", "16 weeks")["hcy_plasma"]
    change = 100 * (course.values / course.values[0] - 1)
    print("week of 50 mg          ", *(f"{w:6d}" for w in WEEKS))
    print("change of homocysteine %", *(f"{v:6.2f}" for v in np.interp(WEEKS, course.time.values / 168, change)))


if __name__ == "__main__":
    main()
