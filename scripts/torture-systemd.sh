#!/usr/bin/env bash
# Boots the unit under a real systemd and sees what becomes of it: a Debian root made
# by debootstrap, booted by systemd-nspawn. Everything is kept under
# TARGET/torture-systemd; the root is made once. Needs root.
#
#   scripts/torture-systemd.sh TARGET BUNDLE
#
# BUNDLE is a model that hangs. Ends with exit code 1 unless every line says ok.
set -euo pipefail

target=${1:?where target/ is}
bundle=${2:?a model that hangs}
work=$target/torture-systemd
root=$work/root
limit=420

if [ "$(id -u)" != 0 ]; then
    echo "torture-systemd: run it as root: debootstrap and systemd-nspawn need that" >&2
    exit 1
fi
missing=()
command -v debootstrap >/dev/null || missing+=(debootstrap)
command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
if [ ${#missing[@]} != 0 ]; then
    apt-get install -y --no-install-recommends "${missing[@]}" >&2
fi

# The binary needs the libraries of the system that it was built on.
. /etc/os-release
# GStreamer by apt: its packages need others that debootstrap cannot choose.
gstreamer=(libgstreamer1.0-0 libgstreamer-plugins-base1.0-0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good)
mkdir -p "$work"
if [ ! -e "$work/root-is-whole" ]; then
    rm -rf --one-file-system "$root"
    echo "torture-systemd: making a root of $VERSION_CODENAME with debootstrap" >&2
    {
        debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus "$VERSION_CODENAME" "$root" \
            "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" &&
            chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
                --no-install-recommends "${gstreamer[@]}"
    } >"$work/debootstrap.log" 2>&1 || {
        tail -5 "$work/debootstrap.log" >&2
        exit 1
    }
    touch "$work/root-is-whole"
fi

# The unit is in this group, which a system with udev has.
chroot "$root" groupadd --system --force render

rm -rf --one-file-system "$root"/var/log/journal "$root"/var/lib/private "$root"/torture
rm -rf --one-file-system "$root"/var/lib/kinewatch "$root"/etc/kinewatch
make --no-print-directory install CARGO_TARGET_DIR="$target" DESTDIR="$root" PREFIX=/usr >"$work/install.log" 2>&1
mkdir -p "$root/torture" "$root/var/log/journal" "$root/etc/systemd/system/kinewatch@.service.d"
cp -r "$bundle" "$root/torture/hangs"
chmod -R a+rX "$root/torture"

# A minute is long: here the watchdog bites after six seconds.
cat >"$root/etc/systemd/system/kinewatch@.service.d/torture.conf" <<'END'
[Service]
WatchdogSec=6
RestartSec=1
END
cat >"$root/etc/kinewatch/gate.toml" <<'END'
[watchdog]
patience = "2 s"
[state]
every = "1 s"
[calibrate]
min_evidence = 2.0
[[stream]]
name = "gate"
source = { synth = "seed=3,seconds=3600,size=64x48,fps=16" }
[[sink]]
kind = "file"
path = "${STATE_DIRECTORY}/predictions.jsonl"
END
sed -e 's|\[\[sink\]\]|[[stream]]\nname = "yard"\nsource = { synth = "seed=4,seconds=3600,size=64x48,fps=16" }\n&|' \
    "$root/etc/kinewatch/gate.toml" >"$root/torture/two.toml"
cat >"$root/etc/kinewatch/hangs.toml" <<'END'
[watchdog]
patience = "2 s"
[model]
path = "/torture/hangs"
mode = "window"
[[stream]]
name = "gate"
source = { pipeline = "videotestsrc is-live=true" }
END
cat >"$root/etc/kinewatch/away.toml" <<'END'
[[stream]]
name = "gate"
source = { uri = "rtsp://127.0.0.1:9/nobody" }
END
cp "$(dirname "$0")/torture-systemd-inside.sh" "$root/torture/inside.sh"
cat >"$root/etc/systemd/system/torture.service" <<'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /torture/inside.sh
ExecStopPost=/bin/systemctl --no-block poweroff
[Install]
WantedBy=default.target
END
mkdir -p "$root/etc/systemd/system/default.target.wants"
ln -sf ../torture.service "$root/etc/systemd/system/default.target.wants/torture.service"
rm -f "$root/etc/machine-id"
touch "$root/etc/machine-id"

echo "torture-systemd: booting, at most $limit s" >&2
outcome=0
timeout --kill-after=10 "$limit" systemd-nspawn --quiet --directory="$root" --boot \
    --register=no --keep-unit --private-network --machine=kinewatch-torture \
    --console=pipe </dev/null >"$work/boot.log" 2>&1 || outcome=$?
journalctl --directory="$root/var/log/journal" --no-pager >"$work/journal.log" 2>/dev/null || true
if [ ! -s "$root/torture/result" ]; then
    echo "torture-systemd: the system did not come up (exit code $outcome); see $work/boot.log" >&2
    tail -20 "$work/boot.log" >&2
    exit 1
fi
cat "$root/torture/result"
if ! grep -q '^done' "$root/torture/result" || grep -q '^FAILED' "$root/torture/result"; then
    echo "torture-systemd: see $work/journal.log" >&2
    exit 1
fi
