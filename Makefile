# make demo     environment, drawn booru, shards, training, predictions, thresholds, report: all of it under demo/;
#               2 minutes on two cores after the first minutes of installing. Another drawn world:
#               make demo DEMO=demo_scenes STYLE=scenes
# make demo-labels   better labels for it: out-of-fold audit, answers by the truth, the recipe before and after;
#               15 minutes
# make own IMAGES=pictures FROM=TAGGER   a tagger of one's own: from captioned pictures and a run, release, timm
#               folder or hub id to a trained run, an audit of the labels and a report, all under own/NAME/
# make test     environment with the test tools, then the test suite, 11 minutes on two cores without AVX-512;
#               make test-slow: its longest checks
# make test-newest   the suite with the newest versions that pyproject.toml allows, in an environment of its own
# make lint     style and types
# make docs     the documentation as a site, build/site/index.html
# make study-labels   the study of incomplete labels: losses, audit, soft labels, sampling; on two cores some
#               three hours with AVX-512, up to eight without
# make study-learn PEER_PYTHON=...   the study behind the recipe small; that Python has torch, torchvision and timm
# Every one continues where it was stopped. Single commands: source .venv/bin/activate, then swcv --help.

PYTHON ?= python3
DEMO ?= demo
SEED ?= 0
STYLE ?= faces

ENV := .venv/.installed
ENV_DEV := .venv/.installed-dev
PY := .venv/bin/python
export TF_CPP_MIN_LOG_LEVEL ?= 3
# Modules are compiled once, not in each process, also where the environment (as of some images) forbids it.
export PYTHONDONTWRITEBYTECODE :=

# Any text as one word of the shell; `value` keeps make from expanding a $ in it. Folders that make writes into are
# names of its rules, in which it allows neither spaces nor what the shell would not take as it stands.
quoted = '$(subst ','\'',$(1))'
IS_ODD := import re, sys; print("odd" if re.search(r"[^\w./~+@=,-]|^-", sys.argv[1]) else "")
require_plain = $(if $(shell $(PYTHON) -c '$(IS_ODD)' $(call quoted,$(value $(1)))),$(error $(1) takes a folder \
  without spaces and other marks than . _ - + = @ , in its name; got $(value $(1))))
ifneq ($(value DEMO),demo)
$(call require_plain,DEMO)
endif

.PHONY: help demo about-demo demo-labels own test test-slow test-newest lint clean docs study-labels study-learn
.PHONY: study-labels-quarter study-labels-others
.DELETE_ON_ERROR:
.SECONDARY:

help:
	@sed '/^$$/,$$d; s/^# \{0,1\}//' Makefile

about-demo:
	@echo "draws 3,000 pictures of a booru, trains a small ResNet on them, scores it: 2 minutes on two cores; all under $(DEMO)/"

# Every output below is written beside its place and renamed, so a file that exists is whole, and a second
# `make demo` continues where the first one stopped.
demo: about-demo $(DEMO)/dump/dump.json $(DEMO)/thresholds.csv
	$(PY) tools/make_report.py $(DEMO)/dump --dataset $(DEMO)/dataset --truth $(DEMO)/booru/truth.csv \
	  --run $(DEMO)/run -o $(DEMO)/report --overwrite
	@echo "or use it: source .venv/bin/activate, then swcv tag $(DEMO)/run PICTURES, or swcv serve $(DEMO)/run"

$(DEMO)/booru/definition.toml: | $(ENV)
	$(PY) tools/make_demo_booru.py $(DEMO)/booru --seed $(SEED) --style $(STYLE)

$(DEMO)/dataset/selected_tags.csv: | $(DEMO)/booru/definition.toml
	@rm -f $(@D).packed
	$(PY) tools/select_tags.py $(DEMO)/booru/definition.toml --source fire-eggs --from $(DEMO)/booru/danbooru.db \
	  --images $(DEMO)/booru/512px -o $(DEMO)/dataset

$(DEMO)/dataset.packed: | $(DEMO)/dataset/selected_tags.csv
	$(PY) tools/write_records.py $(DEMO)/dataset --images $(DEMO)/booru/512px
	@touch $@

$(DEMO)/run/model.keras: | $(DEMO)/dataset.packed
	$(PY) train.py demo --dataset $(DEMO)/dataset --run-dir $(DEMO)/run
	@test -f $@ || { echo "error: training was stopped; make demo continues it" >&2; exit 1; }

