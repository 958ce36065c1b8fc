# kinewatch: `make demo` shows it, `make test` proves it, `make help` lists the rest.
# Each target does its own set-up. Standard output stays free for data.

SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)

CARGO      ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
RELEASE    := $(TARGET_DIR)/release
BIN        := $(RELEASE)/kinewatch
# What prints the man pages and completions: BIN, unless that is for another machine.
TOOL       ?= $(BIN)

# Where `make install` puts things; DESTDIR goes before all of it.
PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
BINDIR     ?= $(PREFIX)/bin
UNITDIR    ?= $(PREFIX)/lib/systemd/system
MANDIR     ?= $(PREFIX)/share/man/man1
DATADIR    ?= $(PREFIX)/share/kinewatch
DOCDIR     ?= $(PREFIX)/share/doc/kinewatch
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
FISHDIR    ?= $(PREFIX)/share/fish/vendor_completions.d
# -s leaves the symbols out; packagers who split them off set this without it.
INSTALL_PROGRAM ?= install -s -m 755
INSTALL_DATA    ?= install -m 644

CROSS_TARGET ?= aarch64-unknown-linux-gnu

MODEL_FILES := model.toml labels.txt model.onnx stream.onnx README.md
CONFIGS     := demo usb-camera rtsp csi file calibrated
BOARDS      := raspberry-pi-4 raspberry-pi-5 jetson-orin-nano jetson-nano generic-arm64

# What Cargo.toml offers (tests/house.rs compares).
FEATURES    := bench nvinfer replay shell synth threads

.DEFAULT_GOAL := help
.PHONY: help setup build demo test lint bench bench-calibration bench-peers soak kills torture torture-source torture-hostile torture-disk torture-memory torture-systemd torture-soak write-volume replay-profile replay-memory install uninstall clean fuzz deny audit lean features dist package package-check reproducible crate-check cross cross-check

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the Debian packages that are missing, and nothing else
	@scripts/setup.sh

# With the examples, as `make demo` and the tests have it: else cargo compiles tract
# once more, for another choice of features.
build: setup ## the release binary: target/release/kinewatch
	@$(CARGO) build --release --locked --bins --examples

lean: setup ## the binary that is packaged and the leanest one, held against their budgets
	@scripts/dist.sh >/dev/null
	@scripts/budget.sh dist $(TARGET_DIR)/dist/kinewatch
	@CARGO_TARGET_DIR=$(abspath $(TARGET_DIR))/lean scripts/dist.sh --no-default-features >/dev/null
	@scripts/budget.sh lean $(TARGET_DIR)/lean/dist/kinewatch
	@scripts/lean.sh $(TARGET_DIR)/lean/dist/kinewatch
	@for features in --all-features --no-default-features; do \
	  crates=$$(set -o pipefail; $(CARGO) tree --locked -e normal,no-proc-macro --prefix none --no-dedupe --format '{p}' $$features | sort -u | wc -l) || exit 1; \
	  echo "lean: $$crates crates in the program, with $$features"; done

features: setup ## clippy without default features, and with each alone
	@for feature in "" $(FEATURES); do echo "features: \"$$feature\"" >&2; \
	  $(CARGO) clippy --release --locked --lib --bins --no-default-features --features "$$feature" \
	    -- -D warnings || exit 1; done

demo: setup ## a labelled live stream, watched and scored for a minute
	@$(CARGO) build --release --locked --bins --examples
	@scripts/demo.sh $(RELEASE)

test: setup ## every test
	@$(CARGO) test --release --locked

lint: setup ## format, clippy, rustdoc and, if it is installed, cargo deny
	@$(CARGO) fmt --check
	@$(CARGO) clippy --release --locked --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --no-deps --document-private-items
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check; \
	else echo "lint: cargo-deny is not installed; skipped (cargo install cargo-deny)" >&2; fi

bench: setup ## benchmarks
	@$(CARGO) bench --locked --bench step

bench-calibration: setup ## whether calibration keeps what it promises; draws docs/calibration-*.svg
	@$(CARGO) bench --locked --bench calibration

bench-peers: setup ## beside ONNX Runtime, OpenVINO and PyTorch; writes docs/benchmarks.md (PEERS="--quick")
	@$(CARGO) build --release --locked --bins --examples
	@scripts/bench-peers.sh $(TARGET_DIR) $(PEERS)

