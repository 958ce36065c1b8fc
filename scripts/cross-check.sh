#!/usr/bin/env bash
# Builds kinewatch for aarch64, runs its tests and a replay as ARM code under
# qemu-user, and compares the replay's predictions with this machine's. It needs no
# container engine: a Debian root made by debootstrap holds Debian's own Rust, the
# cross compiler, GStreamer for arm64 and qemu. See docs/cross.md. Needs root.
#
#   scripts/cross-check.sh TARGET [STEP…]      STEP: root build tests replay table
#
# TARGET is Cargo's target folder, with release/kinewatch of this machine in it; all
# else is kept under TARGET/cross-check, so that the next run is quick. Without STEP,
# all of them. CROSS_CPUS names the processors that qemu plays, and CROSS_TESTS the test
# programs, where not all are wanted ("lib model").
set -euo pipefail
exec 1>&2
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${1:?where target/ is}
shift
steps=("$@")
[[ ${#steps[@]} != 0 ]] || steps=(root build tests replay table)
read -ra cpus <<<"${CROSS_CPUS:-cortex-a53 cortex-a72 max}"

readonly SUITE=bookworm
readonly MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly SECURITY=${DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
# Development packages of two architectures do not fit into one root: GStreamer is
# here for arm64 alone. What the build runs itself (compilers, Python) is amd64's.
readonly PACKAGES="rustc-web cargo-web libstd-rust-web-dev:arm64
    gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev:arm64 pkg-config
    libgstreamer1.0-dev:arm64 libgstreamer-plugins-base1.0-dev:arm64 libgstrtspserver-1.0-dev:arm64
    gstreamer1.0-plugins-base:arm64 gstreamer1.0-plugins-good:arm64 gstreamer1.0-plugins-bad:arm64
    gstreamer1.0-plugins-ugly:arm64 gstreamer1.0-libav:arm64 glib-networking:arm64
    qemu-user openssl procps python3 zstd"

mkdir -p "$target/cross-check"
work=$(cd "$target/cross-check" && pwd)
root=$work/root

say() { printf 'cross-check: %s\n' "$*"; }
fail() {
    say "$@"
    exit 1
}

need() { # PROGRAM PACKAGE…: installs the packages if there is no such program
    command -v "$1" >/dev/null || apt-get install -q -y --no-install-recommends "${@:2}"
}

make_root() {
    local made
    made=$(printf '%s\n' "$SUITE" $PACKAGES | sha256sum)
    [[ $(cat "$root.made" 2>/dev/null) != "$made" ]] || return 0
    need debootstrap debootstrap debian-archive-keyring
    say "making a root of Debian $SUITE in $root"
    rm -rf --one-file-system "$root" "$root.made"
    # Whatever they mount is gone with their namespace.
    unshare --mount --propagation private debootstrap --variant=minbase --arch=amd64 \
        --keyring=/usr/share/keyrings/debian-archive-keyring.gpg --include=ca-certificates \
        "$SUITE" "$root" "$MIRROR" >"$work/debootstrap.log" 2>&1 ||
        { tail -5 "$work/debootstrap.log"; fail "debootstrap failed"; }
    printf 'deb %s main\n' "$MIRROR $SUITE" "$MIRROR $SUITE-updates" "$SECURITY $SUITE-security" \
        >"$root/etc/apt/sources.list"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    mkdir -p "$root"/{kinewatch,cargo,build,out}
    say "installing compilers and GStreamer for arm64 there"
    unshare --mount --propagation private "$BASH" -euc '
        mount -t proc proc "$1/proc"
        mount --rbind /dev "$1/dev"
        chroot "$1" dpkg --add-architecture arm64
        chroot "$1" apt-get update -q
        DEBIAN_FRONTEND=noninteractive chroot "$@" && chroot "$1" apt-get clean' _ \
        "$root" apt-get install -q -y --no-install-recommends $PACKAGES \
        >"$work/install.log" 2>&1 || { tail -5 "$work/install.log"; fail "apt-get failed"; }
    echo "$made" >"$root.made"
}

# Runs cross-check-inside.sh with the arguments in the root: in namespaces of its own,
# so that mounts, processes and qemu's registration are gone with it.
inside() {
    local gate=$work/gate child
    rm -f "$gate"
    mkfifo "$gate"
    unshare --user --mount --pid --fork --kill-child "$BASH" -euo pipefail -c '
        read -r _ <"$1"
        mount --make-rprivate /
        mount -t proc proc "$2/proc"
        mount --rbind /dev "$2/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$2/tmp"
        mount --bind . "$2/kinewatch"
        mount -o remount,bind,ro "$2/kinewatch"
        mount --bind "$3/build" "$2/build"
        mount --bind "$3/out" "$2/out"
        mount --bind "$3/cargo" "$2/cargo"
        mount --bind "$4" "$2/cargo/registry"
        exec chroot "$2" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
            LANG=C.UTF-8 /kinewatch/scripts/cross-check-inside.sh "${@:5}"' _ \
        "$gate" "$root" "$work" "${CARGO_HOME:-$HOME/.cargo}/registry" "$@" &
    child=$!
    # All users as they are: some tests run a program as nobody. Only a process outside
    # may write the maps, once the namespace is there.
    timeout 20 "$BASH" -euc '
        exec 3>"$1"
        echo 0 0 4294967295 >"/proc/$2/uid_map"
        echo 0 0 4294967295 >"/proc/$2/gid_map"
        echo go >&3' _ "$gate" "$child" || { kill "$child" || true; fail "there are no user namespaces here"; }
    rm -f "$gate"
    wait "$child"
}

# What this machine says of a labelled stream; each CPU is compared with it.
reference() {
    local program=$target/release/kinewatch kind options
    [[ -x $program ]] || fail "there is no $program; run make build first"
    mkdir -p "$work/out/video"
    # A fixed stream, but the program that writes it may have changed.
    "$program" synth --seed 7 --seconds 20 --size 320x240 --fps 16 -o "$work/out/video/yard.mkv"
    rm -rf "$work/out/x86-64"
    scripts/cross-check-replay.sh "$program" "$work/out/video" "$work/out/x86-64"
}

((EUID == 0)) || fail "run it as root: debootstrap and chroot need that"
[[ $(uname -m) == x86_64 ]] || fail "made for x86-64; on an ARM machine 'make test' is the test"
mkdir -p "$work"/{build,out,cargo/registry}

outcome=0
for step in "${steps[@]}"; do
    case $step in
    root) make_root ;;
    build)
        # Fetched out here, where certificates and proxies are in order.
        cargo fetch --locked --target aarch64-unknown-linux-gnu
        inside build
        ;;
    # What fails on one CPU is told, and the others have their turn.
    tests) for cpu in "${cpus[@]}"; do inside tests "$cpu" ${CROSS_TESTS:-} || outcome=1; done ;;
    replay)
        reference
        for cpu in "${cpus[@]}"; do inside replay "$cpu" || outcome=1; done
        ;;
    table) inside table "${cpus[@]}" ;;
    *) fail "no such step: $step" ;;
    esac
done
exit $outcome
