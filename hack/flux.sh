#!/usr/bin/env bash
# Builds the Flux CLI from its module, unmodified, once, and prints its path: the
# compatibility suite runs it against Sluice. Two that build at once take turns.
set -euo pipefail

version=2.9.5
sum=h1:jwCccxvkD+2QnsjN+pl5QqM8KnFUwA8pIoQ1Lf0avkA=
dir=${XDG_CACHE_HOME:-$HOME/.cache}/sluice/tools/flux-$version
if [ -x "$dir/flux" ]; then
	echo "$dir/flux"
	exit 0
fi

mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
if [ -x "$dir/flux" ]; then
	echo "$dir/flux"
	exit 0
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

echo "flux $version: downloading" >&2
cd "$tmp" # outside of our module, whose go.mod knows nothing of flux2
GOWORK=off go mod download -json "github.com/fluxcd/flux2/v2@v$version" >download.json
field() { sed -n 's/^\t"'"$1"'": "\(.*\)",\{0,1\}$/\1/p' download.json; }
src=$(field Dir)
if [ "$(field Sum)" != "$sum" ]; then
	echo "flux $version: the module's checksum is $(field Sum), want $sum" >&2
	exit 1
fi

# The CLI embeds the manifests that `flux install` and `flux bootstrap` apply.
# They are made at release time and are not part of the module, so that it does
# not build without a stand-in. Go refuses an overlay on its module cache: the
# module is copied.
cp -r "$src" "$tmp/src"
chmod -R u+w "$tmp/src"
mkdir "$tmp/src/cmd/flux/manifests"
echo '# not part of the module' >"$tmp/src/cmd/flux/manifests/none.yaml"

# Flags as upstream's release has them. -v names each package as it is compiled.
echo "flux $version: compiling, about five minutes on two cores, then never again" >&2
start=$SECONDS
if ! (cd "$tmp/src" && CGO_ENABLED=0 GOWORK=off GOFLAGS='' go build -v -mod=readonly -buildvcs=false \
	-ldflags "-s -w -X main.VERSION=$version" -o "$tmp/flux" ./cmd/flux) 2>&1 | tee "$tmp/log" |
	awk 'NR % 100 == 0 { print "flux: " NR " packages compiled"; fflush() }' >&2; then
	tail -n 20 "$tmp/log" >&2
	exit 1
fi
mv "$tmp/flux" "$dir/flux.new"
mv "$dir/flux.new" "$dir/flux" # whoever sees it sees all of it
echo "flux $version: built in $((SECONDS - start)) s" >&2
echo "$dir/flux"
