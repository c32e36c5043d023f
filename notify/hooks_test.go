// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"hash"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

const secretToken = "a long token"

// request is one webhook request.
type request struct {
	header map[string]string
	body   string
}

func (p request) with(key, value string) request {
	header := maps.Clone(p.header)
	if header == nil {
		header = map[string]string{}
	}
	header[key] = value
	return request{header, p.body}
}

func sign(function func() hash.Hash, body string) string {
	mac := hmac.New(function, []byte(secretToken))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// conformance has a genuine request of every type, and forged ones that must be refused.
var conformance = map[string]struct {
	genuine request
	forged  map[string]request
}{
	notificationv1.GenericReceiver: {genuine: request{body: "anything"}},
	notificationv1.GenericHMACReceiver: {
		genuine: request{body: "x"}.with("X-Signature", "sha512="+sign(sha512.New, "x")),
		forged: map[string]request{
			"no signature":                 {body: "x"},
			"the signature of another":     request{body: "y"}.with("X-Signature", "sha256="+sign(sha256.New, "x")),
			"an unknown hash":              request{body: "x"}.with("X-Signature", "md5=00"),
			"a signature that is not hex":  request{body: "x"}.with("X-Signature", "sha256=zz"),
			"a signature without its name": request{body: "x"}.with("X-Signature", sign(sha256.New, "x")),
		},
	},
	notificationv1.GitHubReceiver: {
		genuine: request{body: "{}"}.with("X-Hub-Signature-256", "sha256="+sign(sha256.New, "{}")).with("X-GitHub-Event", "push"),
		forged: map[string]request{
			"a wrong signature beside a right old one": request{body: "{}"}.with("X-Hub-Signature-256", "sha256="+sign(sha256.New, "")).
				with("X-Hub-Signature", "sha1="+sign(sha1.New, "{}")).with("X-GitHub-Event", "push"),
			"another event": request{body: "{}"}.with("X-Hub-Signature-256", "sha256="+sign(sha256.New, "{}")).with("X-GitHub-Event", "star"),
		},
	},
	notificationv1.GitLabReceiver: {
		genuine: request{}.with("X-Gitlab-Token", secretToken).with("X-Gitlab-Event", "Push"),
		forged: map[string]request{
			"a wrong token": request{}.with("X-Gitlab-Token", secretToken+"!").with("X-Gitlab-Event", "push"),
			"no token":      request{}.with("X-Gitlab-Event", "push"),
		},
	},
	notificationv1.BitbucketReceiver: {
		genuine: request{body: "b"}.with("X-Hub-Signature", "sha256="+sign(sha256.New, "b")).with("X-Event-Key", "push"),
		forged:  map[string]request{"no signature": request{body: "b"}.with("X-Event-Key", "push")},
	},
	notificationv1.HarborReceiver: {
		genuine: request{body: `{"type":"PUSH_ARTIFACT"}`}.with("Authorization", secretToken),
		forged:  map[string]request{"a wrong token": request{}.with("Authorization", "Bearer "+secretToken)},
	},
	notificationv1.DockerHubReceiver: {
		genuine: request{body: `{"push_data":{"tag":"1.0"},"repository":{"repo_name":"team/app"}}`},
		forged:  map[string]request{"another body": {body: "push"}},
	},
	notificationv1.QuayReceiver: {
		genuine: request{body: `{"docker_url":"quay.io/team/app","updated_tags":["1.0"]}`},
		forged:  map[string]request{"another body": {body: "["}},
	},
	notificationv1.NexusReceiver: {
		genuine: request{body: `{"repositoryName":"docker"}`}.with("X-Nexus-Webhook-Signature", sign(sha1.New, `{"repositoryName":"docker"}`)),
		forged: map[string]request{
			"no signature":       {body: `{"repositoryName":"docker"}`},
			"another body":       request{body: "{"}.with("X-Nexus-Webhook-Signature", sign(sha1.New, "{")),
			"a better signature": request{body: "{}"}.with("X-Nexus-Webhook-Signature", sign(sha256.New, "{}")),
		},
	},
	notificationv1.ACRReceiver: {
		genuine: request{body: `{"action":"push","target":{"repository":"app","tag":"1.0"},"request":{"host":"team.azurecr.io"}}`},
		forged:  map[string]request{"another body": {body: ""}},
	},
	notificationv1.CDEventsReceiver: {
		genuine: request{body: cdEventOf("1", cdPublished)}.with("Ce-Type", cdPublished),
		forged: map[string]request{
			"no id":             request{body: cdEventOf("", cdPublished)}.with("Ce-Type", cdPublished),
			"no type":           request{body: cdEventOf("1", "push")}.with("Ce-Type", cdPublished),
			"no body":           request{}.with("Ce-Type", cdPublished),
			"an unwanted event": request{body: cdEventOf("1", cdPublished)}.with("Ce-Type", "dev.cdevents.build.finished.0.2.0"),
		},
	},
}

const cdPublished = "dev.cdevents.artifact.published.0.2.0"

func cdEventOf(id, kind string) string {
	return `{"context":{"version":"0.4.1","id":"` + id + `","source":"ci","type":"` + kind + `","timestamp":"2026-03-20T14:27:05.315384Z"},` +
		`"subject":{"id":"pkg:oci/app@sha256%3A0b31b1c02ff458ad9b7b","type":"artifact","content":{}}}`
}

// tokenTypes are authenticated by tokens of an issuer; see oidc_test.go.
var tokenTypes = []string{notificationv1.GCRReceiver, notificationv1.GenericOIDCReceiver}

func TestEveryTypeTakesGenuineRequestsOnly(t *testing.T) {
	for kind := range senders {
		if slices.Contains(tokenTypes, kind) {
			continue
		}
		tc, ok := conformance[kind]
		if !ok {
			t.Errorf("no case for type %s", kind)
		}
		t.Run(kind, func(t *testing.T) {
			w := newTestServer(t, func(r *notificationv1.Receiver) {
				r.Spec.Type = kind
				if senders[kind].events {
					r.Spec.Events = []string{"push", cdPublished}
				}
			})
			for name, forged := range tc.forged {
				if code := w.post(forged); code != http.StatusBadRequest {
					t.Errorf("%s: answered %d", name, code)
				}
			}
			if w.requested() != "" {
				t.Error("a forged request has an effect")
			}
			if code := w.post(tc.genuine); code != http.StatusOK {
				t.Errorf("a genuine request: answered %d", code)
			}
			if got := w.requested(); got != "GitRepository/repo" {
				t.Errorf("requested %q", got)
			}
		})
	}
}

func TestTheStatusOfAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*notificationv1.Receiver)
		send func(w *testServer) int
		want int
	}{
		"a path that nobody has": {
			send: func(w *testServer) int { w.path += "0"; return w.post(request{}) },
			want: http.StatusNotFound,
		},
		"another method, as in Flux": {
			send: func(w *testServer) int { return w.do(http.MethodGet, request{}) },
			want: http.StatusOK,
		},
		"a path of a token that was replaced": {
			send: func(w *testServer) int { w.rotate("a new token"); return w.post(request{}) },
			want: http.StatusNotFound,
		},
		"a receiver whose Secret is gone": {
			send: func(w *testServer) int { w.rotate(""); return w.post(request{}) },
			want: http.StatusInternalServerError,
		},
		"a body that is no object, when nothing asks about it": {
			send: func(w *testServer) int { return w.post(request{body: "[]"}.with("Content-Type", "application/json")) },
			want: http.StatusOK,
		},
		"a body that is no object, when a filter asks about it": {
			edit: func(r *notificationv1.Receiver) { r.Spec.ResourceFilter = "true" },
			send: func(w *testServer) int { return w.post(request{body: "[]"}.with("Content-Type", "application/json")) },
			want: http.StatusBadRequest,
		},
		"a filter that fails": {
			edit: func(r *notificationv1.Receiver) { r.Spec.ResourceFilter = "req.missing == 'x'" },
			send: func(w *testServer) int { return w.post(request{}) },
			want: http.StatusOK,
		},
		"a suspended receiver": {
			edit: func(r *notificationv1.Receiver) { r.Spec.Suspend = true },
			send: func(w *testServer) int { return w.post(request{}) },
			want: http.StatusServiceUnavailable,
		},
		"a receiver that is not ready": {
			edit: func(r *notificationv1.Receiver) { r.Status.Conditions = nil },
			send: func(w *testServer) int { return w.post(request{}) },
			want: http.StatusServiceUnavailable,
		},
		"a body without end": {
			send: func(w *testServer) int { return w.post(request{body: strings.Repeat("x", maxBody+1)}) },
			want: http.StatusRequestEntityTooLarge,
		},
		"a target that is not there": {
			edit: func(r *notificationv1.Receiver) { r.Spec.Resources[0].Name = "none" },
			send: func(w *testServer) int { return w.post(request{}) },
			want: http.StatusOK,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestServer(t, tc.edit)
			if got := tc.send(w); got != tc.want {
				t.Errorf("answered %d, want %d", got, tc.want)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	all := func(r *notificationv1.Receiver, kind string) {
		r.Spec.Resources = []notificationv1.ReceiverResource{{CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{
			Kind: kind, Name: "*", MatchLabels: map[string]string{"team": "a"},
		}}}
	}
	hub := `{"repository":{"repo_name":"team/app"}}`
	for name, tc := range map[string]struct {
		edit func(*notificationv1.Receiver)
		send request
		want string
	}{
		"labels select": {
			edit: func(r *notificationv1.Receiver) { all(r, "ImageRepository") },
			want: "ImageRepository/app ImageRepository/other",
		},
		"of all images only the one that was pushed": {
			edit: func(r *notificationv1.Receiver) { all(r, "ImageRepository"); r.Spec.Type = "dockerhub" },
			send: request{body: hub},
			want: "ImageRepository/app",
		},
		"an image that goes by another name here means all": {
			edit: func(r *notificationv1.Receiver) { all(r, "ImageRepository"); r.Spec.Type = "dockerhub" },
			send: request{body: `{"repository":{"repo_name":"elsewhere/app"}}`},
			want: "ImageRepository/app ImageRepository/other",
		},
		"a filter for all resources": {
			edit: func(r *notificationv1.Receiver) {
				all(r, "ImageRepository")
				r.Spec.ResourceFilter = `res.metadata.name == req.name`
			},
			send: request{body: `{"name":"other"}`}.with("Content-Type", "application/json; charset=utf-8"),
			want: "ImageRepository/other",
		},
		"and one for one of them": {
			edit: func(r *notificationv1.Receiver) {
				all(r, "ImageRepository")
				r.Spec.Resources[0].Filter = `res.metadata.name.startsWith("o")`
			},
			want: "ImageRepository/other",
		},
		"a named object of another version of its group": {
			edit: func(r *notificationv1.Receiver) { r.Spec.Resources[0].APIVersion = "source.toolkit.fluxcd.io/v1" },
			want: "GitRepository/repo",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestServer(t, tc.edit)
			if code := w.post(tc.send); code != http.StatusOK {
				t.Errorf("answered %d", code)
			}
			if got := w.requested(); got != tc.want {
				t.Errorf("requested %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTenantsCannotReachOthersWhenTheFlagSaysSo(t *testing.T) {
	foreign := func(r *notificationv1.Receiver) { r.Spec.Resources[0].Namespace = "theirs" }
	w := newTestServer(t, foreign)
	w.hooks.NoCrossNamespaceRefs = true
	if code := w.post(request{}); code != http.StatusInternalServerError || w.requested() != "" {
		t.Errorf("answered %d, requested %q", code, w.requested())
	}
	w = newTestServer(t, foreign)
	if code := w.post(request{}); code != http.StatusOK || w.requested() != "GitRepository/repo" {
		t.Errorf("without the flag: answered %d, requested %q", code, w.requested())
	}
}

func TestReceiversThatCannotWorkAreRefused(t *testing.T) {
	for want, edit := range map[string]func(*notificationv1.Receiver){
		`spec.type: "pigeon"`:      func(r *notificationv1.Receiver) { r.Spec.Type = "pigeon" },
		"spec.secretRef":           func(r *notificationv1.Receiver) { r.Spec.SecretRef = nil },
		"spec.resourceFilter":      func(r *notificationv1.Receiver) { r.Spec.ResourceFilter = "1 +" },
		"spec.resources[0].filter": func(r *notificationv1.Receiver) { r.Spec.Resources[0].Filter = `"text"` },
		"kind 'Secret' cannot be": func(r *notificationv1.Receiver) {
			r.Spec.Resources[0].Kind, r.Spec.Resources[0].APIVersion = "Secret", "v1"
		},
		"kind 'Node' cannot be": func(r *notificationv1.Receiver) { r.Spec.Resources[0].Kind = "Node" },
		"'GitRepository' can be notified in group source.toolkit.fluxcd.io only": func(r *notificationv1.Receiver) {
			r.Spec.Resources[0].APIVersion = "example.com/v1"
		},
		"must be an https URL": func(r *notificationv1.Receiver) {
			r.Spec.Type, r.Spec.SecretRef = "generic-oidc", nil
			r.Spec.OIDCProviders = []notificationv1.OIDCProvider{{IssuerURL: "http://issuer.example.com"}}
		},
		"has 101 expressions": func(r *notificationv1.Receiver) {
			r.Spec.Resources[0].Filter = "true"
			r.Spec.Resources = slices.Repeat(r.Spec.Resources, 101)
		},
		"expressions of 80000 bytes": func(r *notificationv1.Receiver) {
			r.Spec.Resources[0].Filter = "true //" + strings.Repeat("x", 1993)
			r.Spec.Resources = slices.Repeat(r.Spec.Resources, 40)
		},
		"4096 are allowed":           func(r *notificationv1.Receiver) { r.Spec.ResourceFilter = "true //" + strings.Repeat("x", 9000) },
		"matchLabels must be":        func(r *notificationv1.Receiver) { r.Spec.Resources[0].Name = "*" },
		"spec.oidcProviders: a":      func(r *notificationv1.Receiver) { r.Spec.OIDCProviders = make([]notificationv1.OIDCProvider, 1) },
		"spec.oidcProviders: at":     func(r *notificationv1.Receiver) { r.Spec.Type, r.Spec.SecretRef = "generic-oidc", nil },
		"type generic-oidc has none": func(r *notificationv1.Receiver) { r.Spec.Type = "generic-oidc" },
	} {
		r := newReceiver(edit)
		if err := Check(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if err := Check(newReceiver(nil)); err != nil {
		t.Error(err)
	}
}

func FuzzSendersSurviveAnyRequest(f *testing.F) {
	f.Add("harbor", "Authorization", secretToken, `{"event_data":{"resources":[{"resource_url":"a/b:c@d"}]}}`)
	f.Add("acr", "", "", `{"target":{"repository":"a"},"request":{"host":"b"}}`)
	f.Add("gcr", "Authorization", "Bearer a.b.c", `{}`)
	f.Add("gitlab", "X-Gitlab-Token", secretToken, `{"project":{"path_with_namespace":"a/b/c"}}`)
	f.Add("github", "X-Hub-Signature-256", "sha256="+sign(sha256.New, pullOfGitHub), pullOfGitHub)
	f.Add("bitbucket", "X-Hub-Signature", "sha256="+sign(sha256.New, pullOfBitbucket), pullOfBitbucket)
	f.Add("generic", "", "", `{"publisherId":"tfs","resource":{"repository":{"name":"a","project":{"name":"b"}}}}`)
	f.Fuzz(func(t *testing.T, kind, key, value, body string) {
		from, ok := senders[kind]
		if !ok || kind == notificationv1.GCRReceiver || kind == notificationv1.GenericOIDCReceiver {
			return
		}
		header := http.Header{}
		header.Set(key, value)
		m := message{
			header: header, body: []byte(body), receiver: newReceiver(nil),
			secret: map[string][]byte{tokenKey: []byte(secretToken)},
		}
		var sent payload
		var err error
		if from.admit != nil {
			_, err = from.admit(t.Context(), nil, m)
		}
		if err == nil {
			sent, err = from.verify(t.Context(), nil, m)
		}
		if err != nil && strings.Contains(err.Error(), secretToken) {
			t.Errorf("the error holds the token: %v", err)
		}
		for _, image := range sent.images {
			if strings.ContainsAny(image, "@") || path(image) == "" {
				t.Errorf("the image %q has a digest, or no path", image)
			}
		}
		if name := sent.git.repository; strings.Trim(name, "/") != "" && isRepository("https://git.example.com/", name) {
			t.Errorf("%q is a repository without a name", name)
		}
		if n := len(sent.git.branches); n > maxBranches || slices.Contains(sent.git.branches, "") {
			t.Errorf("there are %d branches: %q", n, sent.git.branches)
		}
	})
}

// testServer is the handler, with a Receiver and the objects that it may name.
type testServer struct {
	t      *testing.T
	hooks  *Hooks
	path   string
	api    client.Client
	answer string // the last body
}

func newReceiver(edit func(*notificationv1.Receiver)) *notificationv1.Receiver {
	r := &notificationv1.Receiver{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ours", Name: "hook"},
		Spec: notificationv1.ReceiverSpec{
			Type: notificationv1.GenericReceiver, SecretRef: &meta.LocalObjectReference{Name: "token"},
			Resources: []notificationv1.ReceiverResource{{
				CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{Kind: "GitRepository", Name: "repo"},
			}},
		},
	}
	r.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue}}
	if edit != nil {
		edit(r)
	}
	token := secretToken
	if r.Spec.SecretRef == nil {
		token = ""
	}
	r.Status.WebhookPath = r.GetWebhookPath(token)
	return r
}

func newTestServer(t *testing.T, edit func(*notificationv1.Receiver)) *testServer {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, notificationv1.AddToScheme, sourcev1.AddToScheme, imagev1.AddToScheme, sluicev1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	receiver := newReceiver(edit)
	named := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"team": "a"}}
	}
	objects := []client.Object{
		receiver,
		&corev1.Secret{ObjectMeta: named("ours", "token"), Data: map[string][]byte{
			tokenKey: []byte(secretToken), "email": []byte("push@example.com"), "audience": []byte("sluice"),
		}},
		&corev1.ConfigMap{ObjectMeta: named("ours", "plain")},
		&sourcev1.GitRepository{ObjectMeta: named("ours", "repo"), Spec: sourcev1.GitRepositorySpec{URL: "ssh://git@git.example.com/acme/shop"}},
		&sourcev1.GitRepository{ObjectMeta: named("theirs", "repo")},
		&imagev1.ImageRepository{ObjectMeta: named("ours", "app"), Spec: imagev1.ImageRepositorySpec{Image: "team/app"}},
		&imagev1.ImageRepository{ObjectMeta: named("ours", "other"), Spec: imagev1.ImageRepositorySpec{Image: "team/other"}},
		&imagev1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "ours", Name: "unlabelled"}},
		pipelineOf("shop", "repo", ""), pipelineOf("billing", "gone", "fleet"), pipelineOf("tags", "", ""),
		automationOf("images", "repo"), automationOf("infra", "fleet"), automationOf("lost", "gone"),
		&sourcev1.GitRepository{ObjectMeta: named("ours",
			"fleet"), Spec: sourcev1.GitRepositorySpec{URL: "https://git.example.com/acme/Fleet.git"}},
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithIndex(&notificationv1.Receiver{}, WebhookPathIndex, IndexWebhookPath).Build()
	hooks, err := New(Options{
		Receivers: api, Reader: api, Writer: api,
		Clock: clocktesting.NewFakeClock(time.Now()), Logger: logr.Discard(),
	}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	// The issuers of tests have certificates that nobody has signed.
	trusting := http.DefaultTransport.(*http.Transport).Clone()
	trusting.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	hooks.issuers = newIssuers(hooks.Clock, trusting)
	return &testServer{t: t, hooks: hooks, path: receiver.Status.WebhookPath, api: api}
}

// rotate replaces the token in the receiver's Secret, or deletes the Secret.
func (w *testServer) rotate(token string) {
	w.t.Helper()
	secret := &corev1.Secret{}
	if err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: "ours", Name: "token"}, secret); err != nil {
		w.t.Fatal(err)
	}
	secret.Data[tokenKey] = []byte(token)
	change := func() error { return w.api.Update(w.t.Context(), secret) }
	if token == "" {
		change = func() error { return w.api.Delete(w.t.Context(), secret) }
	}
	if err := change(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *testServer) post(p request) int { return w.do(http.MethodPost, p) }

func (w *testServer) do(method string, p request) int {
	req := httptest.NewRequest(method, w.path, strings.NewReader(p.body))
	for key, value := range p.header {
		req.Header.Set(key, value)
	}
	answer := httptest.NewRecorder()
	w.hooks.ServeHTTP(answer, req)
	w.answer = answer.Body.String()
	if strings.Contains(answer.Body.String(), secretToken) {
		w.t.Errorf("the answer holds the token: %s", answer.Body)
	}
	return answer.Code
}

// requested lists the objects that were asked to reconcile.
func (w *testServer) requested() string {
	w.t.Helper()
	var found []string
	for kind, list := range map[string]client.ObjectList{
		"GitRepository": &sourcev1.GitRepositoryList{}, "ImageRepository": &imagev1.ImageRepositoryList{}, "ConfigMap": &corev1.ConfigMapList{},
		"Pipeline": &sluicev1.PipelineList{}, "ImageUpdateAutomation": &imagev1.ImageUpdateAutomationList{},
	} {
		if err := w.api.List(w.t.Context(), list); err != nil {
			w.t.Fatal(err)
		}
		if err := apimeta.EachListItem(list, func(obj runtime.Object) error {
			if accessor, err := apimeta.Accessor(obj); err != nil {
				return err
			} else if _, ok := meta.ReconcileAnnotationValue(accessor.GetAnnotations()); ok {
				found = append(found, kind+"/"+accessor.GetName())
			}
			return nil
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

func TestTheWebhookPathIsThatOfFlux(t *testing.T) {
	sum := sha256.Sum256([]byte(secretToken + "hook" + "ours"))
	if diff := cmp.Diff("/hook/"+hex.EncodeToString(sum[:]), newReceiver(nil).Status.WebhookPath); diff != "" {
		t.Error(diff)
	}
}
