#!/usr/bin/env bash
# Installs the package in TARGET/debian into a fresh Debian, runs it there, upgrades,
# removes and purges it. Needs root. Everything is kept under TARGET/package-check; the
# Debian is made once (debootstrap), and each run begins with a copy of it.
#
#   scripts/package-check.sh TARGET
#
# From the environment, all optional:
#   ARCH    the package's architecture (default: this machine's). Another one's runs
#           under qemu, and is not booted
#   SUITE   the Debian to install it on (default: this machine's; the package needs one
#           that is no older than what it was built on)
#   DEBIAN_MIRROR
#
# Ends with exit code 1 unless every line says ok.
set -euo pipefail
target=${1:?where target/ is}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
native=$(dpkg --print-architecture)
arch=${ARCH:-$native}
export LC_ALL=C

say() { printf 'package-check: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

((EUID == 0)) || fail "run it as root: debootstrap and chroot need that"
# In a mount and process namespace of its own: whatever happens, nothing stays mounted
# and nothing goes on running.
if [[ -z ${PACKAGE_CHECK_INSIDE:-} ]]; then
    PACKAGE_CHECK_INSIDE=1 exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "${BASH_SOURCE[0]}" "$@"
fi

missing=()
command -v debootstrap >/dev/null || missing+=(debootstrap)
command -v lintian >/dev/null || missing+=(lintian)
if [[ $arch == "$native" ]]; then
    command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
else
    command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
fi
[[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || missing+=(debian-archive-keyring)
if ((${#missing[@]})); then
    say "installing ${missing[*]}"
    apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
fi

packages=("$target"/debian/kinewatch_*_"$arch".deb)
[[ -f ${packages[-1]} ]] || fail "there is no package for $arch in $target/debian: make package"
((${#packages[@]} == 1)) || fail "there are ${#packages[@]} packages for $arch in $target/debian: leave one"
package=${packages[0]}
version=$(dpkg-deb -f "$package" Version)

# The kernel must know how to run the other machine's programs, in a root where there
# is no qemu (flag F).
readonly AARCH64='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
readonly AARCH64_MASK='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
readonly KNOWN=/proc/sys/fs/binfmt_misc
registered=
unregister() { [[ -z $registered ]] || echo -1 >"$KNOWN/$registered" || true; }
trap unregister EXIT
if [[ $arch == arm64 && $native != arm64 ]]; then
    [[ -e $KNOWN/status ]] || mount -t binfmt_misc binfmt_misc "$KNOWN"
    if ! grep -qs '^flags:.*F' "$KNOWN"/qemu-aarch64; then
        registered=kinewatch-aarch64
        [[ ! -e $KNOWN/$registered ]] || echo -1 >"$KNOWN/$registered"
        printf '%s' ":$registered:M::$AARCH64:$AARCH64_MASK:$(command -v qemu-aarch64-static):F" >"$KNOWN/register"
    fi
    # A process that scans plug-ins would lose its pipe under qemu.
    export GST_REGISTRY_FORK=no
fi

suite=${SUITE:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
work=$target/package-check/$suite-$arch
base=$work/base
root=$work/root
mkdir -p "$work"
if [[ ! -e $work/base-is-whole ]]; then
    rm -rf --one-file-system "$base"
    say "making a Debian $suite for $arch with debootstrap"
    debootstrap --arch="$arch" --variant=minbase --include=systemd,systemd-sysv,dbus "$suite" "$base" \
        "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 || {
        tail -5 "$work/debootstrap.log" >&2
        exit 1
    }
    touch "$work/base-is-whole"
fi
rm -rf --one-file-system "$root"
cp -a --reflink=auto "$base" "$root"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
mount -t proc proc "$root/proc"
mkdir "$root/check"
# The root is thrown away: nothing in it need survive a power cut.
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
cp "$package" "$root/check/"

# The same package of a later version; and of a still later one that has another default
# configuration.
later() { # VERSION
    local tree=$work/later
    rm -rf "$tree"
    dpkg-deb -R "$package" "$tree"
    sed -i "s/^Version: .*/Version: $1/" "$tree/DEBIAN/control"
    [[ $# == 1 ]] || echo "$2" >>"$tree/etc/kinewatch/camera.toml"
    # Only to be installed once: packing it well would take half a minute.
    dpkg-deb --root-owner-group -Zgzip -z1 --build "$tree" "$root/check/$1.deb" >/dev/null
    rm -rf "$tree"
}
later "$version+later1"
later "$version+later2" '# A default that changed.'

log=$work/log
: >"$log"
failures=0
ok() { printf 'ok      %s\n' "$1"; }
no() {
    printf 'FAILED  %s\n' "$1"
    sed 's/^/        /' "$work/last" | tail -15
    failures=$((failures + 1))
}
check() { # WHAT COMMAND…
    local what=$1
    shift
    printf '\n== %s: %s\n' "$what" "$*" >>"$log"
    if "$@" >"$work/last" 2>&1 </dev/null; then ok "$what"; else no "$what"; fi
    cat "$work/last" >>"$log"
}
within() {
    chroot "$root" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 TMPDIR=/tmp DEBIAN_FRONTEND=noninteractive \
        ${GST_REGISTRY_FORK:+GST_REGISTRY_FORK=no} PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
not() { ! "$@"; }
holds() { grep -qF -- "$2" "$root$1"; }

echo "$(basename "$package") on Debian $suite, $arch"
check "lintian finds no error and no warning" lintian --profile debian --allow-root --fail-on error,warning "$package"
check "apt-get update" within apt-get update -q
check "apt installs it, with what it depends on and recommends" within apt-get install -q -y "/check/$(basename "$package")"
cp "$work/last" "$work/installed"
check "it says what to do next" grep -F "kinewatch:   sudo systemctl enable --now kinewatch@camera" "$work/installed"
check "it runs, and is the version that the package says" within sh -c "kinewatch --version | grep -F ' ${version%-*}'"
check "no library is missing" within sh -c "! ldd /usr/bin/kinewatch | grep 'not found'"
# dpkg exits with 0 whatever it finds.
check "every file is as it was packed" within sh -c "! dpkg --verify kinewatch | grep ."
check "nothing is enabled" within sh -c "! find /etc/systemd -name 'kinewatch*' | grep ."
check "the groups of the unit exist" within getent group video render
check "systemd-analyze verify" within systemd-analyze verify --man=no --recursive-errors=yes \
    /usr/lib/systemd/system/kinewatch@.service
check "kinewatch check of the default configuration" within kinewatch check /etc/kinewatch/camera.toml
check "kinewatch check of the packaged examples" within sh -ec '
    export GATE_PASSWORD=x
    for file in rtsp usb-camera csi calibrated; do
        kinewatch check /usr/share/doc/kinewatch/configs/$file.toml
    done'
check "kinewatch inspect of the packaged model" within kinewatch inspect /usr/share/kinewatch/models/camera-events
check "the completions are bash" within bash -n /usr/share/bash-completion/completions/kinewatch
check "a man page for every verb" within sh -c '
    kinewatch --help | sed -n "/^Commands:/,/^$/p" | awk "/^  [a-z]/ && \$1 != \"help\" { print \$1 }" >/check/verbs
    [ -s /check/verbs ] && while read -r verb; do test -s /usr/share/man/man1/kinewatch-$verb.1.gz || exit 1; done </check/verbs'
check "without x264, kinewatch synth names the package that it needs" within sh -c \
    'kinewatch synth --seed 7 --seconds 2 -o /check/none.mkv 2>&1 | grep -F gstreamer1.0-plugins-ugly'
check "that package installs" within apt-get install -q -y --no-install-recommends gstreamer1.0-plugins-ugly
check "kinewatch synth writes the demo's stream" within \
    kinewatch synth --seed 7 --seconds 20 --size 320x180 --fps 25 -o /check/demo.mkv
check "kinewatch replay of it" within kinewatch replay --labels /check/demo.csv -o /check/out /check/demo.mkv
check "it wrote its report" test -s "$root/check/out/report.html"
check "kinewatch run of it, predictions on standard output" within sh -c '
    kinewatch run --fast --source /check/demo.mkv >/check/lines && grep -c "\"kind\":\"prediction\"" /check/lines'

# What somebody does with it.
sed -i 's/^name .*/name   = "door"/' "$root/etc/kinewatch/camera.toml"
printf '[state]\nevery = "1 s"\n[calibrate]\n[[stream]]\nname = "gate"\nsource = { synth = "seed=3,seconds=3600,size=64x48,fps=16" }\n' >"$root/etc/kinewatch/gate.toml"
install -m 600 /dev/null "$root/etc/kinewatch/gate.env"
mkdir -p "$root/var/lib/private/kinewatch/gate"
ln -s private/kinewatch "$root/var/lib/kinewatch"

check "an upgrade asks nothing" within apt-get install -q -y "/check/$version+later1.deb"
check "and leaves the configuration alone" holds /etc/kinewatch/camera.toml '"door"'
check "an upgrade with another default" within \
    apt-get install -q -y -o Dpkg::Options::=--force-confold "/check/$version+later2.deb"
check "leaves the configuration alone" holds /etc/kinewatch/camera.toml '"door"'
check "and puts the new default beside it" holds /etc/kinewatch/camera.toml.dpkg-dist 'A default that changed.'
check "removal" within apt-get remove -q -y kinewatch
check "takes the program away" not test -e "$root/usr/bin/kinewatch"
check "and keeps the configuration" holds /etc/kinewatch/camera.toml '"door"'
check "and what was learned" test -d "$root/var/lib/private/kinewatch/gate"
check "installed again, it finds them" within apt-get install -q -y "/check/$version+later2.deb"
check "the same configuration" holds /etc/kinewatch/camera.toml '"door"'
check "purge" within apt-get purge -q -y kinewatch
check "takes the default configuration away" not compgen -G "$root/etc/kinewatch/camera.toml*"
check "and what was learned" sh -c "! find '$root'/var/lib '$root'/var/log '$root'/var/cache -path '*/kinewatch*' | grep ."
check "what somebody wrote stays" test -f "$root/etc/kinewatch/gate.toml" -a -f "$root/etc/kinewatch/gate.env"
check "nothing else is left" sh -c "! find '$root'/etc '$root'/usr '$root'/lib -iname '*kinewatch*' ! -path '*/etc/kinewatch*' | grep ."

umount "$root/proc"

# Under a real systemd: what maintainer scripts do to instances that run.
if [[ $arch == "$native" ]]; then
    cp "$here/package-check-inside.sh" "$root/check/inside.sh"
    mv "$root/check/$(basename "$package")" "$root/check/first.deb"
    mv "$root/check/$version+later1.deb" "$root/check/later.deb"
    cat >"$root/etc/systemd/system/package-check.service" <<'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /check/inside.sh
ExecStopPost=/bin/systemctl --no-block poweroff
[Install]
WantedBy=default.target
END
    mkdir -p "$root/etc/systemd/system/default.target.wants"
    ln -sf ../package-check.service "$root/etc/systemd/system/default.target.wants/package-check.service"
    : >"$root/etc/machine-id"
    say "booting it"
    outcome=0
    timeout --kill-after=10 400 systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit \
        --private-network --machine=kinewatch-package-check --console=pipe </dev/null >"$work/boot.log" 2>&1 || outcome=$?
    if grep -qs '^done' "$root/check/result"; then
        cat "$root/check/result"
        failures=$((failures + $(grep -c '^FAILED' "$root/check/result" || true)))
    else
        cat "$root/check/result" 2>/dev/null || true
        printf 'FAILED  the system did not come up and through (exit code %s); see %s\n' "$outcome" "$work/boot.log"
        failures=$((failures + 1))
    fi
fi

((failures == 0)) || fail "$failures failed; all of it is in $log"
rm -rf --one-file-system "$root"
