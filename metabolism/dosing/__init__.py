"""What happens to a patient from outside: doses, changed parameters, and the words for them.

Words become events in one grammar, and events become the plan that an engine carries out. The exact meaning of
every event - what happens first at one time, what an infusion is, when a value is given back - is the docstring of
`Regimen`; it holds in every engine and every export.

Nouns: `Dose` (an amount of a substance by a route), `Hold` (a parameter replaced, multiplied or raised for a while or
for life), `Regimen` (all that is done, a value that can be added, delayed and thinned), *substance* (what can be dosed,
with its molar mass and where each route puts it).

>>> from metabolism.dosing import Regimen, substance
>>> regimen = Regimen.parse("50 mg methylcobalamin im every 3.5 d x 32 + 0.8 mg folic acid oral daily x 112")
>>> len(regimen.doses)
144
>>> round(regimen.total("methylcobalamin"))  # umol: 32 x 50 mg at 1344.4 g/mol
1190
>>> substance("mecobalamin").name  # one of its other names
'methylcobalamin'

Begin with `Regimen.parse`; doses missed at random are ``regimen.missed(0.05, seed=1)``. `substances` lists what can be
given. Case files, the command line and Python read the same words, and `plan` is the step to the engines.

What it does not know: the state of the patient. Whether a dose of 50 mg is wise, metabolised or even absorbed is the
model's answer, and how long to look is the study's.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
