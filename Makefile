# Two commands do all the set-up: `make demo` shows the product at work, `make test` passes every test.

GO      ?= go
VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo devel)
LDFLAGS  = -s -w -X main.version=$(VERSION)
UNITS    = $$($(GO) list ./... | grep -v /appliance/e2e)
# What has goroutines of its own; the pure packages have none to race.
RACY     = ./net/heartbeat ./net/vip ./lb ./lb/probe ./lb/proxy ./appliance ./appliance/admin ./appliance/demo ./appliance/beat ./appliance/notify \
	./consensus ./consensus/clientport ./consensus/txnlog ./consensus/zk ./consensus/adminport
FUZZTIME ?= 10m

.PHONY: build demo check lint test packages suites race fuzz bench cross clean

# The binary is static and needs nothing on the host it is copied to.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ha .

# As root: network namespaces, real addresses, real nginx. Else: everything in one process on loopback.
demo: build
	@if [ "$$(id -u)" = 0 ]; then ./bin/ha lab; else ./bin/ha dev; fi

# Before every commit: under two minutes, so without the tests that run beside keepalived.
check: lint
	$(GO) test -short -skip Keepalived $(UNITS)

lint:
	@out=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || echo .)); [ -z "$$out" ] || { echo "gofmt these files:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	@out=$$($(GO) fix -diff ./... 2>&1); [ -z "$$out" ] || { echo "$$out"; echo "go fix ./... changes the lines above"; exit 1; }

# Everything, nothing skipped. Many tests measure time beside real programs, so one package runs at a time.
test: packages lint race cross
	CI=true $(GO) test -p 1 -timeout 20m $(UNITS)
	CI=true $(GO) test -timeout 30m ./appliance/e2e

# The suites that the C and the Java client of ZooKeeper bring with their sources, against ours. Fetches the sources.
suites:
	@.ci/suites
	$(GO) test -tags suites -timeout 60m -run Suite ./appliance/e2e

# The Debian packages of the programs that the tests run beside ours. Needs root once.
packages:
	@.ci/packages

# Those beside keepalived measure milliseconds, which the detector's pace would spoil; the plain run has them.
race:
	GORACE=atexit_sleep_ms=0 CI=true CGO_ENABLED=1 $(GO) test -race -short -p 1 -skip Keepalived -timeout 15m $(RACY)

# Every fuzz target of the repository, one after the other.
fuzz:
	@grep -rno --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's/^\(.*\)\/[^/]*:[0-9]*:func \(.*\)$$/\1 \2/' | sort | \
	while read -r dir name; do \
		echo "$$dir $$name"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir" || exit 1; \
	done

bench:
	$(GO) test -run '^$$' -bench . -benchmem $(UNITS)

cross:
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ha-linux-amd64 .
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ha-linux-arm64 .
	@out=$$(file bin/ha-linux-amd64 bin/ha-linux-arm64 2>/dev/null | grep -c 'statically linked'); command -v file >/dev/null && [ "$$out" != 2 ] && { echo "a binary is not static"; exit 1; } || true

clean:
	rm -rf bin
