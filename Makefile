# Needs Python >= 3.11 and make; everything else is installed into .venv, here in this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet --constraint constraints.txt
RUNS := runs

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types slow browser docs screenshots soak world reproduce bench constraints clean
.DELETE_ON_ERROR:

help:  ## this list
	@echo "make demo first: it installs seesay into $(VENV), then shows what it does. The others:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "With another Python: make demo PYTHON=python3.12. The command line itself: $(BIN)/seesay --help"

demo: $(VENV)/.installed  ## explain the features of a small model, offline, without a GPU
	$(BIN)/seesay demo --out $(RUNS)/demo

test: $(VENV)/.installed-train  ## the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

check: lint types test  ## lint, types and the fast tests: what to run before a commit

lint: $(VENV)/.installed-dev  ## style, without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-train  ## the types of src
	$(BIN)/basedpyright

slow: $(VENV)/.installed-train  ## the slow tests: the wheel, the demo, every command of the README
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --numprocesses 2 --dist loadgroup --no-loadscope-reorder

browser: $(VENV)/.installed-train  ## the tests of the viewer in a real browser: Debian's chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser tests/browser

docs: $(VENV)/.installed-docs  ## the documentation as a site, strictly: open site/index.html
	$(BIN)/python tools/make_pages.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/python tools/check_site.py site

screenshots: $(VENV)/.installed-train  ## pictures of every page of the viewer, light and dark, wide and narrow
	$(BIN)/python -m tests.browser.screenshots --out $(RUNS)/screenshots

soak: $(VENV)/.installed  ## kill seesay explain fifty times and look at what comes of it; ten minutes and more
	$(BIN)/python -m tests.soak.explaining --kills 50

world: $(VENV)/.installed-train  ## train the embedded world's models from nothing; goes on where it stopped
	$(BIN)/seesay world train --out $(RUNS)/world

reproduce: $(VENV)/.installed  ## test the paper's claims on the embedded world: half an hour
	$(BIN)/seesay reproduce --out $(RUNS)/reproduce

bench: $(VENV)/.installed-train  ## speed and memory, as ratios measured in one run: bench.json, twenty minutes
	$(BIN)/python benchmarks --out bench.json

constraints: $(VENV)/.installed-train $(VENV)/.installed-docs  ## write constraints.txt anew from what is installed in .venv
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.new
	@mv constraints.new constraints.txt

clean:  ## remove .venv, builds and caches; runs/ stays
	rm -rf $(VENV) dist build site docs/generated .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "seesay needs Python >= 3.11, and $(PYTHON) is $$($(PYTHON) --version 2>&1 | head -n 1);" \
			"name another one: make $(or $(MAKECMDGOALS),demo) PYTHON=python3.12" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "Installing seesay, torch and transformers into $(VENV): once, some minutes"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the tools for tests, lint and types"
	@$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo "Installing what the documentation is built with"
	@$(PIP) --editable '.[docs]'
	@touch $@

$(VENV)/.installed-train: $(VENV)/.installed-dev
	@echo "Installing what training and clusters need"
	@$(PIP) --editable '.[dev,train,ray]'
	@touch $@
