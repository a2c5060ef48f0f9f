"""Substances that can be dosed: names, molar masses, and where each route puts them."""

from dataclasses import dataclass
from functools import cache

from metabolism.data import models_dir
from metabolism.errors import UnknownName
from metabolism.tables import read_table


@dataclass(frozen=True)
class Substance:
    """A substance that can be dosed: molar mass [g/mol] and where each route puts it.

    Attributes
    ----------
    routes : dict of str to (str, str)
        Route to its target species, and to the parameter of its infusion rate, empty if it cannot be infused.
    steady : str
        Input [µmol/h] that a steady supply is added to; empty if what is absorbed is not what is swallowed (cobalamin,
        riboflavin), so that doses are given.
    """

    name: str
    aliases: tuple[str, ...]
    molar_mass: float
    source: str
    steady: str
    routes: dict[str, tuple[str, str]]

    @property
    def targets(self) -> list[str]:
        """Every species a dose of this substance can go to."""
        return sorted({target for target, _ in self.routes.values()})


_COLUMNS = (
    *("substance", "aliases", "route", "target", "rate_parameter", "molar_mass", "molar_mass_unit"),
    *("source", "locator", "confidence", "note"),
)


@cache
def substances() -> dict[str, Substance]:
    """Return all substances of ``models/substances.csv`` by name."""
    known: dict[str, Substance] = {}
    rows = read_table(models_dir() / "substances.csv", _COLUMNS)
    steady = {row["substance"]: row["rate_parameter"] for row in rows if row["route"] == "steady"}
    for row in rows:
        name, aliases = row["substance"], tuple(filter(None, row["aliases"].split(";")))
        made = Substance(name, aliases, float(row["molar_mass"]), row["source"], steady.get(name, ""), {})
        own = known.setdefault(name, made)
        if row["route"] not in ("steady", "measured"):
            own.routes[row["route"]] = (row["target"], row["rate_parameter"])
    return known


@cache
def substance(name: str) -> Substance:
    """Return one substance by name or alias.

    Raises
    ------
    UnknownName
    """
    names = {alias: s for s in substances().values() for alias in (s.name, *s.aliases)}
    key = " ".join(name.casefold().split())
    if key not in names:
        raise UnknownName("substance", name, names, "List them with `metabolism list substances`.")
    return names[key]


#: What an output measures, by the begin of its name, if the two differ; cobalamin is weighed as the form the model is
#: about, folates as folic acid.
_MEASURES = {
    **{"hcy": "homocysteine", "met": "methionine", "folate": "folic acid", "thf5m": "levomefolate"},
    **{"cbl": "methylcobalamin", "holo": "methylcobalamin", "plp": "pyridoxal phosphate", "mma": "methylmalonic acid"},
    **{"sam": "ademetionine", "sah": "s-adenosylhomocysteine"},
}


def measured_as(output: str) -> Substance | None:
    """Return the substance an output measures, whose molar mass turns a mass into an amount; None if none is known."""
    begin = output.split("_")[0]
    return substances().get(_MEASURES.get(begin, begin))
