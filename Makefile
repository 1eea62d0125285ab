# The only entry point. `make` lists the targets. What a target installs goes to
# .bin, which git ignores; versions are pinned by the modules in proto/tools.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# STRICT=1, set by CI, makes a skipped test a failure and trusts no cached result.
STRICT ?=
# ARGS go to the program that a target runs: make run ARGS="--listen 127.0.0.1:9000"
ARGS ?=
FUZZTIME ?= 30s

strict := $(filter-out 0,$(STRICT))
BUF := .bin/buf
STATICCHECK := .bin/staticcheck
TESTSUM := .bin/testsum

# Every Go module, then those with code, then those that go.work has to name: all
# but the one with stubs of its own for log.v1.
modules = $(sort $(patsubst ./%/go.mod,%,$(shell find . -name go.mod -not -path './.*' -not -path '*/node_modules/*')))
code_modules = $(filter-out proto/tools/%,$(modules))
outside_work := sdk/conformance/origin
work_modules = $(filter-out $(outside_work),$(code_modules))
go_folders = $(wildcard server sdk examples)

##@ Use

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# Modules are built and tested as they are released, without go.work: in it, one
# module's dependencies raise those of the others.
alone := GOWORK=off go -C

# The version is the tag with the commits since, as git tells it; without git, as
# in an unpacked archive, and before the first tag there is none.
version = $(shell git describe --tags --match 'server/v*' --dirty 2>/dev/null | sed 's|^server/||')
buildvcs = $(if $(shell git rev-parse --verify --quiet HEAD 2>/dev/null),auto,false)

.PHONY: build
build: ## build bin/proglog, from nothing but Go
	@CGO_ENABLED=0 $(alone) server build -trimpath -buildvcs=$(buildvcs) -ldflags='-X main.stamp=$(version)' \
		-o $(CURDIR)/bin/proglog ./cmd/proglog

.PHONY: run
run: build ## build and start the server on 127.0.0.1:8400, data in ./data; ARGS="…" adds flags
	@printf '%s\n' 'In another terminal:' \
		"  echo 'hello world' | bin/proglog produce" \
		'  bin/proglog consume --follow' \
		"  curl -s -H 'Content-Type: application/json' -d '{\"record\":{\"value\":\"aGVsbG8=\"}}' \\" \
		'    http://127.0.0.1:8400/log.v1.Log/Produce' \
		'Ctrl-C drains and stops the server.' ''
	exec bin/proglog serve --data-dir ./data $(ARGS)

##@ Test

# Go remembers results of tests whose inputs are the same. The binary is an input
# that it does not see, so the tests get it under a name made from its content.
tested = .bin/tested/$$(cksum < bin/proglog | tr ' ' -)/proglog

# 1 where there is a C compiler, which the race detector needs.
race = $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

# What other languages need goes into folders of the checkout, if their tool-chain
# is there. Where there is none, or it could not be installed, their tests skip.
node := $(shell command -v npm)
python := $(shell command -v python3)
node_packages := $(if $(node),sdk/typescript/node_modules/.built $(addsuffix /node_modules/.stamp,examples/grpc-node examples/typescript))
python_packages := $(if $(python),$(addsuffix /.venv/.stamp,sdk/python examples/grpc-python examples/python))
packages := $(node_packages) $(python_packages)
# Of them, what the SDKs' own programs need.
sdk_packages := $(filter sdk/%,$(packages))

%/node_modules/.stamp: %/package-lock.json
	@echo "packages: installing into $*/node_modules"
	npm --prefix $* ci --ignore-scripts --no-audit --no-fund --silent && touch $@ || echo "packages: npm failed"

# The examples use the SDK beside them, as it is built.
examples/typescript/node_modules/.stamp: sdk/typescript/node_modules/.built

sdk/typescript/node_modules/.built: sdk/typescript/node_modules/.stamp $(shell find sdk/typescript/src -type f)
	@echo "packages: building sdk/typescript"
	npm --prefix sdk/typescript run --silent build && touch $@ || echo "packages: npm failed"

%/.venv/.stamp: %/requirements.txt
	@echo "packages: installing into $*/.venv"
	{ python3 -m venv $*/.venv && $*/.venv/bin/python -m pip install -q -r $<; } && touch $@ || echo "packages: pip failed"

