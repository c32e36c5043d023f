// SPDX-License-Identifier: Apache-2.0

package events_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/events"
	"github.com/sluice-cd/sluice/test/command"
)

// server has events of a Kustomization, a Canary and a Pod, the latest first.
func server(t *testing.T) string {
	t.Helper()
	event := func(name, version, kind, kindOf, message string, ago time.Duration) corev1.Event {
		return corev1.Event{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Event"}, ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name},
			InvolvedObject: corev1.ObjectReference{APIVersion: version, Kind: kind, Namespace: "apps", Name: "app"},
			Type:           kindOf, Reason: "Happened", Message: message, Count: 2, LastTimestamp: metav1.NewTime(time.Now().Add(-ago)),
		}
	}
	list := map[string]any{"apiVersion": "v1", "kind": "EventList", "metadata": map[string]any{}, "items": []any{
		event("late", "kustomize.toolkit.fluxcd.io/v1", "Kustomization", "Normal", "applied", 20*time.Minute+30*time.Second),
		event("pod", "v1", "Pod", "Warning", "back-off", 10*time.Second),
		event("early", "flagger.app/v1beta1", "Canary", "Warning", "rolled back\x1b[2J", 150*time.Minute+30*time.Second),
	}}
	url, _ := command.APIServer(t, map[string]any{
		"/api":  map[string]any{"kind": "APIVersions", "versions": []string{"v1"}},
		"/apis": map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{}},
		"/api/v1": map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": []any{
			map[string]any{"name": "events", "kind": "Event", "namespaced": true, "verbs": []string{"list"}}}},
		"/api/v1/events": list, "/api/v1/namespaces/apps/events": list,
	})
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
	} {
		r := command.Must(t, events.Command("test"), "", append(strings.Fields(line), "--server", at)...)
		if diff := cmp.Diff(want, "\n"+r.Out); diff != "" {
			t.Errorf("%s: -want +got:\n%s", line, diff)
		}
	}
	for line, want := range map[string]string{"--for app": "want KIND/NAME", "--types Bad": "known: Normal, Warning"} {
		if r := command.Run(t, events.Command("test"), "", strings.Fields(line)...); r.Err == nil || !strings.Contains(r.Err.Error(), want) {
			t.Errorf("%s: %v", line, r.Err)
		}
	}
}
