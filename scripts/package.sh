#!/usr/bin/env bash
# Makes the Debian package of this tree, its SBOM and SHA256SUMS, in TARGET/debian.
# The same sources and compiler give the same bytes.
#
#   scripts/package.sh TARGET
#
# From the environment, all optional:
#   ARCH     Debian's name of the architecture (default: this machine's)
#   BIN      the program, if it is built already (default: scripts/dist.sh builds it);
#            an ARCH other than this machine's needs it
#   SYSROOT  a Debian root with the libraries that BIN was linked against, where they
#            are not installed on this machine: dpkg-shlibdeps looks there (needs root, and
#            installs dpkg-dev there)
#   TOOL     a kinewatch of the same sources that runs here, for the man pages and
#            completions (default: BIN, or what is built under TARGET)
#   SBOM     empty: leave the SBOM out
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${1:?where target/ is}
readonly FILES=packages/debian
export LC_ALL=C
umask 022

say() { printf 'package: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

as_root=()
((EUID == 0)) || as_root=(sudo)
missing=()
command -v dpkg-shlibdeps >/dev/null || missing+=(dpkg-dev)
command -v readelf >/dev/null || missing+=(binutils)
((${#missing[@]} == 0)) ||
    "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}" >&2

native=$(dpkg --print-architecture)
arch=${ARCH:-$native}
case $arch in
amd64) triple=x86_64-unknown-linux-gnu machine=X86-64 tools=x86_64-linux-gnu ;;
arm64) triple=aarch64-unknown-linux-gnu machine=AArch64 tools=aarch64-linux-gnu ;;
armhf) triple=armv7-unknown-linux-gnueabihf machine=ARM tools=arm-linux-gnueabihf ;;
*) fail "ARCH=$arch: one of amd64, arm64, armhf" ;;
esac

# Cargo.toml, CHANGELOG and the package's changelog speak of the same version.
crate=$(sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -n 1)
version=$(dpkg-parsechangelog -l "$FILES/changelog" -S Version)
[[ ${version%-*} == "$crate" ]] ||
    fail "$FILES/changelog is of $version and Cargo.toml of $crate: add an entry (dch -c $FILES/changelog)"
# Every time stamp in the package: that of the changelog's newest entry.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(dpkg-parsechangelog -l "$FILES/changelog" -S Timestamp)}
export SOURCE_DATE_EPOCH

bin=${BIN:-}
if [[ -z $bin ]]; then
    [[ $arch == "$native" ]] || fail "ARCH=$arch on $native: give BIN=, a program built for it (make cross-check does)"
    say "building (profile dist)"
    bin=$(scripts/dist.sh)
fi
[[ -x $bin ]] || fail "there is no program $bin"
header=$(readelf -h "$bin")
[[ $header == *"$machine"* ]] || fail "$bin is not for $arch"

tool=${TOOL:-}
if [[ -z $tool && $arch == "$native" ]]; then
    tool=$bin
fi
for built in "$target/dist/kinewatch" "$target/release/kinewatch"; do
    [[ -n $tool || ! -x $built ]] || tool=$built
done
[[ -n $tool ]] || fail "give TOOL=, a kinewatch that runs here: it prints the man pages"

