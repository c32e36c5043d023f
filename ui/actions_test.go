// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"github.com/go-logr/logr/funcr"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/ui/command"
)

// withObjects has a server whose user may do everything with some objects.
func withObjects(t *testing.T, objects ...client.Object) *Server {
	t.Helper()
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t)
	s.Cluster.scheme, s.Cluster.client = scheme, fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	s.Cluster.cache = &clientCache{Reader: s.Cluster.client}
	s.Cluster.kinds = map[string]served{}
	for kind, of := range map[string]schema.GroupVersion{
		"Pipeline": sluicev1.GroupVersion, "Kustomization": kustomizev1.GroupVersion, "Canary": flaggerv1.GroupVersion,
		"Deployment": appsv1.SchemeGroupVersion, "ArtifactGenerator": generatorv1.GroupVersion,
	} {
		s.Cluster.kinds[kind] = served{of.WithKind(kind), of.WithResource(strings.ToLower(kind) + "s")}
	}
	return s
}

// TestButtons do what the command line does.
func TestButtons(t *testing.T) {
	held := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "podinfo"}}
	held.Status.Phase = flaggerv1.CanaryPhaseProgressing
	held.Status.Hold = &flaggerv1.CanaryHold{Kind: flaggerv1.HoldGate, Gate: flaggerv1.ConfirmPromotionHook}
	on := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "apps"}}
	off := on.DeepCopy()
	off.Spec.Suspend = true
	generating := &generatorv1.ArtifactGenerator{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "apps"}}
	idle := generating.DeepCopy()
	idle.Annotations = map[string]string{generatorv1.ReconcileAnnotation: generatorv1.DisabledValue}
	canary := `{"kind":"Canary","namespace":"apps","name":"podinfo","verb":"`
	kustomization := `{"kind":"Kustomization","namespace":"flux-system","name":"apps","verb":"`
	generator := strings.Replace(kustomization, "Kustomization", "ArtifactGenerator", 1)
	stage := `{"kind":"Pipeline","namespace":"apps","name":"shop","stage":"production","verb":"`
	for name, test := range map[string]struct {
		object     client.Object
		body, says string
		want       int
		changed    func(client.Object) bool
	}{
		"a gate is opened": {held, canary + `approve"}`, "", http.StatusNoContent, func(o client.Object) bool {
			return strings.HasPrefix(o.GetAnnotations()[flaggerv1.CommandAnnotation], "approve ") &&
				strings.HasSuffix(o.GetAnnotations()[flaggerv1.CommandAnnotation], " eve")
		}},
		"what changes nothing is refused": {held, canary + `retry"}`, "has not failed", http.StatusConflict, nil},
		"a reconcile is asked for": {on, kustomization + `reconcile"}`, "", http.StatusNoContent, func(o client.Object) bool {
			return o.GetAnnotations()[meta.ReconcileRequestAnnotation] != ""
		}},
		"a suspended object hears nothing": {off, kustomization + `reconcile"}`, "resume it first", http.StatusConflict, nil},
		"suspended": {on, kustomization + `suspend"}`, "", http.StatusNoContent, func(o client.Object) bool {
			k, ok := o.(*kustomizev1.Kustomization)
			return ok && k.Spec.Suspend
		}},
		"resumed": {off, kustomization + `resume"}`, "", http.StatusNoContent, func(o client.Object) bool {
			k, ok := o.(*kustomizev1.Kustomization)
			return ok && !k.Spec.Suspend
		}},
		"resumed twice":   {on, kustomization + `resume"}`, "apps is not suspended", http.StatusConflict, nil},
		"suspended twice": {off, kustomization + `suspend"}`, "apps is suspended already", http.StatusConflict, nil},
		// Was answered with 204, and nothing happened.
		"a suspended ArtifactGenerator hears nothing": {idle, generator + `reconcile"}`, "resume it first", http.StatusConflict, nil},
		"an ArtifactGenerator is suspended": {generating, generator + `suspend"}`, "", http.StatusNoContent, func(o client.Object) bool {
			return o.GetAnnotations()[generatorv1.ReconcileAnnotation] == generatorv1.DisabledValue
		}},
		"an ArtifactGenerator is resumed": {idle, generator + `resume"}`, "", http.StatusNoContent, func(o client.Object) bool {
			return len(o.GetAnnotations()) == 0
		}},
		"an ArtifactGenerator is resumed twice":   {generating, generator + `resume"}`, "apps is not suspended", http.StatusConflict, nil},
		"an ArtifactGenerator is suspended twice": {idle, generator + `suspend"}`, "apps is suspended already", http.StatusConflict, nil},
		"a stage is held": {make.Pipeline(time.Now()), stage + `hold","reason":"an incident"}`, "", http.StatusNoContent,
			func(o client.Object) bool {
				given, err := sluicev1.ParseCommand(o.GetAnnotations()[sluicev1.CommandAnnotation(sluicev1.CommandHold, "production")])
				return err == nil && given.By == "eve" && given.Reason == "an incident"
			}},
		"a stage is held without a reason": {make.Pipeline(time.Now()), stage + `hold"}`, "say why", http.StatusBadRequest, nil},
		"a stage is not held":              {make.Pipeline(time.Now()), stage + `resume"}`, "is not held", http.StatusConflict, nil},
		"a stage that is none": {make.Pipeline(time.Now()), strings.Replace(stage, "production", "moon", 1) + `promote"}`, "there is no stage",
			http.StatusConflict, nil},
		"a verb of a Canary to a stage": {make.Pipeline(time.Now()), stage + `abort"}`, "no such command", http.StatusBadRequest, nil},
		"a verb that is none":           {on, kustomization + `approve"}`, "no such command", http.StatusBadRequest, nil},
		"a kind that nobody reconciles is suspended": {make.Deployment("apps", "web", "web:1"), // was answered with 204
			`{"kind":"Deployment","namespace":"apps","name":"web","verb":"suspend"}`, "no such command", http.StatusBadRequest,
			func(o client.Object) bool { return len(o.GetAnnotations()) == 0 }},
		"a kind that nobody reconciles is asked to": {make.Deployment("apps", "web", "web:1"),
			`{"kind":"Deployment","namespace":"apps","name":"web","verb":"reconcile"}`, "reconciles a Deployment", http.StatusBadRequest,
			func(o client.Object) bool { return len(o.GetAnnotations()) == 0 }},
		"a kind that is not shown": {on, `{"kind":"Secret","namespace":"a","name":"b","verb":"reconcile"}`, "is not shown",
			http.StatusNotFound, nil},
		"an object that is gone": {on, `{"kind":"Kustomization","namespace":"a","name":"b","verb":"reconcile"}`, "not found",
			http.StatusNotFound, nil},
		"a field that is none": {on, `{"kind":"Kustomization","force":true}`, "force", http.StatusBadRequest, nil},
		"no JSON":              {on, `verb=suspend`, "cannot be read", http.StatusBadRequest, nil},
	} {
		t.Run(name, func(t *testing.T) {
			object, ok := test.object.DeepCopyObject().(client.Object)
			if !ok {
				t.Fatal("no object")
			}
			s := withObjects(t, object)
			w := post(s, test.body, "1")
			if w.Code != test.want || !strings.Contains(w.Body.String(), test.says) {
				t.Fatalf("got %d %s, want %d", w.Code, w.Body, test.want)
			}
			if test.changed == nil {
				return
			}
			if err := s.Cluster.client.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil || !test.changed(object) {
				t.Errorf("%v, %+v", err, object)
			}
		})
	}
	if w := post(withObjects(t), kustomization+`suspend"}`, ""); w.Code != http.StatusForbidden {
		t.Errorf("without the header: %d", w.Code)
	}
}

