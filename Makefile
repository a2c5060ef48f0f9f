# Two commands are all a newcomer needs: `make run` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= 2
# one thread per process: the models are small, and nested threads only slow them down
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

.PHONY: run test check lint types quick generated clean

run: $(STAMP)
	$(BIN)/metabolism run jetals

test: $(STAMP) lint types
	$(BIN)/metabolism check
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q

quick: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q -m "not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

check: $(STAMP)
	$(BIN)/metabolism check

# write derived values, the committed SBML build and the fingerprint afresh after a change in models/
generated: $(STAMP)
	$(BIN)/metabolism check --rewrite
	$(BIN)/metabolism fingerprint --json docs/fingerprints/als_methionine.json --force

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "als-methionine needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	touch $@

clean:
	rm -rf $(VENV) results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
