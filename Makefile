# Everything from a fresh checkout: `make demo`, `make test`. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS_READY := $(VENV)/.tests-ready
# The package as it is installed, with the folders that pyproject.toml maps into it: mypy reads no such mapping.
TYPED := build/typed

.PHONY: demo test lint clean

demo: $(READY)
	mkdir -p outputs
	$(BIN)/thg-zoo run warp demo/examples/astronaut.png demo/examples/speech.wav -o outputs/demo.mp4 --overwrite --report outputs/demo.json

test: $(TESTS_READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

lint: $(TESTS_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf $(TYPED) && mkdir -p $(TYPED)
	cp -r src/thg_zoo $(TYPED) && cp -r adapters configs demo $(TYPED)/thg_zoo
	cd $(TYPED) && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p thg_zoo

clean:
	rm -rf $(VENV) build outputs src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Installed again only when what is to be installed has changed; an interrupted installation is repeated.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(TESTS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@