// The log and the event of a command to a stage did not say which version it was about.
func TestTheLogSaysWhichVersionACommandWasAbout(t *testing.T) {
	pipeline := make.Pipeline(time.Now())
	meant := command.BundleMeant(pipeline, "staging", sluicev1.CommandRollback)
	if meant == "" {
		t.Fatal("there is nothing to go back to")
	}
	body := `{"kind":"Pipeline","namespace":"apps","name":"shop","verb":"rollback","reason":"slow","stage":"staging"`
	for name, tc := range map[string]struct{ body, bundle, says string }{
		"one that was named": {body + `,"bundle":"` + meant + `"}`, meant, "command given"},
		"the one before":     {body + `}`, meant, "command given"},
		"without a reason":   {strings.Replace(body, "slow", "", 1) + `,"bundle":"moon"}`, "moon", "command failed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := withObjects(t, pipeline.DeepCopy())
			var logged, recorded []string
			s.Log = funcr.New(func(_, line string) { logged = append(logged, line) }, funcr.Options{})
			s.Record = func(_ client.Object, user string, what Action) {
				recorded = append(recorded, user+" "+what.Stage+" "+what.Bundle+" "+what.Reason)
			}
			w := post(s, tc.body, "1")
			text := strings.Join(logged, "\n")
			if !strings.Contains(text, tc.says) || !strings.Contains(text, `"bundle"="`+tc.bundle+`"`) {
				t.Errorf("%d %s: logged %s", w.Code, w.Body, text)
			}
			want := []string{"eve staging " + meant + " slow"}
			if tc.says == "command failed" {
				want = nil
			}
			if !slices.Equal(recorded, want) {
				t.Errorf("recorded %q, want %q", recorded, want)
			}
		})
	}
}

// Whoever had not signed in could fill the log, from which the lines about people are rotated away then.
func TestWhoDidNotSignInWritesNothingIntoTheLog(t *testing.T) {
	long := strings.Repeat("x", maxField+1)
	for name, tc := range map[string]struct {
		user, body string
		want       int
	}{
		"who has not signed in":        {AnonymousUser, `{"kind":"Canary","verb":"approve"}`, http.StatusForbidden},
		"who has, with a long verb":    {"eve", `{"kind":"Canary","verb":"` + long + `"}`, http.StatusBadRequest},
		"who has, with a long version": {"eve", `{"kind":"Pipeline","bundle":"` + long + `"}`, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			var logged []string
			s := signedIn(t, Options{
				Cluster: &Cluster{}, Clock: clock.RealClock{},
				Log: funcr.New(func(_, line string) { logged = append(logged, line) }, funcr.Options{}),
			}, map[string]scope{"eve": {everything: true}, AnonymousUser: {everything: true}})
			r := httptest.NewRequest(http.MethodPost, "http://localhost:8080/api/v1/actions", strings.NewReader(tc.body))
			r.Header.Set(requestHeader, "1")
			if tc.user != AnonymousUser {
				r.Header.Set("Authorization", "Bearer token-of-"+tc.user)
			}
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if w.Code != tc.want || len(logged) > 0 {
				t.Errorf("%d %s; logged %q", w.Code, w.Body, logged)
			}
		})
	}
}

func post(s *Server, body, header string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, request(body, header))
	return w
}

// request asks for an action.
func request(body, header string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://localhost:8080/api/v1/actions", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer secret")
	if header != "" {
		r.Header.Set(requestHeader, header)
	}
	return r
}
