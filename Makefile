# Everything sets itself up: `make demo` or `make test` on a fresh Debian 12, as root, is all it takes.
# Set-up runs again only when pyproject.toml, this file or the relay's source change.

# Debian's own, as in the images. Another that comes first in PATH may have been compiled without optimisation: such a
# one took 2.8 times as long for plain Python (measured once where this was written).
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := build/stamps

# Open vSwitch with its tools; nft for masquerading; a static C compiler for the CNI executable (libc6-dev) and its
# sanitizers (from gcc). For the tests: the reference CNI plugins to compare with, what they look and ask with, and a
# runtime that is not ours to run Weft under, with what is in its containers (busybox-static).
PACKAGES := openvswitch-switch nftables iproute2 iputils-ping procps python3-venv gcc make libc6-dev \
	containernetworking-plugins curl ethtool openssl busybox-static
# kubectl and containerd may be there from elsewhere; then Debian's are not wanted, and would replace another containerd.
KUBECTL := $$(command -v kubectl >/dev/null || echo kubernetes-client)
RUNTIME := $$(command -v containerd >/dev/null || echo containerd runc)
# Only the end-to-end tests need these, and Go (1.26, or one that fetches it: GOTOOLCHAIN=auto).
E2E_PACKAGES := iptables
# Only building the container images needs these.
IMAGE_PACKAGES := buildah mmdebstrap
CONTAINERS := $$(command -v runc >/dev/null || echo runc)
# Only the benchmarks need these: the peers, and a load generator.
BENCH_PACKAGES := iperf3 ovn-central ovn-host
# Only fuzzing the CNI executable needs these: a compiler with libFuzzer, and its sanitizers.
FUZZ_PACKAGES := clang libclang-rt-dev
# Inputs for each target, and which targets (all if empty).
FUZZ_RUNS ?= 1000000
FUZZ_TARGETS ?=

CLUSTER := PYTHONPATH=tests/e2e:tests/integration $(BIN)/python -m cluster

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-pure test-switches images images/requirements.txt e2e cluster-up cluster-down storm \
	check lint format types architecture generated bench-packages bench fuzz clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z.\/-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMPS)/packages $(STAMPS)/python build/weft ## Debian packages, .venv and the CNI executable

demo: setup ## A two-node cluster on this machine, shown and torn down again
	@$(BIN)/python -m cli.demo

test: setup ## All tests (as root: they use network namespaces and Open vSwitch)
	@echo "running all tests, which takes some minutes; what they say follows"
	@$(MAKE) -s -j2 --output-sync=target test-pure test-switches
	@echo "left out: make e2e, the tests on real Kubernetes" \
		"$$(command -v go >/dev/null || echo '(it needs Go, which is not installed here)')"

# Real switches mostly wait, and leave a core to the tests that only compute.
test-pure: setup
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/unit tests/property

test-switches: setup
	@$(BIN)/python -m pytest -q tests/integration

images: setup $(STAMPS)/images ## Container images in build/images, with their bills of materials (VERSION=tag, FRESH=1)
	@$(BIN)/python -m images.build $(if $(VERSION),--version $(VERSION)) $(if $(FRESH),--fresh)

images/requirements.txt: setup pyproject.toml ## Pin what goes into the images anew
	@$(BIN)/uv pip compile --quiet --python-version 3.13 --generate-hashes --no-annotate --no-header --upgrade \
		pyproject.toml --output-file $@

e2e: setup $(STAMPS)/e2e $(STAMPS)/images ## Tests on real Kubernetes (as root; needs Go; the first time compiles it)
	@$(BIN)/python -m pytest -q tests/e2e

cluster-up: setup $(STAMPS)/e2e ## A two-node Kubernetes cluster on this machine, without a network
	@$(CLUSTER) up

cluster-down: setup ## End it
	@$(CLUSTER) down

storm: setup ## 2,000 pods come and go while agent and switch are killed again and again; shows its figures
	@$(BIN)/python -m pytest -q -s --show-capture=no tests/integration/test_storm.py

check: lint types architecture generated ## Everything that is checked without running Weft

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: setup ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: setup
	@$(BIN)/mypy

architecture: setup
	@$(BIN)/lint-imports

generated: setup
	@$(BIN)/python -m openflow.document --check
	@$(BIN)/python -m cli.settings_page --check
	@$(BIN)/python -m cli.metrics_page --check
	@$(BIN)/python -m cli.values_page --check
	@$(BIN)/python -m cli.reference --check
	@$(BIN)/python -m cli.dashboard --check

bench-packages: $(STAMPS)/bench-packages ## Debian packages of the benchmarks and of their tests

bench: setup bench-packages $(if $(shell command -v go),$(STAMPS)/e2e $(STAMPS)/images) ## All benchmarks; writes bench/results.md
	@$(BIN)/python -m bench all

fuzz: setup $(STAMPS)/fuzz ## Fuzz the CNI border: FUZZ_RUNS inputs a target (a million)
	@$(BIN)/python -m fuzz run --runs $(FUZZ_RUNS) $(FUZZ_TARGETS)

clean: ## Remove what set-up made, but not the Debian packages
	@findmnt -rno TARGET | grep '^$(CURDIR)/build/' | sort -r | xargs -r umount # of the images' store
	rm -rf build $(VENV) *.egg-info

# Installing is skipped where everything is there, so that a machine without a package mirror can build.
define install
	@missing=$$(for each in $(1); do dpkg -s $$each >/dev/null 2>&1 || echo $$each; done); \
	if [ -n "$$missing" ]; then \
		echo "installing Debian packages:" $$missing; \
		test "$$(id -u)" = 0 || { echo "run make as root: packages are missing" >&2; exit 1; }; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi
endef

$(STAMPS)/packages: Makefile
	$(call install,$(PACKAGES) $(KUBECTL) $(RUNTIME))
	@mkdir -p $(@D) && touch $@

$(STAMPS)/images: Makefile
	$(call install,$(IMAGE_PACKAGES))
	@mkdir -p $(@D) && touch $@

$(STAMPS)/e2e: Makefile
	$(call install,$(E2E_PACKAGES) $(CONTAINERS))
	@mkdir -p $(@D) && touch $@

$(STAMPS)/bench-packages: Makefile
	$(call install,$(BENCH_PACKAGES))
	@mkdir -p $(@D) && touch $@

$(STAMPS)/fuzz: $(STAMPS)/python
	$(call install,$(FUZZ_PACKAGES))
	@$(BIN)/pip install -qq --disable-pip-version-check -e '.[dev,fuzz]'
	@mkdir -p $(@D) && touch $@

$(STAMPS)/python: pyproject.toml Makefile | $(STAMPS)/packages
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --disable-pip-version-check -e '.[dev]'
	@mkdir -p $(@D) && touch $@

build/weft: cni/relay.c cni/Makefile | $(STAMPS)/packages
	@$(MAKE) -s -C cni weft
