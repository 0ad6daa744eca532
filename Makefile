# Two commands do everything on a machine with Python 3.11 or newer, venv and make:
#   make demo   sets up and runs the paper's deployment
#   make test   sets up and passes the tests
PYTHON ?= python3
VENV := .venv
TEST_VENV := .venv-test
PIP_FLAGS := --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := $(shell git ls-files '*.py' '*.yaml' '*.cfg' pyproject.toml 2>/dev/null)

.PHONY: demo test check bench clean

demo: $(VENV)/.installed
	$(VENV)/bin/flexvpn-sim demo -o results/the-paper

$(VENV)/.installed: $(SOURCES) constraints.txt
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	rm -rf build
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) .
	rm -rf build
	touch $@

# The tests run against the wheel, as users get it, in a venv of its own.
$(TEST_VENV)/.installed: $(SOURCES) constraints.txt Makefile
	test -x $(TEST_VENV)/bin/python || $(PYTHON) -m venv $(TEST_VENV)
	$(TEST_VENV)/bin/python -m pip install $(PIP_FLAGS) build
	rm -rf build dist *.egg-info
	$(TEST_VENV)/bin/python -m build --outdir dist . > /dev/null
	rm -rf build
	$(TEST_VENV)/bin/python tests/packaging/check_wheel.py dist
	wheel=$$(ls dist/*.whl) && $(TEST_VENV)/bin/python -m pip install $(PIP_FLAGS) "$$wheel[test]" \
	  && $(TEST_VENV)/bin/python -m pip install $(PIP_FLAGS) --force-reinstall --no-deps "$$wheel"
	touch $@

check: $(TEST_VENV)/.installed
	$(TEST_VENV)/bin/ruff check .
	$(TEST_VENV)/bin/ruff format --check .
	$(TEST_VENV)/bin/mypy --strict -p flexvpn_sim

test: check
	mkdir -p results
	cd tests && ../$(TEST_VENV)/bin/python -m pytest -n 2 -m "not bench" --junitxml=../results/tests.xml .
	cd tests && ../$(TEST_VENV)/bin/python -m pytest -q --doctest-modules --pyargs flexvpn_sim
	cd tests && ../$(TEST_VENV)/bin/python -m pytest -q --nbmake --nbmake-timeout=300 ../notebooks
	cd tests && ../$(TEST_VENV)/bin/python -m pytest -q -s -m bench benchmarks

bench: $(TEST_VENV)/.installed
	cd tests && ../$(TEST_VENV)/bin/python -m pytest -q -s -m bench benchmarks

clean:
	rm -rf $(VENV) $(TEST_VENV) build dist *.egg-info results
