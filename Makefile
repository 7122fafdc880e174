# The commands of this project for people, hooks and CI; `make help` lists them.
#
# Settings given to make (DATA_FILE, CONTRACT, RUN_ID, TRAIN_TRIALS, API_PORT, ...) become
# environment variables of every module and override the environment's file. Variables that the
# shell exports do not: other projects may use the same names. Of these only PYTHON counts here;
# mlstack/caller_environment.py lists what else passes.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

ifneq (,$(findstring e,$(filter-out -%,$(firstword $(MAKEFLAGS)))))
$(error make -e would let exported variables decide: run make without -e, and see MAKEFLAGS)
endif

# Several targets on one command line follow each other, whatever MAKEFLAGS says about jobs.
.NOTPARALLEL:

# These would change which modules Python imports, and what the shell runs first.
unexport BASH_ENV $(filter-out PYTHON,$(filter PYTHON%,$(.VARIABLES)))

# The variables on make's own command line.
GIVEN := $(strip $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name))))

# embedded, local or cloud; empty: the environment that was last set up, else local
env :=
# service that `make logs` follows; empty: all of them
service :=
# run to deploy now; RUN_ID in the environment's file is deployed once
RUN_ID :=
# file that `make restore` reads
BACKUP :=
# table, column to predict and, if it is not to be the file's, name of what `make contract` drafts
DATA :=
TARGET :=
NAME :=
# customer whose predictions `make predictions` lists, and `make explain` shows the newest of
KEY :=
# prediction that `make explain` shows
ID :=
# file that `make score` writes, CSV or Parquet; its table is DATA
OUT :=
# entry that `make quarantine` stores again, or all
REPLAY :=
# drift of the contract that `make demo-drift` sends; empty: the first one
DRIFT :=
# 1: `make bench-serving` takes less than 5 minutes, with three peers
QUICK :=
# the folder of a package, for `make check`
PKG :=

VENV := .venv
PY := $(VENV)/bin/python
LOADED := $(PY) -m mlstack.with_environment --given "$(GIVEN)"
RUN = $(LOADED) "$(env)"
SET_UP = $(LOADED) --set-up "$(env)"

# Services run as native processes or in containers, depending on the environment alone.
ENVIRONMENT := $(or $(env),$(shell sed -n 's/^MLSTACK_ENV=//p' .env 2>/dev/null),local)
ifeq ($(ENVIRONMENT),embedded)
PACKAGES = $(RUNTIME)
JOB := -m operations.embedded.job
else
PACKAGES = $(OPERATE)
JOB := -m operations.containers.job
endif

CHOOSE := server.deploy $(if $(RUN_ID),to "$$RUN_ID",ensure)

# The newest Python from 3.11 to 3.13 on the PATH that starts.
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,\
	$(if $(shell $(name) -Ic '$(SUITABLE)' 2>/dev/null && echo yes),$(name))))

