"""What a newcomer meets on the command line: a greeting, examples under every ``--help``, and completion of names."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from typing import Any

from metabolism.cli import shared as cli_output
from metabolism.cli.look import LISTS

GREETING = """metabolism: one-carbon metabolism, methylcobalamin and ALSFRS-R, as an executable model.

Three things to do next:
  metabolism run jetals    the main question, answered with a report (a few minutes; add --quick for less)
  metabolism explore       the model as a web page: change dose and patient, see what follows
  metabolism simulate --regimen "50 mg im every 3.5 d x 32" --set als_patient

Something wrong with the installation? metabolism doctor. Everything else: metabolism --help."""


#: Examples under the help of each subcommand; a test runs the cheap ones.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "list": ("metabolism list", "metabolism list parameters", "metabolism list sets --json"),
    "run": ("metabolism run jetals", "metabolism run pk_im_single_dose --quick --json result.json"),
    "simulate": (
        'metabolism simulate --regimen "50 mg im every 3.5 d x 32"',
        'metabolism simulate --regimen "1 mg hydroxocobalamin im weekly x 8" --set b12_deficient --until "10 weeks"',
        'metabolism simulate --param GFR_rel=0.5 --output hcy_plasma --until "1 week" --json',
    ),
    "show": (
        "metabolism show MS_liver",
        "metabolism show hcy_plasma",
        "metabolism show GFR_rel --set renal_impairment",
    ),
    "export": (
        'metabolism export sbml als.xml --regimen "50 mg im every 3.5 d x 32"',
        "metabolism export omex als.omex",
        "metabolism export antimony als.ant --set mthfr_677tt",
        'metabolism export omex als.omex --regimen "50 mg im every 3.5 d x 32"',
    ),
    "fingerprint": (
        "metabolism fingerprint",
        "metabolism fingerprint --json als.json",
        "metabolism fingerprint --compare a.json b.json",
    ),
    "compare": ("metabolism compare model.xml",),
    "evidence": ("metabolism evidence", "metabolism evidence --out evidence.html"),
    "fit": ("metabolism fit", "metabolism fit --starts 2 --out results/fit"),
    "qualify": ("metabolism qualify", "metabolism qualify --json board.json"),
    "check": ("metabolism check", "metabolism check --rewrite", "metabolism check --json"),
    "design": (
        "metabolism design jetals --effect 0.25,0.35,0.425",
        "metabolism design jetals --effect 0.2,0.3 --patients 130,260,520 --weeks 16,24",
        "metabolism design my_trial.toml --effect 0.27 --run-in 1-2,1-4,none --onset-limit 12,24",
        'metabolism design jetals --effect 0.3 --dose "25 mg,50 mg" --interval "3.5 d,7 d" --hcy-min 0,15',
    ),
    "scan": ('metabolism scan --grid GFR_rel=0.3:1:8 --regimen "50 mg im" --store results/gfr',),
    "sensitivity": ('metabolism sensitivity sobol --regimen "50 mg im every 3.5 d x 32" --endpoint hcy_change --n 64',),
    "report": ("metabolism report", "metabolism report --out results"),
    "explore": ("metabolism explore", "metabolism explore --port 8080"),
    "doctor": ("metabolism doctor", "metabolism doctor --json"),
    "completion": ('eval "$(metabolism completion bash)"', "metabolism completion zsh >> ~/.zshrc"),
}


FOR_SCRIPTS = ("list", "run", "simulate", "qualify", "fingerprint", "compare", "check", "report", "doctor")


def finish(parser: argparse.ArgumentParser, commands: Any) -> None:
    """Give every subcommand its examples, output modes and name completion."""
    for name, sub in commands.choices.items():
        if name in FOR_SCRIPTS:
            cli_output.options(sub)
        if name in EXAMPLES:
            sub.formatter_class = argparse.RawDescriptionHelpFormatter
            sub.epilog = "examples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[name])
        for action in sub._actions:
            if action.dest in _NAMES:
                action.completer = _completer(_NAMES[action.dest])
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


def _experiments() -> Iterable[str]:
    from metabolism.report import experiment_names

    return experiment_names()


def _sets() -> Iterable[str]:
    from metabolism.model import set_names

    return set_names()


def _parameters() -> Iterable[str]:
    from metabolism.model import parameter_table

    return (f"{p}=" for p in parameter_table())


def _outputs() -> Iterable[str]:
    from metabolism.model import equations, load

    system = equations(load())
    return [*system.states, *system.computed]


def _ids() -> Iterable[str]:
    from metabolism.model import parameter_table

    return [*_outputs(), *parameter_table()]


def _formats() -> Iterable[str]:
    from metabolism.exports import FORMATS

    return FORMATS


_NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "name": _experiments,
    "sets": _sets,
    "param": _parameters,
    "output": _outputs,
    "id": _ids,
    "what": lambda: LISTS,
    "engine": lambda: ("auto", "roadrunner", "scipy", "fast"),
    "format": _formats,
}


def _completer(names: Callable[[], Iterable[str]]) -> Callable[..., list[str]]:
    return lambda prefix, **_: [n for n in names() if n.startswith(prefix)]
