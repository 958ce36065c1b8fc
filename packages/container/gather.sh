#!/bin/sh
# In the Containerfile's first stage, where the package and all of GStreamer are
# installed: puts kinewatch, the plugins of the list and the libraries that they need
# into a folder, less what the base image has.
#
#   gather.sh LIST BASE_FILES FOLDER
set -eu
list=$1
base_files=$2
out=$3

plugins=$(echo /usr/lib/*-linux-gnu*/gstreamer-1.0)
lib=${plugins%/gstreamer-1.0}
[ -d "$plugins" ] || { echo "gather: GStreamer's plugins are not in $plugins" >&2; exit 1; }

# The package that has a file. Some say /lib for what is in /usr/lib.
owner() {
    { dpkg-query --search "$1" || dpkg-query --search "${1#/usr}"; } 2>/dev/null | head -n 1 | cut -d: -f1
}
# One file, under its own path with links of folders resolved (/lib is /usr/lib).
put() {
    folder=$(realpath "$(dirname "$1")")
    path=$folder/$(basename "$1")
    ! grep -qxF "$path" "$base_files" || return 0
    [ ! -e "$out$path" ] || return 0
    mkdir -p "$out$folder"
    cp -L --preserve=mode,timestamps "$path" "$out$path"
    # Whoever passes a library on passes its licence on.
    package=$(owner "$(realpath "$path")")
    [ -n "$package" ] || echo "gather: no package has $path: its licence is left out" >&2
    notice=/usr/share/doc/$package/copyright
    if [ -n "$package" ] && [ -f "$notice" ] && [ ! -e "$out$notice" ]; then
        mkdir -p "$out${notice%/*}"
        cp -L "$notice" "$out$notice"
    fi
}
# A program or plugin, with every library that it is linked to.
put_linked() {
    [ -e "$1" ] || { echo "gather: there is no $1" >&2; exit 1; }
    put "$1"
    ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' >"$out/.linked"
    while read -r library; do put "$library"; done <"$out/.linked"
    rm "$out/.linked"
}

mkdir -p "$out"
put_linked /usr/bin/kinewatch
put_linked "$lib/gstreamer1.0/gstreamer-1.0/gst-plugin-scanner"
grep -v '^#' "$list" | while read -r name; do
    put_linked "$plugins/libgst$name.so"
done
# The plugin `soup` opens libsoup, and GLib its TLS, when they are first needed.
for library in "$lib"/libsoup-2.4.so.1 "$lib"/gio/modules/libgiognutls.so; do
    put_linked "$library"
done
put "$lib/gio/modules/giomodule.cache"
find /usr/share/kinewatch /etc/kinewatch /usr/share/doc/kinewatch/copyright /usr/share/doc/kinewatch/notices.gz \
    /etc/ssl/certs/ca-certificates.crt -type f >"$out/.files"
while read -r file; do put "$file"; done <"$out/.files"
rm "$out/.files"
