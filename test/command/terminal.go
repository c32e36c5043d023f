// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"context"
	"testing"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/kinds"
)

// Terminal is a command that prints into buffers, and a cluster with some objects.
type Terminal struct {
	*cobra.Command
	client.WithWatch
	Out, Errors bytes.Buffer
}

// NewTerminal makes a terminal with objects. Funcs change what the API server does, except
// for watches, which end with their context as those of a real client do.
func NewTerminal(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) *Terminal {
	t.Helper()
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	name := func(o client.Object) []string { return []string{o.GetName()} }
	api := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithIndex(&flaggerv1.Canary{}, "metadata.name", name).
		WithIndex(&sluicev1.Pipeline{}, "metadata.name", name).
		WithIndex(&corev1.Event{}, "involvedObject.uid", func(o client.Object) []string {
			return []string{string(o.(*corev1.Event).InvolvedObject.UID)} // the index is of events
		}).Build()
	funcs.Watch = watchUntilDone
	c := &Terminal{Command: &cobra.Command{Use: "sluice"}, WithWatch: interceptor.NewClient(api, funcs)}
	c.SetOut(&c.Out)
	c.SetErr(&c.Errors)
	c.SetContext(t.Context())
	return c
}

func watchUntilDone(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
	w, err := c.Watch(ctx, list, opts...)
	if err == nil {
		context.AfterFunc(ctx, w.Stop)
	}
	return w, err
}

// As makes the API server answer who asks.
func As(name string) interceptor.Funcs {
	return interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		if review, ok := o.(*authenticationv1.SelfSubjectReview); ok {
			review.Status.UserInfo.Username = name
			return nil
		}
		return c.Create(ctx, o, opts...)
	}}
}