sdk/python/.venv/.stamp: sdk/python/requirements/dev.txt
	@echo "packages: installing into sdk/python/.venv"
	{ python3 -m venv sdk/python/.venv && sdk/python/.venv/bin/python -m pip install -q --require-hashes -r $<; } && touch $@ || echo "packages: pip failed"

.PHONY: packages
packages: $(packages) ## install what the SDKs and examples of other languages need

.PHONY: test
test: test-go test-seeded-bugs test-typescript test-python ## run all tests; STRICT=1 lets none skip

# Go modules whose tests drive programs in other languages: Go does not see when
# those change, so their results are not remembered.
driving := sdk/conformance examples server/torture

.PHONY: test-go
test-go: build $(TESTSUM) $(packages) ## the tests of the Go modules, the conformance suite and the examples
	@tested=$(tested)
	if [ ! -e "$$tested" ]; then
		rm -rf .bin/tested
		mkdir -p "$$(dirname "$$tested")"
		cp bin/proglog "$$tested"
	fi
	export PROGLOG_BIN="$(CURDIR)/$$tested"
	if [ -z "$(race)" ]; then
		echo "SKIP race detector: there is no C compiler"
		$(if $(strict),exit 1)
	fi
	$(if $(strict),export STRICT=1)
	{
		rc=0
		for module in $(code_modules); do
			count=$(if $(strict),-count=1)
			case " $(driving) " in *" $$module "*) count=-count=1;; esac
			$(alone) $$module test -json $(race) $$count -timeout 20m ./... || rc=1
		done
		exit $$rc
	} | $(TESTSUM) $(if $(strict),-strict)

.PHONY: test-seeded-bugs
test-seeded-bugs: $(TESTSUM) ## plant each known bug in the engine: its test has to fail
	@$(alone) server test -json $(if $(strict),-count=1) -tags seededbugs \
		-run 'TestSeededBugs|TestEverySeededBugIsCaught|TestCrashAnywhere' ./log | $(TESTSUM) $(if $(strict),-strict)

# The tests of an SDK in its own language. $(1): its name, $(2): the file that says
# that its packages are there.
define without
	if [ ! -e $(2) ]; then
		echo "SKIP $(1): its tool-chain or its packages are not there"
		exit $(if $(strict),1,0)
	fi
endef

.PHONY: test-typescript
test-typescript: build $(node_packages) ## the tests of the TypeScript SDK
	@$(call without,TypeScript,sdk/typescript/node_modules/.built)
	PROGLOG_BIN=$(CURDIR)/bin/proglog npm --prefix sdk/typescript test --silent

.PHONY: test-python
test-python: build $(python_packages) ## the tests of the Python SDK
	@$(call without,Python,sdk/python/.venv/.stamp)
	cd sdk/python && PROGLOG_BIN=$(CURDIR)/bin/proglog .venv/bin/python -m pytest -q

