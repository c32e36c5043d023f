// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	gocmp "github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/test/make"
)

type events []Event

func (e *events) Event(_ client.Object, event Event) { *e = append(*e, event) }

// scripted is a controller that does what a test case says.
type scripted struct {
	reconcile func(*kustomizev1.Kustomization) (Result, error)
}

func (s scripted) Reconcile(_ context.Context, k *kustomizev1.Kustomization) (Result, error) {
	return s.reconcile(k)
}
func (scripted) Reason(error) string { return "Because" }

// cleaning is a scripted controller that also finalizes.
type cleaning struct {
	scripted
	finalize func() error
}

func (c cleaning) Finalize(context.Context, *kustomizev1.Kustomization) error { return c.finalize() }

func kind() Kind[*kustomizev1.Kustomization] {
	return Kind[*kustomizev1.Kustomization]{
		New:       func() *kustomizev1.Kustomization { return &kustomizev1.Kustomization{} },
		Suspended: func(k *kustomizev1.Kustomization) bool { return k.Spec.Suspend },
		Observed: func(k *kustomizev1.Kustomization) StatusFields {
			return StatusFields{Generation: &k.Status.ObservedGeneration, HandledAt: &k.Status.LastHandledReconcileAt}
		},
	}
}

func app() *kustomizev1.Kustomization {
	return make.Kustomization("test", "app", func(k *kustomizev1.Kustomization) {
		k.Generation, k.Annotations = 3, map[string]string{meta.ReconcileRequestAnnotation: "now"}
	})
}

type testEnv struct {
	client  client.Client
	runner  *runner[*kustomizev1.Kustomization]
	events  *events
	patches int
	// answer, if there is one, takes the place of the API server's to a patch that was carried out.
	answer error
	// lost says that no patch arrives.
	lost bool
}

// newTestEnv puts obj behind a runner around c; onPatch sees each status patch
// before it is carried out.
func newTestEnv(
	t *testing.T, c Controller[*kustomizev1.Kustomization], obj *kustomizev1.Kustomization, onPatch func(client.Client),
) *testEnv {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := kustomizev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	b := &testEnv{events: &events{}}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(obj).WithStatusSubresource(obj).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(
				ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption,
			) error {
				b.patches++
				if onPatch != nil && b.patches == 1 {
					onPatch(c)
				}
				if err := ctx.Err(); err != nil {
					return fmt.Errorf("patching: %w", err) // as a real client would; the fake one does not look
				}
				if b.lost {
					return errors.New("dial tcp: connection refused")
				}
				return cmp.Or(c.SubResource(sub).Patch(ctx, o, p, opts...), b.answer)
			},
		}).Build()
	clk := clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	b.runner = &runner[*kustomizev1.Kustomization]{
		recoveries: newRecoveries(),
		client:     b.client, live: b.client, kind: kind(), ctrl: c,
		opts: Options{Clock: clk, Recorder: b.events},
	}
	return b
}

func (b *testEnv) reconcile() (reconcile.Result, error) {
	return b.runner.Reconcile(context.Background(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(app())})
}

