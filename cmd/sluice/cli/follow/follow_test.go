// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// api is a client that answers with what the test says, one answer for each call.
type api struct {
	client.WithWatch
	lists    []func(*corev1.ConfigMapList) error
	watches  []func(chan<- watch.Event) error
	versions []string
}

func (c *api) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	answer := c.lists[0]
	c.lists = c.lists[1:]
	return answer(into.(*corev1.ConfigMapList))
}

func (c *api) Watch(_ context.Context, _ client.ObjectList, options ...client.ListOption) (watch.Interface, error) {
	var o client.ListOptions
	o.ApplyOptions(options)
	c.versions = append(c.versions, o.Raw.ResourceVersion)
	answer := c.watches[0]
	c.watches = c.watches[1:]
	events := make(chan watch.Event, 10)
	if err := answer(events); err != nil {
		return nil, err
	}
	close(events) // the connection ends
	return connection{events}, nil
}

type connection struct{ events chan watch.Event }

func (c connection) Stop()                          {}
func (c connection) ResultChan() <-chan watch.Event { return c.events }

func object(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}}
}

// listed answers a list with the named objects.
func listed(version string, names ...string) func(*corev1.ConfigMapList) error {
	return func(into *corev1.ConfigMapList) error {
		into.ResourceVersion = version
		for _, name := range names {
			into.Items = append(into.Items, *object(name))
		}
		return nil
	}
}

// sends answers a watch with events.
func sends(events ...watch.Event) func(chan<- watch.Event) error {
	return func(to chan<- watch.Event) error {
		for _, e := range events {
			to <- e
		}
		return nil
	}
}

func event(kind watch.EventType, of runtime.Object) watch.Event {
	return watch.Event{Type: kind, Object: of}
}

var (
	errEnd      = errors.New("the end of the test")
	errNoAnswer = errors.New("connection refused")
	errRefused  = apierrors.NewForbidden(corev1.Resource("configmaps"), "", errors.New("not you"))
)

func TestFollowing(t *testing.T) {
	refuse := func(err error) func(*corev1.ConfigMapList) error {
		return func(*corev1.ConfigMapList) error { return err }
	}
	cut := func(err error) func(chan<- watch.Event) error { return func(chan<- watch.Event) error { return err } }
	tests := map[string]struct {
		lists    []func(*corev1.ConfigMapList) error
		watches  []func(chan<- watch.Event) error
		want     []string
		versions []string
		wantErr  error
	}{
		"first all that there is, then changes from that version on": {
			lists: []func(*corev1.ConfigMapList) error{listed("7", "a", "b")},
			watches: []func(chan<- watch.Event) error{
				sends(event(watch.Modified, object("a")), event(watch.Deleted, object("b")), event(watch.Added, object("end"))),
			},
			want: []string{"a", "b", "a", "-b", "end"}, versions: []string{"7"}, wantErr: errEnd,
		},
		"a watch that ends is started again from a new list": {
			lists:   []func(*corev1.ConfigMapList) error{listed("7", "a"), listed("9", "a", "end")},
			watches: []func(chan<- watch.Event) error{sends()},
			want:    []string{"a", "a", "end"}, versions: []string{"7"}, wantErr: errEnd,
		},
		"what went while there was no connection is gone": {
			lists:   []func(*corev1.ConfigMapList) error{listed("7", "a", "b"), listed("9", "a"), listed("11", "end")},
			watches: []func(chan<- watch.Event) error{sends(), sends()},
			want:    []string{"a", "b", "a", "-b", "end"}, versions: []string{"7", "9"}, wantErr: errEnd,
		},
		"no answer is waited for": {
			lists:   []func(*corev1.ConfigMapList) error{listed("7"), refuse(errNoAnswer), listed("9", "end")},
			watches: []func(chan<- watch.Event) error{sends()},
			want:    []string{"lost: connection refused", "end"}, versions: []string{"7"}, wantErr: errEnd,
		},
		"a watch that is not answered is, too": {
			lists:   []func(*corev1.ConfigMapList) error{listed("7"), listed("9", "end")},
			watches: []func(chan<- watch.Event) error{cut(errNoAnswer)},
			want:    []string{"lost: connection refused", "end"}, versions: []string{"7"}, wantErr: errEnd,
		},
		"a refusal is an answer": {
			lists: []func(*corev1.ConfigMapList) error{refuse(errRefused)}, wantErr: errRefused,
		},
		"nor is a watch tried again that is refused": {
			lists: []func(*corev1.ConfigMapList) error{listed("7")}, watches: []func(chan<- watch.Event) error{cut(errRefused)},
			versions: []string{"7"}, wantErr: errRefused,
		},
		"who cannot connect at first is told": {
			lists: []func(*corev1.ConfigMapList) error{refuse(errNoAnswer)}, wantErr: errNoAnswer,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := &api{lists: tc.lists, watches: tc.watches}
			var got []string
			f := Follower[*corev1.ConfigMap]{
				Client: c, reconnectDelay: time.Nanosecond, NewList: func() client.ObjectList { return &corev1.ConfigMapList{} },
				OnChange: func(o *corev1.ConfigMap) error {
					got = append(got, o.Name)
					if o.Name == "end" {
						return errEnd
					}
					return nil
				},
				OnDelete:     func(key client.ObjectKey) error { got = append(got, "-"+key.Name); return nil },
				OnDisconnect: func(err error) { got = append(got, "lost: "+err.Error()) },
			}
			if err := f.Run(t.Context()); !errors.Is(err, tc.wantErr) {
				t.Errorf("got error %v, want %v", err, tc.wantErr)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if !slices.Equal(c.versions, tc.versions) {
				t.Errorf("watched from %q, want %q", c.versions, tc.versions)
			}
		})
	}
}
