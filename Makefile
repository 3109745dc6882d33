# Stream Mesh: every target sets up what it needs from a clean clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROTOS := $(wildcard proto/mesh/*/v1/*.proto)
PACKAGES := mesh gateway certs
NATIVE := $(wildcard mesh/batch/_*.[ch])
# Tests start hundreds of processes: none compiles again what another has compiled.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: browser screenshots fuzz setup demo demo-sidecar test test-unit test-kafka test-thousand test-million exactness faults faults-campaign simulate check format lint types layering proto proto-check bench bench-quick drill-trust threats lock clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml setup.py $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

setup: $(STAMP) ## create .venv from the lock file

demo: $(STAMP) ## two companies share a stream, on the embedded log
	$(BIN)/mesh demo

demo-sidecar: $(STAMP) ## two applications with a gateway beside each, and a partner that is away for a while
	$(BIN)/python -m examples.sidecar.demo

test: $(STAMP) browser ## all tests, the Kafka ones included
	$(BIN)/python -m pytest -n 2 tests -m "not kafka and not slow"
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests -m "(kafka or slow) and not alone"
	$(MAKE) faults
	$(BIN)/python -m pytest tests -m alone

test-kafka: $(STAMP) ## the matrix: every kind of source through every fault, on real brokers
	$(BIN)/python -m pytest tests/matrix

test-million: $(STAMP) ## a million records while gateways and brokers are killed
	SCENARIO_RECORDS=1000000 $(BIN)/python -m pytest -s tests/scenarios/test_kafka_kills.py

test-thousand: $(STAMP) ## the same for topics of a thousand partitions, which takes its time
	MATRIX_PARTITIONS=1000 $(BIN)/python -m pytest tests/matrix -k "none-many-partitions or kill-importer-many"

browser: ## Debian's Chromium, where it is missing: the tests of the console need it
	@tests/console/browser.sh

screenshots: $(STAMP) browser ## the pictures of docs/console.md, anew
	$(BIN)/python -m tests.console.screenshots docs/console

simulate: $(STAMP) ## ten thousand mirrors in virtual time, with faults at every edge, by seed
	$(BIN)/python -m tests.simulator --schedules 10000

fuzz: $(STAMP) ## a million batches and every other input that is not ours, mutated by seed; both HTTP APIs by their documents
	$(BIN)/python -m tests.fuzz batch --mutants 1000000
	$(BIN)/python -m tests.fuzz others --mutants 100000
	$(BIN)/python -m tests.fuzz native --mutants 20000 --sanitize
	$(BIN)/python -m tests.fuzz blank --mutants 20000 --sanitize
	FUZZ_EXAMPLES=50 FUZZ_BATCHES=5000 $(BIN)/python -m pytest tests/fuzz

faults: $(STAMP) ## real kills, simulated schedules, planted bugs: a few minutes
	$(BIN)/python -m tests.lab.whole

faults-campaign: $(STAMP) ## more than a thousand kills, ten thousand schedules, every planted bug: an hour and more
	$(BIN)/python -m tests.lab.whole --kills 1000 --schedules 10000 --json bench/results/faults.json
	$(BIN)/python -m tests.lab.table

exactness: $(STAMP) ## what a move, a kill and a loss cost, side by side with MirrorMaker 2
	$(BIN)/python -m bench.exactness

test-unit: $(STAMP) ## the tests that need no broker and no gateway process
	$(BIN)/python -m pytest -n 2 tests -m "not kafka and not slow"

check: format lint types layering proto-check ## format, lint, strict types, layering, generated code

format: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy $(PACKAGES) tests bench examples

layering: $(STAMP)
	$(BIN)/python -m pytest -q tests/test_layering.py

proto: $(STAMP) ## generate mesh/wire/v1 and mesh/local/v1 from proto/
	$(BIN)/python -m grpc_tools.protoc -I proto --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
		--python_out=. --mypy_out=quiet:. $(PROTOS)

proto-check: $(STAMP) ## the committed generated code is what the proto files say
	@rm -rf build/proto && mkdir -p build/proto
	$(BIN)/python -m grpc_tools.protoc -I proto --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
		--python_out=build/proto --mypy_out=quiet:build/proto $(PROTOS)
	@for f in $$(cd build/proto && find . -name '*_pb2.py*'); do \
		cmp build/proto/$$f $$f || { echo "$$f is stale: run make proto"; exit 1; }; done

bench: $(STAMP) ## every figure of docs/performance.md, mesh and MirrorMaker 2 by turns: about half an hour
	$(BIN)/python -m bench

bench-quick: $(STAMP) ## two rows and the latency, in less than five minutes
	$(BIN)/python -m bench --quick

drill-trust: $(STAMP) ## attacks on trust between two running gateways, and what revocation costs
	$(BIN)/python -m tests.drills.trust

threats: $(STAMP) ## each control against a threat: its tests pass, and fail in a copy without it
	$(BIN)/python -m tests.threats --jobs 2

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile -q --universal --python-version 3.11 --extra dev --extra demo \
		--generate-hashes --no-header --no-annotate -o requirements.lock pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --extra build --constraint requirements.lock \
		--generate-hashes --no-header --no-annotate -o requirements-image.lock pyproject.toml

clean:
	rm -rf $(VENV) build *.egg-info mesh/batch/_native*.so
