// SPDX-License-Identifier: Apache-2.0

// Package follow sees objects as they are and as they change, also when the connection
// breaks in between:
//
//	list --> watch --> (connection lost) --> list ...
//
// What came and went while there was no connection is not seen; a person who looks at
// a release wants to know where it stands.
package follow

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Follower follows the objects of a kind, T being a pointer such as *Canary. An error
// of OnChange or OnDelete ends it.
type Follower[T client.Object] struct {
	Client client.WithWatch
	// NewList makes an empty list of the kind.
	NewList func() client.ObjectList
	// Options say which objects are followed.
	Options []client.ListOption
	// OnChange is called for every object at first, and whenever it has changed. It may
	// be called for one that has not.
	OnChange func(T) error
	// OnDelete is called for an object that is gone.
	OnDelete func(client.ObjectKey) error
	// OnDisconnect is told why the connection broke.
	OnDisconnect func(error)

	// reconnectDelay is how long to wait after the connection broke; 0 is a second.
	reconnectDelay time.Duration
	known          map[client.ObjectKey]bool
}

// Run follows until a callback returns an error, which it returns, or until ctx ends,
// whose cause it then returns.
func (f *Follower[T]) Run(ctx context.Context) error {
	f.known, f.reconnectDelay = map[client.ObjectKey]bool{}, cmp.Or(f.reconnectDelay, time.Second)
	version, err := f.list(ctx)
	for err == nil {
		err = f.watch(ctx, version)
		for err == nil {
			if version, err = f.list(ctx); !isDisconnect(err) || ctx.Err() != nil {
				break
			}
			f.OnDisconnect(err)
			err = sleep(ctx, f.reconnectDelay)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// isDisconnect reports whether the API server gave no answer; a refusal is one.
func isDisconnect(err error) bool {
	var status apierrors.APIStatus
	var own callbackError
	return err != nil && !errors.As(err, &status) && !errors.As(err, &own)
}

// callbackError is an error of a callback.
type callbackError struct{ error }

// Unwrap returns what the callback returned.
func (e callbackError) Unwrap() error { return e.error }

func asCallbackError(err error) error {
	if err == nil {
		return nil
	}
	return callbackError{err}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// list reports all objects, and returns the version from which to watch.
func (f *Follower[T]) list(ctx context.Context) (version string, err error) {
	all := f.NewList()
	if err := f.Client.List(ctx, all, f.Options...); err != nil {
		return "", err
	}
	items, err := meta.ExtractList(all)
	if err != nil {
		return "", err
	}
	listed := map[client.ObjectKey]bool{}
	for _, item := range items {
		object, ok := item.(T)
		if !ok {
			continue
		}
		listed[client.ObjectKeyFromObject(object)] = true
		if err := f.change(object); err != nil {
			return "", err
		}
	}
	for key := range f.known {
		if !listed[key] {
			if err := f.delete(key); err != nil {
				return "", err
			}
		}
	}
	return all.GetResourceVersion(), nil
}

// watch reports changes until the connection ends, which is no error.
func (f *Follower[T]) watch(ctx context.Context, version string) error {
	w, err := f.Client.Watch(ctx, f.NewList(), append(slices.Clip(f.Options), since(version))...)
	switch {
	case isDisconnect(err):
		f.OnDisconnect(err)
		return sleep(ctx, f.reconnectDelay)
	case err != nil:
		return err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		object, ok := e.Object.(T)
		switch {
		case !ok: // an error; the list that follows finds out what is wrong
			return sleep(ctx, f.reconnectDelay)
		case e.Type == watch.Deleted:
			err = f.delete(client.ObjectKeyFromObject(object))
		case e.Type == watch.Added || e.Type == watch.Modified:
			err = f.change(object)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (f *Follower[T]) change(object T) error {
	f.known[client.ObjectKeyFromObject(object)] = true
	return asCallbackError(f.OnChange(object))
}

func (f *Follower[T]) delete(key client.ObjectKey) error {
	delete(f.known, key)
	return asCallbackError(f.OnDelete(key))
}

// since is the option to watch from a version on.
type since string

// ApplyToList implements client.ListOption.
func (v since) ApplyToList(o *client.ListOptions) {
	raw := o.AsListOptions().DeepCopy()
	raw.ResourceVersion = string(v)
	o.Raw = raw
}
