# `make` lists the targets. All of them work in .venv, which the first one makes.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# -qq: errors only, for what pip warns of is nothing the reader can mend.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input

# The first of these that runs and is new enough; PYTHON=… on the command line has the last word.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$python" && break; \
	done)

TEST_WORKERS ?= 2
LOG ?=
FUZZ_EXAMPLES ?= 20000

# What the archives of a release take for the time: that of the last change.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1577836800)
SERVE ?=

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Two stamps, because the demo needs neither the linters nor a PostgreSQL server.
$(VENV)/.pip:
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "golive needs Python 3.11 or newer, and found $(or $(PYTHON),none): install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi
	@echo "making $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv --clear $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'  # older ones know no dependency groups
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml examples/deal_desk/requirements.txt
	@echo "installing golive[all]"
	@$(PIP) install --editable '.[all]' --requirement examples/deal_desk/requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.pip pyproject.toml
	@echo "installing golive and its development tools"
	@$(PIP) install --editable '.[all]' --group dev
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@echo "installing what bench/tripwire compares with"
	@$(PIP) install --group bench
	@touch $@

$(VENV)/.bench-load: $(VENV)/.dev
	@echo "installing what bench/load compares with"
	@$(PIP) install --group bench-load
	@touch $@

$(VENV)/.audit: $(VENV)/.dev
	@echo "installing bandit and pip-audit"
	@$(PIP) install --group audit
	@touch $@

$(VENV)/.release: $(VENV)/.dev
	@echo "installing what makes a release"
	@$(PIP) install --group release
	@touch $@

# Half a gigabyte, which the tests with a real ClickHouse alone need.
$(VENV)/.clickhouse: $(VENV)/.dev
	@echo "installing ClickHouse's engine"
	@$(PIP) install --group clickhouse
	@touch $@

.PHONY: demo
demo: $(VENV)/.demo ## run the example deal desk, then serve its page; with LOG=path replay that event log instead
	@$(BIN)/python -m examples.deal_desk.demo $(if $(LOG),--log "$(LOG)") $(if $(SERVE),--serve)

.PHONY: test
test: $(VENV)/.dev ## run the tests, on SQLite and a real PostgreSQL
	@$(BIN)/python -m pytest -m "not (faults or stack or browser)" -n $(TEST_WORKERS) --dist loadfile

.PHONY: test-faults
test-faults: $(VENV)/.dev ## kill, fork, stop and starve processes; takes minutes
	@$(BIN)/python -m pytest -m "faults and not stack"

.PHONY: chaos
chaos: $(VENV)/.dev ## random faults for CHAOS_SECONDS (1800), by a seed that is printed (CHAOS_SEED)
	@$(BIN)/python -m tests.faults.chaos

.PHONY: test-stack
test-stack: $(VENV)/.dev ## with real Prometheus, Alertmanager, ClickHouse, and OpenTelemetry in other languages
	@$(BIN)/python -m pytest -m stack -n $(TEST_WORKERS) --dist loadfile

.PHONY: test-browser
test-browser: $(VENV)/.dev ## the control-plane page in a real Chromium
	@$(BIN)/python -m pytest -m browser

.PHONY: screenshots
screenshots: $(VENV)/.dev ## take the screenshots of docs/page.md anew; needs Chromium
	@$(BIN)/python -m tests.browser.screenshots docs/screenshots

.PHONY: lint
lint: $(VENV)/.dev ## ruff, mypy --strict, and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/.dev ## format, and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: fuzz
fuzz: $(VENV)/.dev ## the decoders, the importer and the spool reader on FUZZ_EXAMPLES inputs each
	@FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest tests/fuzz --hypothesis-show-statistics

.PHONY: audit-code
audit-code: $(VENV)/.audit ## bandit over what is installed and deployed
	@$(BIN)/bandit --quiet --configfile pyproject.toml --recursive sdk exporters api deploy

.PHONY: audit
audit: audit-code ## the same, and pip-audit: known vulnerabilities of what golive needs
	@$(BIN)/python .ci/audit

.PHONY: release
release: $(VENV)/.release ## sdist, wheel, their list of parts (CycloneDX) and checksums into dist/, built twice
	@rm -rf dist
	@$(BIN)/python -m hatchling build -d dist >/dev/null
	@$(BIN)/python -m hatchling build -d dist/again >/dev/null
	@for file in dist/again/*; do cmp "$$file" "dist/$${file##*/}"; done
	@rm -rf dist/again
	@"$(BIN)/python" -m venv --clear dist/installed
	@dist/installed/bin/python -m pip -qq --disable-pip-version-check install "$$(echo dist/*.whl)[all]"
	@dist/installed/bin/golive --help >/dev/null
	@$(BIN)/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
		--output-file dist/golive.cdx.json dist/installed/bin/python
	@rm -rf dist/installed
	@cd dist && sha256sum *.* | tee SHA256SUMS

.PHONY: bench
bench: $(VENV)/.dev ## measure against raw OpenTelemetry, COPY and the ORM
	@$(BIN)/python bench/run.py

.PHONY: bench-tripwire
bench-tripwire: $(VENV)/.bench ## the tripwire beside other change detectors; takes some 20 minutes
	@$(BIN)/python -m bench.tripwire

.PHONY: bench-load
bench-load: $(VENV)/.bench-load ## golive beside its peers, the service under load, and how both grow; some 15 minutes
	@$(BIN)/python -m bench.load

.PHONY: clean
clean: ## remove what the other targets made
	@rm -rf $(VENV) .demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
