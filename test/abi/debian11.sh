#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The preload and conformance tests in a Debian 11 (glibc 2.31, Steam's runtime): their programs
# compiled there by its own compiler, and run there under the liblode.so built here.
#
#   usage: debian11.sh [-b BUILD] [-c CACHE] [-m MIRROR]
#
#   -b  meson's build directory (default: build)
#   -c  where the root is kept (default: ${XDG_CACHE_HOME:-$HOME/.cache}/lode/debian11)
#   -m  a Debian mirror (default: the one this machine's apt uses)
#
# Needs root, debootstrap and, the first time, the mirror: about a minute and 600 MB. Without them
# it says so and passes. Prints the failing points, and at the end `N passed, N failed, N skipped`.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
build=$source/build
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/lode/debian11
mirror=
while getopts b:c:m: option; do
    case $option in
    b) build=$OPTARG ;;
    c) cache=$OPTARG ;;
    m) mirror=$OPTARG ;;
    *) sed -n 's/^#   usage/usage/p' "$0" >&2; exit 2 ;;
    esac
done
packages=gcc,g++,libc6-dev,libunwind8,python3,strace

skip() {
    echo "1..0 # SKIP $1"
    exit 0
}

# The mirror that this machine's apt takes its own release's main component from.
apt_mirror() {
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    # shellcheck disable=SC2016  (apt fills these in)
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v release="$release" '$2 == release && $3 == "main" { print $1; exit }'
}

# A root is made beside its place and moved there whole, so that a broken one is never used.
make_root() {
    command -v debootstrap >/dev/null || skip "debootstrap is not installed"
    [ -n "$mirror" ] || mirror=$(apt_mirror)
    [ -n "$mirror" ] || skip "no Debian mirror known, give one with -m"
    rm -rf "$cache/new" "$root"
    echo "# making a Debian 11 root in $root" >&2
    if ! debootstrap --variant=minbase --include="$packages" bullseye "$cache/new" "$mirror" \
        >"$cache/debootstrap.log" 2>&1; then
        tail -n 5 "$cache/debootstrap.log" >&2
        echo "debian11.sh: debootstrap failed, see $cache/debootstrap.log" >&2
        exit 1
    fi
    echo "$packages" >"$cache/new/root/packages"
    mv "$cache/new" "$root"
}

# The build directory as the root sees it: our libraries alone, where the build has them.
copy_libraries() {
    rm -rf "$cache/build"
    mkdir -p "$cache/build"
    (cd "$build" && find . -name 'liblode*.so*' ! -type d ! -name '*.symbols') |
        while read -r file; do
            mkdir -p "$cache/build/$(dirname "$file")"
            cp -P "$build/$file" "$cache/build/$file"
        done
}

[ "$(id -u)" -eq 0 ] || skip "needs root for chroot"
build=$(cd "$build" && pwd)
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
root=$cache/root
[ "$(cat "$root/root/packages" 2>/dev/null)" = "$packages" ] || make_root
copy_libraries
"$here/debian11_plan.py" "$build" >"$root/root/plan.sh"

# In a mount namespace of its own, so that nothing stays mounted however this ends.
log=$cache/test.log
status=0
# shellcheck disable=SC2016  (expanded inside)
timeout 1500 unshare --mount --pid --fork sh -ec '
    root=$1 source=$2 build=$3 own_build=$4
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    mkdir -p "$root$source" "$root$build"
    mount --bind "$source" "$root$source"
    mkdir -p "$root$build"
    mount --bind "$own_build" "$root$build"
    mount -o remount,bind,ro "$root$source"
    exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/tmp \
        LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 sh /root/plan.sh
    ' sh "$root" "$source" "$build" "$cache/build" >"$log" 2>&1 || status=$?

# Comments before a failing point are its diagnosis.
awk '/^# / { held = held $0 "\n"; next }
     /^not ok/ { printf "%s%s\n", held, $0 }
     /^ERROR: ld.so/ && !loader++ { print }
     { held = "" }' "$log"
awk -v status="$status" '
    /^ok.*# SKIP/ { skipped++; next }
    /^ok/ { passed++ }
    /^not ok|^ERROR: ld.so/ { failed++ }
    END { if (status > 1 || passed == 0) { print "the run ended with status " status; failed++ }
          printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
          exit failed > 0 }' "$log" || { echo "debian11.sh: all output is in $log" >&2; exit 1; }
