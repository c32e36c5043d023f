// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestAlert(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-alert")
	told := make(chan string, 100)
	room := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case told <- r.URL.Path:
		default:
		}
	}))
	t.Cleanup(room.Close)
	s.values["{room}"] = room.URL
	s.push(t, "1.0.0")
	s.tell(t, []step{
		{
			does: "create alert-provider", run: "create alert-provider room --type=generic --address={room}/told",
			err: []string{"✔ Provider created", "✔ Provider room is ready"},
		},
		{
			does: "create alert", run: "create alert all --provider-ref=room --event-severity=info --event-source=ImageRepository/*",
			err: []string{"✔ Alert created", "✔ Alert all is ready"},
		},
		{does: "get alert-providers", run: "get alert-providers", out: []string{"NAME READY MESSAGE room True Provider is Ready"}},
		{does: "get alerts", run: "get alerts", out: []string{"NAME SUSPENDED READY MESSAGE all False True Alert is Ready"}},
		{does: "get alerts of all namespaces", run: "get alerts -A", out: []string{"{ns} all False True Alert is Ready"}},
		{does: "get all shows both", run: "get all", out: []string{"alert/all False True", "provider/room True"}},
		{does: "something that is told", run: "create image repository podinfo --image={image} --interval=1h"},
	})
	if path := <-told; path != "/told" {
		t.Errorf("told at %s", path)
	}
	s.tell(t, []step{
		{does: "suspend alert", run: "suspend alert all", err: []string{"✔ alert suspended"}},
		{does: "get a suspended alert", run: "get alerts all", out: []string{"all True True"}},
		{does: "resume alert", run: "resume alert all", err: []string{"✔ alert resumed", "✔ Alert reconciliation completed"}},
		{
			does: "export alert", run: "export alert all", out: []string{"kind: Alert", "eventSources:", "providerRef:"},
			not: []string{"status:"},
		},
		{
			does: "export alert-provider", run: "export alert-provider room", out: []string{"kind: Provider", "type: generic"},
			not: []string{"status:"},
		},
		{does: "delete alert", run: "delete alert all -s", err: []string{"✔ alert deleted"}},
		{does: "delete alert-provider", run: "delete alert-provider room -s", err: []string{"✔ alert provider deleted"}},
	})
}
