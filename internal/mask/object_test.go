// SPDX-License-Identifier: Apache-2.0

package mask

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The page showed the incoming webhook of a room, the headers of a metric provider and the password in an address to whoever may read
// the object, and what kubectl keeps of it in an annotation.
func TestCredentialsThatStandInAnObjectAreHidden(t *testing.T) {
	for name, tc := range map[string]struct{ object, want string }{
		"the address of a room is its credential": {
			`{kind: AlertProvider, spec: {type: slack, channel: ops, address: "https://hooks.slack.com/services/T0/B0/s3cret",
				proxy: "http://eve:s3cret@proxy:3128"}}`,
			`{kind: AlertProvider, spec: {type: slack, channel: ops, address: "https://hooks.slack.com/***",
				proxy: "http://***@proxy:3128"}}`,
		},
		"of a connection string nothing is left": {
			`{kind: Provider, spec: {type: azureeventhub, address: "Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKey=s3cret"}}`,
			`{kind: Provider, spec: {type: azureeventhub, address: "***"}}`,
		},
		"the key of a Sentry project is its user": {
			`{kind: Provider, spec: {type: sentry, address: "https://s3cret@sentry.io/1"}}`,
			`{kind: Provider, spec: {type: sentry, address: "https://sentry.io/***"}}`,
		},
		"a host alone says where messages go": {
			`{kind: Provider, spec: {type: alertmanager, address: "https://alerts.example.com:9093/"}}`,
			`{kind: Provider, spec: {type: alertmanager, address: "https://alerts.example.com:9093/"}}`,
		},
		"the repository of commit statuses stays": {
			`{kind: Provider, spec: {type: gitlab, address: "https://git:s3cret@gitlab.com/acme/shop"}}`,
			`{kind: Provider, spec: {type: gitlab, address: "https://***@gitlab.com/acme/shop"}}`,
		},
		"headers of a metric provider": {
			`{kind: MetricTemplate, spec: {query: "rate(x[1m])?", provider: {
				address: "http://eve:s3cret@prometheus:9090/p?tenant=s3cret&s3cret#top",
				headers: {Authorization: [Bearer s3cret]}, secretRef: {name: prometheus}}}}`,
			`{kind: MetricTemplate, spec: {query: "rate(x[1m])?", provider: {
				address: "http://***@prometheus:9090/p?tenant=***&***#top", headers: {Authorization: ["***"]}, secretRef: {name: prometheus}}}}`,
		},
		"webhooks of a Canary": {
			`{kind: Canary, spec: {analysis: {webhooks: [
				{name: load, type: rollout, url: "http://loadtester/?token=s3cret", metadata: {cmd: "hey -z 1m http://eve:s3cret@podinfo:9898/?x=1"}},
				{name: room, type: event, url: "https://hooks.example.com/s3cret"}]}}}`,
			`{kind: Canary, spec: {analysis: {webhooks: [
				{name: load, type: rollout, url: "http://loadtester/?token=***", metadata: {cmd: "hey -z 1m http://***@podinfo:9898/?x=1"}},
				{name: room, type: event, url: "https://hooks.example.com/***"}]}}}`,
		},
		"what kubectl keeps of the object": {
			`{kind: Bucket, metadata: {annotations: {a: b, kubectl.kubernetes.io/last-applied-configuration: "s3cret"}}}`,
			`{kind: Bucket, metadata: {annotations: {a: b}}}`,
		},
		"an image, a reference and an address of SSH are no credentials": {
			`{kind: Deployment, spec: {image: "ghcr.io/acme/shop:1@sha256:ab", url: "ssh://git@example.com/a@b", ref: "v1@x", ask: "who? me"}}`,
			`{kind: Deployment, spec: {image: "ghcr.io/acme/shop:1@sha256:ab", url: "ssh://git@example.com/a@b", ref: "v1@x", ask: "who? me"}}`,
		},
		"an object whose fields have other types": {
			`{kind: Provider, spec: [{address: 1}]}`, `{kind: Provider, spec: [{address: 1}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got, want map[string]any
			if err := yaml.Unmarshal([]byte(untab(tc.object)), &got); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal([]byte(untab(tc.want)), &want); err != nil {
				t.Fatal(err)
			}
			Object(&unstructured.Unstructured{Object: got})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// untab is YAML of a table of tests, which Go indents by tabs.
func untab(text string) string { return strings.ReplaceAll(text, "\t", " ") }