func (b *testEnv) get(t *testing.T) *kustomizev1.Kustomization {
	t.Helper()
	obj := &kustomizev1.Kustomization{}
	if err := b.client.Get(context.Background(), client.ObjectKeyFromObject(app()), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

func TestOutcomeBecomesConditions(t *testing.T) {
	tests := map[string]struct {
		result     Result
		err        error
		want       map[string]string
		wantAfter  time.Duration
		wantErr    bool
		wantEvents int
	}{
		"success is Ready and comes back after its interval": {
			result: Result{Reason: "Done", Message: "all good", After: time.Minute},
			want:   map[string]string{"Ready": "True/Done/all good"}, wantAfter: time.Minute, wantEvents: 1,
		},
		"success that is no news has no event": {
			result: Result{Reason: "Done", Message: "all good", ReadyEvent: SkipReadyEvent},
			want:   map[string]string{"Ready": "True/Done/all good"},
		},
		"an empty list of events replaces nothing": {
			result: Result{Reason: "Done", Message: "all good", Events: []Event{}},
			want:   map[string]string{"Ready": "True/Done/all good"}, wantEvents: 1,
		},
		"progress releases the worker and leaves Ready unknown": {
			result: Result{Reason: "Progressing", Message: "waiting for pods", Progressing: true},
			want: map[string]string{
				"Ready": "Unknown/Progressing/waiting for pods", "Reconciling": "True/Progressing/waiting for pods"},
		},
		"a plain error is retried": {
			err: errors.New("registry is down"),
			want: map[string]string{
				"Ready": "False/Because/registry is down", "Reconciling": "True/ProgressingWithRetry/registry is down"},
			wantErr: true, wantEvents: 1,
		},
		"an error may bring its reason": {
			err: fmt.Errorf("reconciling: %w", WithReason("Own", errors.New("registry is down"))),
			want: map[string]string{
				"Ready": "False/Own/reconciling: registry is down", "Reconciling": "True/ProgressingWithRetry/reconciling: registry is down"},
			wantErr: true, wantEvents: 1,
		},
		"a terminal error may bring its reason": {
			err:     reconcile.TerminalError(WithReason("Own", errors.New("spec.path is wrong"))),
			want:    map[string]string{"Ready": "False/Own/spec.path is wrong", "Stalled": "True/Own/spec.path is wrong"},
			wantErr: true, wantEvents: 1,
		},
		"what is tried again may be said beside why": {
			result: Result{Message: "running checks"}, err: errors.New("checks failed"),
			want: map[string]string{
				"Ready": "False/Because/checks failed", "Reconciling": "True/ProgressingWithRetry/running checks"},
			wantErr: true, wantEvents: 1,
		},
		"a terminal error stalls and speaks plainly": {
			err:     reconcile.TerminalError(errors.New("spec.path is wrong")),
			want:    map[string]string{"Ready": "False/Because/spec.path is wrong", "Stalled": "True/Because/spec.path is wrong"},
			wantErr: true, wantEvents: 1,
		},
		"what is terminal within something else speaks plainly, too": {
			err: errors.New(fmt.Errorf("writing: %w", reconcile.TerminalError(errors.New("it is refused"))).Error()),
			want: map[string]string{
				"Ready": "False/Because/writing: it is refused", "Reconciling": "True/ProgressingWithRetry/writing: it is refused"},
			wantErr: true, wantEvents: 1,
		},
		"waiting comes back without backing off": {
			err: Waiting(errors.New("dependency is not ready"), time.Hour),
			want: map[string]string{"Ready": "False/Because/dependency is not ready",
				"Reconciling": "True/ProgressingWithRetry/dependency is not ready"},
			wantAfter: time.Hour, wantEvents: 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return tc.result, tc.err }}, app(), nil)
			got, err := b.reconcile()
			if (err != nil) != tc.wantErr || got.RequeueAfter != tc.wantAfter {
				t.Fatalf("got %v, %v", got, err)
			}
			obj := b.get(t)
			conditions := map[string]string{}
			for _, c := range obj.Status.Conditions {
				conditions[c.Type] = string(c.Status) + "/" + c.Reason + "/" + c.Message
				if c.ObservedGeneration != 3 {
					t.Errorf("%s observed generation %d", c.Type, c.ObservedGeneration)
				}
			}
			if diff := gocmp.Diff(tc.want, conditions); diff != "" {
				t.Error(diff)
			}
			if obj.Status.ObservedGeneration != 3 || obj.Status.LastHandledReconcileAt != "now" {
				t.Errorf("status %+v", obj.Status)
			}
			if len(*b.events) != tc.wantEvents {
				t.Errorf("events %v", *b.events)
			}
		})
	}
}

