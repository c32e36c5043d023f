# SPDX-License-Identifier: Apache-2.0
# Sluice. `make help` lists the targets; `make check` is exactly what CI runs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools and the playground's binaries are built once, into a cache outside the tree.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sluice
GOLANGCI_VERSION := v2.13.2
GOVULNCHECK_VERSION := v1.9.0
GOLANGCI := $(CACHE)/tools/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
GOVULNCHECK := $(CACHE)/tools/govulncheck-$(GOVULNCHECK_VERSION)/govulncheck

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
NODE ?= simulated
STORY ?= $(if $(filter real,$(NODE)),release,promotion)

.PHONY: help
help: ## Show this help
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: ui
ui: ## Build the web page into ui/dist, which bin/sluice embeds (Node.js; cached by its sources)
	hack/ui.sh build

.PHONY: ui-test
ui-test: ## Check the types of the web page and run its unit tests (cached by its sources)
	hack/ui.sh test

.PHONY: build
build: ui ## Build bin/sluice
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/sluice ./cmd/sluice # as in the image

.PHONY: image
image: ui ## Build the container image for all platforms into bin/image, and print its digest (PUSH=registry/sluice:tag)
	go run ./hack/image -version $(VERSION) -out bin/image $(if $(PUSH),-push $(PUSH))

.PHONY: playground
playground: ## Build bin/playground and the control plane it runs (slow once, then cached)
	go build -C test/playground -o ../../bin/playground .
	bin/playground build

.PHONY: upstream
upstream: ## Build Flux's CLI and controllers, Flagger, its load tester, Helm, Gitea and an S3 gateway, to test against (slow once, then cached)
	hack/upstream.sh flux
	hack/upstream.sh source-controller
	hack/upstream.sh kustomize-controller
	hack/upstream.sh notification-controller
	hack/upstream.sh flagger
	hack/upstream.sh loadtester
	hack/upstream.sh helm
	hack/upstream.sh gitea
	hack/upstream.sh versitygw

.PHONY: demo
demo: build playground ## Show a good and a bad release from push to verdict (STORY=pull-request or release, NODE=real, KEEP=1)
	go build -o bin/demo ./test/demo
	exec bin/demo -story $(STORY) -node $(NODE) $(if $(KEEP),-keep) $(if $(PICTURE),-picture $(PICTURE))

.PHONY: generate
generate: ## Generate what follows from the table of providers, deepcopy functions, CRDs, the chart's copies and the types of the user interface
	hack/generate.sh

GENERATED := api config charts/sluice/files controllers/pipeline/pipeline-commands.yaml test/compat/takeover/testdata/upstream ui/app/src/api/types.ts

.PHONY: verify
verify: generate ## Fail if anything generated is not committed
	@[ -z "$$(git status --porcelain -- $(GENERATED))" ] || { git --no-pager diff -- $(GENERATED); git status --short -- $(GENERATED); \
		echo "generated files differ: commit what 'make generate' wrote" >&2; exit 1; }

.PHONY: vet
vet: ## Run go vet
	go vet ./...
	go -C test/playground vet . ./internal/... ./pause # ./... would analyse all of Kubernetes

$(GOLANGCI):
	GOBIN=$(dir $@) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(GOVULNCHECK):
	GOBIN=$(dir $@) go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

.PHONY: lint
lint: $(GOLANGCI) ## Run golangci-lint with the limits of .golangci.yml
	$(GOLANGCI) run ./...
	cd test/playground && $(GOLANGCI) run --config ../../.golangci.yml . ./internal/... ./pause

.PHONY: vuln
vuln: $(GOVULNCHECK) ## Look for known vulnerabilities in what is reachable
	hack/vuln.sh $(GOVULNCHECK)

.PHONY: arch
arch: ## Check who imports whom
	go test -count=1 ./test/arch

.PHONY: test
test: build playground upstream ## Unit, controller and end-to-end tests on simulated nodes (TESTFLAGS=-race)
	hack/packages.sh git openssh-client chromium
	hack/ui.sh install
	hack/test.sh $(TESTFLAGS)

.PHONY: screenshots
screenshots: build playground ## Write the pictures of docs/ui.md, of the page in a browser
	hack/packages.sh chromium
	hack/ui.sh install
	mkdir -p docs/images
	hack/with-playground.sh go test -count=1 -run TestThePage/every_screen ./test/integration/browser -args -pictures $(CURDIR)/docs/images

.PHONY: ui-bench
ui-bench: build playground ## Measure the web page in a browser: its first paint, its rest, a storm of changes (docs/ui.md)
	hack/packages.sh chromium
	hack/with-playground.sh go test -count=1 -v -run TestHowFastThePageIs ./test/integration/browser -args -measure

.PHONY: e2e-real
e2e-real: build playground ## Sluice from its image, and the chain, with real pods on a real node (root, Linux)
	hack/upstream.sh helm
	hack/packages.sh containerd runc containernetworking-plugins iptables conntrack
	go -C test/playground test -count=1 -tags realnode -run RealNode .
	hack/with-playground.sh --node real go test -count=1 -v -run Releases ./test/e2e

.PHONY: soak
soak: build playground ## A hundred releases as good as their primary, with real pods: the judge rolls none back (twenty minutes; root, Linux)
	hack/upstream.sh helm
	hack/packages.sh containerd runc containernetworking-plugins iptables conntrack
	hack/with-playground.sh --node real go test -count=1 -v -timeout 2h -run HealthyReleases ./test/e2e -args -healthy-releases=100

.PHONY: bench
bench: build playground ## Measure the chain and write docs/benchmarks.md
	hack/with-playground.sh go run ./test/bench

# Where a decision is made: what a mutant survives there, nobody would notice.
PACKAGES ?= ./policy ./promotion ./writeback ./writeback/edit ./report ./canary ./canary/judge/... ./canary/object ./canary/provider \
	./apply/decide ./apply/inventory ./notify/message ./promotion/pullrequest ./report/plot ./internal/contention ./internal/mask \
	./internal/partition ./internal/pattern ./internal/resourceversion ./internal/shorten ./apply ./apply/watch ./controllers/...

.PHONY: judge-accept
judge-accept: ## Play 5000 releases of each kind against the judge of canaries: false alarms, misses and delays
	JUDGE_RUNS=5000 go test -count=1 -timeout 60m -v ./canary/judge/simulate

.PHONY: mutate
mutate: ## Find what the tests of decisions and reconcilers would not notice (PACKAGES=./policy), into docs/mutation.md
	go run ./hack/mutate -doc docs/mutation.md $(PACKAGES)

.PHONY: check
check: verify vet lint vuln arch ui-test ## Exactly what CI runs
	$(MAKE) test TESTFLAGS=-race
	$(MAKE) e2e-real
