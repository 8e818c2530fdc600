# make demo and make test do all their set-up; everything else needs one of them first.
PYTHON ?= python3
ARM ?= short
VENV := .venv
BIN := $(VENV)/bin
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: compiled docs pictures pictures-html demo test test-tools test-foreign test-arm lint bench coverage soak mutants hosts runtimes calibrate-check claims components components-check guests-python guests-all clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(VENV)/.run

demo: $(VENV)/.run            ## install, run the quickstart scenario, print its verdict
	$(BIN)/twinloop run quickstart

compiled: $(VENV)/.run        ## compile what is quicker in C (needs a C compiler and Python.h) into build/native, where this tree finds it; TWINLOOP_PURE=1 does without, and so does a tree that has none
	$(BIN)/python -m twinloop.components.native.compiling

test: $(VENV)/.dev lint       ## install with the dev tools, lint, run the suite but for its long tests and those of `make test-tools`
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not long" --ignore tests/tools  # tests on sockets mostly wait

test-long: $(VENV)/.dev       ## the long tests of the suite: those of more than 0.35 s of CPU time (tests/long.txt)
	$(BIN)/python -m pytest -n 3 --dist worksteal -m long

test-tools: $(VENV)/.dev      ## what works with other people's tools: a Dask cluster of real processes, Perfetto, Parquet, OpenTelemetry, report pages and the terminal in Chromium, captures in tshark; skipped without them
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,cluster,perfetto,parquet,otlp,pcap,web]'
	$(BIN)/python -m pytest tests/tools tests/scenarios/export tests/scenarios/exchanges tests/tui/web

test-foreign: $(VENV)/.dev    ## clients that nobody here wrote against `twinloop serve`, in the versions of tests/foreign/clients.toml, each in an environment of its own; those that aren't to be had are skipped with a word
	cd tests/foreign && npm install --no-package-lock --no-audit --no-fund --loglevel=error || echo "npm can't install; its clients are skipped"
	$(BIN)/python -m tests.foreign.check

test-arm: $(VENV)/.dev       ## fuel, digests and results of an ARM64 Python in an emulator are those of this machine: needs Debian and qemu-user, fetches an ARM64 Python and wheels once; ARM=all: every shipped scenario, an hour or two
	$(BIN)/python -m tests.arm.machine
	TWINLOOP_ARM=$(ARM) $(BIN)/python -m pytest -n 2 tests/arm

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.dev           ## ratios within one run, with the compiled part where it can be built; exits 1 when one is broken
	-$(BIN)/python -m twinloop.components.native.compiling
	$(BIN)/python -m benchmarks.ratios

runtimes: $(VENV)/.dev        ## WebAssembly runtimes side by side: builds their runners (cargo, go, node; what isn't there is left out with a word), measures, writes docs/runtimes.md and the profiles
	$(BIN)/python -m benchmarks.runtimes

calibrate-check: $(VENV)/.dev ## this machine calibrated as a board, and 20 exports predicted of which nothing was used (make guests-all builds them); writes the tables of docs/calibration.md; exits 1 when fewer than 16 lie inside their bands
	$(BIN)/python -m benchmarks.calibration --page

claims: $(VENV)/.dev          ## what is often said of WebAssembly on gateways, measured and modelled: guest code against native code, processes, containers (crun or runc, and the rights to start them; left out with a word otherwise); writes docs/claims.md, the README's lines
	$(BIN)/python -m benchmarks.claims

coverage: $(VENV)/.dev        ## branches of the code that reads what others send; exits 1 below 95 %
	$(BIN)/coverage run -m pytest tests/devices tests/conformance tests/scenarios/file/test_models.py
	$(BIN)/coverage report

docs: $(VENV)/.dev            ## docs/ as a site in build/docs; a link that leads nowhere is an error
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(BIN)/python -m twinloop.scenarios.cli.reference
	$(BIN)/mkdocs build --strict --quiet

pictures: $(VENV)/.dev        ## the documentation's pictures of the TUI, and the captures that tests hold against it (needs tmux)
	mkdir -p docs/pictures
	$(BIN)/twinloop tui mixed-plant-troubles --screenshot docs/pictures/overview.svg --at 44s --screen overview --size 120x40
	$(BIN)/twinloop tui hundred-sensors-slow --screenshot docs/pictures/latency.svg --at 20s --screen latency --size 120x40
	$(BIN)/twinloop tui mixed-plant-troubles --screenshot docs/pictures/device.svg --at 60s --screen device --size 120x40
	$(BIN)/python -m tests.tui.first_fault
	$(BIN)/python -m tests.tui.captures

pictures-html: $(VENV)/.dev   ## the documentation's pictures of report pages (needs Chromium), of a cluster and of pytest
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,cluster]'
	$(BIN)/python -m tests.tools.pictures_html
	$(BIN)/python -m tests.tools.pictures_terminal

soak: $(VENV)/.dev            ## the long forms of the tests, and 2 000 random scenarios (a second call goes on with those where it was stopped)
	TWINLOOP_SOAK=1 $(BIN)/python -m pytest -n 2 --timeout=0
	$(BIN)/python -m tests.soak --count 2000

mutants: $(VENV)/.dev         ## changes to the books and what they rest on that no test of their own notices; exits 1 when they are too many
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,mutants]'
	rm -rf mutants
	$(BIN)/mutmut run --max-children 2
	$(BIN)/python -m tests.mutants

hosts: $(VENV)/.dev           ## count anew what hosts pay for a crossing: needs gcc-aarch64-linux-gnu, qemu-user, rustup, Debian; a quarter of an hour, and as long for the first build of wasmtime
	$(BIN)/python -m benchmarks.hosts

components: $(VENV)/.dev      ## rebuild the guests from their sources
	$(BIN)/python -m twinloop.components.build
	$(BIN)/python -m twinloop.components.rego.template

components-check: $(VENV)/.dev  ## fail when a committed guest isn't what its source builds to
	$(BIN)/python -m twinloop.components.build --check
	$(BIN)/python -m twinloop.components.rego.template --check
	$(BIN)/python -m benchmarks.runtimes --check

guests-python: $(VENV)/.dev   ## components in Python that tests use beside the committed ones: two minutes
	PATH="$(abspath $(BIN)):$$PATH" $(MAKE) -C tests/guests python

guests-all: $(VENV)/.dev      ## those of all languages, for the tests that are skipped without them: needs node, npm, go; minutes
	PATH="$(abspath $(BIN)):$$PATH" $(MAKE) -C tests/guests all

clean:
	rm -rf $(VENV) build/native build/native-tests mutants tests/foreign/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
