"""Integrate an SBML model for one patient or many thousand. For anybody's SBML.

An engine receives a `Problem` - the equations of one document, a `Plan` of boluses and settings, and one row of
parameters and one of initial states per patient - and returns a `Solution`. It changes no unit, name or default, and
knows nothing of dosing words, resting states or our model.

Three engines answer to `get_engine`: ``"fast"`` (`metabolism.engines.ensemble`: generated vector code, an L-stable
Rosenbrock method, each patient bitwise independent of the others; the default of every run) and two referees,
``"roadrunner"`` (CVODE) and ``"scipy"`` (LSODA with symbolic rates and Jacobian).

>>> import antimony, numpy as np
>>> from metabolism.engines import Plan, Problem, get_engine
>>> from metabolism.sbml import read_equations
>>> _ = antimony.loadAntimonyString("model decay; S = 10; k = 0.5; J: S -> ; k*S; end")
>>> system = read_equations(antimony.getSBMLString("decay"))
>>> problem = Problem(
...     system, Plan(), 0.0, 2.0, np.array([0.0, 2.0]), ("S",),
...     parameters=np.array([[0.5, 1.0], [1.0, 1.0]]), initial=np.array([[10.0], [10.0]]),
...     dose_scale=np.ones((2, 0)), rtol=1e-9, atol=np.array([1e-12]),
... )
>>> solution = get_engine("scipy").solve(problem)
>>> solution.values[:, -1, 0] / 10 - np.exp([-1.0, -2.0]) < 1e-8
array([ True,  True])

A dose is a bolus on a species [amount]; an infusion or a held parameter is a setting from a time on. What is asked at a
time is done before the output at that time is read. A patient that cannot be integrated is a `Failure` with the
time reached and the state that moved fastest; the others go on. What was delivered is measured, not assumed.

The ensemble engine has more to offer: endpoints while integrating, without stored curves (`FastEngine.endpoints`),
resting states of all patients at once (`rest_many`), and slopes along the solution (`slopes`, `Direction`). It alone
carries out the events of a file: steps end where a trigger or a comparison in the rates turns. `load_foreign` compares
any file with libRoadRunner before it is run, and refuses it where they differ.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
