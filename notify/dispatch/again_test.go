// SPDX-License-Identifier: Apache-2.0

package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/notify/dispatch"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
	"github.com/sluice-cd/sluice/test/make"
)

// canaryAlerts are a Canary whose Kustomization has yet to say what it applied, and the
// objects by which a chat and its commit are told of it. The chat's Alert comes first.
func canaryAlerts(r *chatServer) []client.Object {
	target := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "shop", Labels: map[string]string{
		"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}}
	canary := make.Canary("apps", "shop")
	canary.Spec.TargetRef = flaggerv1.LocalObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "shop"}
	k := make.Kustomization("flux-system", "shop")
	k.Spec.SourceRef.Kind, k.Spec.SourceRef.Name = "GitRepository", "fleet"
	k.Status.LastAttemptedRevision = "main@sha1:4d2ee62e1a1b2c3d4e5f60718293a4b5c6d7e8f9"
	source := make.GitRepository("flux-system", "fleet")
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
		// The label of one Alert's source, which could not be read, held the event for all.
		if diff := cmp.Diff([]string{"done"}, r.got); diff != "" {
			t.Error(diff)
		}
		now.Step(time.Minute)
	}
	if diff := cmp.Diff([]string{"done"}, r.got); diff != "" || failures != 0 {
		t.Errorf("%s; %d attempts are left", diff, failures)
	}
	if len(b.told.all) != 2 { // there is no Provider, and no object with labels
		t.Errorf("told %q", b.told.all)
	}
}

func TestHowLongAnEventIsNotToldAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		window time.Duration
		want   int
	}{"by default": {0, 1}, "half a minute": {30 * time.Second, 2}} {
		t.Run(name, func(t *testing.T) {
			r := newChatServer(t)
			now := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
			box, err := outbox.Open(t.TempDir(), now, logr.Discard())
			if err != nil {
				t.Fatal(err)
			}
			b := newTestEnv(t, func(o *dispatch.Options) { o.Clock, o.Outbox, o.Window = now, box, tc.window }, provider(r.URL), alert())
			for range 2 {
				b.Take(t.Context(), event("done"))
				b.deliver(t)
				now.Step(time.Minute)
			}
			if len(r.got) != tc.want {
				t.Errorf("told %d times, want %d", len(r.got), tc.want)
			}
		})
	}
}

func TestAProviderThatCannotBeReadHoldsUpItsOwnAlertOnly(t *testing.T) {
	r := newChatServer(t)
	away := true
	first := alert(func(s *v1beta3.AlertSpec) { s.ProviderRef.Name = "away" })
	first.Name, first.UID = "a", "2"
	now := clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	box, err := outbox.Open(t.TempDir(), now, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	b := newTestEnv(t, func(o *dispatch.Options) {
		o.Clock, o.Outbox = now, box
		o.Client = interceptor.NewClient(o.Client.(client.WithWatch), interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if key.Name == "away" && away {
					return errors.New("the cache is not ready")
				}
				return c.Get(ctx, key, o, opts...)
			}})
	}, provider(r.URL), provider(r.URL, func(p *v1beta3.Provider) { p.Name, p.UID = "away", "2" }), first, alert())
	b.Take(t.Context(), event("done"))
	b.deliver(t)
	if diff := cmp.Diff([]string{"done"}, r.got); diff != "" {
		t.Errorf("while one cannot be read: %s", diff)
	}
	away = false
	now.Step(time.Minute)
	b.deliver(t)
	if diff := cmp.Diff([]string{"done", "done"}, r.got); diff != "" || len(b.told.all) != 0 {
		t.Errorf("%s; told %q", diff, b.told.all)
	}
}

// Each event was matched with all Alerts of a namespace at once, however many, and then those
// beyond some number were passed over.
func TestANamespaceHasSoManyAlertsOfOneEvent(t *testing.T) {
	for name, tc := range map[string]struct {
		alerts, instructions int
	}{
		"as many Alerts as may be": {100, 0},
		"one more":                 {101, 0},
		"as many instructions":     {5, 9000},
		"more instructions":        {9, 9000},
		"what takes long":          {5, 9900},
	} {
		t.Run(name, func(t *testing.T) {
			r := newChatServer(t)
			objects := []client.Object{provider(r.URL)}
			for i := range tc.alerts {
				a := alert(func(s *v1beta3.AlertSpec) {
					for size := 0; size < tc.instructions; size += 900 {
						s.ExclusionList = append(s.ExclusionList, strings.Repeat("x", 880))
					}
				})
				a.Name, a.UID = fmt.Sprintf("a%03d", i), types.UID(fmt.Sprint(i))
				objects = append(objects, a)
			}
			b := newTestEnv(t, nil, objects...)
			text := "done"
			if name == "what takes long" {
				text = strings.Repeat("y", 30_000)
			}
			b.Take(t.Context(), event(text))
			b.deliver(t)
			if len(r.got) != tc.alerts || len(b.told.all) != 0 {
				t.Errorf("%d were told; %q", len(r.got), b.told.all)
			}
		})
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

// An event that took long to match was overtaken by the next one of its object: a failure was the
// last that people were sent of what works.
func TestEventsOfAnObjectStayInOrderWhateverTheyTake(t *testing.T) {
	r := newChatServer(t)
	slow := alert(func(s *v1beta3.AlertSpec) {
		for range 11 {
			s.ExclusionList = append(s.ExclusionList, strings.Repeat("x", 880))
		}
	})
	b := newTestEnv(t, nil, provider(r.URL), slow)
	var want []string
	for i := range 4 {
		long, short := fmt.Sprintf("%d fails: ", i)+strings.Repeat("y", 30_000), fmt.Sprintf("%d works", i)
		b.Take(t.Context(), event(long))
		b.Take(t.Context(), event(short))
		want = append(want, long, short)
	}
	b.deliver(t)
	if diff := cmp.Diff(want, r.got); diff != "" {
		t.Errorf("got another order: %.500s", diff)
	}
}
