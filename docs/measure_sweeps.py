"""Measure what a sweep costs on this machine and write the table of docs/cluster.md.

Run from the top of the repository: ``python docs/measure_sweeps.py [RUNS]``.
"""

import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import metabolism as mb
from metabolism.simulation import make_study
from metabolism.sweep import open_store, run_rows

PAGE = Path(__file__).with_name("cluster.md")
REGIMEN = "50 mg im every 3.5 d x 32"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main(runs):
    model = mb.load().with_set("als_patient")
    rng = np.random.default_rng(1)
    names = ["CBL_CLf", "GFR_rel", "CBS_Km_hcy", "MN_k"]
    design = pd.DataFrame({n: model.values[n] * rng.uniform(0.7, 1.3, runs) for n in names})
    options = {"endpoints": ["hcy_change", "alsfrs_change"]}
    study = make_study(model, REGIMEN, "16 weeks", **options)
    run_rows(study, names, design.to_numpy()[:16])  # compiles
    cpu, wall = time.process_time(), time.perf_counter()
    for begin in range(0, runs, 32):
        run_rows(study, names, design.to_numpy()[begin : begin + 32])
    solver_cpu, solver = time.process_time() - cpu, time.perf_counter() - wall
    cpu, wall = time.process_time(), time.perf_counter()
    mb.scan(model, design, REGIMEN, **options, chunk=32)
    sweep_cpu, sweep = time.process_time() - cpu, time.perf_counter() - wall
    mb.scan(model, design.iloc[:64], REGIMEN, **options, chunk=32, workers=2)  # starts the processes
    wall = time.perf_counter()
    mb.scan(model, design, REGIMEN, **options, chunk=32, workers=2)
    two = time.perf_counter() - wall
    # what the parent does for one part of 1,024 runs
    folder = Path(tempfile.mkdtemp())
    about = {"kind": "table", "columns": names, "runs": 1024 * 20, "digest": ""}
    values, rows, reasons = np.zeros((1024, 2)), np.zeros((1024, 4)), [""] * 1024
    with open_store(folder / "s", study.identity(), about, 1024) as store:
        wall = time.perf_counter()
        for part in range(20):
            store.write(part, rows, values, reasons)
        write = (time.perf_counter() - wall) / 20
    shutil.rmtree(folder)
    each = solver_cpu / runs
    lines = [
        f"Measured on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load average "
        f"{os.getloadavg()[0]:.1f} at the end; {runs} runs of 16 weeks with 32 doses. CPU time is used where other "
        f"work on the "
        "machine would disturb the clock.",
        "",
        "| quantity | value |",
        "|---|---|",
        f"| CPU time of one run | {1e3 * each:.1f} ms |",
        f"| runs per core-hour | {3600 / each:,.0f} |",
        f"| sweep against bare solver, CPU time at one process | {100 * (sweep_cpu / solver_cpu - 1):+.1f} % |",
        f"| two processes against one, by the clock | {sweep / two:.2f} x |",
        f"| parent, per part of 1,024 runs | {1e3 * write:.0f} ms |",
        "",
        "Beyond the cores at hand (calculated): a part of 1,024 runs takes a worker "
        f"{1024 * each:.1f} s and the parent {1e3 * write:.0f} ms, so the parent can feed about "
        f"{1024 * each / write:,.0f} workers before it becomes the bottleneck.",
        "",
        "| workers | a million runs | efficiency |",
        "|---|---|---|",
    ]
    for workers in (1, 2, 8, 32, 128, 512):
        parts = -(-1_000_000 // 1024)
        rounds = -(-parts // workers) * 1024 * each
        total = max(rounds, parts * write) + 20
        lines.append(f"| {workers} | {total / 60:,.0f} min | {100 * 1_000_000 * each / workers / total:.0f} % |")
    lines.append("")
    lines.append(
        "The last rows count whole rounds of parts, the parent's writing, and 20 s for workers to start and compile."
    )
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{chr(10).join(lines)}\n{END}{tail}", encoding="utf-8")
    print("\n".join(lines), f"\nclock: solver {solver:.1f} s, sweep {sweep:.1f} s, two processes {two:.1f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 512)
