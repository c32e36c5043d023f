#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command against a playground of its own, and takes it down again.
#   hack/with-playground.sh [--node simulated|real] command args...
set -euo pipefail
cd "$(dirname "$0")/.."
node=simulated
if [ "${1:-}" = --node ]; then
	node=$2
	shift 2
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/sluice-playground.XXXXXX")
finish() {
	bin/playground down --dir "$dir" >/dev/null || echo "playground in $dir did not come down cleanly" >&2
	rm -rf "$dir"
}
trap finish EXIT
# The API servers of tests take more of the processor than what is tested, a fifth of it to
# collect garbage: they may have more memory instead.
GOGC=${GOGC:-800} bin/playground up --node "$node" --dir "$dir"
set -a
# shellcheck disable=SC1091
. "$dir/env"
set +a
export SLUICE_BIN="${SLUICE_BIN:-$PWD/bin/sluice}"
"$@"
