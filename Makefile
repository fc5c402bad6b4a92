# make demo    the lab on real images, from a fresh clone
# make lab     the lab as a page in the browser, from a fresh clone
# make test    the tests that matter most, in about seven minutes on two cores
# make check   what CI does: lint, types, documentation, every test
# make docs    the documentation as a site, build/docs/index.html
# make notebooks  runs the notebooks of the tutorials and keeps what they show
VENV ?= .venv
# Tests start hundreds of processes, each of which would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE
BIN = $(VENV)/bin

.PHONY: help demo lab test test-full test-long check lint types docs notebooks constraints bench bench-lab bench-speed bench-data bench-duplicates bench-fuzz bench-kill bench-growth bench-gpu bench-monitor bench-evaluation bench-small bench-explore bench-lesson bench-tune bench-serve bench-soak bench-page bench-ray bench-transfer bench-audit bench-opening bench-attack bench-unlucky clean

help:
	@sed -n 's/^# //p' Makefile

$(VENV)/.installed: pyproject.toml constraints.txt scripts/venv.sh
	@scripts/venv.sh $(VENV) '.[tensorflow]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt scripts/venv.sh
	@scripts/venv.sh $(VENV) '.[all,dev]'
	@touch $(VENV)/.installed $(VENV)/.installed-lab $@

# What checks the types of our JavaScript; npm comes with a package of the extra dev.
TYPESCRIPT = typescript@5.9.3
$(VENV)/.installed-js: $(VENV)/.installed-dev Makefile
	@$(BIN)/npm install --silent --no-audit --no-fund --prefix $(VENV)/js $(TYPESCRIPT)
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/conviction fit digits

$(VENV)/.installed-lab: pyproject.toml constraints.txt scripts/venv.sh
	@scripts/venv.sh $(VENV) '.[tensorflow,lab,export,notebook,transfer]'
	@touch $(VENV)/.installed $@

lab: $(VENV)/.installed-lab
	@$(BIN)/conviction lab

test: $(VENV)/.installed-dev
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal -m "not full"

test-full: $(VENV)/.installed-dev
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal -m "not long"

test-long: $(VENV)/.installed-dev
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal -m long

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev $(VENV)/.installed-js
	$(BIN)/mypy
	$(BIN)/node $(VENV)/js/node_modules/typescript/bin/tsc --project .

# The site, in build/docs; every link in it leads somewhere.
docs: $(VENV)/.installed-dev
	$(BIN)/python scripts/docs.py
	$(BIN)/zensical build --strict --clean

notebooks: $(VENV)/.installed-dev
	$(BIN)/python scripts/notebooks.py
	$(BIN)/python scripts/docs.py

check: lint types docs test-full

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

bench-monitor: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/monitor.py

bench-evaluation: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/evaluation.py

bench-small: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/small.py

bench-explore: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/explore.py

bench-lesson: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/lesson.py

# KerasTuner is a peer, not a part: it has an environment of its own.
build/bench-tune/.installed: $(VENV)/.installed-dev
	@scripts/venv.sh build/bench-tune '.[tensorflow,tune]'
	@build/bench-tune/bin/python -m pip install --quiet --disable-pip-version-check keras-tuner tensorboard
	@touch $@

bench-tune: build/bench-tune/.installed
	build/bench-tune/bin/python benchmarks/tune.py

bench-serve: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/serve.py

bench-soak: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/soak.py

bench-page: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/page.py

bench-ray: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/ray_trials.py
	$(BIN)/python benchmarks/ray_prediction.py

bench-transfer: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/transfer.py

bench-audit: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/audit.py

bench-opening: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/opening.py

bench-fuzz: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/fuzz.py

bench-attack: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/attack.py

bench-unlucky: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/unlucky.py

# The newest versions that fit together, for every supported Python and platform.
constraints: $(VENV)/.installed-dev
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --all-extras \
		--no-annotate --no-header pyproject.toml --output-file constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
