GO ?= go
export CGO_ENABLED = 0

.PHONY: help run routes test race lint fmt build bench bench-pebble minio versitygw azurite cluster cluster-kill cluster-scale cluster-down proto clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: ## run the flights example on the records that the repository carries
	@$(GO) run ./examples/flights

routes: ## run the routes example on the same records
	@$(GO) run ./examples/routes

test: ## run all tests
	$(GO) test ./...

# The packages that keep state, and those that move it between goroutines and the bucket.
RACE = ./objstate/... ./timers ./operators ./view ./checkpoint ./exchange ./internal/engine ./internal/coord ./objstore/...

race: ## their short tests with the race detector, which needs a C compiler
	CGO_ENABLED=1 $(GO) test -race -short -p 1 $(RACE)

lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l .)" || { echo "not gofmt'd:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

fmt: ## format the code
	gofmt -w .

build: ## static binaries in bin/
	$(GO) build -trimpath -o bin/ ./cmd/... ./examples/...

bench: ## benchmarks of the hot loops, each beside a plain loop
	$(GO) test -run '^$$' -bench . -benchtime 0.5s ./arrow/... ./exchange/... ./objstate/... ./operators/... ./timers/...

bench-pebble: ## the same state work on Pebble and on Sabot's state: make bench-pebble ARGS="--quick --only read"
	cd bench/pebble && $(GO) run . $(ARGS)

cluster: ## run a job on two coordinators, three workers and MinIO, on this machine
	@scripts/cluster up

cluster-kill: ## kill one of its workers
	@scripts/cluster kill

cluster-scale: ## bring it to N workers: make cluster-scale N=5
	@scripts/cluster scale $(N)

cluster-down: ## end it
	@scripts/cluster down

MINIO_VERSION = v0.0.0-20260212201848-7aac2a2c5b7c

minio: .tools/minio ## build the MinIO server for tests and for make cluster (about three minutes, once)

.tools/minio:
	GOBIN=$(CURDIR)/.tools GOFLAGS=-mod=mod $(GO) install github.com/minio/minio@$(MINIO_VERSION)

VERSITYGW_VERSION = v1.8.0
AZURITE_VERSION = 3.35.0

versitygw: .tools/versitygw ## build the versitygw server for tests

.tools/versitygw:
	GOBIN=$(CURDIR)/.tools GOFLAGS=-mod=mod $(GO) install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)

azurite: .tools/azurite/node_modules/.bin/azurite-blob ## install the Azurite emulator for tests; needs Node and npm

.tools/azurite/node_modules/.bin/azurite-blob:
	mkdir -p .tools/azurite
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix .tools/azurite azurite@$(AZURITE_VERSION)

proto: ## generate the messages; needs protoc, protoc-gen-go and protoc-gen-go-grpc
	protoc --go_out=. --go_opt=module=github.com/sabot-stream/sabot checkpoint/pb/checkpoint.proto
	protoc -I . --go_out=. --go_opt=module=github.com/sabot-stream/sabot --go-grpc_out=. \
		--go-grpc_opt=module=github.com/sabot-stream/sabot internal/control/pb/control.proto

clean: ## remove what make run leaves: state and output
	rm -rf .sabot .cluster out bin
