# The two commands of the README: `make demo` and `make test`. `make check` is the style gate.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
OUT ?= out

.PHONY: demo test test-automl test-finetune check clean

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

# Training on pictures needs torchvision, whose torch is another one than that of the other tests.
$(VENV)-finetune/.installed: pyproject.toml tests/constraints-finetune.txt
	$(PYTHON) -m venv $(VENV)-finetune
	$(VENV)-finetune/$(notdir $(BIN))/python -m pip install --quiet --editable ".[finetune]" pytest --constraint tests/constraints-finetune.txt
	touch $@

test-finetune: $(VENV)-finetune/.installed
	$(VENV)-finetune/$(notdir $(BIN))/python -m pytest tests/training/test_finetune.py tests/training/test_finetune_tasks.py tests/training/test_starts.py tests/experiments/test_network.py

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(VENV)-finetune $(OUT)
