# `make demo` and `make test` set up all they need below .venv.

PYTHON ?= python3
VENV := .venv
# Interpreters that pyenv keeps are not on the path; tox is told of them.
PYENV := $(wildcard $(HOME)/.pyenv/versions/*/bin/python3.[0-9][0-9])

.PHONY: demo test bench clean

demo: $(VENV)/demo.done
	$(VENV)/bin/scailookup demo

test: $(VENV)/test.done
	$(VENV)/bin/tox run $(if $(PYENV),--discover $(PYENV))

bench: $(VENV)/demo.done $(VENV)/bench.done
	$(VENV)/bin/python -m bench

$(VENV)/bench.done: $(VENV)/bin/pip bench/requirements.txt
	$(VENV)/bin/pip install --quiet -r bench/requirements.txt
	@touch $@

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "scailookup needs Python 3.11 or newer; say which with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; \
		else \
			echo "Python's venv is missing. On Debian: apt-get install python3-venv"; exit 1; \
		fi; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: $(VENV)/bin/pip setup.cfg pyproject.toml $(shell find scailookup plugins -name '*.py')
	$(VENV)/bin/pip install --quiet .
	@touch $@

$(VENV)/test.done: $(VENV)/bin/pip tox.ini
	$(VENV)/bin/pip install --quiet 'tox>=4.20'
	@touch $@

clean:
	rm -rf $(VENV) .tox build dist *.egg-info plugins/*.egg-info plugins/*/build plugins/*/*.egg-info
