"""How quick the page is in Chromium: ``make bench`` ends ``docs/performance.md`` with what this measures.

A new profile opens the file from disk, offline, several times; then the dose changes many times. Times run from
navigation, and from the change, until the picture is painted. Processor times of the page's threads stand beside
them, since other work on the machine delays a picture without making it more work.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from metabolism.explorer import build_page

RECORD = Path(__file__).parents[1] / "docs" / "performance.md"

HEAD = "## The page"

#: Bars: an update with bands and map, and the first picture [ms].
BARS = {"update": 150, "first": 1000}


def painted(tab: Page, name: str, before: str | None = None) -> float:
    """Wait for a time that the page notes when its picture is painted [ms]."""
    for _ in range(2000):
        if (value := tab.evaluate(f"document.documentElement.dataset.{name} ?? null")) not in (None, before):
            return float(value)
        time.sleep(0.02)
    raise TimeoutError(name)


def renderer_seconds() -> float:
    """Processor time of the page's own threads [s], of those below this process (Linux only)."""
    total, parents = 0.0, {os.getpid()}
    stats = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            stats[int(folder.name)] = int(fields[1]), (folder / "cmdline").read_bytes()
        except OSError:
            continue
    for _ in range(6):
        parents |= {pid for pid, (parent, _) in stats.items() if parent in parents}
    for pid in parents & stats.keys():
        if b"--type=renderer" not in stats[pid][1]:
            continue
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            name = (thread / "comm").read_text()
            if name.startswith(("chromium", "DedicatedWorker")):
                total += int((thread / "schedstat").read_text().split()[0]) / 1e9
    return total


def row(name: str, values: list[float], bar: float | None) -> str:
    """One line of the table: median and spread."""
    low, middle, high = (statistics.quantiles(values, n=20)[i] for i in (0, 9, 18))
    return f"| {name} | {middle:.0f} | {min(values):.0f} | {low:.0f} to {high:.0f} | {len(values)} | {bar or '-'} |"


def measure(openings: int, updates: int, browser: str | None) -> str:
    """Open and change the page; what was found, as a section."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        path = build_page(Path(folder) / "page.html")
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        first, update, work = [], [], []
        load = os.getloadavg()[0]
        for number in range(openings):
            context = chromium.new_context(viewport={"width": 1400, "height": 900}, offline=True)
            tab = context.new_page()
            tab.goto(path.as_uri())
            first.append(painted(tab, "first"))
            if number < openings - 1:
                context.close()
        time.sleep(1)
        for number in range(updates):
            begin, before = renderer_seconds(), tab.evaluate("app.asked")
            tab.evaluate("delete document.documentElement.dataset.update")
            tab.fill("#dose", str(20 + number))
            assert tab.evaluate("app.asked") == before + 1
            update.append(painted(tab, "update"))
            time.sleep(0.2)
            work.append(1e3 * (renderer_seconds() - begin))
        about = (
            f"Written by `benchmarks/page.py` on {datetime.now(UTC).date()}: Chromium {chromium.version}, "
            f"{platform.machine()}, {os.cpu_count()} cores, busy processes when measured: {load:.1f}. One file of "
            f"{path.stat().st_size / 1e3:.0f} kB, opened from disk, offline, in a new profile; an update computes the "
            "curves of 16 weeks, bands of 16 draws and map. Times end when the picture is painted; processor "
            "time is that of the page's threads, which other work disturbs less."
        )
        chromium.close()
    lines = [
        row("first picture after navigation", first, BARS["first"]),
        row("update after a change", update, BARS["update"]),
        row("processor time of an update", work, None),
    ]
    head = ["| | median [ms] | least | middle 90 % | times | bar |", "|---|---|---|---|---|---|"]
    return "\n".join([HEAD, "", about, "", *head, *lines, ""])


def main(arguments: list[str] | None = None) -> int:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openings", type=int, default=7)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--browser", default="/usr/bin/chromium" if Path("/usr/bin/chromium").exists() else None)
    given = parser.parse_args(arguments)
    found = measure(given.openings, given.updates, given.browser)
    before = RECORD.read_text(encoding="utf-8").split(f"\n{HEAD}\n")[0].rstrip("\n")
    RECORD.write_text(f"{before}\n\n{found}", encoding="utf-8")
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