soak: setup ## a replay that is killed at random twenty times, and ends as if undisturbed
	@KINEWATCH_KILLS=20 $(CARGO) test --release --locked --test replay killed_at_random

kills: setup ## a daemon killed a thousand times as it keeps its state
	@KINEWATCH_KILLS=1000 $(CARGO) test --release --locked --test live a_kill_at_any_moment -- --nocapture

torture-systemd: build ## the unit under a real systemd: watchdog, restart, reload (needs root)
	@KINEWATCH_BUNDLE=$(abspath $(TARGET_DIR))/torture-systemd/hangs \
		$(CARGO) test --release --locked --test service -- --ignored --exact a_bundle_that_hangs
	@scripts/torture-systemd.sh $(abspath $(TARGET_DIR)) $(abspath $(TARGET_DIR))/torture-systemd/hangs

torture: torture-source torture-hostile torture-disk torture-memory torture-systemd torture-soak ## what breaks cameras, networks, disks and processes, for hours

torture-source: setup ## 1,000 reconnects and 200 faults of a real RTSP server; a daemon stopped 20 times
	@KINEWATCH_RECONNECTS=1000 $(CARGO) test --release --locked --test supervisor reconnects_leak -- --nocapture
	@KINEWATCH_FAULTS=200 $(CARGO) test --release --locked --test supervisor random_faults -- --nocapture
	@KINEWATCH_STOPS=20 $(CARGO) test --release --locked --test supervisor stood_still -- --nocapture

torture-disk: setup ## every fault of a disk ten times, and a daemon killed 200 times as it writes
	@for n in 1 2 3 4 5 6 7 8 9 10; do \
	  $(CARGO) test --release --locked --test disk -- --nocapture --skip killed_at_random || exit 1; done
	@KINEWATCH_KILLS=200 $(CARGO) test --release --locked --test disk killed_at_random -- --nocapture

torture-memory: build ## a daemon in a memory cgroup: enough, and too little (needs root)
	@scripts/torture-memory.sh $(RELEASE)

torture-soak: setup ## two million frames through four streams: what the daemon holds does not grow
	@KINEWATCH_SOAK=2000000 $(CARGO) test --release --locked --test endurance what_it_holds -- --nocapture

write-volume: build ## what a daemon writes to a memory card in an hour (15 minutes)
	@scripts/write-volume.sh $(RELEASE) 900

replay-profile: build ## where a replay's processor time goes (needs perf)
	@scripts/replay-profile.sh $(RELEASE)

replay-memory: build ## a replay's memory over 50 videos and over 1000
	@scripts/replay-memory.sh $(RELEASE)

fuzz: setup ## a million broken label files, 20,000 broken bundles, configurations and states
	@$(CARGO) test --release --locked --test labels -- --ignored --nocapture
	@KINEWATCH_FUZZ=20000 $(CARGO) test --release --locked --test hostile no_ -- --nocapture

torture-hostile: setup fuzz ## `make fuzz`, and 10,000 broken recordings, in the daemon and isolated
	@$(CARGO) test --release --locked --test broken_media -- --ignored --nocapture ten_thousand
	@KINEWATCH_DAMAGED=10000 $(CARGO) test --release --locked --test isolate damaged -- --nocapture

cross: ## the binary for ARM boards, by `cross` in a container (CROSS_TARGET=armv7-unknown-linux-gnueabihf for 32 bits)
	@command -v cross >/dev/null || { echo "cross: it is not installed (cargo install cross --locked); it needs Docker or Podman" >&2; exit 1; }
	@CROSS_CONFIG=cross.toml cross build --release --locked --bins --target $(CROSS_TARGET)

cross-check: build ## tests and a replay as ARM code under qemu, on three CPUs; no container engine (needs root)
	@scripts/cross-check.sh $(TARGET_DIR)

deny: ## licences, sources and duplicates of every crate (installs cargo-deny)
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked
	@$(CARGO) deny --locked check licenses bans sources

audit: ## known vulnerabilities in every crate (installs cargo-deny and cargo-audit; asks rustsec.org's database)
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked
	@$(CARGO) audit --version >/dev/null 2>&1 || $(CARGO) install cargo-audit --locked
	@$(CARGO) deny --locked check advisories
	@$(CARGO) audit --deny warnings

