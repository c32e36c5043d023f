#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs all tests; arguments go to go test. Tests that compute run beside tests that wait:
#
#   without a playground   units: they work all the time, and give way to all others (nice)
#   two streams            of packages with a playground each, those that take longest first;
#                          with more of them beside units, what is simulated cannot keep up
#                          with its clock: two more begin when the units have ended
#   the playground's own   tests start and stop playgrounds, and mostly wait for them
#
# Tests below test/ start controllers of their own, and two of those on one object would
# fight: each package has a playground to itself while it runs. What has not changed since
# it passed is not run again (see go help test) if the go command sees all that it depends
# on: units and the playground. TESTFLAGS=-count=1 runs them all the same. What go vet says is
# make vet's to find out.
set -euo pipefail
cd "$(dirname "$0")/.."
export SLUICE_TEST_COMPLETE=1 # what lacks something fails, instead of being skipped
module=github.com/sluice-cd/sluice

# These drive bin/sluice, or the tools of others: the race detector would see the test alone,
# and slow its users down.
binary='/test/(crash|e2e|e2e/promotion|compat/(beside|flagger|flux|handover|takeover|vscode)|integration/(browser|cli|promotion|rbac|receiver|tenants))$'
# These work a lot, and on one goroutine: the race detector has nothing to see. test/arch holds
# them to it.
sequential='canary canary/judge canary/judge/counter canary/judge/replay canary/judge/simulate canary/judge/trial
	cmd/sluice/cli/judge internal/template promotion test/compat writeback/edit'
sequential="^$module/($(xargs <<<"$sequential" | tr ' ' '|'))\$"
# This starts a server of its own, and shares helpers with those that need a playground.
forge='/test/gitea$'
# These take longest, and go first: the others fill up what is left.
long='/(internal/git|writeback|apply/build|controllers/imageupdateautomation|canary/workload|promotion/forge)$'
longestUnit='/controllers/pipeline$'
longest='/test/(crash|e2e|e2e/promotion|compat/(flagger|flux|handover|takeover)|integration/(browser|canary|promotion|rbac|workload))$'

# first prints the lines that match an expression, and then the others.
first() {
	local lines
	lines=$(cat)
	grep -E "$1" <<<"$lines" || true
	grep -vE "$1" <<<"$lines" | grep . || true
}

# units tests packages that need no playground.
units() {
	local list=$1
	shift
	[ -z "$list" ] || nice -n 10 go test -vet=off -timeout 55m -p "$(nproc)" "$@" $list
}

# stream tests packages of a list, one after the other, until none is left. Tests wait more
# than they work: more of them run at once than there are processors.
stream() {
	local list=$1 package flags status=0
	local TIMEFORMAT='        in %R s, of a processor %U s and %S s of the kernel'
	shift
	while package=$(flock "$list.lock" sed -i -e '1w /dev/stdout' -e '1d' "$list") && [ -n "$package" ]; do
		flags=("$@")
		if [[ $package =~ $binary ]]; then
			flags=("${flags[@]/#-race/}")
		fi
		time go test -vet=off -count=1 -timeout 55m ${flags[@]} "$package" || status=1
	done
	return $status
}

if [ "${1:-}" = --stream ]; then # inside a playground
	shift
	stream "$@"
	exit
fi

tested=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | grep .)
waiting=$(go list -test -f '{{.ImportPath}} {{join .Deps " "}} ' ./test/... | sed -n "s, .* $module/test/env .*,,p" |
	sed -n 's,\.test$,,p' | grep -vE "$forge")
rest=$(grep -vxF "$waiting" <<<"$tested")
plain="$(grep -E "$sequential" <<<"$rest") $(grep -E "$binary" <<<"$waiting")"
race=
for flag in "$@"; do
	[ "$flag" != -race ] || race=-race
done
# All is compiled before anything waits on a clock.
go list -export -test $race ./... >/dev/null
[ -z "$race" ] || go list -export -test $plain >/dev/null

list=$(mktemp)
trap 'rm -f "$list" "$list.lock"' EXIT
first "$longest" <<<"$waiting" >"$list"

# streams runs so many of them, until the list is empty.
streams() {
	local count=$1 status=0 each=() one
	shift
	for ((; count > 0; count--)); do
		[ ! -s "$list" ] || hack/with-playground.sh hack/test.sh --stream "$list" "$@" &
		each+=($!)
	done
	for one in "${each[@]}"; do
		wait "$one" || status=1
	done
	return $status
}

lanes=()
streams 2 "$@" &
lanes+=($!)
go -C test/playground test "$@" . ./internal/... &
lanes+=($!)
{
	status=0
	concurrent=$(grep -vE "$sequential" <<<"$rest" | first "$long" | first "$longestUnit")
	units "$(grep -v "^$module/test/" <<<"$concurrent")" "$@" || status=1
	units "$(grep "^$module/test/" <<<"$concurrent")" -count=1 "$@" || status=1 # some run the go command, or other programs
	units "$(grep -E "$sequential" <<<"$rest")" ${@/#-race/} || status=1
	streams 2 "$@" || status=1
	exit $status
} &
lanes+=($!)
status=0
for lane in "${lanes[@]}"; do
	wait "$lane" || status=1
done
exit $status
