#!/usr/bin/env bash
# Quickstart appends a few records and reads them back as a stream, with curl, jq
# and perl alone.
#
# Start a server with make run, then: examples/curl/quickstart.sh
set -euo pipefail

addr=http://127.0.0.1:8400
if [ "${1-}" = --addr ]; then
	addr=$2
fi

# snippet: call
# A call with one answer: JSON there, JSON back. An error has another status than
# 200, and a body that says why.
call() {
	curl -sS --fail-with-body -H 'Content-Type: application/json' -d "$2" "$addr/log.v1.$1"
}
# end snippet

# snippet: stream
# In a stream each message has five bytes before it: flags, and its length in four
# bytes, the highest first. frame puts them in front of a request of up to 255
# bytes, lines takes them off the answers. What else stream gets is for curl.
frame() { printf "\0\0\0\0\\$(printf %o "${#1}")%s" "$1"; }

lines() {
	perl -e '$| = 1; while (read(STDIN, $h, 5) == 5) { read(STDIN, $m, unpack("xN", $h)); print "$m\n" }'
}

stream() {
	frame "$2" | curl -sfN --data-binary @- -H 'Content-Type: application/connect+json' "${@:3}" "$addr/log.v1.$1" | lines
}
# end snippet

# When Produce answers, the record is on the server's disk. Bytes are base64 in JSON.
ack=$(call Log/Produce "$(jq -nc '{record: {value: ("hello" | @base64)}}')")
first=$(jq -r .offset <<<"$ack")
echo "produced $first"

# A batch is appended as a whole or not at all. Headers travel with a record.
batch=$(jq -nc '{records: [
	{value: ("how are you?" | @base64)},
	{value: ("goodbye" | @base64), headers: [{name: "mood", value: ("sad" | @base64)}]}
]}')
ack=$(call Log/Produce "$batch")
next=$(jq -r .nextOffset <<<"$ack")
echo "produced $(jq -r .offset <<<"$ack") to $((next - 1))"

# The stream ends at untilOffset; without it, it would wait for what comes. Its
# last message is {} when all is well, or holds an error.
stream Log/ConsumeStream "$(jq -nc --arg from "$first" --arg until "$next" '{offset: $from, untilOffset: $until}')" |
	jq -r 'if .error then error(.error.message) elif .record then "\(.record.offset): \(.record.value | @base64d)" else empty end'
