"""Shared fixtures: the model, the patient with ALS, and a browser."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

import metabolism as mb
from metabolism.cli import browser

settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

JETALS = "50 mg im every 3.5 d x 32"


@pytest.fixture(scope="session")
def model() -> mb.Model:
    return mb.load()


@pytest.fixture(scope="session")
def patient(model) -> mb.Model:
    return model.with_set("als_patient")


@pytest.fixture(scope="module")
def chromium():
    path = browser()
    if path is None:
        message = "no Chromium on this machine: the pages were not opened (apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as tool:
        opened = tool.chromium.launch(executable_path=path, args=flags)
        yield opened
        opened.close()