.PHONY: fuzz
fuzz: ## fuzz each target for FUZZTIME (30s)
	@for module in $(code_modules); do
		(cd $$module && grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . || true) |
		while IFS=: read -r file name; do
			name=$${name#func }
			package=$$(dirname "$$file")
			echo "fuzz: $$module/$${package#./} $$name for $(FUZZTIME)"
			$(alone) $$module test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=100x "$$package" </dev/null
		done
	done

# How long deep runs. It goes on where the ledger ended, so many short runs are as
# good as a long one.
DEEP ?= 2h

.PHONY: deep
deep: build ## look for faults in the storage for DEEP (2h), from where the ledger ended; see server/torture
	@go run ./server/torture/deep -for $(DEEP) $(ARGS)

.PHONY: deep-sums
deep-sums: ## what the ledger of deep has so far, against the goals
	@go run ./server/torture/deep -sums

# Kafka as it is released, for make bench, where there is Maven to bring it.
kafka := $(if $(shell command -v mvn),.bin/kafka/.stamp)
.bin/kafka/.stamp: server/bench/kafka/pom.xml
	@echo "packages: bringing Kafka"
	rm -rf .bin/kafka
	mvn -q -B -f $< dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/.bin/kafka && touch $@ || echo "packages: mvn failed"

.PHONY: bench
bench: build $(sdk_packages) $(kafka) ## measure engine, server and SDKs against their peers on this machine; ARGS="-quick" or ARGS="-rows G3,SDK"
	@if [ -e sdk/typescript/node_modules/.built ]; then
		npm --prefix sdk/typescript run --silent build:bench
	fi
	$(alone) server/bench build -o $(CURDIR)/.bin/bench .
	[ ! -e .bin/kafka/.stamp ] || export KAFKA_LIBS=$(CURDIR)/.bin/kafka
	.bin/bench $(ARGS)

.PHONY: realinput
realinput: build ## a large real text through produce and consume, with the server killed on the way
	@go run ./sdk/conformance/realinput -bin bin/proglog $(ARGS)

.PHONY: conformance
conformance: build $(packages) ## hold every SDK to one behaviour; ARGS="-update" writes the parity table
	@PROGLOG_BIN=$(CURDIR)/bin/proglog $(alone) sdk/conformance test -count=1 -v -timeout 30m ./suite $(ARGS)

.PHONY: torture
torture: build ## break the real server and audit it; ARGS="-trial kill -cycles 100 …"
	@go run ./server/torture -bin bin/proglog $(ARGS)

.PHONY: release-rehearsal
release-rehearsal: ## make a release of what is committed without publishing it, and use it as a user would
	@go run ./examples/rehearsal $(ARGS)

##@ Change

.PHONY: check
check: check-format check-proto check-generated check-architecture check-modules check-work check-static check-cross check-typescript check-python ## all checks but the tests
	@echo "check: all good"

# The plugins of other languages come with their packages.
generators := sdk/typescript/node_modules/.stamp sdk/python/.venv/.stamp

.PHONY: generate
generate: $(BUF) $(generators) ## regenerate code from the contract
	@$(BUF) generate
	$(origin_generate)
	$(example_generate)

.PHONY: fmt
fmt: $(BUF) ## format Go and proto files
	@gofmt -w $(go_folders)
	$(BUF) format -w
	$(BUF) format -w sdk/conformance/origin/proto

.PHONY: fix
fix: fmt generate snippets ## format, regenerate, cut the pages' snippets anew, tidy the modules
	@for module in $(modules); do
		$(alone) $$module mod tidy
	done
	go list -m all > /dev/null

.PHONY: snippets
snippets: ## put the code of the examples into the pages that show it
	@go run ./examples/snippets

.PHONY: baseline
baseline: $(BUF) ## at a release: make today's contract the one that later ones may not break
	@$(BUF) build -o proto/baseline.binpb

.PHONY: tools
tools: $(BUF) $(STATICCHECK) $(TESTSUM) ## build the tools that the other targets need

.PHONY: clean
clean: ## remove what was built, tools included; ./data stays
	@rm -rf bin .bin

# The parts of check. None writes into the tree, so they may run side by side.

.PHONY: check-format
check-format:
	@echo "check: format of Go files"
	unformatted=$$(gofmt -l $(go_folders))
	if [ -n "$$unformatted" ]; then
		printf 'not formatted, run make fmt:\n%s\n' "$$unformatted"
		exit 1
	fi

# Whatever the baseline becomes, the origin's clients must go on working.
origin_rules := sdk/conformance/origin/buf.breaking.yaml

.PHONY: check-proto
check-proto: $(BUF)
	@echo "check: contract: lint, format, breaking changes"
	$(BUF) lint
	$(BUF) format -d --exit-code
	$(BUF) format -d --exit-code sdk/conformance/origin/proto
	$(BUF) breaking --against proto/baseline.binpb
	$(BUF) breaking proto --against sdk/conformance/origin/proto --config $(origin_rules) --against-config $(origin_rules)

origin_generate = $(BUF) generate sdk/conformance/origin/proto --template sdk/conformance/origin/buf.gen.yaml
example_generate = $(BUF) generate --template examples/grpc-go/buf.gen.yaml
generated := sdk/go/gen sdk/conformance/origin/gen examples/grpc-go/gen sdk/typescript/src/gen sdk/python/src/proglog_sdk/_gen

.PHONY: check-generated
check-generated: $(BUF) $(generators)
	@echo "check: generated code"
	rm -rf .bin/generated
	$(BUF) generate -o .bin/generated
	$(origin_generate) -o .bin/generated
	$(example_generate) -o .bin/generated
	for folder in $(generated); do
		if ! diff -r -x __pycache__ .bin/generated/$$folder $$folder; then
			echo "$$folder is not what the contract generates, run make generate"
			exit 1
		fi
	done

# The tests do this too, but Go may then remember a result from before a change
# in another module.
.PHONY: check-architecture
check-architecture:
	@echo "check: who imports whom, and other rules of the house"
	$(alone) server test -count=1 ./internal/archtest

.PHONY: check-modules
check-modules:
	@for module in $(modules); do
		echo "check: module $$module: tidy"
		$(alone) $$module mod tidy -diff || { echo "$$module is not tidy, run make fix"; exit 1; }
	done
	for module in $(code_modules); do
		echo "check: module $$module: build and vet on its own"
		$(alone) $$module build -o /dev/null ./...
		$(alone) $$module vet ./...
	done

# go.work names each module with code but those that must stay outside, and go.work.sum
# has every sum, or commands such as go doc would write into the tree. Tried on a copy.
.PHONY: check-work
check-work:
	@echo "check: go.work"
	want=$$(printf '%s\n' $(work_modules) | sort)
	have=$$(go list -m -f '{{.Dir}}' | sed 's|^$(CURDIR)/||' | sort)
	if [ "$$want" != "$$have" ]; then
		printf 'go.work does not name what it should:\n'
		diff <(echo "$$want") <(echo "$$have") || exit 1
	fi
	go build work
	rm -rf .bin/work
	mkdir -p .bin/work
	sed 's|^\(\t*\)\./|\1$(CURDIR)/|' go.work > .bin/work/go.work
	cp go.work.sum .bin/work
	GOWORK=$(CURDIR)/.bin/work/go.work go list -m all > /dev/null
	if ! diff go.work.sum .bin/work/go.work.sum; then
		echo 'go.work.sum lacks what commands of go add to it, run make fix'
		exit 1
	fi

.PHONY: check-static
check-static: $(STATICCHECK)
	@for module in $(code_modules); do
		echo "check: module $$module: staticcheck"
		(cd $$module && GOWORK=off $(CURDIR)/$(STATICCHECK) ./...)
	done

.PHONY: check-cross
check-cross:
	@compile() {
		echo "check: module $$1 for $$2/$$3"
		GOWORK=off CGO_ENABLED=0 GOOS=$$2 GOARCH=$$3 go -C $$1 build -o /dev/null ./...
	}
	for module in server sdk/go; do
		compile $$module linux amd64
		compile $$module linux arm64
		compile $$module darwin arm64
	done
	compile sdk/go windows amd64

.PHONY: check-typescript
check-typescript: $(node_packages)
	@echo "check: TypeScript SDK: types, format, package"
	$(call without,TypeScript,sdk/typescript/node_modules/.built)
	npm --prefix sdk/typescript run --silent check

.PHONY: check-python
check-python: $(python_packages)
	@echo "check: Python SDK: types, lint, format"
	$(call without,Python,sdk/python/.venv/.stamp)
	cd sdk/python
	.venv/bin/python -m ruff check -q .
	.venv/bin/python -m ruff format -q --check .
	.venv/bin/python -m mypy

# Tools. go.sum changes whenever a tool's version does.

$(BUF): proto/tools/buf/go.sum
	@echo "tools: building buf; the first time takes minutes"
	$(alone) proto/tools/buf build -o $(CURDIR)/$@ github.com/bufbuild/buf/cmd/buf

$(STATICCHECK): proto/tools/staticcheck/go.sum
	@echo "tools: building staticcheck; the first time takes a minute"
	$(alone) proto/tools/staticcheck build -o $(CURDIR)/$@ honnef.co/go/tools/cmd/staticcheck

$(TESTSUM): $(wildcard server/internal/testsum/*.go) server/go.mod
	@go build -o $@ ./server/internal/testsum
