#!/usr/bin/env bash
# What scripts/package-check.sh runs inside, as a service of the system that it booted:
# what installing, upgrading and removing do to instances. Writes a line for each thing
# that it looked at.
exec >/check/result 2>&1
export DEBIAN_FRONTEND=noninteractive
unit=kinewatch@gate

now() { cut -d' ' -f1 /proc/uptime; }
# check WHAT SECONDS COMMAND…: ok once the command succeeds, within so many seconds.
check() {
    local what=$1 limit=$2 begun
    shift 2
    begun=$(now)
    while ! "$@" >/check/last 2>&1 </dev/null; do
        if awk "BEGIN { exit !($(now) - $begun > $limit) }"; then
            echo "FAILED  $what (waited $limit s)"
            sed 's/^/        /' /check/last | tail -5
            return 1
        fi
        sleep 0.1
    done
    echo "ok      $what"
}
not() { ! "$@"; }
active() { systemctl is-active --quiet "$1"; }
pid() { systemctl show -P MainPID $unit; }
other_process() { [ "$(pid)" != "$1" ] && [ "$(pid)" != 0 ]; }

check "booted: dpkg -i" 0 dpkg -i /check/first.deb
check "no instance runs" 0 sh -c '! systemctl list-units --no-legend --plain "kinewatch@*" | grep .'
check "systemctl enable --now kinewatch@gate" 0 systemctl enable --now $unit
check "it is live" 60 sh -c "systemctl show -P StatusText $unit | grep -F '1 stream live'"
check "kinewatch status says so" 20 kinewatch status
check "systemctl reload" 0 systemctl reload $unit
check "it is still active" 0 active $unit
before=$(pid)
check "upgraded: dpkg -i" 0 dpkg -i /check/later.deb
check "the instance that ran was restarted" 60 other_process "$before"
check "and is active" 60 active $unit
check "no other instance was started" 0 not active kinewatch@camera
check "it keeps its state" 120 sh -c 'ls /var/lib/kinewatch/gate/ | grep .'
check "removed: dpkg -r" 0 dpkg -r kinewatch
check "the instance was stopped" 0 not active $unit
check "no process is left" 10 sh -c '! grep -sl "^/usr/bin/kinewatch" /proc/[0-9]*/cmdline'
check "its state is kept" 0 test -d /var/lib/private/kinewatch/gate
check "purged: dpkg -P" 0 dpkg -P kinewatch
check "its state is gone" 0 sh -c '! ls -d /var/lib/kinewatch /var/lib/private/kinewatch /var/cache/kinewatch /var/log/kinewatch 2>/dev/null | grep .'
check "it is not enabled" 0 sh -c '! find /etc/systemd -name "kinewatch*" | grep .'
echo 'done'
