#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Generates what follows from the table of traffic providers, deepcopy functions for our API types, CRDs for every
# served kind, the copies that the chart and the controller of Pipelines have, and the types of the user interface.
# Running it twice changes nothing; `make verify` fails if running it once does.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v0.23.0
tools=${XDG_CACHE_HOME:-$HOME/.cache}/sluice/tools/controller-gen-$version
controller_gen=$tools/controller-gen
[ -x "$controller_gen" ] ||
	GOBIN=$tools go install "sigs.k8s.io/controller-tools/cmd/controller-gen@$version"

out=config/crd/bases
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

"$controller_gen" object:headerFile=hack/boilerplate.go.txt paths=./api/...

# Which providers a Canary may name, what they need, and what the controller may write for them. It is compiled with
# the API, which new types keep from compiling until they have deepcopy functions, and read by what makes CRDs.
go run ./hack/providers

# Thresholds of canary metrics are float64 in Flagger's wire format, which
# controller-gen accepts only when told that the danger is known.
"$controller_gen" crd:allowDangerousTypes=true paths=./api/... output:dir="$tmp"

# Imported kinds come without descriptions, and only those that have a
# controller: a CRD without one accepts objects that nothing will ever act on. Objects of
# ExternalArtifact are written by others, for Kustomizations to read.
imported() {
	"$controller_gen" crd:maxDescLen=0 paths="$1" output:dir="$tmp/imported"
	shift
	for file; do
		# Flux's clients find what belongs to Flux by this label.
		sed '0,/^  name: /s//  labels:\n    app.kubernetes.io\/part-of: flux\n  name: /' \
			"$tmp/imported/$file" >"$tmp/$file"
	done
}
imported github.com/fluxcd/source-controller/api/v1 source.toolkit.fluxcd.io_gitrepositories.yaml \
	source.toolkit.fluxcd.io_ocirepositories.yaml source.toolkit.fluxcd.io_buckets.yaml \
	source.toolkit.fluxcd.io_externalartifacts.yaml
imported github.com/fluxcd/source-watcher/api/v2/v1beta1 source.extensions.fluxcd.io_artifactgenerators.yaml
imported github.com/fluxcd/kustomize-controller/api/v1 kustomize.toolkit.fluxcd.io_kustomizations.yaml
imported github.com/fluxcd/notification-controller/api/v1 notification.toolkit.fluxcd.io_receivers.yaml
rm -r "$tmp/imported"
# A Receiver may name Pipelines, too, which Flux does not know.
receivers=$tmp/notification.toolkit.fluxcd.io_receivers.yaml
sed -i 's/^\( *\)- ExternalArtifact$/&\n\1- Pipeline/' "$receivers"
grep -q -- '- Pipeline$' "$receivers"

# The pattern of durations lets in more digits than a duration has. One such object would end
# the lists and watches of all objects of its kind: none of them could be decoded.
sed -i -E 's/^( *)pattern: \^\(\[0-9\]\+\(\\\.\[0-9\]\+\)\?\(ms\|s\|m(\|h)?\)\)\+\$$/&\n\1maxLength: 64\n\1x-kubernetes-validations:\n\1- message: is longer than a duration can be, which is 292 years\n\1  rule: duration(self) >= duration('"'0s'"')/' "$tmp"/*.yaml
grep -q 'rule: duration(self)' "$receivers"

# Only what differs is touched, so that a reader never sees a half-empty folder.
publish() {
	mkdir -p "$2"
	for file in "$1"/*.yaml; do
		cmp -s "$file" "$2/${file##*/}" || cp "$file" "$2"
	done
	for file in "$2"/*.yaml; do
		[ -e "$1/${file##*/}" ] || rm "$file"
	done
}
publish "$tmp" "$out"

# The kinds that Sluice extends as Flux serves them, for the test that hands objects back.
for module in image-reflector-controller image-automation-controller; do
	"$controller_gen" crd:maxDescLen=0 "paths=github.com/fluxcd/$module/api/v1" output:dir="$tmp/upstream"
done
"$controller_gen" crd:maxDescLen=0 paths=github.com/fluxcd/notification-controller/api/v1beta3 output:dir="$tmp/upstream"
publish "$tmp/upstream" test/compat/takeover/testdata/upstream
{
	echo "apiVersion: kustomize.config.k8s.io/v1beta1"
	echo "kind: Kustomization"
	echo "resources:"
	for file in "$out"/*.yaml; do
		echo "- bases/${file##*/}"
	done | LC_ALL=C sort
} >"$tmp/kustomization.yaml"
cmp -s "$tmp/kustomization.yaml" config/crd/kustomization.yaml || cp "$tmp/kustomization.yaml" config/crd

# The chart renders the same CRDs and roles, from copies: Helm reads only its own folder.
mkdir -p "$tmp/chart"
for file in config/rbac/*.yaml; do
	case ${file##*/} in
	kustomization.yaml | serviceaccount.yaml) ;; # kustomize's alone; a template with values
	*) cp "$file" "$tmp/chart" ;;
	esac
done
publish "$out" charts/sluice/files/crds
publish "$tmp/chart" charts/sluice/files/rbac

mkdir -p charts/sluice/files/monitoring
for file in config/monitoring/podmonitor.yaml config/monitoring/dashboards/*.json; do
	cmp -s "$file" "charts/sluice/files/monitoring/${file##*/}" || cp "$file" charts/sluice/files/monitoring
done

# The controller compares the policy of the cluster with the one that it was built with.
for copy in charts/sluice/files/admission controllers/pipeline; do
	mkdir -p "$copy"
	cmp -s config/admission/pipeline-commands.yaml "$copy/pipeline-commands.yaml" || cp config/admission/pipeline-commands.yaml "$copy"
done

# What the user interface is told, for its page.
go run ./hack/uitypes >"$tmp/types.ts"
cmp -s "$tmp/types.ts" ui/app/src/api/types.ts || cp "$tmp/types.ts" ui/app/src/api/types.ts
