# The one list of tasks. Every recipe works from a clean checkout: what it needs, it makes or asks for.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

# Places and compiler flags; a Makefile cannot source a shell file for all of its recipes.
ENV := . tests/env.sh
# The test cluster's kubeconfig and docker, unless the caller brings a cluster.
ON_CLUSTER = $(ENV); [[ -n $${KUBECONFIG:-} ]] || { exports=$$(tests/cluster/up) && eval "$$exports"; }

CHART := charts/exportjob-operator
NAMESPACE ?= exportjob-system
RELEASE ?= exportjob-operator

.PHONY: help setup build images cluster-up cluster-down deploy sample demo test e2e bench lint fmt crds docs clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## Install what the other tasks need: Debian packages (as root), helm, kubectl, a Python with Delta readers
	@tests/setup

build: ## Compile all binaries, optimised
	@$(ENV); cargo build --release --locked --workspace

images: build ## Build the images without a registry and load them into the test cluster
	@tests/cluster/images

cluster-up: ## Bring up the kind cluster; prints the line that makes it current
	@tests/cluster/up

cluster-down: ## Take the cluster down, with the docker daemon if we started it
	@tests/cluster/down

# The tag stays the same from build to build, so the binary's hash in an annotation makes a new one start.
deploy: setup ## Install the chart with the images of `make images` into the current cluster
	@$(ON_CLUSTER)
	binary=$$(sha256sum "$$CARGO_TARGET_DIR/$${CARGO_BUILD_TARGET:-}/release/exportjob-controller" | cut -c1-16)
	helm upgrade --install $(RELEASE) $(CHART) --namespace $(NAMESPACE) --create-namespace --wait --timeout 3m \
	  --set controller.image.tag=dev --set exporter.image.tag=dev \
	  --set-string "controller.podAnnotations.exportjob\.dev/binary=$$binary"

sample: setup ## Download the CDNOW purchases and write the sample profile store to examples/cdnow/store
	@tests/cdnow/store make examples/cdnow/store

demo: setup ## From nothing to a finished export: cluster, chart, a job over the sample data, its result
	@tests/demo/run

test: ## All tests, the cluster's included; leaves nothing running that was not running before
	@tests/run

e2e: setup ## The cluster's tests alone, against the current KUBECONFIG (or the test cluster, which is brought up)
	@$(ON_CLUSTER)
	EXPORTJOB_E2E=1 RUST_TEST_THREADS=4 cargo test --release --locked --workspace --no-fail-fast --test 'e2e_*'

bench: ## Measure exports beside other engines and write docs/benchmarks.md; that page has the settings
	@tests/bench/run

lint: ## Formatting, clippy, shell scripts, licences and duplicate dependencies
	@tests/lint

fmt: ## Format the Rust sources
	@$(ENV); cargo fmt --all

crds: ## Generate crds/, and the chart's copy, from the types
	@$(ENV)
	for folder in crds $(CHART)/files/crds; do
	  cargo run --release --locked --quiet -p exportjob-api --bin crdgen -- "$$folder"
	done

docs: ## Generate docs/reference/: resources from the types, the query language from its table
	@$(ENV)
	cargo run --release --locked --quiet -p exportjob-api --bin refgen -- docs/reference
	cargo run --release --locked --quiet -p exportjob-pql --example pqlgen

clean: ## Take the cluster down and remove this project's cache: programs, images, compiled code
	@tests/cluster/down
	$(ENV); rm -rf "$$EXPORTJOB_CACHE"