$(DEMO)/dump/dump.json: | $(DEMO)/run/model.keras
	$(PY) tools/predict.py $(DEMO)/run --dataset $(DEMO)/dataset --split validation -o $(DEMO)/dump

$(DEMO)/test_dump/dump.json: | $(DEMO)/run/model.keras
	$(PY) tools/predict.py $(DEMO)/run --dataset $(DEMO)/dataset --split test -o $(DEMO)/test_dump

# Chosen on validation, judged on test.
$(DEMO)/thresholds.csv: | $(DEMO)/dump/dump.json $(DEMO)/test_dump/dump.json
	$(PY) tools/find_thresholds.py $(DEMO)/dump -o $(DEMO)/thresholds.csv --per frequency \
	  --judge $(DEMO)/test_dump

# The loop of better labels on the drawn booru, whose true tags are known. Predictions of the training posts out of
# fold, an audit at the operating point, answers by the truth, a corrected database; then the recipe with three
# seeds before and after, scored by the true tags of validation and test together.
LABELS := $(DEMO)/labels
FOLDS := 0 1 2
SEEDS := 0 1 2
SCORED := $(foreach side,before after,$(SEEDS:%=$(LABELS)/$(side)/%/dump.json))
TRAINED = test -f $@ || { echo "error: training was stopped; make demo-labels continues it" >&2; exit 1; }

demo-labels: $(SCORED)
	$(PY) tools/compare_dumps.py $(LABELS)/before $(LABELS)/after --truth $(DEMO)/booru/truth.csv

$(LABELS)/folds/without_%/model.keras: | $(DEMO)/dataset.packed
	$(PY) train.py demo --dataset $(DEMO)/dataset --fold $*/$(words $(FOLDS)) --run-dir $(@D)
	@$(TRAINED)

$(LABELS)/folds/%/dump.json: | $(LABELS)/folds/without_%/model.keras
	$(PY) tools/predict.py $(LABELS)/folds/without_$* --dataset $(DEMO)/dataset --fold $*/$(words $(FOLDS)) -o $(@D)

$(LABELS)/folds/all/dump.json: | $(FOLDS:%=$(LABELS)/folds/%/dump.json)
	$(PY) tools/ensemble.py $(FOLDS:%=$(LABELS)/folds/%) --stack -o $(@D)

$(LABELS)/thresholds.csv: | $(LABELS)/folds/all/dump.json
	$(PY) tools/find_thresholds.py $(LABELS)/folds/all -o $@ --rule p-equals-r

$(LABELS)/audit.json: | $(LABELS)/thresholds.csv
	$(PY) tools/audit_labels.py $(LABELS)/folds/all -o $@ --operating-point $(LABELS)/thresholds.csv \
	  --truth $(DEMO)/booru/truth.csv

$(LABELS)/decisions.jsonl: | $(LABELS)/audit.json
	$(PY) tools/answer_audit.py $(LABELS)/audit.json --truth $(DEMO)/booru/truth.csv \
	  --tags $(DEMO)/dataset/selected_tags.csv -o $@

$(LABELS)/corrected.db: | $(LABELS)/decisions.jsonl
	$(PY) tools/apply_decisions.py $(LABELS)/decisions.jsonl --db $(DEMO)/booru/danbooru.db -o $@

$(LABELS)/dataset/selected_tags.csv: | $(LABELS)/corrected.db
	@rm -f $(@D).packed
	$(PY) tools/select_tags.py $(DEMO)/booru/definition.toml --source fire-eggs --from $(LABELS)/corrected.db \
	  --images $(DEMO)/booru/512px -o $(LABELS)/dataset

$(LABELS)/dataset.packed: | $(LABELS)/dataset/selected_tags.csv
	$(PY) tools/write_records.py $(LABELS)/dataset --labels-only --reuse $(DEMO)/dataset
	@touch $@

$(LABELS)/runs/before_%/model.keras: | $(DEMO)/dataset.packed
	$(PY) train.py demo --seed $* --dataset $(DEMO)/dataset --run-dir $(@D)
	@$(TRAINED)

$(LABELS)/runs/after_%/model.keras: | $(LABELS)/dataset.packed
	$(PY) train.py demo --seed $* --dataset $(LABELS)/dataset --run-dir $(@D)
	@$(TRAINED)

$(LABELS)/dumps/%_validation/dump.json: | $(LABELS)/runs/%/model.keras
	$(PY) tools/predict.py $(LABELS)/runs/$* --dataset $(DEMO)/dataset --split validation -o $(@D)

