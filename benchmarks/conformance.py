"""The SBML Test Suite, semantic cases, through our engines: one line per case, and a page that names every loss.

    make conformance SUITE=path/to/sbml-test-suite

The suite (https://github.com/sbmlteam/sbml-test-suite, LGPL) is not part of this repository; only its case numbers and
what became of them are. Each case runs in a process of its own with limits of time and memory.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: Limits of the process of one case.
SECONDS, MEGABYTES = 120, 4000


@dataclass(frozen=True)
class Case:
    """One case of the suite: what to run, what to read, and what is right."""

    id: str
    folder: Path
    tags: tuple[str, ...]
    settings: dict[str, str]

    @property
    def model(self) -> Path:
        """The newest level and version of the model that the case has."""
        return max(self.folder.glob("*-sbml-l[23]v?.xml"), key=lambda path: path.name)

    def listed(self, name: str) -> tuple[str, ...]:
        """A list of the settings."""
        return tuple(v.strip() for v in self.settings.get(name, "").split(",") if v.strip())


def read_case(folder: Path) -> Case:
    """Read the settings and the tags of a case."""
    settings = {}
    for line in (folder / f"{folder.name}-settings.txt").read_text().splitlines():
        name, _, value = line.partition(":")
        settings[name.strip().lower()] = value.strip()
    text = (folder / f"{folder.name}-model.m").read_text(errors="replace")
    tags = []
    for name in ("componentTags", "testTags"):
        found = re.search(rf"^{name}:(.*(?:\n[ \t]+\S.*)*)", text, re.M)
        tags += [t.strip() for t in found[1].replace("\n", ",").split(",") if t.strip()] if found else []
    return Case(folder.name, folder, tuple(sorted(set(tags))), settings)
