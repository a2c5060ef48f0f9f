"""The model, a patient and a regimen as files for other tools.

One door to every format: SBML in three levels, Antimony, a COMBINE archive with its experiment, PEtab problems, models
for mrgsolve and rxode2 with a NONMEM-shaped data set, Julia, a page of equations, a table. Each file is written whole
or not at all, never over another by accident, and what can be run here is run by the tests in the tool it is for.

Nouns: a *format* (a key of `FORMATS`), the *scenario* in it (a model with its changed values, a regimen, a span), the
*fingerprint* of the shipped model (what any simulator must find in it).

>>> from metabolism.exports import FORMATS, sbml_text
>>> from metabolism.model import load
>>> {"sbml", "omex", "petab", "mrgsolve", "rxode2", "nonmem", "latex"} <= set(FORMATS)
True
>>> text = sbml_text(load(), "50 mg im every 3.5 d x 2")
>>> text.count("<event ") > 0, "GFR_rel" in text
(True, True)

Begin with `export`: a model, a format, a path and a regimen. Doses become events in the one encoding that libRoadRunner
and COPASI both deliver; `sbml_text` gives the document without a file, `write_petab` the calibration problem, and
`model_fingerprint` what is to be compared after a round trip.

What it does not do: it reads no files of others (`metabolism.sbml`), and it never rounds: numbers leave as they are.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
