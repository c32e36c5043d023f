// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-cd/sluice/test/harness"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// crowd is all objects of one kind in a namespace, waited for as one. It
// watches: listing a few hundred objects again and again would keep the API
// server from serving the controllers that are measured.
type crowd struct {
	namespace string
	size      int
	patience  time.Duration // default: twice that of all
	empty     func() client.ObjectList
	done      func(client.Object) bool
}

// lateError is that of a crowd whose patience was over before all were done.
type lateError struct {
	crowd

	done int
	last string
}

func (e *lateError) Error() string {
	return fmt.Sprintf("%d of %d objects in %s are done; changed last: %s", e.done, e.size, e.namespace, e.last)
}

// await returns when size objects are done. A watch that the API server ends, as it does when a CRD
// is changed, begins anew.
func (c crowd) await(ctx context.Context, p *harness.Playground) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.patience, 2*patience))
	defer cancel()
	for {
		ended, err := c.watch(ctx, p)
		if err != nil || !ended {
			return err
		}
	}
}

// watch lists and watches until size objects are done, or the watch has ended.
func (c crowd) watch(ctx context.Context, p *harness.Playground) (ended bool, err error) {
	list := c.empty()
	if err := p.Client.List(ctx, list, client.InNamespace(c.namespace)); err != nil {
		return false, err
	}
	done, last := map[string]bool{}, ""
	note := func(obj runtime.Object) error {
		if o, ok := obj.(client.Object); ok {
			done[o.GetName()] = c.done(o)
			last = o.GetName()
		}
		return nil
	}
	if err := apimeta.EachListItem(list, note); err != nil {
		return false, err
	}
	changes, err := p.Client.Watch(ctx, c.empty(), client.InNamespace(c.namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
	if err != nil {
		return false, err
	}
	defer changes.Stop()
	for len(done) < c.size || slices.Contains(slices.Collect(maps.Values(done)), false) {
		select {
		case <-ctx.Done():
			return false, &lateError{crowd: c, done: c.count(done), last: last}
		case e, ok := <-changes.ResultChan():
			if !ok {
				return true, nil
			}
			_ = note(e.Object) // never fails
		}
	}
	return false, nil
}

func (c crowd) count(done map[string]bool) int {
	n := 0
	for _, is := range done {
		if is {
			n++
		}
	}
	return n
}
