# SPDX-License-Identifier: Apache-2.0
# The developer's and the newcomer's whole interface; .ci/run calls the same targets.

VENV ?= .venv
PY := $(VENV)/bin/python
PEERS ?= .venv-peers
SEED ?= 0
# more options for `make bench`, e.g. BENCH="--slow --capture my_capture" or BENCH="--only query,node"
BENCH ?=
SHELL := /bin/bash

# A shell started by a Python of another environment with ROS wheels hands its libraries down; ours must find its own.
ifdef _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
endif

.PHONY: help install demo eval bench bench-peers weights test test-all lint config clean

help:  ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

install:  ## make .venv with everything in it (does nothing when nothing changed)
	@VENV=$(VENV) scripts/install

demo: install  ## simulated arm, live map, questions in words, one object lifted; SEED=n for another scene
	$(PY) -m lerf_ros demo --seed $(SEED)

eval: install  ## accuracy on unseen simulated scenes, ours, the paper's and baselines (hours; goes on where it was); SEED=n
	$(PY) -m lerf_ros eval --scenes 40 --paper-scenes 12 --seed $(SEED) --report out/eval_$(SEED).json

bench: install  ## speed and memory -> out/bench.json, a table, curves in out/bench (20 min; goes on where it was)
	$(PY) -m bench $(BENCH)

bench-peers:  ## make .venv-peers with nerfstudio, which `make bench` then compares with (8 GB)
	@VENV=$(PEERS) scripts/install_peers

weights: install  ## train the bundled encoder again, from the project's own renders
	$(PY) -m lerf_ros weights

test: install  ## all tests but the slow ones: real processes, real DDS
	$(PY) -m pytest -m "not slow"

test-all: install  ## the slow ones too
	$(PY) -m pytest

lint: install  ## ruff and mypy --strict
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

config: install  ## write config/lerf.yaml and docs/parameters.md anew from lerf_ros/config
	$(PY) scripts/parameter_file > config/lerf.yaml
	$(PY) scripts/parameter_page > docs/parameters.md

clean:  ## remove what building and testing made (not .venv, .venv-peers, out)
	rm -rf build install log dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
