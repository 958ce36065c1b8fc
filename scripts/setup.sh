#!/usr/bin/env bash
# Installs what kinewatch needs to build, test and run, and only what is missing.
# With everything in place it changes nothing and asks the network nothing.
# All it says goes to standard error: `make demo | jq` must see data only.
set -euo pipefail
exec 1>&2

readonly RUST_NEEDED=1.92
readonly GST_NEEDED=1.20

# One line a probe: what must hold | the Debian package that makes it so.
# pc: a pkg-config module; el: a GStreamer element; bin: a program on the path.
readonly PROBES="
bin cc                                     | build-essential
bin make                                   | build-essential
bin openssl                                | openssl
bin faketime                               | faketime
bin pkg-config                             | pkg-config
pc  gstreamer-1.0                          | libgstreamer1.0-dev
pc  gstreamer-app-1.0                      | libgstreamer-plugins-base1.0-dev
pc  gstreamer-video-1.0                    | libgstreamer-plugins-base1.0-dev
pc  gstreamer-pbutils-1.0                  | libgstreamer-plugins-base1.0-dev
pc  gstreamer-rtsp-server-1.0              | libgstrtspserver-1.0-dev
bin gst-inspect-1.0                        | gstreamer1.0-tools
el  decodebin3                             | gstreamer1.0-plugins-base
el  videoconvert                           | gstreamer1.0-plugins-base
el  rtspsrc                                | gstreamer1.0-plugins-good
el  matroskademux                          | gstreamer1.0-plugins-good
el  h264parse                              | gstreamer1.0-plugins-bad
el  x264enc                                | gstreamer1.0-plugins-ugly
el  avdec_h264                             | gstreamer1.0-libav
"

holds() { # KIND NAME
    case $1 in
    bin) command -v "$2" >/dev/null ;;
    pc) pkg-config --exists "$2 >= $GST_NEEDED" 2>/dev/null ;;
    el) gst-inspect-1.0 --exists "$2" >/dev/null 2>&1 ;;
    esac
}

missing() { # prints KIND NAME PACKAGE of each probe that fails
    local kind name bar package
    while read -r kind name bar package; do
        [[ -n $kind ]] || continue
        holds "$kind" "$name" || echo "$kind $name $package"
    done <<<"$PROBES"
}

fail() {
    printf 'setup: %s\n' "$@"
    exit 1
}

install_packages() { # PACKAGE…
    command -v apt-get >/dev/null || fail \
        "this system has no apt-get; install by hand what Debian calls:" "  $*"
    local as_root=()
    if ((EUID != 0)); then
        as_root=(sudo)
        # Without a terminal nobody can type a password.
        [[ -t 0 ]] || as_root=(sudo -n)
        command -v sudo >/dev/null || fail "run this as root (there is no sudo here):" \
            "  apt-get update && apt-get install --no-install-recommends $*"
    fi
    echo "setup: installing $*"
    "${as_root[@]}" apt-get update -q ||
        echo "setup: apt-get update failed; trying with the package lists that are here"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "$@" ||
        fail "apt-get could not install: $*"
}

system() {
    local lacking packages still
    lacking=$(missing)
    [[ -n $lacking ]] || return 0
    mapfile -t packages < <(awk '{print $3}' <<<"$lacking" | sort -u)
    install_packages "${packages[@]}"
    still=$(missing)
    [[ -z $still ]] || fail "installed, yet still missing (kind, name, package):" "$still" \
        "GStreamer must be $GST_NEEDED or newer: Debian 12, Ubuntu 22.04, JetPack 6 or later."
}

rust() {
    local how have
    how="see https://rustup.rs, or: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    command -v cargo >/dev/null && command -v rustc >/dev/null ||
        fail "Rust is missing; kinewatch needs $RUST_NEEDED or newer." "  $how"
    have=$(rustc --version | awk '{print $2}')
    [[ $(printf '%s\n' "$RUST_NEEDED" "$have" | sort -V | head -n 1) == "$RUST_NEEDED" ]] ||
        fail "Rust $have is too old; kinewatch needs $RUST_NEEDED or newer." \
            "  rustup update stable     (without rustup: $how)"
}

# Rust first: there is no use in installing packages for a build that cannot be.
rust
system
