# `make up` runs everything, `make test` the suite, `make check` what CI runs, `make demo` the loop, `make bench` figures.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WITH_POSTGRES := $(BIN)/python -m tests.postgres_server
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes
READY := $(VENV)/.ready
CONTAINER ?= docker
IMAGE ?= everlearn:local

.PHONY: up demo bench test drills soak chromium lint audit check image smoke push deploy retrain \
	retrain-report lock clean
.DELETE_ON_ERROR:

up: $(READY)
	@exec $(BIN)/python manage.py up

demo: $(READY)
	@exec $(BIN)/python -m everlearn.demo

bench: $(READY)
	@exec $(BIN)/python -m benchmarks.predict

# On SQLite, then what touches a database on PostgreSQL: the server that answers, or one of its own.
test: $(READY) chromium
	@$(BIN)/python -m pytest --ignore tests/drills
	@TEST_DATABASE=postgres $(WITH_POSTGRES) $(BIN)/python -m pytest --ignore tests/drills

# The faults that must not break us, on whole instances; minutes. The drills of a file share one.
drills: $(READY)
	@$(WITH_POSTGRES) $(BIN)/python -m pytest --dist loadfile tests/drills

# Kills at random for MINUTES, then holds every answer against the tables.
MINUTES ?= 5
soak: $(READY)
	@$(BIN)/python -m tests.drills.soak $(MINUTES)

# For the browser tests: Debian's where we may install it, else the one that Playwright brings.
chromium: $(READY)
	@command -v chromium >/dev/null || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		echo "Installing Chromium for the browser tests" && \
		apt-get -qq update && apt-get -qq -y install chromium >/dev/null; } || \
	$(BIN)/playwright install --only-shell chromium || \
	{ echo "The browser tests need Chromium (on Debian: apt-get install chromium)."; exit 1; }

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/hadolint Dockerfile

# Known vulnerabilities of the locked dependencies; says so where no service answers.
audit: $(READY)
	@$(BIN)/python .ci/audit.py

check: lint audit
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory drills

image:
	$(CONTAINER) build --build-arg CODE_REVISION=$$(git rev-parse HEAD) --tag $(IMAGE) .

smoke:
	@CONTAINER=$(CONTAINER) IMAGE=$(IMAGE) .ci/smoke

# REPOSITORY and TAGS say where to; `docker login` comes first.
push:
	@for tag in $(TAGS); do \
		$(CONTAINER) tag $(IMAGE) "$(REPOSITORY):$$tag" && $(CONTAINER) push "$(REPOSITORY):$$tag" || exit 1; \
	done

# DEPLOY_HOOK_URL is the address that a host gives for this; without one there is nothing to do.
deploy:
	@if [ -n "$$DEPLOY_HOOK_URL" ]; then curl -fsS -X POST "$$DEPLOY_HOOK_URL" >/dev/null && echo "Deploying"; \
	else echo "No DEPLOY_HOOK_URL: nothing is deployed"; fi

# Train here for a service that is elsewhere (docs/gitops.md): MODEL, DATA, REASON and RUN, or empty.
# A verdict that is not PROMOTE is no failure.
retrain: $(READY)
	@$(BIN)/python manage.py train --standalone --data="$$DATA" --reason="$$REASON" --run="$$RUN" \
		-- "$$MODEL" || [ $$? = 3 ]

# After it, however it ended: ends what a killed one left open.
retrain-report: $(READY)
	@$(BIN)/python manage.py retrain_report --run="$$RUN"

lock:
	$(BIN)/uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
		pyproject.toml --group dev -o requirements.lock

clean:
	rm -rf $(VENV) build .coverage htmlcov .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# Installed anew only when the lock is newer than the last installation. uv, itself from the
# lock, takes a third of pip's time; pip is for mirrors that only pip has been told of. The pip
# that venv brings is replaced by the locked one, and its setuptools, which nothing needs, goes.
$(READY): requirements.lock
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "EverLearn needs Python 3.11 or newer with venv; say which: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV)"
	@awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements.lock > $(VENV)/uv.txt
	@$(PIP) -r $(VENV)/uv.txt
	@$(BIN)/uv pip install --quiet --require-hashes --compile-bytecode --python $(BIN)/python \
		-r requirements.lock || $(PIP) -r requirements.lock
	@$(BIN)/uv pip uninstall --quiet --python $(BIN)/python setuptools 2>/dev/null || true
	@touch $@
