package apply

import (
	"context"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
)

// Health is the state of a set of objects. The owner is notified when the last
// of them becomes healthy, or another one fails.
type Health struct {
	// Failed and Pending say of each object that is not healthy what its state
	// is. A failed object will not recover by itself.
	Failed, Pending []string
	// Unserved are those that are pending because the cluster has no such kind.
	Unserved []string
	// Blind says that some of them cannot be watched; look again in a while.
	Blind bool
}

// Healthy reports whether every object is.
func (h Health) Healthy() bool { return len(h.Failed) == 0 && len(h.Pending) == 0 }

// wanted is an object whose health matters.
type wanted struct {
	gvk schema.GroupVersionKind
	id  inventory.ID
}

// Health reports on everything that was applied for owner and not skipped.
func (e *Engine) Health(ctx context.Context, owner Owner) Health {
	mem := e.remember(owner)
	var all []wanted
	for id, a := range mem.applied {
		// An owner that waits for itself would wait for ever.
		itself := id.Kind == "Kustomization" && id.Name == owner.Name && id.Namespace == owner.Namespace
		if a.action != Skipped && !itself {
			all = append(all, wanted{gvk: a.gvk, id: id})
		}
	}
	return e.assess(ctx, owner, mem, all)
}

// HealthOf reports on the given objects. One that nobody can look at as it is named, or
// that the owner's identity may not read, has failed.
func (e *Engine) HealthOf(ctx context.Context, owner Owner, refs []Reference) Health {
	mem := e.remember(owner)
	all := make([]wanted, 0, len(refs))
	var failed []string
	for _, ref := range refs {
		ref, mapping, problem := e.locateReference(ref)
		if problem == "" {
			problem = e.refusal(ctx, mem, ref, mapping)
		}
		if problem != "" {
			failed = append(failed, problem)
			continue
		}
		all = append(all, wanted{gvk: ref.GroupVersionKind, id: ref.id()})
	}
	h := e.assess(ctx, owner, mem, all)
	h.Failed = append(failed, h.Failed...)
	return h
}

// Unwatch ends owner's wait for news of health.
func (e *Engine) Unwatch(owner Owner) { e.watches.Await(owner, nil) }

// looks bounds how often health is read anew because news came meanwhile.
const looks = 3

// assess reads the health of all, and has owner notified of news about those
// that are not healthy.
func (e *Engine) assess(ctx context.Context, owner Owner, mem *memory, all []wanted) Health {
	var health Health
	for range looks {
		var awaited []watch.Awaited
		health, awaited = e.read(ctx, mem, all)
		if e.watches.Await(owner, awaited) || len(awaited) == 0 {
			return health
		}
	}
	health.Blind = true // too much is going on to be told; look again
	return health
}

// read looks at all objects once.
func (e *Engine) read(ctx context.Context, mem *memory, all []wanted) (Health, []watch.Awaited) {
	var (
		health  Health
		awaited []watch.Awaited
	)
	for _, w := range all {
		was := mem.applied[w.id]
		seen, known := e.current(ctx, mem, w)
		health.Blind = health.Blind || !known
		next := watch.Awaited{GroupVersionKind: w.gvk, ID: w.id}
		switch {
		case seen == nil && was != nil && was.expires && known,
			seen != nil && seen.Status == status.CurrentStatus:
			continue
		case seen == nil:
			health.Pending = append(health.Pending, fmt.Sprintf("%s status: '%s'", w.id.Subject(), status.NotFoundStatus))
		case seen.Status == status.FailedStatus:
			next.ResourceVersion, next.Failed = seen.ResourceVersion, true
			health.Failed = append(health.Failed, w.id.Subject()+" "+seen.String())
		default:
			next.ResourceVersion = seen.ResourceVersion
			health.Pending = append(health.Pending, w.id.Subject()+" "+seen.String())
			if seen.Status == status.NotFoundStatus {
				health.Unserved = append(health.Unserved, w.id.Subject()+": "+seen.Message)
			}
		}
		awaited = append(awaited, next)
	}
	return health, awaited
}

// current is the newest that is known of an object; it is read from the API
// server only if it cannot be watched, in which case known is false.
func (e *Engine) current(ctx context.Context, mem *memory, w wanted) (seen *watch.Observed, known bool) {
	was := mem.applied[w.id]
	seen, sight := e.watches.Look(w.gvk, w.id, was.version())
	switch sight {
	case watch.Seen, watch.Missing:
		return seen, true
	case watch.Behind:
		if was != nil {
			return was.seen, true
		}
		return nil, true
	}
	seen, err := e.fetch(ctx, mem.identity, w)
	if err != nil {
		return &watch.Observed{Status: status.UnknownStatus, Message: err.Error()}, false
	}
	return seen, false
}

// fetch reads an object from the API server; nil when it is not there.
func (e *Engine) fetch(ctx context.Context, as Identity, w wanted) (*watch.Observed, error) {
	c, err := e.clients.identity(as)
	if err != nil {
		return nil, err
	}
	mapping, err := c.mapper.RESTMapping(w.gvk.GroupKind(), w.gvk.Version)
	if meta.IsNoMatchError(err) {
		return &watch.Observed{Status: status.NotFoundStatus, Message: fmt.Sprintf(
			"the cluster has no kind %s in %s: install its definition, or name another apiVersion or kind",
			w.gvk.Kind, w.gvk.GroupVersion())}, nil
	}
	if err != nil {
		return nil, err
	}
	u, err := c.get(ctx, endpoint{mapping: mapping, key: types.NamespacedName{Namespace: w.id.Namespace, Name: w.id.Name}})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return watch.Observe(u), nil
}
