#!/usr/bin/env bash
# Runs every fuzz target of every package, one after the other:
#   tools/fuzz.sh 1m       each for a minute
#   tools/fuzz.sh 10000x   each on 10,000 inputs
# A failing input is written to testdata/fuzz beside its test: commit it with the repair.
# Inputs are not minimized: go test would now and then spend a minute on one that only
# covers something new.
set -euo pipefail
cd "$(dirname "$0")/.."

fuzztime=${1:?usage: tools/fuzz.sh FUZZTIME}

# One line for each test file: its package and its path.
files=$(go list -f '{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}
{{end}}{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}
{{end}}' ./...)

found=0
while read -r package file; do
	[[ -n $package ]] || continue
	for target in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$file"); do
		found=$((found + 1))
		echo "$package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" -fuzzminimizetime 0x -timeout 10m "$package" </dev/null
	done
done <<<"$files"
echo "$found fuzz targets"
