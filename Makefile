# `make up` runs everything, `make test` the suite, `make check` what CI runs, `make demo` the loop.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := everlearn feedback_app models_app tests manage.py gunicorn.conf.py

.PHONY: up demo test check lock clean
.DELETE_ON_ERROR:

up: $(READY)
	@exec $(BIN)/python manage.py up

demo: $(READY)
	@exec $(BIN)/python manage.py demo

test: $(READY)
	@$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

lock:
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --group dev -o requirements.lock

clean:
	rm -rf $(VENV) build .coverage htmlcov .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# Installed anew only when the lock is newer than the last installation.
$(READY): requirements.lock
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "EverLearn needs Python 3.11 or newer with venv; name one: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV); the first time takes a minute"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@
