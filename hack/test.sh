#!/usr/bin/env bash
# Runs all tests against playgrounds; arguments go to go test. Tests below test/
# start controllers of their own, and two of those on one object would fight: each
# package has a playground to itself while it runs. Most tests wait more than they
# work, so several packages run side by side, those that take longest first; with
# more than two at a time, though, what is simulated cannot keep up with its clock.
set -euo pipefail
cd "$(dirname "$0")/.."
export SLUICE_TEST_COMPLETE=1 # what lacks something fails, instead of being skipped

if [ "${1:-}" = --stream ]; then # with the list of packages, inside a playground
	list=$2
	shift 2
	status=0
	# These drive bin/sluice: the race detector would see the test alone, and slow its users down.
	binary='/test/(crash|e2e|compat/(flagger|flux|handover|takeover))$'
	while package=$(flock "$list.lock" sed -i -e '1w /dev/stdout' -e '1d' "$list") && [ -n "$package" ]; do
		flags=("$@")
		if [[ $package =~ $binary ]]; then
			flags=("${flags[@]/#-race/}")
		fi
		go test -count=1 -timeout 25m ${flags[@]} "$package" || status=1
	done
	exit $status
fi

# The playground's own tests start and stop playgrounds, and mostly wait for them.
go -C test/playground test -count=1 "$@" . ./internal/... &
playground=$!
mapfile -t units < <(go list ./... | grep -v '^github.com/sluice-cd/sluice/test/')
status=0
hack/with-playground.sh go test -count=1 -timeout 10m -p $(($(nproc) + 1)) "$@" "${units[@]}" || status=1
wait "$playground" || status=1
[ $status = 0 ] || exit 1

list=$(mktemp)
trap 'rm -f "$list" "$list.lock"' EXIT
slowest='/test/(crash|e2e|compat/(flagger|flux|handover)|integration/(canary|rbac|workload))$'
packages=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./test/...)
grep -E "$slowest" <<<"$packages" >"$list"
grep -vE "$slowest" <<<"$packages" | grep . >>"$list"
streams=()
for _ in 1 2; do
	hack/with-playground.sh hack/test.sh --stream "$list" "$@" &
	streams+=($!)
done
for stream in "${streams[@]}"; do
	wait "$stream" || status=1
done
exit $status
