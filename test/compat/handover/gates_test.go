// SPDX-License-Identifier: Apache-2.0

package handover

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// gates answer the webhooks of all canaries.
type gates struct {
	*httptest.Server
	mu sync.Mutex
	// closed has a function for each namespace that says whether a hook of an app
	// is to be refused.
	closed map[string]func(app string, hook flaggerv1.HookType) bool
}

func newGates() *gates {
	g := &gates{closed: map[string]func(string, flaggerv1.HookType) bool{}}
	g.Server = httptest.NewServer(g)
	return g
}

// url is that of a hook of an app.
func (g *gates) url(ns, app string, hook flaggerv1.HookType) string {
	return fmt.Sprintf("%s/%s/%s/%s", g.URL, ns, app, hook)
}

func (g *gates) guard(ns string, closed func(app string, hook flaggerv1.HookType) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed[ns] = closed
}

func (g *gates) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	g.mu.Lock()
	closed := g.closed[parts[0]]
	g.mu.Unlock()
	if len(parts) == 3 && closed != nil && closed(parts[1], flaggerv1.HookType(parts[2])) {
		http.Error(w, "closed", http.StatusForbidden)
	}
}

// nodeNames are those of all nodes.
func nodeNames(ctx context.Context) ([]string, error) {
	var list corev1.NodeList
	if err := the.Client.List(ctx, &list); err != nil {
		return nil, err
	}
	var names []string
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	return names, nil
}

// label lets the pods of apps find nodes, or keeps new ones from it: those that
// run stay.
func label(ctx context.Context, ns, value string, apps ...string) error {
	var labels []string
	for _, app := range apps {
		labels = append(labels, fmt.Sprintf("%q:%s", nodeLabel(ns, app), value))
	}
	patch := fmt.Sprintf(`{"metadata":{"labels":{%s}}}`, strings.Join(labels, ","))
	for _, name := range the.nodes {
		node := &corev1.Node{}
		node.Name = name
		if err := the.Client.Patch(ctx, node, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
			return err
		}
	}
	return nil
}

// The values of [label].
const (
	open = `"open"`
	shut = `null`
)

func nodeLabel(ns, app string) string { return ns + ".example/" + app }
