.DEFAULT_GOAL := help
.PHONY: help demo test test-race test-long test-short test-stress needs race browser screenshots web-load chaos chaos-full bench bench-quick capacity kubernetes test-valkey lint gofmt vet staticcheck tidy cover fuzz build

# The race detector needs cgo and a C compiler.
CC_FOUND := $(shell command -v $$(go env CC) 2>/dev/null)
ifeq ($(shell go env CGO_ENABLED)$(if $(CC_FOUND),+cc),1+cc)
RACE := -race
endif
# How much of what tests repeat they do in everyday runs, in percent.
ROUNDS ?= 20
# What takes the longest begins first.
LONGEST = ./test/e2e ./cmd/refq ./producer ./worker ./internal/store
PACKAGES = $(LONGEST) $$(go list ./... | grep -v -x -F "$$(go list $(LONGEST))")
# Packages whose tests need processes, nearly all of them.
PROCESSES = /test/e2e$$|/test/chaos$$|/internal/(bench|execfunc|script|testkit/redisserver)$$
# Tests wait more than they compute: three packages at once for each core.
GOTEST = go test -count=1 -timeout 30m -p $$((3 * $$(getconf _NPROCESSORS_ONLN || echo 2)))
FUZZTIME ?= 30s
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## the whole story in one process: no Redis, nothing to install
	go run ./internal/cmd/demo

test: needs ## all tests, without the race detector; what they repeat, they do ROUNDS (20) percent of
	REFQ_TEST_ROUNDS=$(ROUNDS) $(GOTEST) $(PACKAGES)

test-race: needs race ## the same with the race detector, but not in the programs that tests start
	REFQ_TEST_ROUNDS=$(ROUNDS) $(GOTEST) $(RACE) $(PACKAGES)

test-long: needs race ## all tests with all repetitions, with the race detector, also in the programs that they start
	REFQ_TEST_RACE=$(if $(RACE),1) $(GOTEST) $(RACE) $(PACKAGES)

test-short: ## what needs memory alone and no other process; of unchanged packages, results that Go has kept
	REFQ_TEST_ROUNDS=1 go test -short $$(go list ./... | grep -v -E '$(PROCESSES)')

test-valkey: ## the record and the program from outside on a valkey-server; without one on PATH nothing
	@command -v valkey-server >/dev/null || { echo "without valkey-server: nothing is tested"; exit 0; }; \
	REFQ_TEST_SERVER=valkey-server REFQ_REQUIRE_REDIS=1 REFQ_TEST_ROUNDS=$(ROUNDS) $(GOTEST) ./internal/store ./test/e2e

test-stress: needs ## make test 5 times beside two busy loops on each core
	REFQ_TEST_ROUNDS=$(ROUNDS) go run ./test/stress $(GOTEST) $(PACKAGES)

needs:
	@command -v redis-server >/dev/null || echo "without redis-server: tests that need one are skipped"

race:
	@test -n "$(RACE)" || echo "without the race detector: it needs cgo and a C compiler"

browser: ## looks at the pages with a real browser; needs chromium
	cd test/browser && go vet ./... && REFQ_REQUIRE_BROWSER=1 go test -count=1 ./...

kubernetes: ## what deploy/kubernetes says, against the types of Kubernetes and what Prometheus answers KEDA
	cd deploy/kubernetes/check && go test -count=1 ./...

screenshots: ## the same, with pictures of pages in screenshots/, and in screenshots/docs/ those that documents show
	cd test/browser && REFQ_REQUIRE_BROWSER=1 REFQ_SCREENSHOTS=$(CURDIR)/screenshots/docs go test -count=1 -run AsTheDocumentsShowThem ./...
	cd test/browser && REFQ_REQUIRE_BROWSER=1 REFQ_SCREENSHOTS=$(CURDIR)/screenshots go test -count=1 -skip AsTheDocumentsShowThem ./...

web-load: ## pages over 100,000 calls and with 200 viewers, some 3 minutes; needs redis-server
	go run ./test/withredis go run ./test/webload

chaos: ## breaks things for 3 minutes and accounts for every call; needs redis-server
	go run ./test/chaos

chaos-full: ## the same for an hour, and writes the table of docs/reliability.md
	go run ./test/chaos -full -document docs/reliability.md

bench: ## figures of refq and of bare asynq, some 7 minutes on a Redis of its own; needs redis-server; BENCH=more flags
	go run ./test/withredis go run ./cmd/refq bench --baseline asynq $(BENCH)

bench-quick: ## 25 s: fails when a call costs more commands, round trips, bytes or allocations than it may
	go run ./test/withredis go run ./cmd/refq bench --quick

capacity: ## what each call, worker and queue takes of Redis, a minute, into docs/operations.md; needs redis-server
	go run ./test/withredis go run ./cmd/refq bench --only capacity -o json | go run ./test/capacity docs/operations.md

lint: gofmt vet staticcheck tidy ## gofmt, vet on three systems, staticcheck, go mod tidy

gofmt:
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }

vet:
	go vet ./...
	GOOS=windows go vet ./...
	GOOS=darwin go vet ./...

staticcheck:
	go tool -modfile=tools/go.mod staticcheck ./...

tidy:
	go mod tidy -diff
	cd tools && go mod tidy -diff
	cd test/browser && go mod tidy -diff
	cd deploy/kubernetes/check && go mod tidy -diff

cover: ## test coverage of all packages by all tests, as cover.html
	go test -coverpkg=./... -coverprofile=cover.out ./...
	go tool cover -func=cover.out | tail -1
	go tool cover -html=cover.out -o cover.html

fuzz: ## every fuzz target for FUZZTIME (30s)
	@grep -rl '^func Fuzz' --include='*_test.go' . | while read file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$file); do \
			echo "$$target in $$(dirname $$file)"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$(dirname $$file) || exit 1; \
		done; \
	done

build: ## bin/refq, static
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/refq ./cmd/refq
