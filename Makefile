# Set-up, demo and tests on a fresh machine with Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Threads of the numerical libraries: two cores are shared by two test workers.
export OMP_NUM_THREADS ?= 1

# The real trigeminal neuralgia cohort joins the demo where a copy of it is at hand.
DATA ?= $(if $(PRECISIONPAIN_DATA),$(PRECISIONPAIN_DATA)/tn_ds005713,../shared/data/tn_ds005713)

.PHONY: setup demo test test-slow contract lint types docs examples bench clean

setup: $(READY)

# torch first and pinned, so that nothing later brings a GPU build of several gigabytes.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --quiet $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/precisionpain sample tn demo-data/sample_tn --n 600
	$(BIN)/precisionpain run demo-data/sample_tn --outcome mvd_response --out demo-report/sample_tn
	@if [ -d "$(DATA)" ]; then \
	  $(BIN)/precisionpain run "$(DATA)" --outcome mvd_response --out demo-report/ds005713; \
	else \
	  echo "The real cohort is not at hand: name a copy with make demo DATA=/path/to/ds005713"; \
	fi

test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: setup
	$(BIN)/python -m pytest -m slow

# "A Cohort is a scikit-learn X" under another scikit-learn, the oldest supported by default.
SKLEARN ?= 1.6.1
contract: setup
	$(BIN)/python -m pip install --quiet --quiet --no-deps --upgrade \
	  --target $(VENV)/scikit-learn-$(SKLEARN) scikit-learn==$(SKLEARN)
	PYTHONPATH=$(VENV)/scikit-learn-$(SKLEARN) $(BIN)/python -m pytest -q \
	  tests/contracts/test_cohort_is_X.py tests/contracts/test_leaks.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

docs: setup
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

examples: setup
	for example in examples/*.py; do echo "== $$example"; $(BIN)/python $$example || exit 1; done

bench: setup
	$(BIN)/python -m pytest benchmarks -m 'not gpu' --benchmark-only

clean:
	rm -rf $(VENV) docs/_build demo-data demo-report .pytest_cache .mypy_cache .ruff_cache
