// Package apply brings a set of objects into the cluster on behalf of an owner,
// keeps them as they were applied, takes away what left the set, and says
// whether they are healthy.
//
//	objects --> waves: definitions | classes | configuration | the rest | webhooks
//	each    --> unchanged and in sync? no call : one server-side apply
//	left    --> delete, if it still carries the owner's labels
//	health  --> from informers; the owner is notified, nobody waits in a worker
//
// What was applied is remembered: the digest of what was sent and the print of
// what the API server made of it (see package watch). An object whose digest is
// the same, and whose print the informer still sees, costs nothing. The memory
// is a cache: after a restart every object is applied once more, which the API
// server answers without writing anything.
//
// Field manager, labels, annotations and order are kustomize-controller's, so
// that objects can change hands in either direction.
package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
)

// Owner is the Kustomization on whose behalf objects are applied.
type Owner = types.NamespacedName

// Limits that are not worth an option.
const (
	// parallel bounds the objects of one owner that are applied at once.
	parallel = 4
	// syncPatience is how long a first apply waits for informers to list, so
	// that it need not read every object by itself.
	syncPatience = 5 * time.Second
)

// Engine applies to one cluster.
type Engine struct {
	clients *Clients
	watches *watch.Set
	// moment is how long a worker waits until a deleted object is gone.
	moment time.Duration
	// Clock times the pauses between repairs of what somebody keeps changing. It is
	// set before the first use.
	Clock clock.PassiveClock

	mu     sync.Mutex
	memory map[Owner]*memory
}

// NewEngine returns an engine over a pool of clients and a set of informers.
func NewEngine(clients *Clients, watches *watch.Set) *Engine {
	e := &Engine{
		clients: clients, watches: watches, moment: goneMoment, Clock: clock.RealClock{}, memory: map[Owner]*memory{},
	}
	watches.OnChange(e.changed)
	return e
}

// Request is a set of objects to apply. The objects belong to the engine after.
type Request struct {
	Owner    Owner
	Identity Identity
	Objects  []*unstructured.Unstructured
	// Labels and Annotations are put on every object.
	Labels, Annotations map[string]string
	// Recreate says what to do with an object whose change the API server
	// refuses because a field is immutable.
	Recreate Recreate
	// Others are objects outside of the set whose health will be asked for.
	Others []Reference
}

// Recreate is when an object may be deleted in order to change it.
type Recreate int

// RecreateAnnotated: only an object that is annotated with
// kustomize.toolkit.fluxcd.io/force: enabled. RecreateAll: any.
const (
	RecreateAnnotated Recreate = iota
	RecreateAll
)

// Reference names an object that need not be applied by anyone here.
type Reference struct {
	schema.GroupVersionKind
	Namespace, Name string
}

func (r Reference) id() inventory.ID {
	return inventory.ID{Namespace: r.Namespace, Name: r.Name, Group: r.Group, Kind: r.Kind}
}

// Change is what happened to one object.
type Change struct {
	inventory.Entry
	Action Action
}

// String is the change as events show it.
func (c Change) String() string { return c.Subject() + " " + string(c.Action) }

// Action is what was done with an object, in upstream's words.
type Action string

// What can be done with an object.
const (
	Created    Action = "created"
	Configured Action = "configured"
	Unchanged  Action = "unchanged"
	Skipped    Action = "skipped"
	Deleted    Action = "deleted"
)

// Outcome is how far an apply came.
type Outcome struct {
	// Changes has one entry for every object that was dealt with, in the order
	// of application.
	Changes []Change
	// Waiting is not empty when the objects of an early wave are not established
	// yet. The owner will be notified, and should apply again.
	Waiting Health
	// Fights are objects that somebody keeps changing; each is told once.
	Fights []Fight
}

// Entries is the inventory of what was dealt with.
func (o *Outcome) Entries() []inventory.Entry {
	entries := make([]inventory.Entry, 0, len(o.Changes))
	for _, c := range o.Changes {
		entries = append(entries, c.Entry)
	}
	return entries
}

