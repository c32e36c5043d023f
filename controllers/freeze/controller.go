// SPDX-License-Identifier: Apache-2.0

// Package freeze reconciles Freeze: it says in the status whether the freeze is in force,
// until when, and how many pipelines it selects.
//
//	spec, the hour, labels of pipelines and namespaces --> status
//
// The status is for people. Pipelines read the spec, and stop by it whether this controller
// runs or not. A freeze whose windows or selectors cannot be understood is Stalled, and
// freezes everything that it might be about: the status says so too.
package freeze

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion"
)

// +kubebuilder:rbac:groups=sluice.dev,resources=freezes,verbs=get;list;watch
// +kubebuilder:rbac:groups=sluice.dev,resources=freezes/status,verbs=patch
// +kubebuilder:rbac:groups=sluice.dev,resources=pipelines,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// Reconciler says where freezes stand.
type Reconciler struct {
	// Client caches what is listed.
	Client client.Client
	// Live reads what the cache may lack: a Freeze is about the pipelines of all namespaces
	// and shards, and all of their processes have to count the same.
	Live  client.Reader
	Clock clock.PassiveClock
}

var kind = reconciler.Kind[*sluicev1.Freeze]{
	Name:      "freeze",
	New:       func() *sluicev1.Freeze { return &sluicev1.Freeze{} },
	Suspended: func(*sluicev1.Freeze) bool { return false },
	Observed: func(f *sluicev1.Freeze) reconciler.StatusFields {
		return reconciler.StatusFields{Generation: &f.Status.ObservedGeneration}
	},
}

// SetupWithManager registers the controller and its watches.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts reconciler.Options) error {
	all := handler.EnqueueRequestsFromMapFunc(r.freezes)
	byNamespace := handler.EnqueueRequestsFromMapFunc(r.freezesByNamespace)
	relabelled := builder.WithPredicates(predicate.LabelChangedPredicate{})
	changed := builder.WithPredicates(predicate.Or(predicate.LabelChangedPredicate{}, predicate.GenerationChangedPredicate{}))
	return reconciler.Setup(mgr, kind, r, opts,
		func(b *builder.Builder) *builder.Builder { return b.Watches(&sluicev1.Pipeline{}, all, changed) },
		func(b *builder.Builder) *builder.Builder {
			return b.Watches(&corev1.Namespace{}, byNamespace, relabelled)
		})
}

// freezes are requests for all freezes: a pipeline may be selected by any.
func (r *Reconciler) freezes(ctx context.Context, _ client.Object) []reconcile.Request {
	return reconciler.Requests(ctx, r.Client, &sluicev1.FreezeList{}, reconciler.Any[*sluicev1.Freeze])
}

// freezesByNamespace are requests for the freezes that select by the labels of namespaces.
func (r *Reconciler) freezesByNamespace(ctx context.Context, _ client.Object) []reconcile.Request {
	return reconciler.Requests(ctx, r.Client, &sluicev1.FreezeList{}, func(f *sluicev1.Freeze) bool { return f.Spec.NamespaceSelector != nil })
}

// Reconcile implements reconciler.Controller.
func (r *Reconciler) Reconcile(ctx context.Context, f *sluicev1.Freeze) (reconciler.Result, error) {
	selector, wrongSelector := promotion.ParseFreezeSelector(&f.Spec)
	selected, unknown, err := r.selected(ctx, selector, f.Spec.Stages)
	if err != nil {
		return reconciler.Result{}, err
	}
	now := r.Clock.Now()
	calendar, wrongWindow := promotion.ParseCalendar(f.Spec.Windows)
	state := promotion.FreezeState{Active: true}
	if wrongWindow == nil {
		state = calendar.Freezes(now)
	} else {
		wrongWindow = fmt.Errorf("spec.windows: %w", wrongWindow)
	}
	status := &f.Status
	status.Active, status.Window, status.Pipelines, status.NextChange = state.Active, state.Window, selected, nil
	if !state.Changes.IsZero() {
		status.NextChange = &metav1.Time{Time: state.Changes}
	}
	result := reconciler.Result{Reason: meta.SucceededReason, Message: message(f, unknown)}
	if !state.NextChange.IsZero() {
		result.After = max(state.NextChange.Sub(now), time.Nanosecond)
	}
	if wrong := errors.Join(wrongWindow, wrongSelector); wrong != nil {
		return result, refuse(wrong)
	}
	return result, nil
}

// refuse is an error that only another spec resolves.
func refuse(err error) error {
	return reconcile.TerminalError(reconciler.WithReason(sluicev1.InvalidSpecReason,
		fmt.Errorf("%w; until that is mended, all pipelines that it may be about are frozen", err)))
}

// page is how many pipelines are asked for at once.
const page = 500

// selected is how many pipelines there are that the freeze selects, and which of these stages
// none of them has: a name that is misspelt freezes nothing.
func (r *Reconciler) selected(ctx context.Context, selector promotion.FreezeSelector, stages []string) (int32, []string, error) {
	namespaces := map[string]map[string]string{}
	if selector.AsksNamespaces() {
		var list corev1.NamespaceList
		if err := r.Live.List(ctx, &list); err != nil {
			return 0, nil, fmt.Errorf("listing namespaces: %w", err)
		}
		for _, n := range list.Items {
			namespaces[n.Name] = n.Labels
		}
	}
	count, unknown := int32(0), slices.Clone(stages)
	for next := ""; ; {
		var pipelines sluicev1.PipelineList
		if err := r.Live.List(ctx, &pipelines, client.Limit(page), client.Continue(next)); err != nil {
			return 0, nil, fmt.Errorf("listing pipelines: %w", err)
		}
		for _, p := range pipelines.Items {
			is, err := selector.Selects(p.Labels, func() (map[string]string, error) { return namespaces[p.Namespace], nil })
			if err != nil {
				return 0, nil, err
			}
			if is {
				count++
				unknown = slices.DeleteFunc(unknown, func(name string) bool { return p.Spec.Stage(name) != nil })
			}
		}
		if next = pipelines.Continue; next == "" {
			return count, unknown, nil
		}
	}
}

// message says whether the freeze is in force, until when, and which of its stages there are not.
func message(f *sluicev1.Freeze, unknown []string) string {
	text := activeState(f)
	if len(unknown) > 0 && f.Status.Pipelines > 0 {
		text += fmt.Sprintf("; no pipeline that is selected has a stage %s: correct the name in spec.stages", strings.Join(unknown, " or "))
	}
	return text
}

// activeState says whether the freeze is in force, and until when.
func activeState(f *sluicev1.Freeze) string {
	at := f.Status.NextChange
	switch {
	case f.Status.Active && at == nil: // such as one whose Deny windows leave nothing of its Allow windows
		return fmt.Sprintf("in force by window %s, without an end: its windows leave no time between them", f.Status.Window)
	case f.Status.Active:
		return fmt.Sprintf("in force by window %s, until %s", f.Status.Window, at.UTC().Format(time.RFC3339))
	case at == nil:
		return "not in force"
	}
	return "not in force, from " + at.UTC().Format(time.RFC3339)
}

// Reason implements reconciler.Controller.
func (r *Reconciler) Reason(error) string { return meta.FailedReason }
