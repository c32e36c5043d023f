// SPDX-License-Identifier: Apache-2.0

package message_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/notify/message"
)

// FuzzRender has all types say what an event of others says. Whatever that is, it goes to the host of the Provider, in a
// request that can be sent.
func FuzzRender(f *testing.F) {
	f.Add("Kustomization", "apps", "shop", "done", "ReconciliationSucceeded", "revision",
		"main@sha1:4d2ee62e1a1b2c3d4e5f60718293a4b5c6d7e8f9", false)
	f.Add("a/b", "..", "@evil.example.com/", "*bold* <b>\r\nX-A: b</b>", "HTTPFailed2", "summary", "{{ x }}\x00\xff", true)
	f.Add("", "", "", "", "Progressing", "", "https://user:password@example.com/?a=b#c", true)
	f.Add("Canary", "apps", "shop", "[link](https://example.com) \\ ` ~", "Synced", "state", "failure", false)
	f.Fuzz(func(t *testing.T, kind, namespace, name, text, reason, key, value string, failed bool) {
		e := message.Event{
			InvolvedObject: corev1.ObjectReference{APIVersion: "g/v1", Kind: kind, Namespace: namespace, Name: name, UID: "7"},
			Severity:       "info", Timestamp: metav1.NewTime(time.Unix(1_767_323_045, 0).UTC()), Message: text, Reason: reason,
			Metadata: map[string]string{key: value, "g/" + key: value, "event.toolkit.fluxcd.io/" + key: value}, ReportingController: name,
		}
		if failed {
			e.Severity = "error"
		}
		before := *e.DeepCopy()
		combined, _ := message.Combine(message.Clean(e), v1beta3.AlertSpec{EventMetadata: map[string]string{key: text}, Summary: value})
		for typeName, to := range targets {
			requests, err := message.Types[typeName].Render(to, combined)
			if err != nil {
				continue
			}
			for _, r := range requests {
				checkRequest(t, typeName, r)
			}
		}
		if status, err := message.StatusOf(combined); err == nil {
			if hash, ok := message.CommitOf(status.Commit); !ok || hash != status.Commit {
				t.Errorf("a status of %q", status.Commit)
			}
			_ = message.Link(combined, status.Commit, "https://example.com/a/b.git")
		}
		_, _, _ = message.Markdown(combined), message.Identity(combined), message.DefaultContext(combined, value)
		if diff := cmp.Diff(before, e); diff != "" {
			t.Errorf("the event was changed:\n%s", diff)
		}
	})
}

// hosts are where types without an address of their own send to.
var hosts = map[string]string{
	"telegram": "api.telegram.org", "sentry": "o1.ingest.sentry.io", "googlepubsub": "pubsub.googleapis.com",
	"azureeventhub": "ns.servicebus.windows.net",
}

func checkRequest(t *testing.T, typeName string, r message.Request) {
	t.Helper()
	want := hosts[typeName]
	if want == "" {
		u, err := url.Parse(targets[typeName].Address)
		if err != nil {
			t.Fatal(err)
		}
		want = u.Host
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "https" || u.Host != want {
		t.Errorf("%s goes to %q: %v", typeName, r.URL, err)
	}
	for header, value := range r.Header {
		if strings.ContainsAny(header+value, "\r\n\x00") {
			t.Errorf("%s has a header that cannot be sent: %q: %q", typeName, header, value)
		}
	}
	if strings.HasPrefix(r.Header["Content-Type"], "application/json") && !json.Valid(r.Body) {
		t.Errorf("%s sends what is no JSON: %q", typeName, r.Body)
	}
}

// FuzzTarget has all types read what a Provider says. What they accept, they can send to.
func FuzzTarget(f *testing.F) {
	for _, to := range targets {
		f.Add(to.Address, to.Channel, to.Username, to.Token)
	}
	f.Add("Endpoint=sb://;EntityPath=", "a/b/c", "u", "t")
	f.Add("https://:443", "", "", "\n")
	f.Add("https://key@host/x/y/z?a#b", "../..", "\x00", "SharedAccessSignature sr=")
	f.Fuzz(func(t *testing.T, address, channel, username, token string) {
		to := message.Target{Address: address, Channel: channel, Username: username, Password: token, Token: token}
		for typeName, kind := range message.Types {
			if kind.Validate(to) != nil {
				continue
			}
			requests, err := kind.Render(to, event("error"))
			if err != nil {
				t.Errorf("%s accepts %+v, and then: %v", typeName, to, err)
			}
			for _, r := range requests {
				if u, err := url.Parse(r.URL); err != nil || u.Host == "" {
					t.Errorf("%s accepts %+v, and sends to %q: %v", typeName, to, r.URL, err)
				}
				if r.Refused != nil {
					_ = r.Refused([]byte(address))
				}
			}
		}
	})
}
