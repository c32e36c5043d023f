// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
)

func TestImagesAreReadFromTheMessages(t *testing.T) {
	github := func(event, body string) request {
		return request{body: body}.with("X-Hub-Signature-256", "sha256="+sign(sha256.New, body)).with("X-GitHub-Event", event)
	}
	pushed := `{"action":"published","package":{"package_version":{"package_url":"ghcr.io/team/app:1.0"}}}`
	form := url.Values{"payload": {pushed}}.Encode()
	for name, tc := range map[string]struct {
		kind string
		sent request
		want []string
	}{
		"Harbor, by tag and by digest": {
			notificationv1.HarborReceiver,
			request{body: `{"type":"PUSH_ARTIFACT","event_data":{"resources":[
				{"tag":"1.0","resource_url":"harbor.example.com:8443/team/app:1.0"},
				{"resource_url":"harbor.example.com/team/two@sha256:00"}
			]}}`}.with("Authorization", secretToken),
			[]string{"harbor.example.com:8443/team/app", "harbor.example.com/team/two"},
		},
		"Harbor, as a CloudEvent": {
			notificationv1.HarborReceiver,
			request{body: `{"specversion":"1.0","type":"harbor.artifact.pushed","data":{"resources":[
				{"resource_url":"harbor.example.com/team/app:1.0"}
			]}}`}.with("Authorization", secretToken),
			[]string{"harbor.example.com/team/app"},
		},
		"Docker Hub": {
			notificationv1.DockerHubReceiver,
			request{body: `{"push_data":{"tag":"1.0"},"repository":{"repo_name":"team/app","repo_url":"https://hub.docker.com/r/team/app"}}`},
			[]string{"team/app"},
		},
		"Quay": {
			notificationv1.QuayReceiver, request{body: `{"docker_url":"quay.io/team/app","updated_tags":["1.0"]}`}, []string{"quay.io/team/app"},
		},
		"ACR": {
			notificationv1.ACRReceiver,
			request{body: `{"action":"push","target":{"repository":"team/app","tag":"1.0"},"request":{"host":"team.azurecr.io"}}`},
			[]string{"team/app"},
		},
		"GitHub, of a package": {notificationv1.GitHubReceiver, github("package", pushed), []string{"ghcr.io/team/app"}},
		"GitHub, in a form": {
			notificationv1.GitHubReceiver,
			github("package", form).with("Content-Type", "application/x-www-form-urlencoded"),
			[]string{"ghcr.io/team/app"},
		},
		"GitHub, of a commit": {notificationv1.GitHubReceiver, github("push", pushed), nil},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			for key, value := range tc.sent.header {
				header.Set(key, value)
			}
			m := message{
				header: header, body: []byte(tc.sent.body), receiver: newReceiver(nil),
				secret: map[string][]byte{tokenKey: []byte(secretToken)},
			}
			sent, err := senders[tc.kind].verify(t.Context(), nil, m)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, sent.images); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

// Of a wrong X-Hub-Signature-256 the answer said that X-Hub-Signature did not fit.
func TestTheSignatureThatDoesNotFitIsNamed(t *testing.T) {
	for sent, want := range map[string]string{
		"X-Hub-Signature-256": "X-Hub-Signature-256: ", "X-Hub-Signature": "X-Hub-Signature: ", "X-Other": "X-Hub-Signature-256: ",
	} {
		header := http.Header{}
		header.Set(sent, "sha256="+sign(sha256.New, "other"))
		m := message{
			header: header, body: []byte("{}"), receiver: newReceiver(nil), secret: map[string][]byte{tokenKey: []byte(secretToken)},
		}
		if _, err := senders[notificationv1.GitHubReceiver].verify(t.Context(), nil, m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", sent, err, want)
		}
	}
}

func TestFiltersSeeTheEventAndNotItsEnvelope(t *testing.T) {
	body := `{"ref":"refs/heads/main"}`
	form := url.Values{"payload": {body}}.Encode()
	google := newIssuer(t)
	event := `{"action":"INSERT","digest":"gcr.io/team/app@sha256:00","tag":"gcr.io/team/app:1.0"}`
	for name, tc := range map[string]struct {
		kind, filter string
		send         request
	}{
		"of GitHub, in a form": {
			notificationv1.GitHubReceiver, `req.ref == "refs/heads/main"`,
			request{body: form}.with("X-Hub-Signature-256", "sha256="+sign(sha256.New, form)).
				with("Content-Type", "application/x-www-form-urlencoded"),
		},
		"of GitHub, as JSON": {
			notificationv1.GitHubReceiver, `req.ref == "refs/heads/main"`,
			request{body: body}.with("X-Hub-Signature-256", "sha256="+sign(sha256.New, body)).with("Content-Type", "application/json"),
		},
		"of Pub/Sub": {
			notificationv1.GCRReceiver, `req.tag == "gcr.io/team/app:1.0" && req.action == "INSERT"`,
			request{body: `{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(event)) + `"}}`}.
				with("Authorization", google.token(t, map[string]any{"email": "push@example.com", "email_verified": true})),
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestServer(t, func(r *notificationv1.Receiver) { r.Spec.Type, r.Spec.ResourceFilter = tc.kind, tc.filter })
			w.hooks.GoogleIssuer = google.URL
			if code := w.post(tc.send); code != http.StatusOK || w.requested() != "GitRepository/repo" {
				t.Errorf("answered %d, requested %q", code, w.requested())
			}
		})
	}
}

func TestImagesThatMayBeTheSame(t *testing.T) {
	for name, tc := range map[string]struct {
		a, b string
		want bool
	}{
		"one registry by two names":  {"harbor.example.com/team/app", "harbor.internal:5000/team/app", true},
		"a mirror with a prefix":     {"mirror.example.com/hub/team/app", "team/app", true},
		"official images of the Hub": {"alpine", "library/alpine", true},
		"a name that ends alike":     {"example.com/team/my-app", "example.com/app", false},
		"another team's":             {"example.com/team/app", "example.com/else/app", false},
		"localhost":                  {"localhost/app", "registry.example.com/app", true},
	} {
		if got := mayBeSameRepository(tc.a, tc.b); got != tc.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestAReceiverThatIsYoungerCannotTakeThePathOfAnother(t *testing.T) {
	// Without a token the hash is of the name and the namespace in one string.
	tenant := func(r *notificationv1.Receiver) {
		r.Spec.Type = notificationv1.GenericOIDCReceiver
		r.Spec.SecretRef, r.UID = nil, "z"
		r.Name, r.Namespace = "hooko", "urs" // with "hook" in "ours": the same
	}
	w := newTestServer(t, func(r *notificationv1.Receiver) { r.Spec.SecretRef, r.UID = nil, "a" })
	theirs := newReceiver(tenant)
	if theirs.Status.WebhookPath != w.path {
		t.Fatal("the paths differ")
	}
	if err := w.api.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	if code := w.post(request{}); code != http.StatusOK {
		t.Errorf("answered %d", code)
	}
}
