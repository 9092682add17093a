PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
OTHER_PYTHON := "gateline needs Python 3.11 to 3.13; select one: make PYTHON=python3.11 ..."

.PHONY: run test test-slow coverage lint docs bench lock clean

run: $(READY)
	$(BIN)/python -m pipeline run --profile sample

test: $(READY)
	$(PYTEST) -m "not slow"

# What runs whole lines, servers and browsers.
test-slow: $(READY)
	$(PYTEST) -m slow

# Lines and branches that the quick tests execute. Code that runs in other processes does not count.
coverage: $(READY)
	$(PYTEST) -m "not slow" --cov --cov-report=term:skip-covered

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python docs/generate.py
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs build/docs
	@echo "build/docs/index.html"

bench: $(READY)
	$(BIN)/python -m tests.benchmarks $(if $(BENCH_DATA),--data $(BENCH_DATA)) $(if $(ONLY),--only $(ONLY))

# Exact versions with their hashes, so that nothing is resolved and nothing is built; then this project itself, as a
# path: setuptools' other way to install it would find a folder gateline/ in the current directory, the default ROOT.
$(READY): requirements.lock setup.py
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else $(OTHER_PYTHON))'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	touch $(READY)

# For maintainers, with uv: makes the lock file anew from setup.py.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev \
		setup.py -o requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info
