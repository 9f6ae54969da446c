# `make demo` and `make test` need Python 3.11 and pip, nothing else: what they miss goes into .venv.
PYTHON ?= python3
EXTRAS := clip,yolo,maps,pacmap,tokens,photos,dask,dev
BIN := .venv/bin
INSTALLED := .venv/installed
FLOORS := conf storage tasks flows
# So many processes share the tests.
TEST_PROCESSES ?= 2
BENCHMARKS := $(basename $(notdir $(wildcard benchmarks/[a-z]*.py)))

# Nothing here calls out: weights come from installed packages or from `featuremill models fetch`.
export HF_HUB_OFFLINE := 1
export YOLO_OFFLINE := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1

.PHONY: setup demo test check bench
.DEFAULT_GOAL := setup

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is Python %d.%d, \
	and featuremill needs 3.11 or newer. Name one that is: make setup PYTHON=python3.11" \
	% sys.version_info[:2])'
	@# Debian's Python comes without ensurepip: there, the pip beside it fills the venv.
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { $(PYTHON) -m venv --clear --without-pip .venv && \
	$(PYTHON) -m pip --python $(BIN)/python install pip; }
	$(BIN)/python -m pip install --no-input -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: setup
	$(BIN)/featuremill run demo

test: setup
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(FLOORS) benchmarks tests
	$(BIN)/lint-imports

bench: setup
	@set -e; for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name --json; done
