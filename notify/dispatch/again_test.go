// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/notify/dispatch"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// canaryAlerts are a Canary whose Kustomization has yet to say what it applied, and the
// objects by which a chat and its commit are told of it. The chat's Alert comes first.
func canaryAlerts(r *chatServer) []client.Object {
	target := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop", Labels: map[string]string{
		"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}}
	canary := &flaggerv1.Canary{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop"}}
	canary.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop"}
	k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "shop"}}
	k.Spec.SourceRef.Kind, k.Spec.SourceRef.Name = "GitRepository", "fleet"
	k.Status.LastAttemptedRevision = "main@sha1:4d2ee62e1a1b2c3d4e5f60718293a4b5c6d7e8f9"
	source := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "fleet"}}
	source.Status.Artifact = &meta.Artifact{Revision: "main@sha1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
	gitea := provider("https://gitea.example.com/acme/fleet", func(p *v1beta3.Provider) { p.Name, p.Spec.Type = "gitea", "gitea" })
	selects := func(s *v1beta3.AlertSpec) { s.EventSources = []v1beta3.EventSource{{Kind: "Canary", Name: "*"}} }
	commits := alert(selects, func(s *v1beta3.AlertSpec) { s.ProviderRef.Name = "gitea" })
	commits.Name, commits.UID = "commits", "2"
	return []client.Object{target, canary, k, source, provider(r.URL), gitea, alert(selects), commits}
}

func canaryEvent(text string) message.Event {
	return event(text, func(e *message.Event) {
		e.InvolvedObject.APIVersion, e.InvolvedObject.Kind = "flagger.app/v1beta1", "Canary"
		e.Metadata = map[string]string{"flagger.app/state": "pending"}
	})
}

func TestACommitThatIsNotKnownYetHoldsUpNoChat(t *testing.T) {
	r := newChatServer(t)
	b := newTestEnv(t, nil, canaryAlerts(r)...)
	b.Take(t.Context(), canaryEvent("Advance weight 20"))
	b.Take(t.Context(), canaryEvent("Advance weight 40"))
	b.deliver(t)
	if diff := cmp.Diff([]string{"Advance weight 20", "Advance weight 40"}, r.got); diff != "" {
		t.Error(diff)
	}
	if waiting := b.outbox.Waiting(); len(b.forges.got) != 0 || waiting != 2 {
		t.Errorf("%d wait, want both statuses; set %v", waiting, b.forges.got)
	}
}

func TestAnEventThatIsTriedAgainIsToldOnce(t *testing.T) {
	r := newChatServer(t)
	failures := 2
	labelled := alert(func(s *v1beta3.AlertSpec) {
		s.EventSources = []v1beta3.EventSource{{Kind: "Kustomization", Name: "*", MatchLabels: map[string]string{"team": "a"}}}
	})
	labelled.Name, labelled.UID = "labelled", "2"
	nowhere := alert(func(s *v1beta3.AlertSpec) { s.ProviderRef.Name = "none" })
	nowhere.Name, nowhere.UID = "alone", "3"
	now := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	box, err := outbox.Open(t.TempDir(), now, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	b := newTestEnv(t, func(o *dispatch.Options) {
		c, ok := o.Client.(client.WithWatch)
		if !ok {
			t.Fatal("the client cannot be intercepted")
		}
		o.Clock, o.Outbox = now, box
		o.Live = interceptor.NewClient(c, interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if _, ok := o.(*metav1.PartialObjectMetadata); ok && failures > 0 {
					failures--
					return errors.New("the API server is away")
				}
				return c.Get(ctx, key, o, opts...)
			}})
	}, provider(r.URL), alert(), labelled, nowhere)
	b.Take(t.Context(), event("done"))
	for range 3 {
		b.deliver(t)
		now.Step(time.Minute)
	}
	if diff := cmp.Diff([]string{"done"}, r.got); diff != "" || failures != 0 {
		t.Errorf("%s; %d attempts are left", diff, failures)
	}
	if len(b.told.all) != 2 { // there is no Provider, and no object with labels
		t.Errorf("told %q", b.told.all)
	}
}

func TestAnEventThatOneAlertMakesTooLongReachesTheOthers(t *testing.T) {
	r := newChatServer(t)
	long := alert(func(s *v1beta3.AlertSpec) { s.EventMetadata = map[string]string{"much": strings.Repeat("x", 256<<10)} })
	other := alert()
	other.Name, other.UID = "other", "2"
	b := newTestEnv(t, nil, provider(r.URL), long, other)
	b.Take(t.Context(), event("done"))
	b.deliver(t)
	if diff := cmp.Diff([]string{"done"}, r.got); diff != "" {
		t.Error(diff)
	}
	if len(b.told.all) != 1 || !strings.HasPrefix(b.told.all[0], "apps/all ValidationFailed: spec.eventMetadata") {
		t.Errorf("told %q", b.told.all)
	}
}

func TestALongMessageIsCutAndNotDropped(t *testing.T) {
	r := newChatServer(t)
	b := newTestEnv(t, nil, provider(r.URL), alert())
	b.Take(t.Context(), event(strings.Repeat("Deployment/apps/<web> configured\n", 10_000)))
	b.deliver(t)
	if len(r.got) != 1 || utf8.RuneCountInString(r.got[0]) != 39_000 {
		t.Errorf("%d messages were told, want one of 39,000 characters; %v", len(r.got), b.told.all)
	}
}
