#!/usr/bin/env bash
# What scripts/cross-check.sh runs in its Debian root: this source in /kinewatch
# (nothing there can be written), Cargo's in /cargo and /build, what is kept in /out.
#
#   scripts/cross-check-inside.sh build | tests CPU [PROGRAM…] | replay CPU | table CPU…
set -euo pipefail
cd /kinewatch

readonly TRIPLE=aarch64-unknown-linux-gnu
readonly PROGRAM=/build/$TRIPLE/release/kinewatch
readonly LIST=scripts/cross-check-tests.txt
# The processor on which every test is run that can be run; some are run on this one only.
readonly ONCE_ON=cortex-a72

say() { printf 'cross-check: %s\n' "$*"; }
fail() {
    say "$@"
    exit 1
}

build() {
    export CARGO_HOME=/cargo CARGO_TARGET_DIR=/build CARGO_BUILD_TARGET=$TRIPLE
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar
    export PKG_CONFIG_ALLOW_CROSS=1
    export PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig
    say "building with $(rustc --version)"
    cargo test --release --locked --offline --no-run --lib --bins --tests 2>&1 | tee /out/build.log
    # The plug-in that tests/nvinfer.rs loads.
    cargo build --release --locked --offline --example deepstream_standin
    # As cargo names them: "Executable tests/NAME.rs (/build/…/NAME-HASH)".
    sed -nE 's/^ *Executable (unittests )?(src|tests)\/([a-z0-9_]+)\.rs \((.*)\)$/\3 \4/p' \
        /out/build.log >/out/programs
    [[ $(wc -l </out/programs) -gt 2 ]] || fail "cargo named no test programs"
}

# Programs for ARM start under qemu from now on, whoever starts them. Private to this
# namespace (Linux 6.7); on older kernels the whole machine must know qemu.
emulate() { # CPU
    local table=/proc/sys/fs/binfmt_misc
    if mount -t binfmt_misc binfmt_misc "$table" 2>/dev/null; then
        # ELF, 64 bits, little-endian, an executable or shared object, for aarch64. P:
        # with the name that its caller gave it.
        printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64:P' >"$table/register"
    fi
    /usr/lib/aarch64-linux-gnu/libc.so.6 >/dev/null 2>&1 ||
        fail "this kernel has no binfmt_misc for namespaces (Linux 6.7 has);" \
            "let the machine know qemu first: apt-get install qemu-user-static"
    export QEMU_CPU=$1
    # Vectors of 128 bits, as Armv9's cores for boards have them. qemu would take 512, and
    # computes them one number after the other: eight times slower where tract uses SVE.
    [[ $1 != max ]] || export QEMU_CPU=max,sve-default-vector-length=16
    # A process that scans plug-ins would be started by GStreamer, and lose its pipe.
    export GST_REGISTRY_FORK=no
    # tract asks /proc/cpuinfo, which is the host's, for half precision.
    [[ $1 != max ]] || export TRACT_CPU_ISA=+fp16
}

skipped_of() { # PROGRAM CPU
    awk -v program="$1" -v once="$([[ $2 == "$ONCE_ON" ]] || echo once)" \
        '$2 == program && ($1 == "skip" || $1 == once) { print $3 }' "$LIST"
}

# One line for each test program: name, passed, failed, ignored, skipped, seconds.
tests() { # CPU [PROGRAM…], all if none is named
    local name program log skips begun line out=/out/$1/tests failed=0
    emulate "$1"
    rm -rf "$out"
    mkdir -p "$out"
    : >"$out/results"
    while read -r name program; do
        (($# == 1)) || [[ " ${*:2} " == *" $name "* ]] || continue
        log=$out/$name.log
        "$program" --list --format terse 2>/dev/null | sed -n 's/: test$//p' >"$out/$name.list"
        mapfile -t skips < <(skipped_of "$name" "$1")
        [[ " ${skips[*]} " != *' * '* ]] || mapfile -t skips <"$out/$name.list"
        for line in "${skips[@]}"; do
            grep -qxF "$line" "$out/$name.list" ||
                fail "$LIST names a test that is not there: $name $line"
        done
        begun=$SECONDS
        # shellcheck disable=SC2068 # an empty list must leave nothing
        timeout --kill-after=10 3600 "$program" --test-threads "$(nproc)" ${skips[@]/#/--skip=} \
            ${skips[@]:+--exact} </dev/null >"$log" 2>&1 || failed=1
        line=$(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored;.*/\1 \2 \3/p' "$log" | tail -1)
        echo "$name ${line:-0 1 0} ${#skips[@]} $((SECONDS - begun))" | tee -a "$out/results" |
            awk -v cpu="$1" '{ printf "cross-check: %s: %s: %d passed, %d failed, %d skipped, %d s\n", cpu, $1, $2, $3, $5, $6 }'
        [[ -n $line && $line =~ ^[0-9]+\ 0\  ]] || sed -n '/^failures:$/,$p' "$log" | tail -200
    done </out/programs
    return "$failed"
}

replay() { # CPU
    emulate "$1"
    rm -rf "/out/$1/replay"
    scripts/cross-check-replay.sh "$PROGRAM" /out/video "/out/$1/replay"
    scripts/cross-check-compare.py /out/x86-64 "/out/$1/replay" >"/out/$1/compared" ||
        fail "$1: predictions differ from x86-64's"
    say "$1: predictions and largest difference: $(cat "/out/$1/compared")"
}

table() { # CPU…
    local cpu
    echo "cpu | tests passed | failed | skipped | predictions compared | largest difference"
    for cpu in "$@"; do
        awk -v cpu="$cpu" '{ passed += $2; failed += $3; skipped += $5 }
            END { printf "%s | %d | %d | %d | ", cpu, passed, failed, skipped }' "/out/$cpu/tests/results"
        awk '{ print $1 " | " $2 }' "/out/$cpu/compared"
    done
    left_out skip "left out on all"
    left_out once "left out but on $ONCE_ON"
}

left_out() { # WORD TITLE
    echo
    echo "$2, as:"
    awk -v word="$1" -v lists="/out/$ONCE_ON/tests" '
        $1 == "why" { sub(/^why /, ""); why = $0 }
        $1 == word && $3 != "*" { count[why]++ }
        $1 == word && $3 == "*" { while ((getline test <(lists "/" $2 ".list")) > 0) count[why]++ }
        END { for (why in count) printf "%4d  %s\n", count[why], why }' "$LIST"
}

"$@"
