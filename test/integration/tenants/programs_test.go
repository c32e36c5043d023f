// SPDX-License-Identifier: Apache-2.0

package tenants

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

func replace(text, old, by string) string { return strings.ReplaceAll(text, old, by) }

func automation(name, template string) string {
	return replace(replace(`apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: $NAME}
spec:
  interval: 1h
  sourceRef: {kind: GitRepository, name: $NAME}
  git:
    commit:
      author: {name: bot, email: bot@example.com}
      messageTemplate: '$TEMPLATE'
`, "$TEMPLATE", template), "$NAME", name)
}

// canary is one whose metric asks by a query.
func canary(query string) string {
	return replace(`apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: endless-query, namespace: <.Tenant>}
spec:
  provider: kubernetes
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: app}
  service: {port: 80}
  analysis:
    interval: 1m
    threshold: 1
    iterations: 1
    metrics: [{name: x, interval: 1m, thresholdRange: {max: 1}, query: "$QUERY"}]
`, "$QUERY", query)
}

// programs are texts that are evaluated, and never end or take all memory.
func (s *stage) programs() map[string]attack {
	marked := map[string]string{"a.yaml": "a: b\n"}
	slow := strings.Repeat("(a?){1000}", 30)
	return map[string]attack{
		"a commit message of terabytes": {
			files:   marked,
			objects: automation("repeat", `{{ repeat 1000000000000 "x" }}`) + replace(s.source(), "$NAME", "repeat"),
			want:    []string{"messageTemplate"}, stalled: true,
		},
		"a commit message without end": {files: marked, objects: automation("endless",
			`{{ range until 30000000 }}{{ range until 30000000 }}x{{ end }}{{ end }}`) + replace(s.source(), "$NAME", "endless"),
			want: []string{"messageTemplate"}, stalled: true},
		"a pattern that takes long": {objects: `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: pattern}
spec: {image: <.Registry>/<.Victim>/app, insecure: true, interval: 1h, exclusionList: ["` + slow + `"]}
`},
		"a query of a canary without end": {
			operator: true,
			objects:  canary(`{{ range 9223372036854775807 }}{{ end }}`),
			want:     []string{"query"},
			stalled:  true,
		},
		"a canary, which the role does not grant": {objects: replace(canary("1"), "endless", "granted"), denied: "forbidden"},
		"a filter of a receiver that takes all memory": {objects: `apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: filter}
spec:
  type: generic
  secretRef: {name: filter}
  resources: [{kind: ImageRepository, name: pattern}]
  resourceFilter: req.s.replace("a", req.s).size() > 0
---
apiVersion: v1
kind: Secret
metadata: {name: filter}
stringData: {token: ` + secret("filter") + `}
`, after: func(t *testing.T, s *stage) { s.post(t, "filter", `{"s":"`+strings.Repeat("a", 100_000)+`"}`) }},
	}
}

// post sends a webhook, which may be refused.
func (s *stage) post(t *testing.T, name, body string) {
	t.Helper()
	receiver := &notificationv1.Receiver{}
	_, err := harness.Eventually(t.Context(), "giving receiver "+name+" a path", harness.Patience, func(ctx context.Context) (bool, string) {
		err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Tenant, Name: name}, receiver)
		return receiver.Status.WebhookPath != "", fmt.Sprint(receiver.Status.Conditions, err)
	})
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := http.Post(s.sluice.Webhooks+receiver.Status.WebhookPath, "application/json", strings.NewReader(body))
	if err != nil {
		t.Errorf("the controller does not answer any more: %v", err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	said, _ := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusOK {
		t.Errorf("%d %s, want a refusal", resp.StatusCode, said)
	}
}

// sizes are inputs that grow when they are read.
func (s *stage) sizes() map[string]attack {
	aliases := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\ndata:\n  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		aliases += fmt.Sprintf("  a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), i-1)
	}
	link := func(name string, size, links int) func(*testing.T, *stage) {
		return func(t *testing.T, s *stage) {
			target := s.plumb(t, name, strings.Repeat("a/../", size/5)+"a.yaml", "hash-object", "-w", "--stdin")
			var tree strings.Builder
			for i := range links {
				_, _ = fmt.Fprintf(&tree, "120000 blob %s\tl%05d\n", target, i)
			}
			made := s.plumb(t, name, tree.String(), "mktree")
			commit := s.plumb(t, name, "", "commit-tree", "-m", "links", made)
			s.plumb(t, name, "", "update-ref", "refs/heads/main", commit)
		}
	}
	return map[string]attack{
		"aliases in a manifest": {
			operator: true,
			files:    map[string]string{"bomb.yaml": aliases},
			objects:  s.kustomization("aliases", ""),
			want:     []string{"alias"},
		},
		"a manifest that is large": {operator: true, files: map[string]string{
			"big.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata:\n" + strings.Repeat("  a: b\n", 3<<20/7)},
			objects: s.kustomization("large", ""), want: []string{"large", "bytes", "limit", "most"}},
		"a link with a target of megabytes": {files: map[string]string{"a.yaml": "a: b\n"}, before: link("target", 48<<20, 1),
			objects: strings.TrimPrefix(replace(s.source(), "$NAME", "target"), "\n---\n")},
		"thousands of links": {files: map[string]string{"a.yaml": "a: b\n"}, before: link("links", 32<<10, 2000),
			objects: strings.TrimPrefix(replace(s.source(), "$NAME", "links"), "\n---\n")},
		"patterns without end in .sourceignore": {files: map[string]string{
			"a.yaml":        "a: b\n",
			".sourceignore": strings.Repeat("/aaaaaaaa/**/b*\n", 4<<20/16),
		},
			objects: strings.TrimPrefix(replace(s.source(), "$NAME", "ignore"), "\n---\n")},
	}
}
