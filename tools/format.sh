#!/usr/bin/env bash
# Formats the Go code and the protos; with --check it only names what is not formatted, and fails.
set -euo pipefail
cd "$(dirname "$0")/.."

buf=(go tool -modfile=tools/buf.mod buf format proto)
mapfile -t files < <(find . -name '*.go' -not -path './.*' -not -path './gen/*')

if [[ ${1-} != --check ]]; then
	((${#files[@]} == 0)) || gofmt -s -w "${files[@]}"
	"${buf[@]}" --write
	exit
fi

status=0
if ((${#files[@]} > 0)); then
	bad=$(gofmt -s -l "${files[@]}")
	if [[ -n $bad ]]; then
		echo "$bad"
		status=1
	fi
fi
"${buf[@]}" --diff --exit-code || status=1
if ((status != 0)); then
	echo "some files are not formatted: run make format" >&2
fi
exit "$status"
