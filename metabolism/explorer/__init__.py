"""The model as a page, for people who do not program.

Choices on the left: dose, interval, route, vitamins, genotype, kidney function, time since onset, and the assumption
about the effect of the drug. On the right: curves with bands, the flux map, and plain words about what the model says
here, what is known, and what is assumed. Each state of the page is an address that can be passed on, and each figure,
table and scenario can be taken away as a file.

Nouns: *choices* (what can be chosen, between which limits, and how an address says it), *view* (what the model
computed for them: curves, bands, fluxes, words), *band* (differences between people, or uncertainty of the effect).

Begin with ``metabolism explore``, which calls `serve` on this machine. Everything is computed and served here; the
page's content policy keeps the browser from asking any other machine for anything. `exposure_warning` says what is
at stake when the page is offered to a network.

What a choice means is not decided here: a regimen goes through the words of `metabolism.dosing`, a genotype is a
parameter set of `metabolism.model`, an effect is a scenario of `metabolism.trials`, and every curve comes from
`metabolism.simulation`. A scenario that is taken away as SBML gives the same curves elsewhere.

What it does not offer: advice. It is a research model of a disease process and not for patient care, and says so on
every page.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
