// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// view is what one user sees of a cluster, and may do with it. Single objects are read and written with the user's own
// rights; of the cache the user sees what these rights would list.
type view struct {
	*Cluster
	client client.Client
	user   string
	// readOnly users may press no button, whatever their rights.
	readOnly bool
	// rights are known of users whom the cache belongs not to; nil means that all of the cache may be seen.
	rights *rights
}

// ownerView is the view of the owner of the kubeconfig that the cache was filled with.
func (c *Cluster) ownerView() *view { return &view{Cluster: c, client: c.client, user: c.User} }

// scope is what the user may list at the moment.
func (v *view) scope(ctx context.Context) (scope, error) {
	if v.rights == nil {
		return scope{everything: true}, nil
	}
	return v.rights.get(ctx, v)
}

// within is a view whose scope does not change any more.
func (v *view) within(s scope) *view {
	fixed := *v
	fixed.rights = &rights{fixed: &s}
	return &fixed
}

// list reads the objects of a kind that the user may list from the cache, without copies: they must not be changed.
func (v *view) list(ctx context.Context, into client.ObjectList) error {
	of, err := v.scope(ctx)
	if err != nil {
		return err
	}
	kind, err := v.Cluster.list(ctx, into)
	if err != nil || of.allowsAll(kind) {
		return err
	}
	items, err := meta.ExtractList(into)
	if err != nil {
		return err
	}
	kept := make([]runtime.Object, 0, len(items))
	for _, item := range items {
		if o, ok := item.(client.Object); ok && of.allows(kind, o.GetNamespace()) {
			kept = append(kept, item)
		}
	}
	return meta.SetList(into, kept)
}

// whyUnlisted says why lists have no object of a kind in a namespace; empty if they have all. Users with the same scope share what is
// made of it.
func (v *view) whyUnlisted(of scope, kind, namespace string) string {
	known, cached := v.kindOf(kind)
	if !cached {
		missing := v.missingKinds()
		if i := slices.IndexFunc(missing, func(m Missing) bool { return m.Kind == kind }); i >= 0 {
			return missing[i].Why
		}
		return "kind " + kind + " is not shown"
	}
	switch {
	case v.namespace != "" && namespace != v.namespace:
		return "only namespace " + v.namespace + " is looked at"
	case !of.allows(kind, namespace):
		return fmt.Sprintf("you may not list %s in namespace %s, or nothing that is shown is there", known.resource.GroupResource(), namespace)
	}
	return ""
}

// rightsAge is how long what a user may list is believed.
const rightsAge = time.Minute

// rights remember what a user may list. They are safe for concurrent use.
type rights struct {
	clock clock.PassiveClock
	fixed *scope

	mu    sync.Mutex
	known scope
	until time.Time
}

// get asks the API server again when the answer is too old.
func (r *rights) get(ctx context.Context, v *view) (scope, error) {
	if r.fixed != nil {
		return *r.fixed, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.clock.Now(); now.After(r.until) {
		found, err := rightsReview{v}.run(ctx)
		if err != nil {
			return scope{}, err
		}
		r.known, r.until = found, now.Add(rightsAge)
	}
	return r.known, nil
}
