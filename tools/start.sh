#!/bin/sh
# SPDX-License-Identifier: MIT
#
# From an empty checkout on Debian 12 to a result:
#
#   tools/start.sh demo     install what is missing, build, and run a real mining game's server
#                           under `lode run --leaks`: always the same world, then a summary
#   tools/start.sh test     install what is missing, build three times (release; ASan + UBSan with
#                           checks=full; TSan), and run the tests; ends with "N passed, N failed"
#
# BUILD (environment, default build) is the directory that is built in; BUILD-asan, BUILD-tsan and
# BUILD-fuzz stand beside it. Packages come from Debian, by apt-get, as root or through sudo.
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}

packages_build="gcc g++ meson ninja-build pkg-config libmimalloc-dev libunwind-dev libdw-dev
    libelf-dev libncurses-dev libjansson-dev libpng-dev libzstd-dev libcriterion-dev"
packages_demo="minetest-server time"
packages_test="python3 time valgrind strace clang clang-format-14 libclang-rt-14-dev gdb git perl
    sqlite3 redis-server nodejs libpython3.11-testsuite libjemalloc2 libtcmalloc-minimal4
    libtbbmalloc2 file attr libcap2-bin openttd openttd-opengfx"

install_missing() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    root=
    [ "$(id -u)" -eq 0 ] || root=sudo
    echo "installing:$missing"
    $root apt-get update -q >/dev/null
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive $root apt-get install -y -q --no-install-recommends $missing \
        >/dev/null
}

# A game that cannot be had is not worth failing for.
install_if_possible() {
    for package in "$@"; do
        install_missing "$package" || echo "cannot install $package"
    done
}

compile() { # DIRECTORY TARGET
    ninja -C "$1" "$2" >"$1/ninja.log" || { cat "$1/ninja.log"; exit 1; }
}

configure() { # DIRECTORY OPTION...
    directory=$1
    shift
    if [ -f "$directory/build.ninja" ]; then
        meson configure "$directory" "$@" >/dev/null
    else
        meson setup "$directory" "$@" >/dev/null
    fi
    compile "$directory" all
}

demo() {
    # shellcheck disable=SC2086
    install_missing $packages_build
    # shellcheck disable=SC2086
    install_if_possible $packages_demo
    configure "$build" -Dtests=disabled
    if [ -x /usr/lib/minetest/minetestserver ]; then
        RUNNER="$build/tools/lode run --leaks --" test/programs/games/minetest.sh
    else
        echo "minetest-server cannot be had here: running lode's own option listing instead"
        "$build/tools/lode" run --leaks -- "$build/tools/lode" options
    fi
}

passed=0 failed=0

# Run part of the tests of a build directory and add up what meson counted: each TAP line of a
# program is a test, and so is each program without.
run_tests() { # TITLE DIRECTORY MESON-TEST-OPTION...
    echo "== $1"
    directory=$2
    shift 2
    status=0
    meson test -C "$directory" --no-rebuild --print-errorlogs "$@" || status=$?
    log=$directory/meson-logs/testlog.json
    counts=$(python3 test/count_tests.py "$log")
    echo "$counts"
    passed=$((passed + $(echo "$counts" | cut -d' ' -f1)))
    failed=$((failed + $(echo "$counts" | cut -d' ' -f3)))
    [ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
}

run_all_tests() {
    # shellcheck disable=SC2086
    install_missing $packages_build
    # shellcheck disable=SC2086
    install_if_possible $packages_demo $packages_test
    configure "$build" -Dtests=enabled
    run_tests "release build" "$build" --no-suite programs
    configure "$build-asan" -Dchecks=full -Db_sanitize=address,undefined -Db_lundef=false \
        -Dbuildtype=debugoptimized
    run_tests "ASan + UBSan, checks=full" "$build-asan" --no-suite abi --no-suite tools
    configure "$build-tsan" -Db_sanitize=thread -Db_lundef=false -Dbuildtype=debugoptimized
    run_tests "TSan" "$build-tsan" --suite stress --suite leaks --suite unit --suite fuzz
    if command -v clang >/dev/null; then
        [ -d "$build-fuzz" ] || CC=clang CXX=clang++ meson setup "$build-fuzz" -Dfuzz=enabled \
            -Dchecks=full -Dtools=disabled -Dbuildtype=debugoptimized >/dev/null
        compile "$build-fuzz" fuzzers
        run_tests "fuzzers, short run (clang)" "$build-fuzz" --suite fuzz
    fi
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

case ${1:-} in
demo) demo ;;
test) run_all_tests ;;
*)
    sed -n '5,12s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
