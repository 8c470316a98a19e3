# `make run` and `make test` are the main targets; `make help` lists all. Each sets up .venv itself.
PYTHON ?= python3
VENV = .venv/bin/python
export GOAL = $(firstword $(MAKECMDGOALS))

RUN = requirements/local.txt client requirements/own.in
TEST = $(RUN) requirements.txt requirements/parallel.txt requirements/image.txt requirements/fuzz.txt requirements/browser.txt \
	requirements/openapi.txt requirements/examples.txt requirements/webhooks.txt
CHECK = $(TEST) requirements/check.txt

# The variables that `. .local/env` sets in a shell, which must not affect the tests
IN_A_SHELL = STACK=elsewhere ACCESS=token WORKER_TIMEOUT_S=20 AWS_ENDPOINT_URL=http://127.0.0.1:9 AWS_REGION=eu-west-1
PARALLEL = -m pytest -n 4 -p randomly --durations=10

##@ Use

run: ## Run all of Orderline on this machine until Ctrl-C
	@$(PYTHON) dev/bootstrap.py $(RUN)
	@exec $(VENV) -m dev run

config: ## Create orderline.yaml, your own configuration: lanes, secrets, rights and more
	@$(PYTHON) dev/bootstrap.py $(RUN)
	@$(VENV) -m dev config

deploy: ## Deploy a stage to AWS: make deploy STAGE=dev [YES=1] [SET="WorkerTimeout=30 Visibility=180"]
	@$(PYTHON) dev/bootstrap.py $(RUN)
	@$(VENV) -m dev deploy --stage $(or $(STAGE),dev)

destroy: ## Delete a stage's stack: make destroy STAGE=dev [YES=1]
	@$(PYTHON) dev/bootstrap.py $(RUN)
	@$(VENV) -m dev destroy --stage $(or $(STAGE),dev)

