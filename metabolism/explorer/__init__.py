"""The trial in a tab: the whole model in one static web page, for people who do not program.

The page computes by itself: the ensemble engine's generator writes the model as WebAssembly, and plain ES modules under
``page/`` lay out runs for it, draw what comes back, and repeat a trial. One person, with presets, pinned scenarios,
published points and the flux map; or a trial of a thousand virtual people, with the answer to "would it happen again?".
The address holds the state, so that a link shares it; data, figures and the scenario's SBML can be taken away.

Nouns: *contents* (everything model-specific in the page, one JSON made from the model's own objects), *choices* (what
can be chosen, between which limits), *view* (what the model computed for them), *study* (a trial, repeated).

>>> from metabolism.explorer import exposure_warning
>>> exposure_warning("127.0.0.1")
''
>>> "anyone who can reach this computer" in exposure_warning("0.0.0.0")
True

Begin with ``metabolism explore``, which calls `serve`, or with `build_page`, which writes the one file. A content
security policy in that file forbids every request; it opens from disk, offline and on a telephone.

What is decided elsewhere: a supplement is a sentence of `metabolism.dosing`, a genotype a parameter set of
`metabolism.model`, an effect a scenario and a trial a design of `metabolism.trials`, the map a layout of
`metabolism.report`. The tests hold the page to the package on the same draws to 1e-9, in two browsers.

What it does not offer: advice. It is a research model and not for patient care, and says so on every screen.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
