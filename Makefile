# Two commands matter: `make run` (the workbench) and `make test` (all tests). Both set up .venv first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Test files run side by side; many wait for processes they start, so a few more than cores is quicker.
# WORKERS=0 runs one test at a time.
WORKERS ?= 2
# Compiled modules make every start seconds faster, so an environment that forbids them is overruled here.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test lint types contracts check bench lab doctor docs deploy-checks constraints release-setup wheel licences sbom audit release-checks clean

help:
	@echo "make run      set up and start the workbench (dashboards, webhook, trader, jobs, simulator)"
	@echo "make test     set up and run the tests"
	@echo "make check    lint, types, import contracts, tests"
	@echo "make lab      JupyterLab on notebooks/"
	@echo "make doctor   check this machine and say what to do"
	@echo "make deploy-checks   the files of deploy/ by the tools that will read them"
	@echo "make release-checks  wheel, licences, bill of materials, known weaknesses"
	@echo "make bench    measured comparisons"
	@echo "make docs     build the documentation into docs/_build/html"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python was not found. Install Python 3.11 or newer, or say PYTHON=/path/to/python3."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Say PYTHON=python3.11."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,lint]'
	@$(BIN)/python -m compileall -q dashtrade webhook migrations
	@$(BIN)/python -m dashtrade.analysis.warm >/dev/null
	@$(BIN)/python -m dashtrade.backtest.warm >/dev/null
	@touch $@

run: setup
	@exec $(BIN)/dashtrade up

test: setup
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

contracts: setup
	$(BIN)/lint-imports

check: lint types contracts test

# The libraries that are measured against are installed once; nothing of the program imports them.
$(VENV)/.bench: pyproject.toml constraints.txt | $(READY)
	@$(BIN)/python -c 'import backtesting, backtrader, bt' 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@touch $@

bench: setup $(VENV)/.bench
	$(BIN)/python -m benchmarks $(ARGS)

lab: setup
	@exec $(BIN)/dashtrade lab

doctor: setup
	@$(BIN)/dashtrade doctor

# The documentation has packages of its own; they are installed once.
$(VENV)/.docs: pyproject.toml constraints.txt | $(READY)
	@$(BIN)/python -c 'import sphinx, myst_parser, furo, sphinx_copybutton' 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

docs: setup $(VENV)/.docs
	$(BIN)/python -m sphinx -W --keep-going -E -q -b html docs docs/_build/html
	@! grep -rlE '<(script|img|link|iframe)[^>]+(src|href)="(https?:)?//' docs/_build/html --include='*.html' || { echo "These pages load something from another host."; exit 1; }
	@echo "Open docs/_build/html/index.html"

# The linters of deploy/ come from the package index; promtool, caddy and systemd-analyze are used where they are installed.
$(VENV)/.deploy: pyproject.toml constraints.txt | $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[deploy]'
	@touch $@

deploy-checks: setup $(VENV)/.deploy
	$(BIN)/python -m pytest -rs -p no:randomly tests/unit/test_deploy_files.py tests/unit/test_deploy_tools.py tests/integration/test_behind_a_proxy.py $(ARGS)

# The pins are the versions of the current environment, by name and version only; everything optional is installed for it.
constraints: release-setup $(VENV)/.bench $(VENV)/.docs $(VENV)/.deploy
	$(BIN)/python -m pip freeze --all --exclude pip --exclude wheel --exclude-editable --exclude dashtrade --disable-pip-version-check | LC_ALL=C sort -f > constraints.txt

# What goes with a release, in dist/: wheel and sdist, licences, known weaknesses, bill of materials.
release-setup: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[release]'

wheel: release-setup
	rm -rf dist/*.whl dist/*.tar.gz
	$(BIN)/python -m build --no-isolation --outdir dist .

# Of what a user installs, not of what the tests need.
licences: wheel
	$(PYTHON) -m venv dist/.plain
	dist/.plain/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	$(BIN)/pip-licenses --python dist/.plain/bin/python --ignore-packages dashtrade --format=json --with-urls --with-license-file \
		| $(BIN)/python deploy/licences.py > dist/LICENCES.md
	@echo "dist/LICENCES.md"

sbom: licences
	$(BIN)/cyclonedx-py environment dist/.plain/bin/python --pyproject pyproject.toml --output-reproducible --of JSON -o dist/sbom.json
	@echo "dist/sbom.json"

# Asks an index of weaknesses. Fails where one is known, and where pins could not be looked up: then nothing is known.
audit: release-setup
	@mkdir -p dist && rm -f dist/audit.json
	@$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --progress-spinner off --format json --output dist/audit.json >dist/audit.log 2>&1 || true
	@$(BIN)/python deploy/audit.py dist/audit.json constraints.txt

release-checks: check deploy-checks wheel licences sbom audit

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache artifacts docs/_build docs/generated
