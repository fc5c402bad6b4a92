# make demo    the lab on real images, from a fresh clone
# make test    the tests that matter most, at most ten minutes
# make check   what CI does: lint, types, every test
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: help demo test test-full check lint types constraints bench bench-lab bench-speed bench-data bench-duplicates bench-fuzz bench-kill bench-growth bench-gpu clean

help:
	@sed -n 's/^# //p' Makefile

$(VENV)/.installed: pyproject.toml constraints.txt scripts/venv.sh
	@scripts/venv.sh $(VENV) .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt scripts/venv.sh
	@scripts/venv.sh $(VENV) '.[all,dev]'
	@touch $(VENV)/.installed $@

demo: $(VENV)/.installed
	@$(BIN)/conviction fit digits

test: $(VENV)/.installed-dev
	$(BIN)/pytest -m "not full"

test-full: $(VENV)/.installed-dev
	$(BIN)/pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

check: lint types test-full

bench: bench-lab bench-speed bench-data bench-duplicates

bench-lab: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/lab.py

bench-speed: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/speed.py

bench-data: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/data.py

bench-duplicates: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/duplicates.py

bench-gpu: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/gpu.py

bench-growth: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/growth.py

bench-kill: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/kill.py

bench-fuzz: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/fuzz.py

# The newest versions that fit together, for every supported Python and platform.
constraints: $(VENV)/.installed-dev
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras \
		--no-annotate --no-header pyproject.toml --output-file constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