func TestAnUnchangedOutcomeWritesNothing(t *testing.T) {
	b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) {
		return Result{Reason: "Done", Message: "all good"}, nil
	}}, app(), nil)
	for range 3 {
		if _, err := b.reconcile(); err != nil {
			t.Fatal(err)
		}
	}
	if b.patches != 1 || len(*b.events) != 1 {
		t.Errorf("%d patches, %d events", b.patches, len(*b.events))
	}
}

func TestAMessageThatIsNoTextIsWrittenOnce(t *testing.T) {
	for name, message := range map[string]string{
		"bytes of a broken server":          "answered \xff\xfe",
		"a long one cut within a character": strings.Repeat("é", maxMessage),
		"and one byte later":                "x" + strings.Repeat("é", maxMessage),
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) {
				return Result{}, Waiting(errors.New(message), time.Minute)
			}}, app(), nil)
			for range 2 {
				if _, err := b.reconcile(); err != nil {
					t.Fatal(err)
				}
			}
			if b.patches != 1 || len(*b.events) != 1 {
				t.Errorf("%d patches and %d events for one and the same error", b.patches, len(*b.events))
			}
		})
	}
}

// TestWhatIsCountedIsCountedOnce though the status had to be written twice, because
// somebody else wrote it in between.
func TestWhatIsCountedIsCountedOnce(t *testing.T) {
	counted := 0
	b := newTestEnv(t, scripted{func(k *kustomizev1.Kustomization) (Result, error) {
		k.Status.LastAppliedRevision = "main"
		return Result{Reason: "Done", Recorded: func() { counted++ }}, reconcile.TerminalError(errors.New("with an error, too"))
	}}, app(), func(c client.Client) {
		other := app()
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(other), other); err != nil {
			t.Fatal(err)
		}
		other.Status.LastAttemptedRevision = "other"
		if err := c.Status().Update(t.Context(), other); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
	if counted != 0 {
		t.Error("counted before it was written")
	}
	if _, err := b.reconcile(); err == nil {
		t.Fatal("no error")
	}
	if counted != 1 || b.patches != 2 {
		t.Errorf("counted %d times in %d patches", counted, b.patches)
	}
}

func TestASuspendedObjectIsLeftAlone(t *testing.T) {
	obj := app()
	obj.Spec.Suspend = true
	b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) {
		t.Error("reconciled")
		return Result{}, nil
	}}, obj, nil)
	if _, err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
}

func TestAStatusSurvivesAMetadataChangeDuringTheRun(t *testing.T) {
	pushed := func(k *kustomizev1.Kustomization) (Result, error) {
		k.Status.LastAppliedRevision = "main@sha1:abc"
		return Result{Reason: "Done"}, nil
	}
	b := newTestEnv(t, scripted{pushed}, app(), func(c client.Client) {
		other := app()
		if err := c.Get(context.Background(), client.ObjectKeyFromObject(other), other); err != nil {
			t.Fatal(err)
		}
		other.Labels = map[string]string{"touched": "yes"}
		if err := c.Update(context.Background(), other); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
	got := b.get(t)
	if got.Status.LastAppliedRevision != "main@sha1:abc" || got.Labels["touched"] != "yes" {
		t.Errorf("got %+v %v", got.Status, got.Labels)
	}
	if !apimeta.IsStatusConditionTrue(got.Status.Conditions, meta.ReadyCondition) {
		t.Error("not Ready")
	}
}

func TestAStaleCacheDoesNotOverwriteANewerStatus(t *testing.T) {
	b := newTestEnv(t, scripted{func(k *kustomizev1.Kustomization) (Result, error) {
		k.Status.LastAppliedRevision = "old"
		return Result{Reason: "Done"}, nil
	}}, app(), func(c client.Client) {
		other := app()
		if err := c.Get(context.Background(), client.ObjectKeyFromObject(other), other); err != nil {
			t.Fatal(err)
		}
		other.Status.LastAppliedRevision = "new"
		if err := c.Status().Update(context.Background(), other); err != nil {
			t.Fatal(err)
		}
	})
	got, err := b.reconcile()
	if err != nil || got.RequeueAfter == 0 {
		t.Fatalf("got %v, %v", got, err)
	}
	if rev := b.get(t).Status.LastAppliedRevision; rev != "new" {
		t.Errorf("revision %q", rev)
	}
}

func TestFinalizerHoldsTheObjectUntilItIsClean(t *testing.T) {
	clean := errors.New("still dirty")
	b := newTestEnv(t, cleaning{
		scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{Reason: "Done"}, nil }},
		func() error { return clean },
	}, app(), nil)
	if _, err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
	obj := b.get(t)
	if diff := gocmp.Diff([]string{DefaultFinalizer}, obj.Finalizers); diff != "" {
		t.Fatal(diff)
	}
	if err := b.client.Delete(context.Background(), obj); err != nil {
		t.Fatal(err)
	}
	if _, err := b.reconcile(); !errors.Is(err, clean) {
		t.Fatalf("got %v", err)
	}
	ready := apimeta.FindStatusCondition(b.get(t).Status.Conditions, meta.ReadyCondition)
	if ready == nil || string(ready.Status) != "False" || ready.Message != "deletion waits: still dirty" {
		t.Errorf("of a deletion that fails Ready says %+v", ready)
	}
	clean = nil
	if _, err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
	if err := b.client.Get(context.Background(), client.ObjectKeyFromObject(obj), obj); client.IgnoreNotFound(err) != nil || err == nil {
		t.Fatalf("still there: %v", err)
	}
}

