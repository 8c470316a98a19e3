# Two commands do everything: `make run` and `make test`. Each sets itself up, in .venv.
PYTHON ?= python3
VENV = .venv/bin/python
export GOAL = $(firstword $(MAKECMDGOALS))

RUN = requirements/local.txt
TEST = $(RUN) requirements.txt requirements/parallel.txt requirements/image.txt requirements/fuzz.txt requirements/browser.txt \
	requirements/openapi.txt
CHECK = $(TEST) requirements/check.txt

run: ## the whole of Orderline on this machine, until Ctrl-C
	@$(PYTHON) cli/bootstrap.py $(RUN)
	@exec $(VENV) -m cli run

# What `. .local/env` leaves in a shell: the tests must not mind
IN_A_SHELL = STACK=elsewhere ACCESS=token WORKER_TIMEOUT_S=20 AWS_ENDPOINT_URL=http://127.0.0.1:9 AWS_REGION=eu-west-1
PARALLEL = -m pytest -n 4 -p randomly --durations=10

test: ## every test: in process on a mocked cloud, on the local cloud, and again as Lambda calls AWS
	@$(PYTHON) cli/bootstrap.py $(TEST)
	$(VENV) $(PARALLEL)
	$(VENV) -m pytest -m local --durations=10
	$(IN_A_SHELL) AWS_TRANSPORT=sigv4 $(VENV) $(PARALLEL) tests/functional tests/faults \
		--ignore-glob "*bare_use.py" --ignore-glob "*mutants.py"

check: ## style, types, the direction of imports, the packaged template
	@$(PYTHON) cli/bootstrap.py $(CHECK)
	$(VENV) -m ruff check .
	$(VENV) -m mypy
	.venv/bin/lint-imports --no-cache
	$(VENV) -m cli package --stage dev
	$(VENV) -m cli package --stage prod
	.venv/bin/cfn-lint build/dev/out/template.json build/prod/out/template.json
	$(VENV) -m cli.audit requirements-lambda.txt requirements.txt

proof: proof-model proof-faults proof-mutants proof-recovery proof-soak fuzz ## nothing is lost, nothing ends twice: every layer, whole (hours)

proof-faults: ## any fault at any AWS call, any order of two actors' steps, long walks (an hour and a half)
	@$(PYTHON) cli/bootstrap.py requirements.txt
	PROOF=1 $(VENV) -m pytest -q -s --durations=0 tests/faults --deselect tests/faults/test_mutants.py

proof-mutants: ## each guard taken out in turn must turn the suite red; prints the kill matrix (about 20 minutes)
	@$(PYTHON) cli/bootstrap.py requirements.txt
	$(VENV) -m tests.faults.mutants

proof-model: ## every interleaving of the state machine within small bounds, then weakened ones (about 10 minutes)
	@$(PYTHON) cli/bootstrap.py requirements.txt
	$(VENV) -m tests.model
	$(VENV) -m tests.model --mutate

proof-recovery: ## killed, stopped and badly mapped workers, late deadlines: the numbers (ORDERS=5000 in the backlog)
	@$(PYTHON) cli/bootstrap.py $(TEST)
	$(VENV) -m tests.soak.measure $(or $(ORDERS),5000)

proof-soak: ## an hour of load and kill -9; SECONDS=600 makes it shorter, SEED=1 repeats its chances
	@$(PYTHON) cli/bootstrap.py $(TEST)
	$(VENV) -m tests.soak $(or $(SECONDS),3600) $(SEED)

CASES ?= 50000
fuzz: ## so many hostile requests, made from /openapi.json, at the local stack: make fuzz CASES=50000 (hours)
	@$(PYTHON) cli/bootstrap.py $(TEST)
	CASES=$(CASES) $(VENV) -m pytest -m "" -s tests/fuzz

package: ## the template and the zip of a stage: make package STAGE=dev
	@$(PYTHON) cli/bootstrap.py $(RUN)
	@$(VENV) -m cli package --stage $(or $(STAGE),dev)

deploy: ## to AWS: make deploy STAGE=dev; YES=1 asks nothing, SET="WorkerTimeout=30 Visibility=180" sets parameters
	@$(PYTHON) cli/bootstrap.py $(RUN)
	@$(VENV) -m cli deploy --stage $(or $(STAGE),dev)

cold-start: ## milliseconds of each function's first and later answers, under AWS's runtime client, on this machine
	@$(PYTHON) cli/bootstrap.py $(TEST)
	@$(VENV) -m benchmarks.cold_start

verify-aws: ## deploy, check, measure, destroy, in the account that AWS's tools use; YES=1 asks nothing
	@$(PYTHON) cli/bootstrap.py $(TEST)
	@$(VENV) -m cli verify

destroy: ## a stage's stack: make destroy STAGE=dev
	@$(PYTHON) cli/bootstrap.py $(RUN)
	@$(VENV) -m cli destroy --stage $(or $(STAGE),dev)

COMPILE = UV_FORK_STRATEGY=fewest .venv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.10 --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
lock: ## make the lock files anew from requirements/*.in; UPGRADE=--upgrade takes newer versions
	@$(PYTHON) cli/bootstrap.py requirements/check.txt requirements/openapi.txt
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
	PATH="$(CURDIR)/.venv/bin:$$PATH" npm install --package-lock-only --prefix tests/acceptance/openapi

bench: ## CPU, cold starts, calls, units and dollars, beside Flask + Celery + Redis and Huey; QUICK=1: in 2 minutes
	@$(PYTHON) cli/bootstrap.py $(TEST)
	@INTO=build/peers $(PYTHON) cli/bootstrap.py requirements/peers.txt
	@QUICK=$(QUICK) $(VENV) -m benchmarks

screenshots: ## the pictures of the board and the terminal's text in docs/
	@$(PYTHON) cli/bootstrap.py $(TEST)
	$(VENV) -m tools.board screenshots

measure-board: ## how soon an order is seen to be ready, and how 500 open ones weigh (about 6 minutes)
	@$(PYTHON) cli/bootstrap.py $(TEST)
	$(VENV) -m tools.board measure

train: ## make the weights of classify_image anew
	@$(PYTHON) cli/bootstrap.py $(TEST) requirements/train.txt
	$(VENV) -m tools.train_digits

clean: ## forget what was built; orders in .local stay
	rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache

help:
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /	/'

.PHONY: run test check proof proof-model proof-faults proof-mutants proof-recovery proof-soak fuzz package deploy destroy cold-start verify-aws lock train bench screenshots measure-board clean help
