#!/usr/bin/env bash
# A daemon in a memory cgroup: torture-memory.sh BIN [SECONDS]
# Five live streams of 720p and an isolated one, more than the machine can do, and a
# standard output that nobody reads. First without a limit, to see what that takes; then
# with a tenth more than that as the limit, which it must live with; then with half of
# it: the kernel kills it, and a start without the limit goes on where it was.
# Needs root and a memory cgroup (v1 or v2). Ends with exit code 1 unless all is ok.
set -euo pipefail

bin=$(readlink -f "$1/kinewatch")
seconds=${2:-300}

if [ "$(id -u)" != 0 ]; then
    echo "torture-memory: run it as root: a memory cgroup needs that" >&2
    exit 1
fi
if grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
    group=/sys/fs/cgroup/kinewatch-torture-$$ limit=memory.max unlimited=max peak=memory.peak
    kills() { awk '$1 == "oom_kill" { print $2 }' "$group/memory.events"; }
elif [ -d /sys/fs/cgroup/memory ]; then
    group=/sys/fs/cgroup/memory/kinewatch-torture-$$ limit=memory.limit_in_bytes unlimited=-1
    peak=memory.max_usage_in_bytes
    kills() { awk '$1 == "oom_kill" { print $2 }' "$group/memory.oom_control"; }
else
    echo "torture-memory: there is no memory cgroup here" >&2
    exit 1
fi

folder=$(mktemp -d)
daemon=
stop() { # ends what runs in the group, and waits for it
    [ -z "$daemon" ] || kill "-$1" "$daemon" 2>/dev/null || true
    code=0
    [ -z "$daemon" ] || wait "$daemon" 2>/dev/null || code=$?
    daemon=
}
finish() {
    stop KILL
    for _ in $(seq 50); do rmdir "$group" 2>/dev/null && break || sleep 0.1; done
    rm -rf "$folder"
}
trap finish EXIT
mkdir "$group"
mkfifo "$folder/unread"
exec 9<>"$folder/unread"

{
    printf '[calibrate]\nmin_evidence = 2.0\n[state]\npath = "state"\nevery = "1 s"\n'
    printf '[model]\nmode = "window"\n[predict]\nhop = 1\n'
    for n in 1 2 3 4 5; do
        printf '[[stream]]\nname = "gate%s"\n' "$n"
        printf 'source = { pipeline = "videotestsrc is-live=true ! video/x-raw,format=I420,width=1280,height=720,framerate=30/1" }\n'
    done
    printf '[[stream]]\nname = "apart"\nisolate = true\nsource = { synth = "seed=3,seconds=3600,size=160x120,fps=16" }\n'
    printf '[[sink]]\nkind = "file"\npath = "p.jsonl"\n[[sink]]\nkind = "stdout"\n'
} >"$folder/c.toml"

start() { # LIMIT
    echo "$1" >"$group/$limit"
    # shellcheck disable=SC2016
    sh -c 'echo $$ >"$0/cgroup.procs"; exec "$@"' "$group" "$bin" run "$folder/c.toml" \
        >"$folder/unread" 2>>"$folder/log" 9>&- &
    daemon=$!
}
lines() { wc -l <"$folder/p.jsonl"; }
failed=0
check() { # WHAT COMMAND…
    local what=$1
    shift
    if "$@"; then echo "ok      $what"; else echo "FAILED  $what"; failed=1; fi
}
lives() { kill -0 "$daemon" 2>/dev/null; }
until_so() { # SECONDS COMMAND…
    local end=$((SECONDS + $1))
    shift
    until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}
gone() { ! lives; }
whole() { ! grep -qv '^{.*}$' "$folder/p.jsonl"; }

# Queues take memory as they fill, which takes some minutes.
start "$unlimited"
sleep 240
check "without a limit it lives" lives
most=$(cat "$group/$peak" 2>/dev/null || echo 0)
before=$(lines)
stop TERM
check "it ended well (exit code $code)" test "$code" = 0
check "it had predicted ($before lines)" test "$before" -gt 100
echo "        at most $((most / 1048576)) MiB in four minutes"

start $((most + most / 10))
sleep "$seconds"
check "with a limit of $(((most + most / 10) / 1048576)) MiB it lives for $seconds s" lives
check "it goes on predicting ($(lines) lines)" test "$(lines)" -gt $((before + 3 * seconds))
check "the kernel killed nothing" test "$(kills)" = 0
stop TERM
check "it ended well (exit code $code)" test "$code" = 0

start $((most / 2))
check "with a limit of $((most / 2097152)) MiB the kernel kills it" until_so 120 gone
stop TERM
check "the kernel's kills: $(kills)" test "$(kills)" -gt 0
check "but perhaps the last, all lines are whole" whole
before=$(lines)
start "$unlimited"
check "started again without a limit it goes on" until_so 120 sh -c "[ \$(wc -l <'$folder/p.jsonl') -gt $((before + 100)) ]"
check "with what it had learned" grep -q "goes on with what it had learned" "$folder/log"
stop TERM
exit $failed
