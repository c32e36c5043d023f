#!/usr/bin/env bash
# Runs all tests against the playground of the environment; arguments go to
# go test. Tests below test/ start controllers of their own, so those packages
# take turns: two controllers on one object would fight.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t units < <(go list ./... | grep -v '^github.com/sluice-cd/sluice/test/')
go test -count=1 -timeout 10m "$@" "${units[@]}"
go test -count=1 -timeout 25m -p 1 "$@" ./test/...
