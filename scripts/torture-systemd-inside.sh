#!/usr/bin/env bash
# What scripts/torture-systemd.sh runs inside, as a service of the system that it
# booted. Writes a line for each thing that it looked at.
exec >/torture/result 2>&1
unit=kinewatch@gate
state=/var/lib/kinewatch/gate/gate.state.json

of() { systemctl show -P "$2" "$1"; }
now() { cut -d' ' -f1 /proc/uptime; }
log() { journalctl --no-pager -o cat -u "$1"; }

# check WHAT SECONDS COMMAND…: ok once the command succeeds, within so many seconds.
check() {
    local what=$1 limit=$2 begun
    shift 2
    begun=$(now)
    while ! "$@" >/dev/null 2>&1; do
        if awk "BEGIN { exit !($(now) - $begun > $limit) }"; then
            echo "FAILED  $what (waited $limit s)"
            return 1
        fi
        sleep 0.1
    done
    awk "BEGIN { printf \"ok      %s (%.1f s)\\n\", \"$what\", $(now) - $begun }"
}
is() { [ "$(of "$1" "$2")" = "$3" ]; }
more() { [ "$(of "$1" "$2")" -gt "$3" ]; }
says() { log "$1" | grep -qF "$2"; }
says_times() { [ "$(log "$1" | grep -cF "$2")" -ge "$3" ]; }
told() { of "$1" StatusText | grep -qF "$2"; }
fails() { ! "$@"; }
streams() { [ "$(kinewatch status --json --socket "/run/kinewatch/$1/status.sock" | grep -o '"mode":' | wc -l)" = "$2" ]; }

echo "systemd $(systemctl --version | head -1 | cut -d' ' -f2), $(uname -sm)"
check "the unit is well written" 5 systemd-analyze verify --man=no /usr/lib/systemd/system/kinewatch@.service

check "READY=1: systemctl start returns" 60 systemctl start $unit
check "it is active" 1 is $unit ActiveState active
check "STATUS= says that its stream is live" 20 told $unit "1 stream live"
check "kinewatch status finds it and ends with 0" 20 kinewatch status
check "it keeps what it learned" 60 test -s $state

pid=$(of $unit MainPID)
cp /torture/two.toml /etc/kinewatch/gate.toml
check "systemctl reload returns" 20 systemctl reload $unit
check "there are two streams then" 20 streams gate 2
check "the first one was left alone" 1 says $unit "1 go on untouched (gate); 1 are new (yard)"
check "it is the same process" 1 is $unit MainPID "$pid"
echo "nonsense" >>/etc/kinewatch/gate.toml
check "systemctl reload of a bad configuration returns" 20 systemctl reload $unit
check "it is refused, and STATUS= says so" 20 told $unit "the configuration was refused"
check "the two streams go on" 1 streams gate 2
cp /torture/two.toml /etc/kinewatch/gate.toml

check "never killed so far" 1 is $unit NRestarts 0
kill -STOP "$pid"
check "stopped (SIGSTOP): the watchdog kills it" 40 says $unit "Watchdog timeout"
check "it is started again" 40 more $unit NRestarts 0
check "it is live again" 30 told $unit "2 streams live"
check "it goes on with what it had learned" 20 says $unit "goes on with what it had learned"

kill -KILL "$(of $unit MainPID)"
check "kill -9: it is started again" 40 more $unit NRestarts 1
check "it is live again" 30 told $unit "2 streams live"
check "it goes on with what it had learned, again" 20 says_times $unit "goes on with what it had learned" 2

check "a model that hangs: READY=1 all the same" 60 systemctl start kinewatch@hangs
check "the hang is seen" 30 says kinewatch@hangs "its model hangs"
check "the watchdog kills it" 40 says kinewatch@hangs "Watchdog timeout"
check "it is started again" 40 more kinewatch@hangs NRestarts 0
check "it hangs again" 40 says_times kinewatch@hangs "its model hangs" 2
begun=$(now)
systemctl stop kinewatch@hangs
took=$(awk "BEGIN { printf \"%.1f\", $(now) - $begun }")
check "systemctl stop of what hangs took $took s: at most 5.5" 0 awk "BEGIN { exit !($took <= 5.5) }"
check "the other unit was not touched by that" 1 is $unit ActiveState active

check "a camera that is away: READY=1 all the same" 60 systemctl start kinewatch@away
sleep 20
check "after three times the watchdog's interval it still runs" 1 is kinewatch@away ActiveState active
check "it was never killed" 0 is kinewatch@away NRestarts 0
check "kinewatch status ends with 1" 5 fails kinewatch status --socket /run/kinewatch/away/status.sock
told=$(of kinewatch@away StatusText)
echo "        STATUS=$told"

begun=$(now)
systemctl stop $unit kinewatch@away
took=$(awk "BEGIN { printf \"%.1f\", $(now) - $begun }")
check "systemctl stop took $took s: at most 5.5" 0 awk "BEGIN { exit !($took <= 5.5) }"
check "it ended well" 1 is $unit Result success
echo done
