package main

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// follower sees Canaries as they are and as they change, also when the
// connection breaks in between. What came and went meanwhile is not told.
type follower struct {
	client client.WithWatch
	where  []client.ListOption
	// lost is told why the connection broke.
	lost func(error)
	// saw is told of a Canary; an error of it ends everything.
	saw func(*flaggerv1.Canary) error
	// gone is told of one that is deleted.
	gone func(client.ObjectKey) error

	known map[client.ObjectKey]bool
}

// reconnectDelay is how long a follower waits after a connection broke.
const reconnectDelay = time.Second

// run follows until one of its functions returns an error, and returns that.
func (f *follower) run(ctx context.Context) error {
	f.known = map[client.ObjectKey]bool{}
	version, err := f.list(ctx)
	for err == nil {
		err = f.watch(ctx, version)
		for err == nil {
			if version, err = f.list(ctx); !broken(err) || ctx.Err() != nil {
				break
			}
			f.lost(err)
			err = pause(ctx, reconnectDelay)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// broken reports whether there was no answer; a refusal is one.
func broken(err error) bool {
	var status apierrors.APIStatus
	var own told
	return err != nil && !errors.As(err, &status) && !errors.As(err, &own)
}

// told is an error of a function of a follower.
type told struct{ error }

func (t told) Unwrap() error { return t.error }

func tell(err error) error {
	if err == nil {
		return nil
	}
	return told{err}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// list tells of all, and returns the version from which to watch.
func (f *follower) list(ctx context.Context) (version string, err error) {
	var all flaggerv1.CanaryList
	if err := f.client.List(ctx, &all, f.where...); err != nil {
		return "", err
	}
	there := map[client.ObjectKey]bool{}
	for i := range all.Items {
		there[client.ObjectKeyFromObject(&all.Items[i])] = true
		if err := f.tell(&all.Items[i]); err != nil {
			return "", err
		}
	}
	for key := range f.known {
		if !there[key] {
			if err := f.forget(key); err != nil {
				return "", err
			}
		}
	}
	return all.ResourceVersion, nil
}

// watch tells of changes until the connection ends, which is no error.
func (f *follower) watch(ctx context.Context, version string) error {
	w, err := f.client.Watch(ctx, &flaggerv1.CanaryList{}, append(f.where, from(version))...)
	switch {
	case broken(err):
		f.lost(err)
		return pause(ctx, reconnectDelay)
	case err != nil:
		return err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		c, ok := e.Object.(*flaggerv1.Canary)
		switch {
		case !ok: // an error; what is wrong is found out by the list that follows
			return pause(ctx, reconnectDelay)
		case e.Type == watch.Deleted:
			err = f.forget(client.ObjectKeyFromObject(c))
		case e.Type == watch.Added || e.Type == watch.Modified:
			err = f.tell(c)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (f *follower) tell(c *flaggerv1.Canary) error {
	f.known[client.ObjectKeyFromObject(c)] = true
	return tell(f.saw(c))
}

func (f *follower) forget(key client.ObjectKey) error {
	delete(f.known, key)
	return tell(f.gone(key))
}

// from is the option to watch from a version on.
type from string

// ApplyToList implements client.ListOption.
func (v from) ApplyToList(o *client.ListOptions) {
	raw := o.AsListOptions().DeepCopy()
	raw.ResourceVersion = string(v)
	o.Raw = raw
}
