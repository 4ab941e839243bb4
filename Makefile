# Everything is set up by the targets themselves: a machine with Go, make, git and bash is enough.
# The race detector also needs a C compiler; without one the tests run without it and say so. Tests that need root,
# FUSE or Prometheus are skipped where it is missing, and say so.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# The version is set by -ldflags, so a checkout that git refuses to read does not stop a build.
export GOFLAGS := $(shell go env GOFLAGS) -buildvcs=false
VERSION := $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo unknown)
RACE := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

BUF := go tool -modfile=tools/buf.mod buf
STATICCHECK := go tool -modfile=tools/lint.mod staticcheck
ERRCHECK := go tool -modfile=tools/lint.mod errcheck
GOSEC := go tool -modfile=tools/gosec.mod gosec
BENCHSTAT := go tool -modfile=tools/bench.mod benchstat

# buf/validate/validate.proto is not copied into the repository: its Go module carries it.
VALIDATE := .build/protovalidate/buf/validate/validate.proto
# What `buf breaking` compares with: the API of the last release.
RELEASE := proto/release.binpb

# A module of its own, so that the product does not need a database driver. ./... does not go into it.
LIST_EXAMPLE := docs/examples/list_filter
# Likewise, so that it does not need the types of Kubernetes.
DEPLOY_CHECK := deploy/check

# What is shipped, without what is only for tests and for measuring. errcheck has what gosec calls G104.
SHIPPED = $$(go list -f '{{.Dir}}' ./cmd/... ./server/... ./store/... | grep -v /storetest)

FUZZTIME ?= 1m
ROUNDS ?= 1000
SOAK ?= 2m
BENCH ?= .
COUNT ?= 6

##@ Use

.PHONY: help
help: ## Show this table
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start a server with the demo tenants; its data stays in .build/demo
	go run ./cmd/usher serve --demo --data-dir .build/demo

.PHONY: build
build: ## Build the static binary .build/usher
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o .build/usher ./cmd/usher

##@ Check

.PHONY: test
test: verify lint unit examples e2e deploy-check fuzz-short ## Run every check; this is what CI runs
	@echo "all checks passed"

.PHONY: verify
verify: $(VALIDATE) ## Check that gen/ is what the protos say
	@echo "== generated code"
	@rm -rf .build/verify
	@$(BUF) generate --output .build/verify
	@diff -rq gen .build/verify/gen || { echo "gen/ does not match proto/: run make generate" >&2; exit 1; }

.PHONY: lint
lint: $(VALIDATE) ## Check formatting, go.mod, Go code, protos and API compatibility
	@echo "== formatting"
	@tools/format.sh --check
	@echo "== go mod tidy"
	@go mod tidy -diff || { echo "go.mod is not tidy: run go mod tidy" >&2; exit 1; }
	@echo "== go vet"
	@go vet ./...
	@echo "== staticcheck"
	@$(STATICCHECK) $$(go list ./... | grep -v /gen/)
	@echo "== errcheck"
	@$(ERRCHECK) -ignoretests -exclude tools/errcheck.txt $(SHIPPED)
	@echo "== gosec"
	@$(GOSEC) -quiet -exclude-dir=storetest -exclude=G104 -nosec-require-rules -nosec-require-justification $(SHIPPED)
	@for module in $(LIST_EXAMPLE) $(DEPLOY_CHECK); do \
		echo "== the module $$module"; cd $(CURDIR)/$$module; \
		go mod tidy -diff || { echo "go.mod is not tidy: run go mod tidy in $$module" >&2; exit 1; }; \
		go vet ./...; go tool -modfile=$(CURDIR)/tools/lint.mod staticcheck ./...; done
	@echo "== buf lint"
	@$(BUF) lint
	@echo "== buf breaking"
	@$(BUF) breaking proto --against $(RELEASE)

.PHONY: unit
unit: ## Run the Go tests with the race detector
	@echo "== go test $(RACE)"
	@$(if $(RACE),,echo "no C compiler: the tests run WITHOUT the race detector")
	@go test $(RACE) -timeout 14m -skip '^TestEndToEnd' ./...

.PHONY: examples
examples: ## Run the tests of the list example against SQLite, with the race detector
	@echo "== the list example: go test $(RACE)"
	@cd $(LIST_EXAMPLE) && go test $(RACE) -timeout 10m ./...

.PHONY: e2e
e2e: build .build/grpcurl ## Run the tests that drive the built binary (TestEndToEnd…)
	@echo "== end to end"
	@E2E_USHER=$(CURDIR)/.build/usher E2E_GRPCURL=$(CURDIR)/.build/grpcurl \
		go test -count=1 -timeout 5m -run '^TestEndToEnd' ./cmd/usher

.PHONY: deploy-check
deploy-check: build ## Check what is in deploy/: image, manifests, rules, dashboard, and a real Prometheus
	@echo "== deploy"
	@cd $(DEPLOY_CHECK) && E2E_USHER=$(CURDIR)/.build/usher go test -count=1 -timeout 10m ./...