$(LABELS)/dumps/%_test/dump.json: | $(LABELS)/runs/%/model.keras
	$(PY) tools/predict.py $(LABELS)/runs/$* --dataset $(DEMO)/dataset --split test -o $(@D)

# The run of make demo has seed 0.
$(LABELS)/before/0/dump.json: | $(DEMO)/dump/dump.json $(DEMO)/test_dump/dump.json
	$(PY) tools/ensemble.py $(DEMO)/dump $(DEMO)/test_dump --stack -o $(@D)

$(LABELS)/before/%/dump.json: | $(LABELS)/dumps/before_%_validation/dump.json $(LABELS)/dumps/before_%_test/dump.json
	$(PY) tools/ensemble.py $(LABELS)/dumps/before_$*_validation $(LABELS)/dumps/before_$*_test --stack -o $(@D)

$(LABELS)/after/%/dump.json: | $(LABELS)/dumps/after_%_validation/dump.json $(LABELS)/dumps/after_%_test/dump.json
	$(PY) tools/ensemble.py $(LABELS)/dumps/after_$*_validation $(LABELS)/dumps/after_$*_test --stack -o $(@D)

# Two commands, a core each, whose parts share nothing but the booru that the first line draws.
STUDY := tools/studies/labels.py runs/study-labels
study-labels: $(ENV)
	$(PY) $(STUDY) --parts losses --methods 1
	$(MAKE) --no-print-directory -j 2 study-labels-quarter study-labels-others
	$(PY) $(STUDY) --report

study-labels-quarter: $(ENV)
	$(PY) $(STUDY) --parts losses labels seeds pairs mixup

study-labels-others: $(ENV)
	$(PY) $(STUDY) --parts people rates shares unseen frequency audits

PEER_PYTHON ?= $(PY)
study-learn: $(ENV_DEV)
	$(PY) tools/studies/learning.py runs/study --peer-python $(PEER_PYTHON)

# From somebody's captioned pictures and a released tagger to a tagger that says their tags. Stopped at any
# moment, the same command goes on. The dataset is under OWN, by default own/ and the name of the pictures.
# SELECT and FINETUNE are further words for these commands: SELECT="--folder-tags --tags list.csv".
ifdef OWN
$(call require_plain,OWN)
else
NAME := import os, re, sys; print(re.sub(r"[^\w.-]|^[.-]", "_", os.path.basename(os.path.abspath(sys.argv[1]))) or "_")
OWN := own/$(if $(value IMAGES),$(shell $(PYTHON) -c '$(NAME)' $(call quoted,$(value IMAGES))))
endif
SELECT ?=
FINETUNE ?=
PICTURES := $(call quoted,$(value IMAGES))
SOURCE := $(call quoted,$(value FROM))
BEGUN_WITH := $(call quoted,IMAGES=$(abspath $(value IMAGES)) FROM=$(value FROM))
PRINT_WEIGHTS := import Utils.command.interrupt, sys; \
  from Utils.command import backend, cli; \
  from Utils.recipe import command_line, initial_weights; \
  describe = backend.deferred(command_line.FUNCTIONS[0]); \
  sys.exit(cli.command(lambda path: print("weights:", initial_weights.find(path, "best", describe).file))(sys.argv[1]))

own: own-words $(OWN)/audit.json $(OWN)/report/report.html
	@echo "the tagger is $(OWN)/run, its scores are in $(OWN)/report/report.html. It is of the pictures as they were when"
	@echo "this was first run; OWN=another-folder begins anew. Next, as you like:"
	@echo "  $(PY) tools/tag_images.py $(OWN)/run OTHER_PICTURES --thresholds $(OWN)/thresholds.csv"
	@echo "  $(PY) tools/export_model.py $(OWN)/run -o $(OWN)/release --layout full --thresholds $(OWN)/thresholds.csv"
	@echo "  $(PY) tools/review_labels.py $(OWN)/audit.json $(OWN)/audit_wrong.json --tags $(OWN)/dataset/selected_tags.csv -o $(OWN)/decisions.jsonl"
	@echo "  $(PY) tools/apply_decisions.py $(OWN)/decisions.jsonl --images" $(call quoted,$(PICTURES))

