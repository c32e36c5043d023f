#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds a program of the field from its module, unmodified, once, and prints its
# path: what Sluice is compatible with is tested against the real thing. Two that
# build at once take turns. With --if-built, nothing is built, and nothing printed.
#   hack/upstream.sh [--if-built] flux | source-controller | kustomize-controller | notification-controller |
#       flagger | loadtester | helm | gitea | versitygw
set -euo pipefail

ifbuilt=
if [ "${1:-}" = --if-built ]; then
	ifbuilt=1
	shift
fi
name=${1:-}
case $name in
flux)
	module=github.com/fluxcd/flux2/v2 version=2.9.5 package=./cmd/flux
	sum=h1:jwCccxvkD+2QnsjN+pl5QqM8KnFUwA8pIoQ1Lf0avkA=
	flags="-s -w -X main.VERSION=$version"
	;;
source-controller)
	# Of it, and of notification-controller, the newest whose modules the proxies have.
	module=github.com/fluxcd/source-controller version=1.9.3 package=.
	sum=h1:Zj1gfvK/2MFIm/K3vh5fSHoJBoggLKMuLWf5ZEmaF0w=
	apisum=h1:Z5Id6iPV+n1OY/14dpC18PaHRATzAyZkjAzDNYxSl4E=
	flags="-s -w"
	;;
kustomize-controller)
	module=github.com/fluxcd/kustomize-controller version=1.9.6 package=.
	sum=h1:XB+G3A0mky0j5uVHZWv4oSlS2RvZBoNIUhstIvY0JKE=
	apisum=h1:7XiuW+l3YYXWeIwLJ8w34zHlJyMUEKosBIxLIki9J3I=
	flags="-s -w"
	;;
notification-controller)
	module=github.com/fluxcd/notification-controller version=1.9.3 package=.
	sum=h1:vBONN/Lx5aQ2nDnJxYp5Sb0Wsgh13UbuP5A1MK4dmkY=
	apisum=h1:RgpaVPpjICdc9aAAQ6By/Z4uXghm8yDaVy5KuIO5igg=
	flags="-s -w"
	;;
flagger | loadtester)
	module=github.com/fluxcd/flagger version=1.44.0 package=./cmd/$name
	sum=h1:JAb2mE3AAO5Y/JkfHy6xbFDPDPk9lGvqXwmtztNbdhw=
	flags="-s -w"
	;;
helm)
	module=helm.sh/helm/v4 version=4.3.2 package=./cmd/helm
	sum=h1:zdd8DgKTlLrlYIzdoAntDHLH0V3RkgNIpQ3yjzuD84M=
	flags="-s -w"
	;;
gitea)
	# A forge, for tests alone: none of it (MIT) is in what Sluice ships. The last whose
	# module has this path. SQLite needs a C compiler.
	module=code.gitea.io/gitea version=1.26.0 package=.
	sum=h1:fJP9dqLbzKrKWUVnCVTfVersZdVDuyJQLEDzCAOmKKA=
	flags="-s -w -X main.Version=$version"
	tags=sqlite,sqlite_unlock_notify cgo=1
	;;
versitygw)
	# A gateway that speaks S3 and checks every signature (Apache-2.0), over a directory.
	module=github.com/versity/versitygw version=1.8.0 package=./cmd/versitygw
	sum=h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc=
	flags="-s -w -X main.Version=$version"
	;;
*)
	echo "usage: $0 flux | source-controller | kustomize-controller | notification-controller | flagger | loadtester | helm | gitea | versitygw" >&2
	exit 2
	;;
esac

dir=${XDG_CACHE_HOME:-$HOME/.cache}/sluice/tools/$name-$version
if [ -x "$dir/$name" ]; then
	echo "$dir/$name"
	exit 0
fi
[ -z "$ifbuilt" ] || exit 0

mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
if [ -x "$dir/$name" ]; then
	echo "$dir/$name"
	exit 0
fi
if [ -n "${cgo:-}" ] && ! command -v gcc >/dev/null; then
	"$(dirname "$0")/packages.sh" gcc libc6-dev >&2
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

echo "$name $version: downloading" >&2
cd "$tmp" # outside of our module, whose go.mod knows nothing of it
GOWORK=off go mod download -json "$module@v$version" >download.json
field() { sed -n 's/^\t"'"$1"'": "\(.*\)",\{0,1\}$/\1/p' download.json; }
src=$(field Dir)
if [ "$(field Sum)" != "$sum" ]; then
	echo "$name $version: the module's checksum is $(field Sum), want $sum" >&2
	exit 1
fi

# Go refuses to build in its module cache: the module is copied.
cp -r "$src" "$tmp/src"
chmod -R u+w "$tmp/src"
mode=readonly
if [ -n "${apisum:-}" ]; then
	# Its types are a module of their own beside it, which go.sum therefore lacks.
	GOWORK=off go mod download -json "$module/api@v$version" >download.json
	if [ "$(field Sum)" != "$apisum" ]; then
		echo "$name/api $version: the module's checksum is $(field Sum), want $apisum" >&2
		exit 1
	fi
	GOWORK=off go -C "$tmp/src" mod edit -dropreplace "$module/api"
	mode=mod
fi
if [ "$name" = flux ]; then
	# The CLI embeds the manifests that `flux install` and `flux bootstrap` apply.
	# They are made at release time and are not part of the module, so that it does
	# not build without a stand-in.
	mkdir "$tmp/src/cmd/flux/manifests"
	echo '# not part of the module' >"$tmp/src/cmd/flux/manifests/none.yaml"
fi

# Flags as upstream's release has them. -v names each package as it is compiled.
echo "$name $version: compiling, some minutes on two cores, then never again" >&2
start=$SECONDS
if ! (cd "$tmp/src" && CGO_ENABLED=${cgo:-0} GOWORK=off GOFLAGS='' go build -v -mod=$mode -buildvcs=false \
	-tags "${tags:-}" -ldflags "$flags" -o "$tmp/$name" "$package") 2>&1 | tee "$tmp/log" |
	awk -v name="$name" 'NR % 100 == 0 { print name ": " NR " packages compiled"; fflush() }' >&2; then
	tail -n 20 "$tmp/log" >&2
	exit 1
fi
if [ -d "$tmp/src/config/crd/bases" ]; then
	rm -rf "$dir/crd"
	cp -r "$tmp/src/config/crd/bases" "$dir/crd" # the kinds that it serves
fi
if [ "$name" = gitea ]; then
	# What the server reads beside its binary. Bundles of scripts and styles are made at
	# release time; browsers take the style sheets as they are.
	rm -rf "$dir/static"
	mkdir "$dir/static"
	cp -r "$tmp/src/options" "$tmp/src/public" "$tmp/src/templates" "$dir/static/"
	cp -r "$tmp/src/web_src/css" "$dir/static/public/assets/css"
	mv "$dir/static/public/assets/css/themes/"* "$dir/static/public/assets/css/"
fi
mv "$tmp/$name" "$dir/$name.new"
mv "$dir/$name.new" "$dir/$name" # whoever sees it sees all of it
echo "$name $version: built in $((SECONDS - start)) s" >&2
echo "$dir/$name"
