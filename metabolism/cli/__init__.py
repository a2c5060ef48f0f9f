"""Everything of the house from a shell: ``metabolism <command>``.

Each file of this room brings a family of commands: *look* (list, run, simulate, show, explore), *evidence* (qualify,
fit), *studies* (scan, sensitivity, design), *release* (check, export, fingerprint, compare, evidence) and *doctor*.
A command reads its options, calls one verb of another room and prints; nothing is computed here.

>>> from metabolism.cli import build_parser, main
>>> build_parser().prog
'metabolism'
>>> code = main(["simulate", "--param", "GFR_real=0.5"])  # the message goes to stderr
>>> code
2

Begin with ``metabolism`` alone, which greets and shows the next steps; every ``--help`` ends with examples that a test
runs. `main` takes the arguments as a list and returns the exit code: 0 for success, 1 where a claim, case or check
failed, 2 for a request that makes no sense, 130 when interrupted. An error is one line with what, where, the nearest
valid names and the remedy, and never a traceback.

``--json`` prints one document for a script and nothing else on stdout (`plain` makes any value fit for it);
``--quiet`` keeps progress off stderr. Progress is shown only where somebody can see it.

`browser` finds a browser for the explorer and its tests. Commands and names complete in bash, zsh and fish:
``eval "$(metabolism completion bash)"``.

What it does not know: the answers. Whatever a command can do, a verb of another room does in Python.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