out=$target/debian
name=kinewatch_${version}_$arch
mkdir -p "$out"
work=$(mktemp -d "$out/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
stage=$work/$name
doc=$stage/usr/share/doc/kinewatch

say "packing $name"
make --no-print-directory install BIN="$(realpath "$bin")" TOOL="$(realpath "$tool")" DESTDIR="$stage" \
    PREFIX=/usr INSTALL_PROGRAM='install -m 755' >"$work/install.log" 2>&1 ||
    { cat "$work/install.log" >&2; fail "make install failed"; }

# What is built with the profile `dist` is stripped; what else is given may not be.
sections=$(readelf -S --wide "$bin")
if [[ $sections == *' .debug_line'* || $sections == *' .symtab '* ]]; then
    command -v "$tools-strip" >/dev/null ||
        "${as_root[@]}" apt-get install -q -y --no-install-recommends "binutils-${tools//_/-}" >&2
    "$tools-strip" "$stage/usr/bin/kinewatch"
fi

install -m 644 "$FILES/camera.toml" "$stage/etc/kinewatch/camera.toml"
install -D -m 644 "$FILES/sysusers.conf" "$stage/usr/lib/sysusers.d/kinewatch.conf"
# Debian's names and forms; the licences are in `copyright` and base-files.
rm "$doc/LICENSE-MIT" "$doc/LICENSE-APACHE"
mv "$doc/CHANGELOG.md" "$doc/changelog"
install -m 644 "$FILES/changelog" "$doc/changelog.Debian"
install -m 644 "$FILES/README.Debian" "$FILES/copyright" "$doc/"
scripts/notices.sh "$triple" >"$doc/notices"
gzip -9n "$doc/changelog" "$doc/changelog.Debian" "$doc/notices" "$stage"/usr/share/man/man1/*.1
if [[ -s $FILES/lintian-overrides ]]; then
    install -D -m 644 "$FILES/lintian-overrides" "$stage/usr/share/lintian/overrides/kinewatch"
fi

# Which versions of which libraries the program needs, by the symbols that it uses.
shlibs() {
    mkdir -p "$work/shlibs/debian"
    printf 'Source: kinewatch\n\nPackage: kinewatch\nArchitecture: any\n' >"$work/shlibs/debian/control"
    if [[ -z ${SYSROOT:-} ]]; then
        (cd "$work/shlibs" && DEB_HOST_ARCH=$arch dpkg-shlibdeps -O -e"$stage/usr/bin/kinewatch")
        return
    fi
    # Bracketed by a folder of its own, which goes again whatever happens.
    local inside
    inside=$("${as_root[@]}" mktemp -d "$SYSROOT/tmp/kinewatch-package.XXXXXX")
    "${as_root[@]}" cp -r "$work/shlibs/debian" "$stage/usr/bin/kinewatch" "$inside/"
    local status=0
    "${as_root[@]}" chroot "$SYSROOT" /usr/bin/env DEB_HOST_ARCH="$arch" /bin/sh -c '
        command -v dpkg-shlibdeps >/dev/null ||
            apt-get install -q -y --no-install-recommends dpkg-dev >&2 || exit
        cd "$1" && dpkg-shlibdeps -O -ekinewatch' sh "${inside#"$SYSROOT"}" || status=$?
    "${as_root[@]}" rm -rf "$inside"
    return "$status"
}
libraries=$(shlibs 2>"$work/shlibs.log" | sed -n 's/^shlibs:Depends=//p') || true
[[ -n $libraries ]] || {
    cat "$work/shlibs.log" >&2
    fail "dpkg-shlibdeps could not tell what $bin needs; are its libraries installed? (else: SYSROOT=)"
}
# A loader before 2.36 refuses relocations that are packed (see build.rs), a need that
# is a version without a symbol, which dpkg-shlibdeps passes over.
if [[ $(readelf -V --wide "$bin") == *GLIBC_ABI_DT_RELR* ]]; then
    have=$(sed -n 's/.*libc6 (>= \([^)]*\)).*/\1/p' <<<"$libraries")
    dpkg --compare-versions "${have:-0}" ge 2.36 ||
        libraries=$(sed 's/libc6\( (>= [^)]*)\)\?/libc6 (>= 2.36)/' <<<"$libraries")
fi

control=$stage/DEBIAN
mkdir "$control"
size=$(find "$stage" -path "$control" -prune -o -type f -printf '%s\n' | awk '{ n += int(($1 + 1023) / 1024) } END { print n }')
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" -e "s/@SHLIBS@/$libraries/" \
    "$FILES/control" >"$control/control"
(cd "$stage" && find etc -type f | sort | sed 's|^|/|') >"$control/conffiles"
(cd "$stage" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$control/md5sums"
install -m 755 "$FILES/postinst" "$FILES/prerm" "$FILES/postrm" "$control/"
find "$stage" -depth -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$stage" "$work/$name.deb" >&2
mv "$work/$name.deb" "$out/$name.deb"

if [[ ${SBOM-wanted} != "" ]]; then
    scripts/sbom.sh "$triple" >"$work/sbom"
    mv "$work/sbom" "$out/$name.cdx.json"
fi
(cd "$out" && find . -maxdepth 1 -name 'kinewatch_*' -type f -printf '%P\n' | sort | xargs sha256sum >SHA256SUMS)
say "$(cd "$out" && du -h "$name.deb" | tr '\t' ' '), Depends: $libraries"
echo "$out/$name.deb"
