# The targets are the steps of .ci/run. `make demo` and `make test` need Go and
# make; everything else they need they say.

GO ?= go
# One setting for every build: no C, so that binaries are static and a second
# target finds the first one's work in the cache.
export CGO_ENABLED = 0

# Packages that link the embedded SFU. LiveKit leaks goroutines and has
# process-wide state, so these are tested without the race detector. The archive
# is tested with it and without: its SQLite, translated from C, is ten times as
# slow under it, and -short lets it try less often.
SFU = ./server ./server/sfu ./cmd/... ./internal/stage/... ./e2e/... ./examples/... ./archive
REST = $(shell $(GO) list ./... | grep -vE '/(server|server/sfu|cmd/.*|internal/stage.*|e2e.*|examples/.*|archive)$$')
# The race detector needs a C compiler.
RACE = $(if $(shell command -v cc),CGO_ENABLED=1 $(GO) test -race,$(GO) test)
PURE = . ./internal/canonical ./internal/jsonscan ./internal/rights ./internal/suspect ./call ./keeper
LINT = $(GO) tool -modfile=tools/go.mod staticcheck

TESTFLAGS ?=
FUZZTIME ?= 30s

.PHONY: demo test test-rest test-sfu build fmt vet lint wasm bench bench-peers bench-auth fuzz chaos check

demo:
	@echo "Building matrixrtc; the first time this takes a few minutes, afterwards seconds."
	@$(GO) run ./cmd/matrixrtc demo $(ARGS)

test:
	@status=0; $(MAKE) --no-print-directory test-rest || status=1; $(MAKE) --no-print-directory test-sfu || status=1; exit $$status

test-rest:
	$(RACE) -timeout 10m $(TESTFLAGS) $(REST)
	$(RACE) -timeout 10m -short -skip HundredCalls $(TESTFLAGS) ./archive

test-sfu:
	$(GO) test -timeout 15m $(TESTFLAGS) $(SFU)

build:
	$(GO) build -o bin/matrixrtc ./cmd/matrixrtc

check: fmt vet lint wasm

fmt:
	@files=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$files" ]; then echo "gofmt would change:"; echo "$$files"; exit 1; fi

vet:
	$(GO) vet ./...

lint:
	$(LINT) ./...

# The pure packages must also build for a browser.
wasm:
	GOOS=js GOARCH=wasm $(GO) vet $(PURE)

bench:
	$(GO) test -run '^$$' -bench . -benchmem . ./internal/... ./bench ./server/auth ./server/sfu

# Beside matrix-js-sdk, in the same run: bench/README.md.
bench-peers:
	@$(GO) run ./bench $(ARGS)

# The authorization service, beside another one if PEER names its program.
bench-auth:
	@$(GO) run ./bench/auth $(ARGS)

# Every fuzz target for FUZZTIME each.
fuzz:
	@set -e; for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
	  for t in $$(grep -oE '^func Fuzz[A-Za-z0-9_]+' $$f | cut -c6-); do \
	    echo "$$t in $$(dirname $$f)"; $(GO) test -run '^$$' -fuzz "^$$t$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$(dirname $$f); \
	  done; done

# Every fault, on every homeserver, in every dialect; prints a table. ARGS may
# be -chaos.run 'dendrite/call' or -chaos.cycles 1000.
chaos:
	$(GO) test -count=1 -timeout 3h -v ./e2e/chaos -chaos.all $(ARGS)
