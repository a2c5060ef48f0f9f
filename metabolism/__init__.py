"""An executable model of human one-carbon metabolism, methylcobalamin dosing and ALSFRS-R decline.

>>> import metabolism as mb
>>> result = mb.simulate(mb.load(), "50 mg im every 3.5 d x 32", until="16 weeks")
>>> round(float(result["hcy_plasma"][0]), 1)
10.0

Public names are imported on first use, so that ``import metabolism`` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import Any

_PUBLIC = {
    "load": "model",
    "Model": "model",
    "Dose": "regimen",
    "Regimen": "regimen",
    "simulate": "simulation",
    "scan": "sweep",
    "Sweep": "store",
    "steady_state": "resting",
    "endpoints_of": "ensembles",
    "sensitivities": "ensembles",
    "steady_states": "ensembles",
    "Result": "result",
    "run": "registry",
    "experiment": "registry",
    "Claim": "registry",
    "Outcome": "registry",
    "export": "exporters",
}
_NAMESPACES = ("analysis", "design", "effects", "endpoints", "factors", "fisher_information", "identifiability", "local_sensitivity", "mmrm", "patients", "plotting", "population", "power", "profile_likelihood", "replicates", "sensitivity", "sensitivity_plots", "slowing", "trial")  # fmt: skip

__all__ = ["Claim", "Dose", "Model", "Outcome", "Regimen", "Result", "Sweep", "endpoints_of", "experiment", "export", "load",
           "run", "scan", "sensitivities", "simulate", "steady_state", "steady_states"]  # fmt: skip
__version__ = _version("als-methionine")


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"metabolism.{_PUBLIC[name]}"), name)
    if name in _NAMESPACES:
        return import_module(f"metabolism.{name}")
    raise AttributeError(f"module 'metabolism' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *_NAMESPACES, "__version__"])
