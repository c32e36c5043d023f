#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the web page into ui/dist, or tests it. What was built or tested is remembered by a
# hash of its sources in the cache outside the tree: nothing is done twice.
#   hack/ui.sh build
#   hack/ui.sh test
#   hack/ui.sh install     what the tests in a browser need of npm
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sluice/ui
app=ui/app

if ! command -v npm >/dev/null; then
	hack/packages.sh nodejs npm
fi
# What Node.js it takes is said once, in package.json.
oldest=$(sed -n 's/.*"node": ">=\([0-9.]*\)".*/\1/p' "$app/package.json")
if ! printf '%s\n' "$oldest" "$(node --version | tr -d v)" | sort -V --check=quiet; then
	echo "the web page needs Node.js $oldest or newer, and this is $(node --version): see https://nodejs.org" >&2
	exit 1
fi

# hash is that of files and of their names; neither what npm installed nor what was built counts.
hash() {
	find "$app" -name node_modules -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-24
}

# install puts what the lock names into node_modules, unless it is there.
install() {
	local lock=$app/node_modules/.package-lock.sha256
	sha256sum --status --check "$lock" 2>/dev/null && return
	(cd "$app" && npm ci --no-audit --no-fund --loglevel=error)
	sha256sum "$app/package-lock.json" >"$lock"
}

# bounded fails if all files together are larger than a page may be that opens at once.
bounded() {
	local limit=200000 size
	size=$(find ui/dist -type f -exec sh -c 'gzip -9c "$1" | wc -c' - {} \; | awk '{sum += $1} END {print sum + 0}')
	[ "$size" -le "$limit" ] && return
	echo "the web page has $size bytes after gzip, and may have $limit" >&2
	return 1
}

build() {
	local built=$cache/$(hash)
	if [ ! -f "$built/index.html" ]; then
		install
		(cd "$app" && npm run --silent build)
		bounded
		mkdir -p "$cache"
		local new
		new=$(mktemp -d "$cache/new.XXXXXX")
		cp -r ui/dist/. "$new"
		mv -T "$new" "$built" 2>/dev/null || rm -r "$new" # another build was faster
		# The last ten stay.
		ls -dt "$cache"/*/ | tail -n +11 | xargs -r rm -r
	fi
	diff -rq "$built" ui/dist >/dev/null && return
	find ui/dist -mindepth 1 -maxdepth 1 ! -name .keep -exec rm -r {} +
	cp -r "$built/." ui/dist
}

check() {
	local passed=$cache/passed-$(hash)
	[ ! -f "$passed" ] || return 0
	install
	(cd "$app" && npm test --silent)
	mkdir -p "$cache"
	touch "$passed"
}

case ${1:-} in
build) build ;;
test) check ;;
install) install ;;
*)
	echo "usage: hack/ui.sh build|test|install" >&2
	exit 1
	;;
esac
