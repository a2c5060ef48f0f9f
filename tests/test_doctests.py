"""Examples in docstrings: each runs, gives what it shows, and there are enough of them to learn from."""

import doctest
import importlib
import warnings
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "metabolism"
WITH_EXAMPLES = sorted(p for p in PACKAGE.rglob("*.py") if ">>> " in p.read_text(encoding="utf-8"))


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return importlib.import_module(".".join(p for p in parts if p != "__init__"))


def examples(path):
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(module_of(path)) if test.examples]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_examples_give_what_they_show(path):
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.REPORT_ONLY_FIRST_FAILURE)
    told = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for test in examples(path):
            runner.run(test, out=told.append)
    assert runner.tries > 0
    assert told == [], "".join(told)


def test_sixty_examples_at_least_and_one_at_every_door():
    found = {path: sum(len(test.examples) for test in examples(path)) for path in WITH_EXAMPLES}
    assert sum(found.values()) >= 60
    doors = set(PACKAGE.glob("*/__init__.py"))
    assert doors <= found.keys()
