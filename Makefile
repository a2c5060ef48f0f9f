# Two commands are all a newcomer needs: `make run` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= 2
# one thread per process: the models are small, and nested threads only slow them down
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

.PHONY: run test check lint types quick generated bench bench-sbml campaigns conformance docs site mutation page pack release wheel container constraints clean

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

# write derived values, the committed SBML build, the fingerprint, the board's page and the drawing of the rooms afresh
generated: $(STAMP)
	$(BIN)/metabolism check --rewrite
	$(BIN)/metabolism fingerprint --json docs/fingerprints/als_methionine.json --force
	$(BIN)/metabolism qualify --markdown docs/evidence || test $$? -eq 1
	$(BIN)/metabolism evidence --card --out docs/model_card.md --force
	$(BIN)/python docs/architecture.py
	$(BIN)/python docs/submissions/build.py

# measure the fast engine against other tools and write docs/performance.md; WITH="amici desolve" adds those
bench: $(STAMP)
	$(BIN)/python benchmarks/bench.py $(foreach tool,$(WITH),--with $(tool))
	$(BIN)/python benchmarks/page.py

# ensembles of other models against libRoadRunner, over a folder of SBML files: make bench-sbml FILES=path/to/biomodels
bench-sbml: $(STAMP)
	nice $(BIN)/python benchmarks/bench_sbml.py $(FILES)

# the SBML Test Suite through the fast engine, what is left of it: make conformance SUITE=path/to/sbml-test-suite
conformance: $(STAMP)
	nice $(BIN)/python benchmarks/conformance.py $(SUITE)

# the site, without a single warning: docs/_build/html/index.html
docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "site: docs/_build/html/index.html"

# the site with the page, beside the versions that are there: one folder for any static host, dist-site/index.html
site: $(STAMP)
	PYTHON=$(BIN)/python bash .ci/site dist-site $(VERSION)

# the trial in a tab: one file that opens offline and can be sent on
page: $(STAMP)
	$(BIN)/metabolism explore --build trial.html

# faults put into the package one at a time: do the tests notice? hours of work; what is known is not run again
mutation: $(STAMP)
	nice $(BIN)/python benchmarks/mutation.py

# what is too long for the tests: random patients, engines against each other, wrong inputs, kills, broken SBML files (those
# with SBML_TEST_SUITE=path/to/sbml-test-suite); resumes where it was
campaigns: $(STAMP)
	nice $(BIN)/python benchmarks/campaigns.py

# the validation pack with the results of all tests, and the record of this release for the next to compare with
pack: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q --junit-xml results/tests.xml
	$(BIN)/metabolism evidence --pack results/pack --junit results/tests.xml --force
	mkdir -p docs/evidence/releases
	cp results/pack/[0-9]*.json docs/evidence/releases/

# the wheel from an empty home: WAYS="pip uv uvx pipx", where those are installed
wheel:
	$(PYTHON) .ci/wheel_check.py --by $(or $(WAYS),pip)

# the container, or its steps one by one where no engine runs (as root): ARGS=--stand-in
container:
	$(PYTHON) .ci/container.py $(ARGS)

# the newest versions of everything into constraints.txt; `make test` then says whether they do
constraints: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --all-extras --group dev --no-annotate --no-header \
	  --output-file constraints.txt pyproject.toml

# the dry run of a release: built twice, compared, checked, with hashes and a bill of materials in dist/
release:
	bash .ci/release

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "als-methionine needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	touch $@

clean:
	rm -rf $(VENV) results docs/_build docs/_generated .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
