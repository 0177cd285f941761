# make demo   environment, drawn booru, shards, training, predictions, thresholds, report: all of it under demo/
# make test   environment with the test tools, then the test suite; make test-slow: its longest checks
# make lint   style check

PYTHON ?= python3
DEMO ?= demo
SEED ?= 0

ENV := .venv/.installed
ENV_DEV := .venv/.installed-dev
PY := .venv/bin/python
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-slow lint clean
.DELETE_ON_ERROR:

# Every output below is written beside its place and renamed, so a file that exists is whole, and a second
# `make demo` continues where the first one stopped.
demo: $(DEMO)/dump/dump.json $(DEMO)/thresholds.csv
	$(PY) tools/make_report.py $(DEMO)/dump --dataset $(DEMO)/dataset -o $(DEMO)/report --overwrite

$(DEMO)/booru/definition.toml: | $(ENV)
	$(PY) tools/make_demo_booru.py $(DEMO)/booru --seed $(SEED)

$(DEMO)/dataset/selected_tags.csv: | $(DEMO)/booru/definition.toml
	$(PY) tools/select_tags.py $(DEMO)/booru/definition.toml --source fire-eggs --from $(DEMO)/booru/danbooru.db \
	  --images $(DEMO)/booru/512px -o $(DEMO)/dataset

$(DEMO)/dataset/validation/ids.npy: | $(DEMO)/dataset/selected_tags.csv
	$(PY) tools/write_records.py $(DEMO)/dataset --images $(DEMO)/booru/512px

$(DEMO)/run/model.keras: | $(DEMO)/dataset/validation/ids.npy
	$(PY) train.py demo --dataset $(DEMO)/dataset --run-dir $(DEMO)/run
	@test -f $@ || { echo "error: training was stopped; make demo continues it" >&2; exit 1; }

$(DEMO)/dump/dump.json: | $(DEMO)/run/model.keras
	$(PY) tools/predict.py $(DEMO)/run --dataset $(DEMO)/dataset --split validation -o $(DEMO)/dump

$(DEMO)/test_dump/dump.json: | $(DEMO)/run/model.keras
	$(PY) tools/predict.py $(DEMO)/run --dataset $(DEMO)/dataset --split test -o $(DEMO)/test_dump

# Chosen on validation, judged on test.
$(DEMO)/thresholds.csv: | $(DEMO)/dump/dump.json $(DEMO)/test_dump/dump.json
	$(PY) tools/find_thresholds.py $(DEMO)/dump -o $(DEMO)/thresholds.csv --rule max-f1 --per tag \
	  --judge $(DEMO)/test_dump

test: $(ENV_DEV)
	$(PY) -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(ENV_DEV)
	$(PY) -m pytest -n 2 --dist load -m slow

lint: $(ENV_DEV)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

$(ENV): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install -q -r requirements.txt
	touch $@

$(ENV_DEV): requirements-dev.txt $(ENV)
	$(PY) -m pip install -q -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(DEMO)
