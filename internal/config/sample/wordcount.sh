#!/bin/sh
# Counts the lines, words and bytes of a text. refq runs it, and so can you:
#
#     echo '{"text":"to be or not to be"}' | sh wordcount.sh
#
# Any program will do that reads JSON from stdin and writes JSON to stdout. It may be run twice for one call, so it must
# not mind. What it writes to stderr is kept when it fails. sh has no JSON: this reads a single "text" and no more.
set -eu

arguments=$(cat)
case $arguments in
*'"text":"'*) ;;
*)
	echo 'the arguments must be like {"text":"to be or not to be"}' >&2
	exit 65 # in permanent_exit_codes: the same arguments would fail again
	;;
esac
text=${arguments#*'"text":"'}
text=${text%'"'*}
text=$(printf '%s' "$text" | sed -e 's/\\[rt]/ /g' -e 's/\\n/\
/g' -e 's/\\\(.\)/\1/g')

progress() {
	echo "refq-progress: $1/3 $2" >&2
	sleep "${STEP_SECONDS:-0}"
}

progress 1 lines
lines=$(printf '%s\n' "$text" | wc -l)
progress 2 words
words=$(printf '%s' "$text" | wc -w)
progress 3 bytes
bytes=$(printf '%s' "$text" | wc -c)

# wc may write spaces before a number; printf without quotes around the variables drops them.
printf '{"lines":%d,"words":%d,"bytes":%d}\n' $lines $words $bytes