# A dataset that was deleted by hand is packed again, whatever the mark says; the rule that selects it removes the mark.
UNPACKED := $(foreach folder,$(DEMO) $(LABELS) $(OWN),$(if $(wildcard $(folder)/dataset/*),,$(wildcard $(folder)/dataset.packed)))
.PHONY: $(UNPACKED)

.PHONY: own-words
own-words:
	@test -n $(PICTURES) -a -n $(SOURCE) || { echo "error: make own IMAGES=folder-of-pictures FROM=run-release-timm-folder-or-hub-id [OWN=folder]" >&2; exit 2; }
	@test ! -e $(OWN) -o -d $(OWN) || { echo "error: OWN=$(OWN) is a file; give a folder" >&2; exit 2; }
	@test ! -f $(OWN)/begun_with || test "$$(cat $(OWN)/begun_with)" = $(BEGUN_WITH) || { echo "error: $(OWN) was begun with other words: $$(cat $(OWN)/begun_with); OWN=another-folder begins anew" >&2; exit 2; }
	@test -f $(OWN)/begun_with -o -e $(PICTURES) || case $(PICTURES) in *://*) ;; *) echo "error: there is nothing at" $(call quoted,IMAGES=$(value IMAGES)) >&2; exit 2;; esac

# Whether both are there is seen before any work starts.
$(OWN)/begun_with: | own-words $(ENV)
	@test -n $(SOURCE) && $(PY) -c '$(PRINT_WEIGHTS)' $(SOURCE)
	@mkdir -p $(OWN)
	@printf '%s\n' $(BEGUN_WITH) > $@.new && mv $@.new $@

$(OWN)/dataset/selected_tags.csv: | $(OWN)/begun_with
	@rm -f $(@D).packed
	$(PY) tools/select_tags.py --from=$(PICTURES) -o $(OWN)/dataset $(SELECT) || { unlink $(OWN)/begun_with; exit 2; }

$(OWN)/dataset.packed: | $(OWN)/dataset/selected_tags.csv
	$(PY) tools/write_records.py $(OWN)/dataset
	@touch $@

$(OWN)/run/model.keras: | $(OWN)/dataset.packed
	$(PY) train.py finetune --dataset $(OWN)/dataset --init-from=$(SOURCE) --run-dir $(OWN)/run $(FINETUNE)
	@test -f $@ || { echo "error: training was stopped; the same command continues it" >&2; exit 1; }

$(OWN)/dump/dump.json: | $(OWN)/run/model.keras
	$(PY) tools/predict.py $(OWN)/run --dataset $(OWN)/dataset --split validation -o $(OWN)/dump

$(OWN)/thresholds.csv: | $(OWN)/dump/dump.json
	$(PY) tools/find_thresholds.py $(OWN)/dump -o $@ --rule p-equals-r

$(OWN)/audit.json: | $(OWN)/thresholds.csv
	$(PY) tools/audit_labels.py $(OWN)/dump -o $@ --operating-point $(OWN)/thresholds.csv --also-wrong

$(OWN)/report/report.html: | $(OWN)/dump/dump.json
	$(PY) tools/make_report.py $(OWN)/dump --dataset $(OWN)/dataset --run $(OWN)/run -o $(OWN)/report

test: $(ENV_DEV)
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: $(ENV_DEV)
	$(PY) -m pytest -n 2 --dist load -m slow

NEWEST := build/newest
test-newest:
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install -q --upgrade --upgrade-strategy eager -r requirements-dev.txt
	$(NEWEST)/bin/python tools/render_versions.py $(NEWEST)/constraints.txt
	@diff constraints.txt $(NEWEST)/constraints.txt || true
	$(NEWEST)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

lint: $(ENV_DEV)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright

$(ENV): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install -q -r requirements.txt
	touch $@

$(ENV_DEV): requirements-dev.txt $(ENV)
	$(PY) -m pip install -q -r requirements-dev.txt
	touch $@

# What make demo and make demo-labels wrote; whatever else lies there stays.
clean:
	@test ! -e $(DEMO) -o -f $(DEMO)/booru/truth.csv || { echo "error: no booru that make demo drew is in $(DEMO); nothing was deleted" >&2; exit 2; }
	rm -rf $(addprefix $(DEMO)/,booru dataset dataset.packed run dump test_dump thresholds.csv report labels)
	@test ! -d $(DEMO) || rmdir $(DEMO) 2> /dev/null || echo "$(DEMO) keeps what make did not write:" $$(ls -A $(DEMO))

docs: $(ENV_DEV)
	$(PY) tools/render_site.py build/pages
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict -q
	@echo "build/site/index.html; with the search: $(PY) -m http.server -d build/site"