// forgetful is a scripted controller that notes what it was told to forget.
type forgetful struct {
	scripted
	forgotten *[]types.NamespacedName
}

func (f forgetful) Forget(_ context.Context, key types.NamespacedName) {
	*f.forgotten = append(*f.forgotten, key)
}

func TestAnObjectWhoseFinalizerWasTakenOffByHandIsForgotten(t *testing.T) {
	var forgotten []types.NamespacedName
	b := newTestEnv(t, forgetful{
		scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{Reason: "Done"}, nil }}, &forgotten,
	}, app(), nil)
	if _, err := b.reconcile(); err != nil || len(forgotten) > 0 {
		t.Fatalf("forgot %v while it is there, %v", forgotten, err)
	}
	if err := b.client.Delete(t.Context(), b.get(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.reconcile(); err != nil || !slices.Equal(forgotten, []types.NamespacedName{client.ObjectKeyFromObject(app())}) {
		t.Errorf("forgot %v, %v", forgotten, err)
	}
}

// cleanable is a scripted controller that cleans up by the key of an object.
type cleanable struct {
	scripted
	clean func(types.NamespacedName) error
}

func (c cleanable) Clean(key types.NamespacedName) error { return c.clean(key) }

func TestWhatIsKnownByItsKeyIsCleanedUpBeforeAndAfterAnObjectGoes(t *testing.T) {
	failure, keys := errors.New("still dirty"), 0
	b := newTestEnv(t, cleanable{
		scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{Reason: "Done"}, nil }},
		func(key types.NamespacedName) error {
			if key == client.ObjectKeyFromObject(app()) {
				keys++
			}
			return failure
		},
	}, app(), nil)
	if _, err := b.reconcile(); err != nil || keys > 0 {
		t.Fatalf("cleaned up %d times while it is there, %v", keys, err)
	}
	obj := b.get(t)
	if diff := gocmp.Diff([]string{DefaultFinalizer}, obj.Finalizers); diff != "" {
		t.Fatal(diff)
	}
	if err := b.client.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	if _, err := b.reconcile(); !errors.Is(err, failure) || keys != 1 {
		t.Fatalf("got %v after %d times", err, keys)
	}
	failure = nil
	if _, err := b.reconcile(); err != nil || keys != 2 {
		t.Fatalf("got %v after %d times", err, keys)
	}
	if err := b.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); client.IgnoreNotFound(err) != nil || err == nil {
		t.Fatalf("still there: %v", err)
	}
	failure = errors.New("dirty again")
	if _, err := b.reconcile(); err != nil || keys != 3 {
		t.Errorf("of one that is gone: %v after %d times", err, keys)
	}
}