// Log lists what changed, one line each, as upstream's events do; "" when
// nothing did.
func Log(changes []Change) string {
	var lines []string
	for _, c := range changes {
		if c.Action == Created || c.Action == Configured || c.Action == Deleted {
			lines = append(lines, c.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Apply applies the request's objects wave by wave. On an error the outcome
// says what was done before it.
func (e *Engine) Apply(ctx context.Context, req Request) (out *Outcome, err error) {
	out = &Outcome{}
	c, err := e.clients.identity(req.Identity)
	if err != nil {
		return out, err
	}
	waves, err := plan(req)
	if err != nil {
		return out, err
	}
	mem := e.remember(req.Owner)
	if mem.identity != req.Identity {
		mem.identity, mem.grants = req.Identity, map[Reference]grant{}
	}
	mem.others = e.readable(ctx, mem, req.Others)
	p := &pass{engine: e, client: c, req: req, mem: mem}
	mem.begin()
	defer func() {
		out.Fights = p.fights
		if mem.end(e.watches) && err == nil {
			e.watches.Notify(req.Owner) // an error is tried again anyway
		}
	}()
	kept := map[inventory.ID]bool{}
	for _, wave := range waves {
		changes, err := p.wave(ctx, wave)
		out.Changes = append(out.Changes, changes...)
		if err != nil {
			e.watches.Await(req.Owner, p.going)
			return out, err
		}
		for _, o := range wave.objects {
			kept[o.id] = true
		}
		if wave.gate {
			if out.Waiting = p.gate(ctx, wave); !out.Waiting.Healthy() {
				return out, nil
			}
		}
	}
	mem.keep(kept)
	e.watches.Use(ctx, req.Owner, mem.targets())
	return out, nil
}

// pass is one Apply.
type pass struct {
	engine *Engine
	client *client
	req    Request
	mem    *memory
	used   []watch.Target
	// going are objects that have to be gone before they can be created again.
	going []watch.Awaited

	mu     sync.Mutex
	fights []Fight
}

// wave applies the objects of one wave in parallel.
func (p *pass) wave(ctx context.Context, wave wave) ([]Change, error) {
	if err := p.resolve(wave); err != nil {
		return nil, err
	}
	p.watch(ctx, wave)
	results := make([]*applied, len(wave.objects))
	errs := make([]error, len(wave.objects))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, o := range wave.objects {
		group.Go(func() error {
			results[i], errs[i] = p.safely(ctx, o)
			return nil
		})
	}
	_ = group.Wait() // every object is tried; errs tells
	var changes []Change
	for i, o := range wave.objects {
		if errors.Is(errs[i], ErrTerminating) {
			p.going = append(p.going, watch.Awaited{GroupVersionKind: o.GroupVersionKind(), ID: o.id, Gone: true})
		}
		if results[i] == nil {
			continue
		}
		p.mem.note(o.id, results[i])
		changes = append(changes, Change{
			Entry:  inventory.Entry{ID: o.id, Version: o.GroupVersionKind().Version},
			Action: results[i].action,
		})
	}
	return changes, errors.Join(errs...)
}

// safely is one, outside of whose goroutine nobody would catch a panic: an object
// that nobody thought of must not end the process, again after each restart.
func (p *pass) safely(ctx context.Context, o *object) (done *applied, err error) {
	defer func() {
		if r := recover(); r != nil {
			for _, handle := range utilruntime.PanicHandlers {
				handle(ctx, r)
			}
			done, err = nil, fmt.Errorf("%s apply failed: panic: %v [recovered]", o.id.Subject(), r)
		}
	}()
	return p.one(ctx, o)
}

// watch makes sure that the wave's kinds are watched, and waits a little for
// the first list of those that were not.
func (p *pass) watch(ctx context.Context, wave wave) {
	known := len(p.used)
	for _, o := range wave.objects {
		p.use(watch.Target{GroupVersionKind: o.GroupVersionKind()})
	}
	if known == 0 {
		for _, ref := range p.mem.others {
			p.use(ref.target())
		}
	}
	if len(p.used) == known {
		return
	}
	// What the last pass used stays in use until this one has seen all waves.
	p.engine.watches.Use(ctx, p.req.Owner, append(p.mem.targets(), p.used...))
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	p.engine.watches.WaitSynced(ctx, p.req.Owner)
}

func (p *pass) use(target watch.Target) {
	for _, used := range p.used {
		if used == target {
			return
		}
	}
	p.used = append(p.used, target)
}

// gate reports whether the wave's objects are established, so that later waves
// can rely on them.
func (p *pass) gate(ctx context.Context, wave wave) Health {
	var all []wanted
	for _, o := range wave.objects {
		if done := p.mem.applied[o.id]; done != nil && done.action != Skipped {
			all = append(all, wanted{gvk: o.GroupVersionKind(), id: o.id})
		}
	}
	return p.engine.assess(ctx, p.req.Owner, p.mem, all)
}
