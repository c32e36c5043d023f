// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/notify/dispatch"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
	"github.com/sluice-cd/sluice/test/make"
)

const group = "kustomize.toolkit.fluxcd.io/"

// chatServer is a server that messages are posted to.
type chatServer struct {
	*httptest.Server
	mu     sync.Mutex
	got    []string // messages of events
	events []message.Event
	status int
}

func newChatServer(t *testing.T) *chatServer {
	t.Helper()
	r := &chatServer{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		var e message.Event
		if err := json.Unmarshal(body, &e); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got, r.events = append(r.got, e.Message), append(r.events, e)
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

// recorder collects the events of Alerts.
type recorder struct {
	mu  sync.Mutex
	all []string
}

func (r *recorder) Event(obj client.Object, e reconciler.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, obj.GetNamespace()+"/"+obj.GetName()+" "+e.Reason+": "+e.Message)
}

// statuses are forges that note what they are given.
type statuses struct{ got []dispatch.Status }

func (*statuses) Check(dispatch.Repository) error { return nil }
func (s *statuses) SetStatus(_ context.Context, _ dispatch.Repository, status dispatch.Status) error {
	s.got = append(s.got, status)
	return nil
}
func (*statuses) Comment(context.Context, dispatch.Repository, int64, string, string) error {
	return nil
}
func (*statuses) Dispatch(context.Context, dispatch.Repository, message.Event) error { return nil }

type testEnv struct {
	*dispatch.Dispatcher
	outbox *outbox.Outbox
	told   *recorder
	forges *statuses
}

func newTestEnv(t *testing.T, set func(*dispatch.Options), objects ...client.Object) *testEnv {
	t.Helper()
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithIndex(&v1beta3.Alert{}, dispatch.SourceIndex, dispatch.IndexSources).Build()
	box, err := outbox.Open(t.TempDir(), clock.RealClock{}, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	b := &testEnv{told: &recorder{}, forges: &statuses{}}
	opts := dispatch.Options{
		Client: c, Live: c, Outbox: box, Clock: clock.RealClock{}, Log: logr.Discard(), Recorder: b.told, Forges: b.forges,
	}
	if set != nil {
		set(&opts)
	}
	b.Dispatcher, b.outbox = dispatch.New(opts), opts.Outbox
	return b
}

// deliver empties the outbox.
func (b *testEnv) deliver(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // what is due is delivered before Start returns
	if err := b.outbox.Start(ctx); err != nil {
		t.Fatal(err)
	}
}

func provider(address string, edit ...func(*v1beta3.Provider)) *v1beta3.Provider {
	p := &v1beta3.Provider{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "room", UID: "abcd-1"},
		Spec:       v1beta3.ProviderSpec{Type: "generic", Address: address},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

func alert(edit ...func(*v1beta3.AlertSpec)) *v1beta3.Alert {
	a := &v1beta3.Alert{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "all", UID: "1"}, Spec: v1beta3.AlertSpec{
		ProviderRef: meta.LocalObjectReference{Name: "room"}, EventSeverity: "info",
		EventSources: []v1beta3.EventSource{{Kind: "Kustomization", Name: "*"}},
	}}
	for _, e := range edit {
		e(&a.Spec)
	}
	return a
}

func event(text string, edit ...func(*message.Event)) message.Event {
	e := message.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Namespace: "apps", Name: "shop", UID: "7",
		},
		Severity: "info", Timestamp: metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), Message: text, Reason: "Succeeded",
		ReportingController: "kustomize-controller",
	}
	for _, f := range edit {
		f(&e)
	}
	return e
}

