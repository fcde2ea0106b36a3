# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# Sourced by the tests of the tool: TAP output and a private directory.
#
#   LODE      the program under test
#   FIXTURES  the directory with the small programs built for these tests
set -u
tap_count=0
tap_failed=0
tap_dir=$(mktemp -d)
trap 'rm -rf "$tap_dir"' EXIT

# say DESCRIPTION: the test passed if the last command did.
say() {
    tap_result=$?
    tap_count=$((tap_count + 1))
    if [ "$tap_result" -eq 0 ]; then
        echo "ok $tap_count - $1"
        return
    fi
    tap_failed=1
    echo "not ok $tap_count - $1"
    for tap_file in "$tap_dir/out" "$tap_dir/err"; do
        [ ! -f "$tap_file" ] || sed 's/^/# /' "$tap_file"
    done
}

# skip DESCRIPTION REASON
skip() {
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # SKIP $2"
}

# lode ARGUMENTS: run the program; its output goes to $tap_dir/out and err, its status to $status.
lode() {
    status=0
    "$LODE" "$@" >"$tap_dir/out" 2>"$tap_dir/err" </dev/null || status=$?
}

# field NAME: the value of a field of the JSON in out, by its last name
field() {
    sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",{]\{1,\}\).*/\1/p" "$tap_dir/out" | head -n 1
}

# status_is NUMBER, out_has REGEX, err_has REGEX, err_lacks REGEX: of the last call of lode
status_is() { [ "$status" -eq "$1" ] || { echo "# status $status, not $1"; false; }; }
out_has() { grep -Eq -- "$1" "$tap_dir/out"; }
err_has() { grep -Eq -- "$1" "$tap_dir/err"; }
err_lacks() { ! grep -Eq -- "$1" "$tap_dir/err"; }

# finish: the plan, and the exit status of the test
finish() {
    echo "1..$tap_count"
    exit "$tap_failed"
}
