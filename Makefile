# Two commands do all the set-up: `make demo` and `make test`. Both work in a virtual environment of their own (.venv).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test test-fast bench lint format clean

# Rebuilt when the dependencies change. --no-build-isolation keeps the build inside the environment's own setuptools.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip "setuptools>=77"
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --no-build-isolation -c constraints.txt -e ".[dev]"
	touch $@

# Real pictures, real words, about five minutes: trains, evaluates, saves, reloads and writes runs/demo/report.md
demo: $(VENV)/.installed
	$(BIN)/python examples/demo.py --output runs/demo

test: $(VENV)/.installed lint
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES= $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=15

test-fast: $(VENV)/.installed
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES= $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

# On an idle machine, about a quarter of an hour: the table and the profile of docs/speed.md
bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks --profile
	$(BIN)/python -m benchmarks --pages

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .cache build runs