func TestAForeignFinalizerOfFluxIsReleased(t *testing.T) {
	obj := app()
	obj.Finalizers = []string{DefaultFinalizer}
	b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{}, nil }}, obj, nil)
	if err := b.client.Delete(context.Background(), app()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
	if err := b.client.Get(context.Background(), client.ObjectKeyFromObject(obj), obj); err == nil {
		t.Fatal("still there")
	}
}

func TestAShutdownWhileTheStatusIsWrittenIsNoError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{Reason: "Done"}, nil }}
	b := newTestEnv(t, c, app(), func(client.Client) { cancel() })
	result, err := b.runner.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(app())})
	if err != nil || result != (reconcile.Result{}) || len(*b.events) != 0 {
		t.Errorf("got %v, %v and events %v, want silence", result, err, *b.events)
	}
}

func TestTheEventsOfAPatchWhoseAnswerWasLostAreTold(t *testing.T) {
	tests := map[string]struct {
		answer     error
		wantErr    bool
		wantEvents int
	}{
		"the connection broke":                     {answer: errors.New("http2: client connection lost"), wantEvents: 1},
		"a proxy gave up":                          {answer: apierrors.NewTimeoutError("gateway timeout", 1), wantEvents: 1},
		"the client sent it again, and was behind": {answer: apierrors.NewConflict(schema.GroupResource{}, "app", nil), wantEvents: 1},
		"a refusal is one":                         {answer: apierrors.NewForbidden(schema.GroupResource{}, "app", nil), wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{Reason: "Done"}, nil }}, app(), nil)
			b.answer = tc.answer
			if _, err := b.reconcile(); (err != nil) != tc.wantErr || len(*b.events) != tc.wantEvents || b.patches != 1 {
				t.Errorf("Reconcile = %v; %d patches, events %+v", err, b.patches, *b.events)
			}
		})
	}
}

func TestAPatchThatNeverArrivedIsAnError(t *testing.T) {
	b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{Reason: "Done"}, nil }}, app(), nil)
	b.lost = true
	if _, err := b.reconcile(); err == nil || len(*b.events) != 0 {
		t.Errorf("Reconcile = %v, events %+v", err, *b.events)
	}
	b.lost = false
	if _, err := b.reconcile(); err != nil || len(*b.events) != 1 {
		t.Errorf("Reconcile = %v, events %+v", err, *b.events)
	}
}

func TestACacheFromBeforeTheLastWriteIsNotActedUpon(t *testing.T) {
	runs := 0
	b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) {
		runs++
		return Result{Reason: "Done", Message: fmt.Sprint(runs)}, nil
	}}, app(), nil)
	if _, err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
	if got, err := b.reconcile(); err != nil || got != (reconcile.Result{}) || runs != 2 {
		t.Fatalf("a cache that shows the write: got %+v, %v after %d runs", got, err, runs)
	}
	b.runner.writes.WroteAt(client.ObjectKeyFromObject(app()), "1000000")
	if got, err := b.reconcile(); err != nil || got.RequeueAfter != staleDelay || runs != 2 {
		t.Errorf("got %+v, %v after %d runs", got, err, runs)
	}
}

func TestAStatusPatchIsRememberedUntilTheCacheShowsIt(t *testing.T) {
	b := newTestEnv(t, scripted{func(*kustomizev1.Kustomization) (Result, error) { return Result{Reason: "Done"}, nil }}, app(), nil)
	if _, err := b.reconcile(); err != nil {
		t.Fatal(err)
	}
	key, written := client.ObjectKeyFromObject(app()), b.get(t).ResourceVersion
	if b.runner.writes.IsReady(key, "1") {
		t.Errorf("version 1 is taken for as new as %s", written)
	}
	if !b.runner.writes.IsReady(key, written) {
		t.Error("what was written is not as new as itself")
	}
}
