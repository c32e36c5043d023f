// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"unicode/utf8"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/notify/dispatch"
	"github.com/sluice-cd/sluice/notify/message"
)

// FuzzEventsOfOthers posts whatever somebody in the network may post. It is answered with what senders understand, and
// what counts as an event reaches a chat and a commit within its bounds, or not at all.
func FuzzEventsOfOthers(f *testing.F) {
	for _, edit := range []func(*message.Event){
		func(*message.Event) {},
		func(e *message.Event) { e.Severity, e.Reason = "error", "BuildFailed" },
		func(e *message.Event) {
			e.Metadata = map[string]string{group + "revision": "main@sha1:" + commitOfFuzz, group + "commit_status": "update"}
		},
		func(e *message.Event) {
			e.Metadata = map[string]string{eventv1.Group + "/commit": "HEAD", group + "token": "\x00"}
		},
		func(e *message.Event) { e.InvolvedObject.APIVersion = "a/b/c" },
	} {
		body, err := json.Marshal(event("done", edit))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"involvedObject":{"kind":"Kustomization","namespace":"apps","name":"shop"},"severity":"info","metadata":{"":""}}`))
	f.Add([]byte(`{"involvedObject":{"kind":"Kustomization","namespace":"../..","name":"shop"},"severity":"info"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newChatServer(t)
		commits := provider("https://gitea.example.com/acme/fleet", func(p *v1beta3.Provider) { p.Name, p.Spec.Type = "commits", "gitea" })
		statuses := alert(func(a *v1beta3.AlertSpec) { a.ProviderRef.Name = "commits" })
		statuses.Name = "commits"
		b := newTestEnv(t, nil, provider(r.URL), alert(), commits, statuses)
		answer := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		dispatch.NewEndpoint(b.Dispatcher).ServeHTTP(answer, request)
		switch answer.Code {
		case http.StatusAccepted:
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			b.deliver(t)
			if len(r.got)+len(b.forges.got) > 0 {
				t.Errorf("answered with %d, and told", answer.Code)
			}
			return
		default:
			t.Fatalf("answered with %d: %s", answer.Code, answer.Body)
		}
		b.deliver(t)
		for _, e := range r.events {
			if e.InvolvedObject.Namespace != "apps" || e.InvolvedObject.Kind != "Kustomization" || utf8.RuneCountInString(e.Message) > 39_000 {
				t.Errorf("told %+v", e)
			}
		}
		for _, status := range b.forges.got {
			if hash, ok := message.CommitOf(status.Commit); !ok || hash != status.Commit {
				t.Errorf("a status of %q", status.Commit)
			}
		}
	})
}

const commitOfFuzz = "4d2ee62e1a1b2c3d4e5f60718293a4b5c6d7e8f9"