func TestWhichEventsAnAlertSelects(t *testing.T) {
	failed := func(e *message.Event) { e.Severity = "error" }
	elsewhere := func(e *message.Event) { e.InvolvedObject.Namespace = "other" }
	updates := func(e *message.Event) { e.Metadata = map[string]string{group + "commit_status": "update"} }
	sources := func(s ...v1beta3.EventSource) func(*v1beta3.AlertSpec) {
		return func(spec *v1beta3.AlertSpec) { spec.EventSources = s }
	}
	labelled := sources(v1beta3.EventSource{Kind: "Kustomization", Name: "*", MatchLabels: map[string]string{"team": "a"}})
	object := func(team string) client.Object {
		o := &metav1.PartialObjectMetadata{}
		o.Namespace, o.Name, o.Labels = "apps", "shop", map[string]string{"team": team}
		about := event("").InvolvedObject
		o.SetGroupVersionKind(about.GroupVersionKind())
		return o
	}
	for name, tc := range map[string]struct {
		alert   func(*v1beta3.AlertSpec)
		event   message.Event
		objects []client.Object
		options func(*dispatch.Options)
		want    bool
	}{
		"all of a kind": {event: event("done"), want: true},
		"one by name": {
			alert: sources(v1beta3.EventSource{Kind: "Kustomization", Name: "shop"}),
			event: event("done"), want: true,
		},
		"another by name":   {alert: sources(v1beta3.EventSource{Kind: "Kustomization", Name: "cart"}), event: event("done")},
		"another kind":      {alert: sources(v1beta3.EventSource{Kind: "HelmRelease", Name: "*"}), event: event("done")},
		"another namespace": {event: event("done", elsewhere)},
		"another namespace that is named": {
			alert: sources(v1beta3.EventSource{Kind: "Kustomization", Name: "*", Namespace: "other"}),
			event: event("done", elsewhere), want: true,
		},
		"another namespace, forbidden": {
			alert: sources(v1beta3.EventSource{Kind: "Kustomization", Name: "*", Namespace: "other"}),
			event: event("done", elsewhere), options: func(o *dispatch.Options) { o.NoCrossNamespaceRefs = true },
		},
		"errors only, and one is an info": {alert: func(s *v1beta3.AlertSpec) { s.EventSeverity = "error" }, event: event("done")},
		"errors only, and it is one": {
			alert: func(s *v1beta3.AlertSpec) { s.EventSeverity = "error" },
			event: event("no", failed), want: true,
		},
		"suspended": {alert: func(s *v1beta3.AlertSpec) { s.Suspend = true }, event: event("done")},
		"excluded":  {alert: func(s *v1beta3.AlertSpec) { s.ExclusionList = []string{"^do"} }, event: event("done")},
		"not included": {
			alert: func(s *v1beta3.AlertSpec) { s.InclusionList = []string{"^x", "^y"} },
			event: event("done"),
		},
		"included": {
			alert: func(s *v1beta3.AlertSpec) { s.InclusionList = []string{"^x", "one$"} },
			event: event("done"), want: true,
		},
		"included, and excluded": {
			alert: func(s *v1beta3.AlertSpec) { s.InclusionList, s.ExclusionList = []string{"."}, []string{"done"} },
			event: event("done"),
		},
		"an expression that is none":       {alert: func(s *v1beta3.AlertSpec) { s.InclusionList = []string{"("} }, event: event("done")},
		"the labels that are asked for":    {alert: labelled, event: event("done"), objects: []client.Object{object("a")}, want: true},
		"other labels":                     {alert: labelled, event: event("done"), objects: []client.Object{object("b")}},
		"labels of an object that is gone": {alert: labelled, event: event("done")},
		"an update of a status, to a hook": {event: event("done", updates), want: true},
		"a Provider that is not there":     {alert: func(s *v1beta3.AlertSpec) { s.ProviderRef.Name = "none" }, event: event("done")},
		"a Provider of another namespace":  {alert: func(s *v1beta3.AlertSpec) { s.ProviderRef.Name = "theirs" }, event: event("done")},
	} {
		t.Run(name, func(t *testing.T) {
			r := newChatServer(t)
			edit := tc.alert
			if edit == nil {
				edit = func(*v1beta3.AlertSpec) {}
			}
			theirs := provider(r.URL, func(p *v1beta3.Provider) { p.Namespace, p.Name = "other", "theirs" })
			b := newTestEnv(t, tc.options, append(tc.objects, provider(r.URL), theirs, alert(edit))...)
			b.Take(t.Context(), tc.event)
			b.deliver(t)
			if got := len(r.got) == 1; got != tc.want {
				t.Errorf("told %q, want %t; %v", r.got, tc.want, b.told.all)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	r := newChatServer(t)
	b := newTestEnv(t, nil, provider(r.URL), alert(func(s *v1beta3.AlertSpec) {
		s.Summary, s.EventMetadata = "eu", map[string]string{"env": "prod", "team": "alert"}
	}))
	b.Take(t.Context(), event("done", func(e *message.Event) {
		e.Metadata = map[string]string{
			group + "revision": "main@sha1:1", group + "digest": "sha256:2", group + "token": "t", "other": "x", eventv1.Group + "/team": "object",
		}
	}))
	b.deliver(t)
	want := map[string]string{"revision": "main@sha1:1", "env": "prod", "team": "alert", "summary": "eu"}
	if diff := cmp.Diff(want, r.events[0].Metadata); diff != "" {
		t.Error(diff)
	}
	if len(b.told.all) != 1 || !strings.Contains(b.told.all[0], `["team"]`) {
		t.Errorf("told %v", b.told.all)
	}
}

func TestWhatWasSaidAMomentAgoIsNotSaidAgain(t *testing.T) {
	r := newChatServer(t)
	b := newTestEnv(t, nil, provider(r.URL), alert())
	revision := func(text string) func(*message.Event) {
		return func(e *message.Event) { e.Metadata = map[string]string{group + "revision": text} }
	}
	for _, e := range []message.Event{
		event("done", revision("1")), event("done", revision("1")), event("done", revision("2")), event("other", revision("2")),
	} {
		b.Take(t.Context(), e)
	}
	b.deliver(t)
	if diff := cmp.Diff([]string{"done", "done", "other"}, r.got); diff != "" {
		t.Error(diff)
	}
}

func TestARefusalIsToldOfTheAlertWithoutSecrets(t *testing.T) {
	r := newChatServer(t)
	r.status = http.StatusForbidden
	secret := make.Secret("apps", "s", map[string]string{"address": r.URL + "/services/T0/hush-hush"})
	b := newTestEnv(t, nil, secret, alert(), provider("", func(p *v1beta3.Provider) {
		p.Spec.SecretRef = &meta.LocalObjectReference{Name: "s"}
	}))
	b.Take(t.Context(), event("done"))
	b.deliver(t)
	want := []string{"apps/all NotificationDispatchFailed: failed to send notification for Kustomization/apps/shop: answered 403 Forbidden"}
	if diff := cmp.Diff(want, b.told.all); diff != "" {
		t.Error(diff)
	}
}

// A token of two lines was tried again for an hour, as if the server were away.
func TestATokenThatNoHeaderCanHaveIsToldOfAtOnceWithoutIt(t *testing.T) {
	r := newChatServer(t)
	secret := make.Secret("apps", "s", map[string]string{"token": "hush-hush\nhush-again\n"})
	b := newTestEnv(t, nil, secret, alert(), provider(r.URL, func(p *v1beta3.Provider) {
		p.Spec.Type, p.Spec.SecretRef = "grafana", &meta.LocalObjectReference{Name: "s"}
	}))
	b.Take(t.Context(), event("done"))
	b.deliver(t)
	want := []string{"apps/all NotificationDispatchFailed: failed to send notification for Kustomization/apps/shop: " +
		"header Authorization: its value has a line break or another control character, which no header can have"}
	if diff := cmp.Diff(want, b.told.all); diff != "" || len(r.got) != 0 {
		t.Errorf("%s; sent %q", diff, r.got)
	}
}

func TestAProviderMayNotPointAtTheController(t *testing.T) {
	r := newChatServer(t)
	b := newTestEnv(t, func(o *dispatch.Options) { o.Guard = outbound.NewGuard(nil) }, provider(r.URL), alert())
	b.Take(t.Context(), event("done"))
	b.deliver(t)
	if len(r.got) > 0 || len(b.told.all) != 1 || !strings.Contains(b.told.all[0], "forbidden address") {
		t.Errorf("got %v, told %v", r.got, b.told.all)
	}
}

// inGenre are statuses with a genre.
func inGenre(genre string, all []dispatch.Status) []dispatch.Status {
	for i := range all {
		all[i].Genre = genre
	}
	return all
}

func TestCommitStatuses(t *testing.T) {
	const commit, repository = "4d2ee62e1a1b2c3d4e5f60718293a4b5c6d7e8f9", "https://gitea.example.com/acme/fleet"
	about := func(e *message.Event) {
		e.Metadata = map[string]string{group + "revision": "main@sha1:" + commit, group + "commit_status": "update"}
	}
	shop := func(e *message.Event) {
		e.InvolvedObject.APIVersion, e.InvolvedObject.Kind = "sluice.dev/v1alpha1", "Pipeline"
	}
	gitea := func(expression string) *v1beta3.Provider {
		return provider(repository+".git", func(p *v1beta3.Provider) { p.Spec.Type, p.Spec.CommitStatusExpr = "gitea", expression })
	}
	for name, tc := range map[string]struct {
		provider *v1beta3.Provider
		event    message.Event
		want     []dispatch.Status
	}{
		"a success": {gitea(""), event("done", about), []dispatch.Status{
			{Commit: commit, Context: "kustomization/shop/abcd", State: "success", Description: "succeeded", URL: repository}}},
		"a failure": {gitea(""), event("no", about, func(e *message.Event) { e.Severity, e.Reason = "error", "BuildFailed" }), []dispatch.Status{
			{Commit: commit, Context: "kustomization/shop/abcd", State: "failure", Description: "build failed", URL: repository}}},
		"what goes on": {gitea(""), event("now", about, func(e *message.Event) { e.Reason = "Progressing" }), []dispatch.Status{
			{Commit: commit, Context: "kustomization/shop/abcd", State: "pending", Description: "progressing", URL: repository}}},
		"a name of one's own": {
			gitea("event.involvedObject.name + '/' + provider.metadata.name + '/' + alert.metadata.name"), event("done", about),
			[]dispatch.Status{{Commit: commit, Context: "shop/room/all", State: "success", Description: "succeeded", URL: repository}},
		},
		"a bundle of a Pipeline": {gitea(""), event("app 2 is verified in staging", shop, func(e *message.Event) {
			e.Metadata = map[string]string{eventv1.Group + "/commit": commit, "sluice.dev/stage": "staging", "sluice.dev/state": "success"}
		}), []dispatch.Status{
			{Commit: commit, Context: "pipeline/shop/abcd", State: "success", Description: "app 2 is verified in staging", URL: repository}}},
		"a stage of a Pipeline by name": {gitea("'sluice/' + event.metadata.stage"), event("app 2 failed in staging", shop, func(
			e *message.Event,
		) {
			e.Severity = "error"
			e.Metadata = map[string]string{eventv1.Group + "/commit": commit, "sluice.dev/stage": "staging", "sluice.dev/state": "failure"}
		}), []dispatch.Status{
			{Commit: commit, Context: "sluice/staging", State: "failure", Description: "app 2 failed in staging", URL: repository}}},
		"a Pipeline's fault of no commit": {gitea(""), event("no server", shop, func(e *message.Event) { e.Severity = "error" }), nil},
		"about no commit":                 {gitea(""), event("done"), nil},
		"a warning about what works": {gitea(""), event("a typo", about, func(e *message.Event) {
			e.Metadata[eventv1.Group+"/warning"], e.Metadata[eventv1.Group+"/commit"] = "true", commit
		}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			all := alert(func(a *v1beta3.AlertSpec) {
				a.EventSources = append(a.EventSources, v1beta3.EventSource{Kind: "Pipeline", Name: "*"})
			})
			b := newTestEnv(t, nil, tc.provider, all)
			b.Take(t.Context(), tc.event)
			b.deliver(t)
			if diff := cmp.Diff(inGenre("fluxcd", tc.want), b.forges.got); diff != "" || len(b.told.all) > 0 {
				t.Errorf("%s\n%v", diff, b.told.all)
			}
		})
	}
}

func TestEventsOfOthers(t *testing.T) {
	whole, err := json.Marshal(event("done"))
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := json.Marshal(event("done", func(e *message.Event) { e.InvolvedObject.Name = "" }))
	if err != nil {
		t.Fatal(err)
	}
	r := newChatServer(t)
	b := newTestEnv(t, nil, provider(r.URL), alert())
	endpoint := dispatch.NewEndpoint(b.Dispatcher)
	for _, tc := range []struct {
		name, method string
		body         []byte
		want         int
	}{
		{"an event", http.MethodPost, whole, http.StatusAccepted},
		{"the same again", http.MethodPost, whole, http.StatusTooManyRequests},
		{"an event about nobody", http.MethodPost, nobody, http.StatusBadRequest},
		{"no JSON", http.MethodPost, []byte("{"), http.StatusBadRequest},
		{"too much", http.MethodPost, []byte(`{"message":"` + strings.Repeat("x", 1<<20) + `"}`), http.StatusRequestEntityTooLarge},
		{"a question", http.MethodGet, nil, http.StatusMethodNotAllowed},
	} {
		answer := httptest.NewRecorder()
		endpoint.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), tc.method, "/", bytes.NewReader(tc.body)))
		if answer.Code != tc.want {
			t.Errorf("%s is answered with %d, want %d: %s", tc.name, answer.Code, tc.want, answer.Body)
		}
	}
	b.deliver(t)
	if diff := cmp.Diff([]string{"done"}, r.got); diff != "" {
		t.Error(diff)
	}
}

func TestTheStepsOfACanaryShowOnItsCommit(t *testing.T) {
	const commit, next = "4d2ee62e1a1b2c3d4e5f60718293a4b5c6d7e8f9", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	labels := map[string]string{"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
	step := func(state, text string, edit ...func(*message.Event)) message.Event {
		return event(text, append(edit, func(e *message.Event) {
			e.InvolvedObject.APIVersion, e.InvolvedObject.Kind, e.Reason = "flagger.app/v1beta1", "Canary", "Synced"
			e.Metadata = map[string]string{"flagger.app/state": state, "flagger.app/revision": "5f7c9"}
		})...)
	}
	warning := func(e *message.Event) { e.Severity = "error" }
	advice := step("", "spec.analysis.foo has no effect")
	advice.Metadata = map[string]string{v1beta3.WarningKey: "true", "flagger.app/revision": "5f7c9"}
	canary := make.Canary("apps", "shop")
	canary.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop"}
	k := make.Kustomization("flux-system", "shop")
	k.Spec.SourceRef.Kind, k.Spec.SourceRef.Name = "GitRepository", "fleet"
	k.Status.LastAppliedRevision, k.Status.LastAttemptedRevision = "main@sha1:"+next, "main@sha1:"+commit
	k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{{ID: "apps_shop_apps_Deployment", Version: "v1"}}}
	for name, tc := range map[string]struct {
		labels map[string]string
		source string // revision of the artifact
		event  message.Event
		want   []dispatch.Status
		edit   func(*kustomizev1.Kustomization)
	}{
		"a step": {labels, commit, step("pending", "Advance weight 20"), []dispatch.Status{
			{Commit: commit, Context: "canary/shop/abcd", State: "pending", Description: "Advance weight 20", URL: "https://ui/apps/shop"}}, nil},
		"a check that failed once": {labels, commit, step("pending", "Halt advancement", warning), []dispatch.Status{
			{Commit: commit, Context: "canary/shop/abcd", State: "pending", Description: "Halt advancement", URL: "https://ui/apps/shop"}}, nil},
		"the promotion": {labels, commit, step("success", "Promotion completed!"), []dispatch.Status{
			{Commit: commit, Context: "canary/shop/abcd", State: "success", Description: "Promotion completed!", URL: "https://ui/apps/shop"}}, nil},
		"the rollback": {labels, commit, step("failure", "Rolling back", warning), []dispatch.Status{
			{Commit: commit, Context: "canary/shop/abcd", State: "failure", Description: "Rolling back", URL: "https://ui/apps/shop"}}, nil},
		// It failed the commit, although the canary works.
		"a warning about what works":                      {labels, commit, advice, nil, nil},
		"a target that nobody applied":                    {nil, commit, step("pending", "Advance"), nil, nil},
		"a Kustomization that has yet to say what it did": {labels, next, step("pending", "Advance"), nil, nil},
		// Whoever may edit a workload wrote commits of others onto it by its labels.
		"a Kustomization that applied something else": {labels, commit, step("pending", "Advance"), nil, func(k *kustomizev1.Kustomization) {
			k.Status.Inventory.Entries[0].ID = "apps_cart_apps_Deployment"
		}},
		"a Kustomization that applied it elsewhere": {labels, commit, step("pending", "Advance"), nil, func(k *kustomizev1.Kustomization) {
			k.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "remote"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			target := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop", Labels: tc.labels}}
			source := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "fleet"}}
			source.Status.Artifact = &meta.Artifact{Revision: "main@sha1:" + tc.source}
			gitea := provider("https://gitea.example.com/acme/fleet", func(p *v1beta3.Provider) { p.Spec.Type = "gitea" })
			k := k.DeepCopy()
			if tc.edit != nil {
				tc.edit(k)
			}
			b := newTestEnv(t, nil, canary, target, k, source, gitea, alert(func(s *v1beta3.AlertSpec) {
				s.EventSources = []v1beta3.EventSource{{Kind: "Canary", Name: "*"}}
				s.EventMetadata = map[string]string{"url": "https://ui/{namespace}/{name}"}
			}))
			b.Take(t.Context(), tc.event)
			b.deliver(t)
			if diff := cmp.Diff(inGenre("fluxcd", tc.want), b.forges.got); diff != "" {
				t.Errorf("%s\n%v", diff, b.told.all)
			}
		})
	}
}
