"""Measure how long a new file takes before its first run, by the number of its states.

    python benchmarks/compile_times.py           writes docs/evidence/compile_times.csv, read by bench_sbml.py

Networks are made here, so that anybody can run it again: twice as many reactions as states, a third each of mass
action, saturating and cooperative with inhibitor. Each is opened in a process of its own with an empty cache. The clock
is CPU time: on a busy machine even that is up to twice as long.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TABLE = Path(__file__).resolve().parent.parent / "docs" / "evidence" / "compile_times.csv"
SIZES = (10, 30, 50, 80, 120)
COLUMNS = ("states", "reactions", "read_s", "compile_s", "load")


def network(states: int) -> str:
    """Write a network as Antimony."""
    rng = np.random.default_rng(states)
    lines = [f"S{i} = {1 + 0.1 * (i % 7):g};" for i in range(states)]
    for n in range(2 * states):
        i, j, k = (int(v) for v in (n % states, (n + 1) % states, rng.integers(states)))
        rate = (
            f"v{n}*S{i}*S{k}",
            f"v{n}*S{i}/(K{n} + S{i})",
            f"v{n}*S{i}^h{n}/(K{n}^h{n} + S{i}^h{n})/(1 + S{k}/K{n})",
        )[n % 3]
        lines.append(f"v{n} = 1.{n % 9}; K{n} = 0.{1 + n % 8}; h{n} = 2; J{n}: S{i} -> S{j}; {rate};")
    return "model network\n" + "\n".join(lines) + "\nend"


def measure(states: int) -> dict[str, float]:
    """CPU seconds of reading and of compiling one network in this process, libraries loaded."""
    import llvmlite.binding  # noqa: F401

    import metabolism.engines.ensemble.generate  # noqa: F401
    from metabolism.engines import kernel
    from metabolism.model import sbml_from_antimony
    from metabolism.sbml import general_equations, single

    text = sbml_from_antimony(network(states))
    begin = time.process_time()
    system = general_equations(single(text))
    read = time.process_time()
    kernel(system)
    done = time.process_time()
    row = {"states": states, "reactions": 2 * states, "read_s": read - begin, "compile_s": done - read}
    return {**row, "load": os.getloadavg()[0]}


def main() -> None:
    """Measure every size in a process of its own, and write the table."""
    if len(sys.argv) > 1:
        print("\n" + json.dumps(measure(int(sys.argv[1]))))
        return
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for size in SIZES:
            with tempfile.TemporaryDirectory() as cache:
                environment = {**os.environ, "XDG_CACHE_HOME": cache}
                command = [sys.executable, __file__, str(size)]
                done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            print(row, flush=True)
            writer.writerow({k: f"{v:.3g}" for k, v in row.items()})
            file.flush()


if __name__ == "__main__":
    main()