clean: ## Delete all build files, but not the orders in .local
	rm -rf build client/build client/*.egg-info .venv .mypy_cache .ruff_cache .pytest_cache

##@ Develop

# The first run replays each call over Lambda's AWS transport, except those to S3: tests/kit/replay.py
OVER_SIGV4 = $(foreach name,aws_faults attempts client_files file_costs files files_docs secrets,tests/functional/test_$(name).py)

# Enough to see that requests of an HTTP API arrive as those of a REST API do
OVER_V2 = $(foreach name,place read list stop,tests/functional/test_$(name).py)

test: ## Run all tests: in process, on the local cloud, and some with Lambda's AWS transport behind an HTTP API
	@$(PYTHON) dev/bootstrap.py $(TEST)
	$(VENV) $(PARALLEL)
	$(VENV) -m pytest -n 4 -m local --durations=10
	$(IN_A_SHELL) AWS_TRANSPORT=sigv4 FRONT=v2 $(VENV) $(PARALLEL) $(OVER_SIGV4) $(OVER_V2)

check: ## Check style, types, import layers, the packaged template and known vulnerabilities
	@$(PYTHON) dev/bootstrap.py $(CHECK)
	$(VENV) -m ruff check .
	$(VENV) -m ruff format --check .
	.venv/bin/codespell --dictionary .ci/retired-words.txt --skip "./build,*.json,*.txt,./CHANGELOG.md" .
	$(VENV) -m mypy
	.venv/bin/lint-imports --no-cache
	$(VENV) -m dev.check_board
	ORDERLINE_YAML=tests/acceptance/orderline.yaml $(VENV) -m dev package --stage dev
	.venv/bin/cfn-lint build/dev/out/template.json
	$(VENV) -m dev package --stage dev
	$(VENV) -m dev package --stage prod
	.venv/bin/cfn-lint build/dev/out/template.json build/prod/out/template.json
	$(VENV) -m dev.audit requirements-lambda.txt requirements.txt $(wildcard requirements/own.txt)

package: ## Build the template and the zip of a stage: make package STAGE=dev
	@$(PYTHON) dev/bootstrap.py $(RUN)
	@$(VENV) -m dev package --stage $(or $(STAGE),dev)

COMPILE = UV_FORK_STRATEGY=fewest .venv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.10 --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make $@"
lock: ## Compile all lock files from requirements/*.in; UPGRADE=--upgrade takes newer versions
	@$(PYTHON) dev/bootstrap.py requirements/check.txt requirements/openapi.txt
	$(COMPILE) $(UPGRADE) requirements/lambda.in -o requirements-lambda.txt
	$(COMPILE) $(UPGRADE) requirements/local.in -o requirements/local.txt
	$(COMPILE) $(UPGRADE) requirements/app.in -o requirements.txt
	$(COMPILE) $(UPGRADE) requirements/check.in -o requirements/check.txt
	$(COMPILE) $(UPGRADE) requirements/runtime.in -o requirements/runtime.txt
	$(COMPILE) $(UPGRADE) requirements/image.in -o requirements/image.txt
	$(COMPILE) --fork-strategy requires-python $(UPGRADE) requirements/train.in -o requirements/train.txt
	$(COMPILE) $(UPGRADE) requirements/browser.in -o requirements/browser.txt
	$(COMPILE) $(UPGRADE) requirements/peers.in -o requirements/peers.txt
	$(COMPILE) $(UPGRADE) requirements/fuzz.in -o requirements/fuzz.txt
	$(COMPILE) $(UPGRADE) requirements/parallel.in -o requirements/parallel.txt
	$(COMPILE) $(UPGRADE) requirements/openapi.in -o requirements/openapi.txt
	$(COMPILE) $(UPGRADE) requirements/examples.in -o requirements/examples.txt
	$(COMPILE) $(UPGRADE) requirements/webhooks.in -o requirements/webhooks.txt
	PATH="$(CURDIR)/.venv/bin:$$PATH" npm install --package-lock-only --prefix tests/acceptance/openapi
	PATH="$(CURDIR)/.venv/bin:$$PATH" npm install --package-lock-only --prefix dev/typescript
	@$(MAKE) --no-print-directory lock-own

# They fit what is in .venv beside them
OWN_FITS = $(foreach name,requirements-lambda.txt $(filter %.txt,$(CHECK)),-c $(name))
lock-own: ## Compile requirements/own.in, the libraries of your own tasks; UPGRADE=--upgrade takes newer versions
	@$(PYTHON) dev/bootstrap.py requirements/check.txt
	@if grep -q '^ *[^ #]' requirements/own.in; then \
		$(COMPILE) --only-binary :all: $(UPGRADE) $(OWN_FITS) requirements/own.in -o requirements/own.txt; \
	else rm -f requirements/own.txt; fi

screenshots: ## Create the screenshots and the terminal transcript in docs/
	@$(PYTHON) dev/bootstrap.py $(TEST)
	$(VENV) -m tests.acceptance screenshots

train: ## Train the weights of classify_image
	@$(PYTHON) dev/bootstrap.py $(TEST) requirements/train.txt
	$(VENV) -m dev.train_digits

help: ## List the targets
	@awk -F ':.*## ' '/^##@ / {print "\n" substr($$0, 5) ":"} /^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' Makefile

##@ Prove and measure

proof: proof-model proof-faults proof-mutants proof-recovery proof-soak proof-chord proof-webhooks fuzz ## Run all proofs below: model, faults, mutants, recovery, soak, chord, webhooks and fuzz (hours)

proof-model: ## Check all interleavings of the state machine within bounds, and weakened ones (15 minutes)
	@$(PYTHON) dev/bootstrap.py requirements.txt
	$(VENV) -m tests.model
	$(VENV) -m tests.model --mutate

proof-faults: ## Inject each fault at each AWS call, interleave two actors, run random walks (hours)
	@$(PYTHON) dev/bootstrap.py requirements.txt
	PROOF=1 $(VENV) -m pytest -q -s --durations=0 tests/faults --deselect tests/faults/test_mutants.py

proof-mutants: ## Remove each guard in turn, require failing tests, print the kill matrix (20 minutes)
	@$(PYTHON) dev/bootstrap.py requirements.txt
	$(VENV) -m tests.faults.mutants

proof-recovery: ## Measure recovery from killed, stopped and misconfigured workers; ORDERS=5000 sets the backlog
	@$(PYTHON) dev/bootstrap.py $(TEST)
	$(VENV) -m tests.soak.measure $(or $(ORDERS),5000)

proof-soak: ## Run an hour of load with kill -9; SECONDS=600 shortens it, SEED=1 repeats a run
	@$(PYTHON) dev/bootstrap.py $(TEST)
	$(VENV) -m tests.soak $(or $(SECONDS),3600) $(SEED)

proof-chord: ## Run a chord of 1,000 orders and one after them while workers are killed; CHILDREN=60 shortens it
	@$(PYTHON) dev/bootstrap.py $(TEST)
	$(VENV) -m tests.soak.chord $(or $(CHILDREN),1000) $(SEED)

proof-webhooks: ## Kill workers while 1,000 orders have webhooks: each end must be told as it was; ORDERS=1000 (10 minutes)
	@$(PYTHON) dev/bootstrap.py $(TEST)
	$(VENV) -m tests.soak.webhooks $(or $(ORDERS),1000) $(SEED)

CASES ?= 50000
fuzz: ## Send generated hostile requests to the local stack: CASES=50000 (hours)
	@$(PYTHON) dev/bootstrap.py $(TEST)
	CASES=$(CASES) $(VENV) -m pytest -m "" -s tests/fuzz

verify-aws: ## Deploy a separate stack to AWS, check and measure it, destroy it; YES=1 skips confirmation, FRONT=http
	@$(PYTHON) dev/bootstrap.py $(TEST)
	@$(VENV) -m dev verify

bench: ## Measure CPU, cold starts, calls and costs, also of Celery and Huey; QUICK=1: in 3 minutes
	@$(PYTHON) dev/bootstrap.py $(TEST)
	@INTO=build/peers $(PYTHON) dev/bootstrap.py requirements/peers.txt
	@QUICK=$(QUICK) $(VENV) -m benchmarks

plot: ## Write the measured numbers of README and docs, and the plots, from benchmarks/results.json
	@$(PYTHON) dev/bootstrap.py requirements.txt
	@$(VENV) -m benchmarks.page

bench-sweep: ## Count the calls and the CPU of sweeps that resend 100,000 orders (3 minutes); ORDERS=...
	@$(PYTHON) dev/bootstrap.py $(TEST)
	@$(VENV) -m benchmarks.sweep $(or $(ORDERS),100000)

simulate: ## Simulate a load on AWS: its first limit, remedies and costs; make simulate ORDERS_PER_S=10000 [TASK_MS=500 ...]
	@$(PYTHON) dev/bootstrap.py requirements.txt
	@$(VENV) -m benchmarks.simulate '$(MAKEOVERRIDES)'

cold-start: ## Measure cold and warm starts of the functions on this machine
	@$(PYTHON) dev/bootstrap.py $(TEST)
	@$(VENV) -m benchmarks.cold_start

measure-board: ## Measure the delay and the load of the board and of the operator's page (8 minutes)
	@$(PYTHON) dev/bootstrap.py $(TEST)
	$(VENV) -m tests.acceptance measure

measure-lanes: ## Measure short orders while another lane runs 100 orders of 5 s (6 minutes)
	@$(PYTHON) dev/bootstrap.py $(TEST)
	$(VENV) -m tests.soak.lanes

.PHONY: run config deploy destroy clean test check package lock lock-own screenshots train help proof \
	proof-model proof-faults proof-mutants proof-recovery proof-soak proof-chord proof-webhooks fuzz verify-aws bench plot bench-sweep simulate cold-start measure-board \
	measure-lanes
