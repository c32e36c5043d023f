// SPDX-License-Identifier: Apache-2.0

package events_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/events"
	"github.com/sluice-cd/sluice/test/command"
)

// server has a Kustomization with a source in another namespace, and events of both, of a
// Canary and of a Pod, the latest first.
func server(t *testing.T) string {
	t.Helper()
	event := func(name, version, kind, ns, kindOf, message string, ago time.Duration) corev1.Event {
		return corev1.Event{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Event"}, ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
			InvolvedObject: corev1.ObjectReference{APIVersion: version, Kind: kind, Namespace: ns, Name: "app"},
			Type:           kindOf, Reason: "Happened", Message: message, Count: 2, LastTimestamp: metav1.NewTime(time.Now().Add(-ago)),
		}
	}
	const group = "kustomize.toolkit.fluxcd.io/v1"
	list := func(kind string, items ...any) map[string]any {
		return map[string]any{"apiVersion": "v1", "kind": kind + "List", "metadata": map[string]any{}, "items": items}
	}
	apps := []any{
		event("late", group, "Kustomization", "apps", "Normal", "applied", 20*time.Minute+30*time.Second),
		event("pod", "v1", "Pod", "apps", "Warning", "back-off", 10*time.Second),
		event("early", "flagger.app/v1beta1", "Canary", "apps", "Warning", "rolled back\x1b[2J", 150*time.Minute+30*time.Second),
	}
	infra := []any{
		event("fetched", "source.toolkit.fluxcd.io/v1", "GitRepository", "infra", "Normal", "stored", 30*time.Minute+30*time.Second),
		event("another", group, "Kustomization", "infra", "Normal", "another", 5*time.Second),
	}
	kustomizations := list("Kustomization", map[string]any{
		"apiVersion": group, "kind": "Kustomization", "metadata": map[string]any{"namespace": "apps", "name": "app"},
		"spec": map[string]any{"sourceRef": map[string]any{"kind": "GitRepository", "namespace": "infra", "name": "app"}},
	})
	kustomizations["apiVersion"] = group
	objects := command.Group("kustomize.toolkit.fluxcd.io", "v1", map[string]string{"Kustomization": "kustomizations"})
	maps.Copy(objects, map[string]any{
		"/api/v1": map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": []any{
			map[string]any{"name": "events", "kind": "Event", "namespaced": true, "verbs": []string{"list"}},
			map[string]any{"name": "pods", "singularName": "pod", "kind": "Pod", "namespaced": true, "verbs": []string{"list"}}}},
		"/api/v1/events": list("Event", append(slices.Clone(apps), infra...)...), "/api/v1/namespaces/apps/events": list("Event", apps...),
		"/api/v1/namespaces/infra/events": list("Event", infra...), "/api/v1/namespaces/apps/pods": list("Pod"),
		"/apis/" + group + "/kustomizations":                 kustomizations,
		"/apis/" + group + "/namespaces/apps/kustomizations": kustomizations,
	})
	url, _ := command.APIServer(t, objects)
	return url
}

func TestEventsAreThoseThatWereAskedFor(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nonexistent")
	at := server(t)
	for line, want := range map[string]string{
		"-n apps": `
LAST SEEN   TYPE      REASON     OBJECT              MESSAGE
150m        Warning   Happened   Canary/app          rolled back [2J
20m         Normal    Happened   Kustomization/app   applied
`,
		"-A --types warning -o wide": `
NAMESPACE   LAST SEEN   TYPE      REASON     OBJECT       TIMES   MESSAGE
apps        150m        Warning   Happened   Canary/app   2       rolled back [2J
`,
		"-n apps --for pod/app -o name": "\nevent/pod\n",
		"-n apps --for Pod/other":       "\n",
		"-n apps --for kustomizations/app": `
NAMESPACE   LAST SEEN   TYPE     REASON     OBJECT              MESSAGE
infra       30m         Normal   Happened   GitRepository/app   stored
apps        20m         Normal   Happened   Kustomization/app   applied
`,
		"-A --for kustomization.kustomize.toolkit.fluxcd.io/app -o name": "\nevent/fetched\nevent/late\nevent/another\n",
		"-n apps --for Kustomization -o name":                            "\nevent/late\n",
	} {
		r := command.Must(t, events.Command("test"), "", append(strings.Fields(line), "--server", at)...)
		if diff := cmp.Diff(want, "\n"+r.Out); diff != "" {
			t.Errorf("%s: -want +got:\n%s", line, diff)
		}
	}
	for line, want := range map[string]string{
		"--for app/": "want KIND/NAME", "--for /app": "want KIND/NAME", "--types Bad": "known: Normal, Warning",
		"--status-selector ready=false": "neither labels nor conditions", "-l a=b": "--selector: events have neither",
		"--for nothing/app -n apps --server " + at: "the cluster has no kind nothing",
	} {
		if r := command.Run(t, events.Command("test"), "", strings.Fields(line)...); r.Err == nil || !strings.Contains(r.Err.Error(), want) {
			t.Errorf("%s: %v", line, r.Err)
		}
	}
}
