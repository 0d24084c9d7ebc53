# SPDX-License-Identifier: Apache-2.0
PYTHON ?= python3.11
BIN := .venv/bin
DOCS_BIN := .venv-docs/bin
RUN := runs/digits
export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup train test lint docs bench matrix clean

help:  ## print this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: .venv/.stamp  ## create the environment in .venv, from constraints.txt

train: .venv/.stamp  ## train a small Glow on digits into runs/digits, or resume it, and evaluate it on the test split
	$(BIN)/python -m trainers.train --preset=digits_glow --data=digits --output_dir=$(RUN)
	$(BIN)/python -m trainers.evaluate --run_dir=$(RUN) --data=digits --split=test

test: .venv/.stamp  ## run the test suite (the slow tests: .venv/bin/pytest -m slow)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/.stamp  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: .venv-docs/.stamp  ## build the site, with its tutorials, into docs/_build/html; it has an environment of its own
	rm -rf docs/api/generated
	$(DOCS_BIN)/python -m sphinx -b html --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "Open docs/_build/html/index.html."

bench: .venv/.stamp  ## measure step time, memory, first step and sampling of this package and its peers
	$(BIN)/python -m benchmarks.run

matrix:  ## install and test with several versions of Python, TensorFlow and Keras, in an hour or two
	$(PYTHON) -m benchmarks.versions

clean:  ## delete build products and caches; keeps environments and runs/
	rm -rf .build dist *.egg-info .pytest_cache .ruff_cache .hypothesis docs/_build docs/api/generated
	find . \( -path './.venv*' -o -path ./runs \) -prune -o -name __pycache__ -prune -exec rm -rf {} +

.venv/.stamp: EXTRA := test
.venv-docs/.stamp: EXTRA := docs
.venv/.stamp .venv-docs/.stamp: setup.py constraints.txt
	@command -v $(PYTHON) > /dev/null || { \
	  echo "make: no $(PYTHON) here; install Python 3.11, or name one: make setup PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	  echo "make: $(PYTHON) cannot create environments; on Debian: apt-get install python3.11-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -e '.[$(EXTRA)]' -c constraints.txt
	touch $@
