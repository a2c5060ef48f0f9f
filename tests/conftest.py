"""Shared fixtures: the model, and a folder for results."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

import metabolism as mb

settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

JETALS = "50 mg im every 3.5 d x 32"


@pytest.fixture(scope="session")
def model() -> mb.Model:
    return mb.load()