# Not `install: build`: `sudo make install` must build nothing as root.
install: ## put what `make build` built under $(DESTDIR)$(PREFIX)
	@test -x $(BIN) || { echo "install: there is no $(BIN); run make build first" >&2; exit 1; }
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(UNITDIR) $(MANDIR) $(BASHDIR) $(ZSHDIR) $(FISHDIR) \
		$(DATADIR)/models/camera-events $(DOCDIR)/configs/replay $(DOCDIR)/configs/boards $(DOCDIR)/docs $(SYSCONFDIR)/kinewatch)
	$(INSTALL_PROGRAM) $(BIN) $(DESTDIR)$(BINDIR)/kinewatch
	sed -e 's|/usr/local/bin/|$(BINDIR)/|' -e 's|/etc/kinewatch/|$(SYSCONFDIR)/kinewatch/|' \
		systemd/kinewatch@.service >$(DESTDIR)$(UNITDIR)/kinewatch@.service
	chmod 644 $(DESTDIR)$(UNITDIR)/kinewatch@.service
	$(TOOL) man $(DESTDIR)$(MANDIR)
	$(TOOL) completions bash >$(DESTDIR)$(BASHDIR)/kinewatch
	$(TOOL) completions zsh >$(DESTDIR)$(ZSHDIR)/_kinewatch
	$(TOOL) completions fish >$(DESTDIR)$(FISHDIR)/kinewatch.fish
	$(INSTALL_DATA) $(MODEL_FILES:%=models/camera-events/%) $(DESTDIR)$(DATADIR)/models/camera-events/
	$(INSTALL_DATA) $(CONFIGS:%=configs/%.toml) $(DESTDIR)$(DOCDIR)/configs/
	$(INSTALL_DATA) $(BOARDS:%=configs/boards/%.toml) $(DESTDIR)$(DOCDIR)/configs/boards/
	$(INSTALL_DATA) configs/replay/* $(DESTDIR)$(DOCDIR)/configs/replay/
	$(INSTALL_DATA) README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE $(DESTDIR)$(DOCDIR)/
	$(INSTALL_DATA) docs/* $(DESTDIR)$(DOCDIR)/docs/
	@echo 'installed; next: sudo cp $(DOCDIR)/configs/rtsp.toml $(SYSCONFDIR)/kinewatch/gate.toml,' >&2
	@echo 'edit it, then: sudo systemctl daemon-reload && sudo systemctl enable --now kinewatch@gate' >&2

uninstall: ## take it away again; configurations in /etc/kinewatch stay
	rm -f $(addprefix $(DESTDIR),$(BINDIR)/kinewatch $(UNITDIR)/kinewatch@.service $(MANDIR)/kinewatch.1 $(MANDIR)/kinewatch-*.1 \
		$(BASHDIR)/kinewatch $(ZSHDIR)/_kinewatch $(FISHDIR)/kinewatch.fish)
	rm -rf $(addprefix $(DESTDIR),$(DATADIR) $(DOCDIR))

dist: setup ## the binary as it is packaged: smaller, and the same bytes wherever it is built
	@scripts/dist.sh

# BIN only where it was given: without, the package is of what `make dist` builds.
package: setup ## the .deb, its SBOM and SHA256SUMS in target/debian (of a cross build: ARCH=arm64 BIN=PATH)
	@ARCH="$(ARCH)" BIN="$(if $(filter command,$(origin BIN)),$(BIN))" SYSROOT="$(SYSROOT)" \
		scripts/package.sh $(abspath $(TARGET_DIR))

package-check: ## install, run, upgrade, remove and purge that .deb in a fresh Debian (needs root; ARCH=arm64, SUITE=…)
	@ARCH="$(ARCH)" SUITE="$(SUITE)" scripts/package-check.sh $(abspath $(TARGET_DIR))

reproducible: setup ## two builds in two folders give the same bytes
	@scripts/reproducible.sh $(abspath $(TARGET_DIR))

crate-check: setup ## what `cargo publish` would upload: small, whole, and `cargo install` builds it
	@scripts/crate-check.sh $(abspath $(TARGET_DIR))

clean: ## remove everything that was built
	@$(CARGO) clean
