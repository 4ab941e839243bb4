#!/usr/bin/env bash
# Measures .build/usher against the code of another revision, in turn, and runs the Go benchmarks of both, in turn too.
# make bench-compare says what is in REV, ONLY, BENCH, COUNT and BENCHSTAT.
set -euo pipefail
cd "$(dirname "$0")/../.."

[[ -n $REV ]] || { echo "say against which revision: make bench-compare REV=main~1" >&2 && exit 2; }

git=(git -c 'safe.directory=*')
tree=.build/compare
remove() { "${git[@]}" worktree remove --force "$tree" 2>/dev/null || true; }
remove
trap remove EXIT
"${git[@]}" worktree add --quiet --detach "$tree" "$REV"

(cd "$tree" && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o ../usher-old ./cmd/usher)
.build/usher-bench -only "$ONLY" -old .build/usher-old compare
[[ -z $ONLY ]] || exit 0

bench() { go test -run '^$' -bench "$BENCH" -benchmem -count 1 -timeout 60m ./...; }
: >.build/bench-old.txt >.build/bench-new.txt
for ((i = 1; i <= COUNT; i++)); do
	echo "Go benchmarks, $i of $COUNT" >&2
	(cd "$tree" && bench) >>.build/bench-old.txt
	bench >>.build/bench-new.txt
done
$BENCHSTAT old=.build/bench-old.txt new=.build/bench-new.txt
