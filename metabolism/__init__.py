"""An executable model of human one-carbon metabolism, methylcobalamin dosing and ALSFRS-R decline.

>>> import metabolism as mb
>>> result = mb.simulate(mb.load(), "50 mg im every 3.5 d x 32", until="16 weeks")
>>> result["hcy_plasma"].dims, result["hcy_plasma"].attrs["units"]
(('time',), 'uM')

Public names are imported on first use, so that ``import metabolism`` stays fast.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: What a user needs every day, by the room whose door offers it.
_ROOMS = {
    "model": "describe draws load Model",
    "dosing": "Dose Regimen",
    "simulation": "simulate steady_state endpoints_of sensitivities steady_states overlay Overlay Result",
    "sweep": "scan Sweep",
    "trials": "scenarios with_scenario",
    "report": "run experiment Claim Outcome",
    "exports": "export",
    "ensembles": "ensemble",
}
_PUBLIC = {name: room for room, names in _ROOMS.items() for name in names.split()}

#: Files that were moved into rooms, by the room; notebooks and scripts may import them by their old paths.
_MOVED = {
    old: room
    for room, files in {
        "cases": "arms baseline board_figure board_text case_fields interventions metrics peers predict qualify",
        "court": "mechanisms response",
        "data": "literature",
        "dosing": "regimen regimen_text substances",
        "exports": "archive exporters model_report petab_export sbml_export",
        "fit": "calibration posterior profile_likelihood",
        "model": "annotations describe draws fluxmap_layout parameters provenance reference_state",
        "report": "checks evidence fluxmap registry",
        "sbml": "compare control equations fingerprint foreign replay resting",
        "sensitivity": "factors fisher_information identifiability local_sensitivity sensitivity_plots",
        "simulation": "endpoints request result studies",
        "sweep": "designs store",
        "trials": "analysis design effects mmrm patients population power replicates slowing trial",
    }.items()
    for old in files.split()
}

#: What has another name today, or stands in another room than the rest of its file.
_RENAMED = {
    "analysis.mmrm": "trials.mixed_model",
    "designs.as_design": "sweep.samples.as_samples",
    "equations.equations": "model.equations",
    "fingerprint.model_fingerprint": "exports.model_fingerprint",
    "resting.SteadyState": "simulation.SteadyState",
    "resting.steady_state": "simulation.steady_state",
}

__all__ = [*sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"metabolism.{_PUBLIC[name]}"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("als-methionine")
    if name in _MOVED:
        return _moved(name)
    raise AttributeError(f"module 'metabolism' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MOVED, "__version__"])


def _moved(old: str) -> ModuleType:
    """Return a module that offers what stood in a file that was moved: from the file of that name, door or room."""
    room = import_module(f"metabolism.{_MOVED[old]}")

    def lookup(name: str) -> Any:
        from pkgutil import iter_modules

        if place := _RENAMED.get(f"{old}.{name}"):
            return getattr(import_module(f"metabolism.{place.rpartition('.')[0]}"), place.rpartition(".")[2])
        if not name.startswith("__"):
            files = sorted((m.name for m in iter_modules(getattr(room, "__path__", []))), key=lambda file: file != old)
            places = [f"{room.__name__}.{file}" for file in files]
            for place in (*places[:1], room.__name__, *places[1:]):
                if name in dir(module := import_module(place)):
                    return getattr(module, name)
        raise AttributeError(f"'{name}' of metabolism.{old} is not in the room {room.__name__}; see its help().")

    module = ModuleType(f"metabolism.{old}", f"Moved into the room {room.__name__}.")
    setattr(module, "__getattr__", lookup)  # noqa: B010
    return module


class _OldPaths:
    """Finds ``metabolism.regimen`` and its like in the rooms they were moved to, with a word."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        old = fullname.removeprefix("metabolism.")
        return ModuleSpec(fullname, self) if old in _MOVED and fullname != old else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        import warnings

        old = spec.name.removeprefix("metabolism.")
        warnings.warn(f"{spec.name} is now in the room metabolism.{_MOVED[old]}.", DeprecationWarning, stacklevel=2)
        return _moved(old)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: names are looked up when asked for."""


sys.meta_path.append(_OldPaths())
