# The two commands of the README: `make demo` and `make test`. `make check` is the style gate.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
OUT ?= out

.PHONY: demo test test-automl check clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml tests/constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]" --constraint tests/constraints.txt
	$(BIN)/python -m pip install --quiet --no-deps --requirement tests/references.txt
	touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/affectline analyze "$$($(BIN)/affectline models pull demo_clip)" --output $(OUT)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

# Heads of LightAutoML: a large extra that `make test` leaves out.
test-automl: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable ".[dev,automl]" --constraint tests/constraints.txt
	$(BIN)/python -m pytest tests/training/test_automl.py

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(OUT)
