# Everything happens in .venv, which is made as needed. Paths with spaces work.
PYTHON ?= python3
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile
# What pip would do by itself, on one core. Files that are no Python of ours are left as they are, as by pip.
COMPILE := .venv/bin/python -W ignore -m compileall -qq -j 0 .venv/lib || true

.DEFAULT_GOAL := help
.PHONY: help demo deep test lint bench clean

help:  ## Say what there is
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/installed  ## Train four nets, match their units, write runs/demo/report.html
	.venv/bin/python -m convergent demo --resume

deep: .venv/installed  ## Train four nets each of four families, compare them along their depth: runs/deep/report.html
	.venv/bin/python -m convergent run studies/deep.yaml --resume

test: lint  ## Lint, types and all tests
	.venv/bin/python -m pytest -n auto

lint: .venv/installed-dev  ## Lint and types only
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy

bench: .venv/installed-dev  ## Speed against the ideal, after checking each answer
	.venv/bin/python benchmarks/bench_moments.py
	.venv/bin/python benchmarks/bench_moments.py --memory
	.venv/bin/python benchmarks/sweep_origin.py
	.venv/bin/python benchmarks/bench_information.py
	.venv/bin/python benchmarks/bench_lasso.py
	.venv/bin/python benchmarks/bench_matching.py
	.venv/bin/python benchmarks/race.py

clean:  ## Remove what was built; runs/ is kept
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

# The pinned torch comes first: a range would let pip fetch gigabytes of CUDA libraries.
.venv/installed: pyproject.toml constraints.txt
	@echo "Installing convergent into .venv (about a minute)"
	$(PYTHON) -m venv .venv
	$(PIP) -r constraints.txt
	$(PIP) -c constraints.txt -e .
	@$(COMPILE)
	@touch .venv/installed

.venv/installed-dev: .venv/installed
	@echo "Installing what the tests need"
	$(PIP) -c constraints.txt -e '.[dev]'
	@$(COMPILE)
	@touch .venv/installed-dev