# A stamp names the locks' content, because file times change with every checkout.
LOCKS := $(shell cat requirements/*.txt | cksum | tr ' ' -)
OPERATE := $(VENV)/.operate-$(LOCKS)
# Optional packages for the services; the lock for development has them.
EXTRA_PACKAGES := $(shell cat .env .env.embedded 2>/dev/null | sed -n 's/^EXTRA_PACKAGES=//p' | tr -d "'" | head -n1)
RUNTIME := $(VENV)/.runtime-$(LOCKS)$(if $(EXTRA_PACKAGES),-$(subst $() ,-,$(sort $(EXTRA_PACKAGES))))
DEV := $(VENV)/.dev-$(LOCKS)
BENCH := $(VENV)/.bench-$(LOCKS)

# Packages are installed again when the Python that they were installed for is gone.
STARTS := import os, sys; sys.exit(not os.path.isdir("$(VENV)/lib/python%d.%d" % sys.version_info[:2]))
ifneq ($(shell $(PY) -ISc '$(STARTS)' 2>/dev/null || case $$? in (1|127) echo no ;; esac),)
.PHONY: $(PY) $(OPERATE) $(RUNTIME) $(DEV) $(BENCH)
endif

##@ Start here

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-zA-Z_-]+( [a-zA-Z_-]+)*:.*## / {printf "  %-27s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(RUNTIME) ## Start everything from scratch without Docker: services, data, training, predictions
	@$(LOADED) embedded -m operations.demo.demo

.PHONY: contract
contract: $(RUNTIME) ## Draft contracts/NAME.yaml from your own table (DATA=path TARGET=column)
	@$(LOADED) "$(env)" -m operations.contract_draft "$${DATA:-}" "$${TARGET:-}" "$${NAME:-}"

.PHONY: demo-drift
demo-drift: $(PACKAGES) ## Send changed customers to the running stack and show what detects them, and when (DRIFT=...)
	@$(RUN) $(JOB) operations.demo.drift_demo "$(DRIFT)"

.PHONY: doctor
doctor: $(PACKAGES) ## Check ports, disk, memory and what else the environment needs on this machine
	@$(RUN) -m operations.doctor

##@ Model registry and training (env=embedded, local or cloud)

.PHONY: setup-model-registry
setup-model-registry: $(PACKAGES) ## Make env= the active environment; start MLflow, Prefect and what they need
	@$(SET_UP) -m operations.stack start model-registry
	@$(RUN) $(JOB) operations.retention.prune_flow apply

.PHONY: init_aws
init_aws: $(PACKAGES) ## Create bucket and streams and upload the training data (DATA_FILE=...)
	@$(RUN) $(JOB) operations.aws.init_aws

.PHONY: apply-model-train-flow
apply-model-train-flow: $(PACKAGES) ## Apply the training flow and its schedule
	@$(RUN) $(JOB) model_orchestration.schedule apply

.PHONY: train
train: $(PACKAGES) ## Train now and wait for the result (TRAIN_TRIALS=...)
	@$(RUN) $(JOB) model_orchestration.schedule run

##@ Serving

.PHONY: setup-model-serve
setup-model-serve: $(PACKAGES) ## Deploy RUN_ID, else the last deployment; start servers and monitoring
	@$(RUN) $(JOB) $(CHOOSE)
	@$(SET_UP) -m operations.stack start serve monitoring

.PHONY: start-serve
start-serve: $(PACKAGES) ## Start the servers again; deploy RUN_ID if it is new
	@$(RUN) $(JOB) $(CHOOSE)
	@$(RUN) -m operations.stack start serve

.PHONY: stop-serve
stop-serve: $(PACKAGES) ## Stop the model servers and the simulators only
	@$(RUN) -m operations.stack stop serve

.PHONY: apply-prediction-reporting
apply-prediction-reporting: $(PACKAGES) ## Apply the reporting flow and its schedule
	@$(RUN) $(JOB) reporting.schedule apply

.PHONY: report
report: $(PACKAGES) ## Create a report on recent predictions now and print its address
	@$(RUN) $(JOB) reporting.schedule run

.PHONY: deploy
deploy: $(PACKAGES) ## Check the model of RUN_ID=... and switch the running servers to it
	@$(RUN) $(JOB) server.deploy to "$${RUN_ID:-}"

.PHONY: score
score: $(PACKAGES) ## Score every row of a table with the deployed run (DATA=path OUT=path)
	@$(RUN) -m operations.scoring.command "$${DATA:-}" "$${OUT:-}"

.PHONY: rollback
rollback: $(PACKAGES) ## Return to the previous deployment
	@$(RUN) $(JOB) server.deploy rollback

.PHONY: deployed
deployed: $(PACKAGES) ## Print the deployed run id
	@$(RUN) $(JOB) server.deploy current

.PHONY: deployments
deployments: $(PACKAGES) ## List all deployments with their times
	@$(RUN) $(JOB) server.deploy history

##@ Everyday

.PHONY: status
status: $(PACKAGES) ## Show every service: state, pid, memory, address, and whether it is ready
	@$(RUN) -m operations.stack status

.PHONY: logs
logs: $(PACKAGES) ## Follow the logs of all services, or of one (service=...)
	@$(RUN) -m operations.stack logs "$(service)"

.PHONY: alert-test
alert-test: $(PACKAGES) ## Send a test alert and show for each receiver whether it was delivered, or why not
	@$(RUN) -m operations.alerting.alert_test

.PHONY: security
security: $(OPERATE) ## Count open ports, root users, default passwords and the like in running containers
	@$(RUN) -m operations.containers.security

.PHONY: reset_all
reset_all: $(PACKAGES) ## Stop everything and delete all data, models too; data in AWS itself stays
	@$(RUN) -m operations.stack reset

.PHONY: adopt
adopt: $(PACKAGES) ## Take over containers and volumes that another clone or the release before has left
	@$(RUN) -m operations.stack adopt

.PHONY: prune
prune: $(PACKAGES) ## Remove data older than KEEP_..._DAYS now (a schedule does so daily)
	@$(RUN) $(JOB) operations.retention.prune

.PHONY: predictions
predictions: $(PACKAGES) ## List what was predicted of the customer KEY=..., newest first
	@$(RUN) $(JOB) operations.predictions "$${KEY:-}"

.PHONY: explain
explain: $(PACKAGES) ## Show what a prediction was made of, why, and score it again (ID=... or KEY=...)
	@$(RUN) $(JOB) operations.receipts.command "$${ID:-}" "$${KEY:-}"

.PHONY: quarantine
quarantine: $(PACKAGES) ## List what can never be stored, or store it again (REPLAY=all)
	@$(RUN) $(JOB) operations.quarantine $(if $(REPLAY),"$(REPLAY)")

.PHONY: backup
backup: $(PACKAGES) ## Save MongoDB, MLflow and the deployment to a file in backups/; nothing stops
	@operations/backup/to_file.sh $(RUN) $(JOB) operations.backup.create

.PHONY: restore
restore: $(PACKAGES) ## Load a backup (BACKUP=...) into an empty stack, as after setup-model-registry
	@test -f "$${BACKUP:-}" || { echo "BACKUP=$${BACKUP:-}: name the file of a backup, as make backup printed it"; exit 2; }
	@$(RUN) $(JOB) operations.backup.restore <"$$BACKUP"

##@ Development

# The slowest tests are listed, because they decide how long everybody waits.
PYTEST_RUN := $(PY) -m pytest --durations 20 --durations-min 10
# Three processes on two cores: tests that start servers mostly wait. A file stays in one process.
PYTEST := $(PYTEST_RUN) --numprocesses 3 --dist loadfile --no-loadscope-reorder

.PHONY: test run_tests
test run_tests: $(DEV) ## Run the unit tests and the main integration tests, make demo among them
	@$(PYTEST) tests/unit tests/integration

.PHONY: test-rest
test-rest: $(DEV) ## Run all other integration tests
	@$(PYTEST) tests/rest

.PHONY: test-compose
test-compose: $(DEV) ## Bring the whole stack up in containers, use it, hurt it, take it down
	@$(PYTEST_RUN) --timeout 1800 tests/compose

.PHONY: test-ledger
test-ledger: $(DEV) ## The long form of the ledger tests: 20 kills of each process, a minute of hanging, 20 deploys
	@LEDGER_KILLS=20 LEDGER_SECONDS=60 LEDGER_RECORDS=100000 SERVERS_DEPLOYS=20 $(PY) -m pytest --timeout 1800 \
		tests/rest/test_ledger_api.py tests/rest/test_load_balancer.py \
		tests/rest/test_stream_server.py tests/rest/test_stream_resharding.py tests/rest/test_stream_kcl.py

.PHONY: try-tables
try-tables: $(DEV) ## Draft contracts of public tables and run the whole demo on each (half an hour)
	@$(PY) -m pytest --timeout 1200 tests/tables

.PHONY: check
check: $(DEV) ## Lint, type-check and unit-test one package (PKG=mlstack/data)
	@test -n "$(wildcard $(PKG))" || { echo "PKG=$(PKG): name the folder of a package, as in: make check PKG=mlstack/data"; exit 2; }
	@$(VENV)/bin/ruff format --check $(wildcard $(PKG) tests/unit/$(PKG))
	@$(VENV)/bin/ruff check $(wildcard $(PKG) tests/unit/$(PKG))
	@$(VENV)/bin/mypy $(wildcard $(PKG) tests/unit/$(PKG))
	@$(if $(wildcard tests/unit/$(PKG)),$(PY) -m pytest tests/unit/$(PKG),echo "$(PKG) has no unit tests of its own")

.PHONY: lint
lint: $(DEV) ## Check format, types, shell scripts, YAML and this file
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy .
	@git ls-files -co --exclude-standard -- '*.sh' .ci/run | xargs -r $(VENV)/bin/shellcheck
	@git ls-files -co --exclude-standard -- '*.yml' '*.yaml' | xargs -r $(VENV)/bin/yamllint --strict
	@$(VENV)/bin/zizmor --offline --quiet --no-progress .github
	@if command -v actionlint >/dev/null; then actionlint -shellcheck $(VENV)/bin/shellcheck; else \
		echo "actionlint is not on the PATH: the workflows were checked without it"; fi
	@$(VENV)/bin/mbake validate Makefile
	@$(VENV)/bin/mbake format --check --config .bake.toml Makefile

# In a new virtual environment, so that the packages under audit cannot affect the result.
.PHONY: audit
audit: ## Look up known vulnerabilities of every locked package (needs the Internet)
	@"$(PYTHON)" -m venv --clear .audit
	@.audit/bin/python -m operations.install.packages requirements/audit.txt
	@failed=; for lock in requirements/*.txt; do echo "== $$lock"; \
		.audit/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r "$$lock" || failed=1; \
	done; test -z "$$failed"

BENCHMARKS := training_quality tracking_overhead search_cores search_stopping search_growth search_workers log_cost stream_throughput stream_sharing mongodb_outage report_cost drift_detection table_reading table_scoring any_table serving

.PHONY: bench
bench: $(BENCH) ## Measure model quality and the cost of tracking, logging and streaming (docs/performance.md)
	@for name in $(BENCHMARKS); do echo "== $$name"; $(PY) -m "benchmarks.$$name"; done

.PHONY: bench-serving
bench-serving: $(DEV) ## Measure the HTTP server beside MLServer, BentoML, LitServe and others (QUICK=1)
	@$(PY) -m benchmarks.serving $(if $(QUICK),quick)

.PHONY: contract-reference
contract-reference: $(DEV) ## Write docs/contract.md from the model of contracts
	@$(PY) -m operations.contract_reference

.PHONY: notebooks
notebooks: $(DEV) ## Run the notebooks on the synthetic sample and save them with their output
	@$(PY) -m notebooks.helpers.execute

# --universal: the locks hold for every platform and Python that we support.
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command 'make lock'

# These have the versions of the lock for development; audit runs beside them.
LOCKED := agent api aws bench core dask embedded mlflow monitor operate postgresql prefect simulate-api \
	simulate-streams streams uv

# Servers that ours is compared with; each has versions of its own.
PEERS := bentoml fastapi litserve mlflow mlserver

.PHONY: lock
lock: $(DEV) ## Compile the dependency groups of pyproject.toml into requirements/
	@$(COMPILE) --group audit -o requirements/audit.txt
	@$(COMPILE) --group dev -o requirements/dev.txt
	@printf '%s\n' $(LOCKED) | xargs -P 4 -I NAME $(COMPILE) --group NAME -c requirements/dev.txt -o requirements/NAME.txt
	@printf '%s\n' $(PEERS) | xargs -P 4 -I NAME $(COMPILE) --group peer-NAME -o requirements/peers/NAME.txt

# The first target that needs the virtual environment creates it.
$(PY):
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.13 is needed, and the PATH has none: install one, or name it: make demo PYTHON=/path/to/python3.12"; exit 1; }
	@"$(PYTHON)" -Ic '$(SUITABLE)' || { echo "PYTHON=$(PYTHON) does not start or is not Python 3.11 to 3.13"; exit 1; }
	@"$(PYTHON)" operations/install/before_install.py
	@"$(PYTHON)" -m venv --clear $(VENV)

# Another user owns it after make was run under sudo.
WRITABLE := test -w $(VENV) || { echo "$(VENV) belongs to another user, so packages cannot be installed there: \
	run make as that user, or remove it"; exit 1; }

# $(call install,LOCKS,STAMPS): each lock contains those before it, so a larger one serves them too.
define install
	@$(WRITABLE)
	@rm -f $(foreach kind,operate runtime dev bench,$(VENV)/.$(kind)-*)
	@$(PY) -m operations.install.packages $(patsubst %,requirements/%.txt,$(1))
	@touch $@ $(2)
endef

# After a change of the locks, the largest one that was installed is installed again.
$(OPERATE): | $(PY)
	@$(WRITABLE)
	@case "$$(ls -a $(VENV))" in \
		*.dev-*) exec $(MAKE) $(DEV) ;; \
		*.runtime-*) exec $(MAKE) $(RUNTIME) ;; \
	esac; \
	rm -f $(VENV)/.operate-* && $(PY) -m operations.install.packages requirements/operate.txt && touch $@

$(RUNTIME): | $(PY)
	$(call install,embedded $(EXTRA_PACKAGES),$(OPERATE))

$(DEV): | $(PY)
	$(call install,dev,$(RUNTIME) $(OPERATE))

$(BENCH): | $(PY)
	$(call install,bench,$(DEV) $(RUNTIME) $(OPERATE))