.PHONY: fuzz
fuzz: ## Fuzz every target, one after the other (FUZZTIME=1m each, or 10000x)
	@tools/fuzz.sh $(FUZZTIME)

# A number of runs and not a time: with a time, go test sometimes fails with nothing
# but "context deadline exceeded" when the machine is busy (golang/go#75804).
.PHONY: fuzz-short
fuzz-short: ## Fuzz every target for 10,000 inputs
	@echo "== short fuzz"
	@tools/fuzz.sh 10000x

.PHONY: crash
crash: build ## Kill the server, and have the power fail, ROUNDS=1000 times each (about 15 minutes; as root)
	@E2E_USHER=$(CURDIR)/.build/usher E2E_GRPCURL=none go test -count=1 -timeout 60m -v \
		-run '^TestEndToEnd$$/^CrashRounds$$' ./cmd/usher -crash-rounds $(ROUNDS)
	@go test -count=1 -timeout 60m -v -run '^(TestKill|TestLostPageCache.*|TestFailingDisk)$$' \
		./store/bolt -crash-rounds $(ROUNDS) -power-rounds $(ROUNDS)

.PHONY: mutants
mutants: ## Plant faults in the code and in the built-in catalogs, and see that each is noticed (about 25 minutes)
	@go run ./tools/mutants
	@go test -count=1 -timeout 60m -run '^TestMutants$$' -v ./server/policy/catalogs -mutants=0

.PHONY: soak
soak: ## Have a server do all kinds of work for SOAK=2m, and see that what it takes up does not grow
	@go test -count=1 -timeout 0 -run '^TestSoak$$' -v ./server -soak=$(SOAK)

##@ Measure

.PHONY: bench
bench: build bench-tool ## Measure Usher against an echo of its messages, then policy and cache (15 minutes; ONLY=regexp)
	@.build/usher-bench -only '$(ONLY)'
	@$(if $(ONLY),,$(MAKE) --no-print-directory bench-go BENCH='Decide|Cache')

.PHONY: bench-scale
bench-scale: build bench-tool ## Measure with up to 10,000,000 stored assignments (ONLY=regexp); at first it stores them
	@.build/usher-bench -only '$(ONLY)' scale

.PHONY: bench-compare
bench-compare: build bench-tool ## Measure against the code of REV=revision (ONLY=regexp, BENCH=regexp, COUNT=6)
	@REV='$(REV)' ONLY='$(ONLY)' BENCH='$(BENCH)' COUNT='$(COUNT)' BENCHSTAT='$(BENCHSTAT)' tools/bench/compare.sh

.PHONY: bench-go
bench-go: ## Run the Go benchmarks (BENCH=regexp, COUNT=6, OLD=earlier.txt to compare with)
	@mkdir -p .build
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 60m ./... | tee .build/bench.txt
	@$(BENCHSTAT) $(OLD) .build/bench.txt

.PHONY: bench-tool
bench-tool:
	@CGO_ENABLED=0 go build -trimpath -o .build/usher-bench ./tools/bench

.PHONY: cover
cover: ## Measure test coverage; the pages are in .build/cover.html
	@mkdir -p .build
	@go test -timeout 10m -coverprofile .build/cover.out \
		-coverpkg "$$(go list ./... | grep -v /gen/ | paste -sd, -)" ./...
	@go tool cover -html .build/cover.out -o .build/cover.html
	@go tool cover -func .build/cover.out | tail -n 1

##@ Change

.PHONY: generate
generate: $(VALIDATE) ## Generate gen/ from proto/, and docs/catalogs/ from the built-in catalogs
	$(BUF) generate
	@$(MAKE) --no-print-directory handbooks

.PHONY: handbooks
handbooks:
	@mkdir -p docs/catalogs
	@for name in expertconnect liveagent goto_contact_center; do \
		go run ./cmd/usher catalog docs $$name --locale en > docs/catalogs/$$name.md; done

.PHONY: format
format: ## Format the Go code and the protos
	@tools/format.sh

.PHONY: release-image
release-image: $(VALIDATE) ## Make the API as it is now the one that must not break
	$(BUF) build proto --exclude-source-info --output $(RELEASE)

.PHONY: clean
clean: ## Remove everything built, and the demo's data
	rm -rf .build

$(VALIDATE): tools/protovalidate.mod
	@mkdir -p $(@D)
	@go mod download -modfile=$<
	@install -m 644 "$$(go list -modfile=$< -m -f '{{.Dir}}' github.com/bufbuild/protovalidate)/proto/protovalidate/buf/validate/validate.proto" $@

.build/grpcurl: tools/grpcurl.mod
	go build -modfile=$< -o $@ github.com/fullstorydev/grpcurl/cmd/grpcurl
