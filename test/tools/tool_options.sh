#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2016 # backquotes are Markdown here
# The program itself: help, version, unknown verbs; and the listing of options.
# shellcheck source=tool_tap.sh
. "$(dirname "$0")/tool_tap.sh"

lode --help
status_is 0 && out_has '^  run  ' && out_has '^  bench  ' && out_has '^  leaks  ' &&
    out_has '^  mine  ' && out_has '^  options  '
say "--help lists the verbs"
lode --version
status_is 0 && out_has '^lode [0-9]+\.[0-9]+'
say "--version"
for verb in run bench leaks mine options; do
    lode "$verb" --help
    status_is 0 && out_has "^Usage: lode $verb "
    say "$verb --help"
done
lode nosuchverb
status_is 2 && err_has "unknown verb 'nosuchverb'"
say "an unknown verb"
lode
status_is 2 && err_has 'which verb'
say "no verb"

lode options
status_is 0 && out_has '^option +type +default +allowed +meaning$' &&
    out_has '^purge +choice +inline +inline\|thread\|auto\|off +' &&
    out_has '^leaks_frames +number +16 +1-62 +' && out_has '^stats_file +path +\(none\) +any +'
say "options lists name, type, default, allowed and meaning"
lode options --markdown
status_is 0 && out_has '^\|---\|---\|---\|---\|---\|$' &&
    out_has '^\| `misuse` \| choice \| abort \| abort\\\|ignore \| .* \|$'
say "options --markdown escapes what would end a cell"
for words in options --help --version "run --help"; do
    status=0
    # shellcheck disable=SC2086 # words
    "$LODE" $words >/dev/full 2>"$tap_dir/err" || status=$?
    status_is 2 && err_has 'standard output: No space left'
    say "output to a full disk is a failure: lode $words"
done
lode options extra
status_is 2
say "options takes no arguments"
finish
