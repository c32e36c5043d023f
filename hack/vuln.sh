#!/usr/bin/env bash
# Runs govulncheck. Without a way to its database there is no verdict: that is
# said loudly, and is the only thing that does not fail the build.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$("$1" ./... 2>&1)
code=$?
printf '%s\n' "$out"
if [ $code -ne 0 ] && grep -qE 'fetching vulnerabilities|no such host|dial tcp|connection refused' <<<"$out"; then
	echo "govulncheck: NO VERDICT: the vulnerability database cannot be reached from this machine" >&2
	exit 0
fi
exit $code
