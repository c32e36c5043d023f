// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// cluster has ImageRepositories of the names, and no kind but that.
func cluster(t *testing.T, names ...string) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := imagev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	b := fake.NewClientBuilder().WithScheme(scheme)
	for _, name := range names {
		b.WithObjects(&imagev1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}})
	}
	return b.Build()
}

func named(kind, namespace, name string) notificationv1.ReceiverResource {
	return notificationv1.ReceiverResource{CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{
		Kind: kind, Namespace: namespace, Name: name,
	}}
}

func TestAResourceThatIsNotThereWasNamedByNobody(t *testing.T) {
	for name, tc := range map[string]struct {
		resources []notificationv1.ReceiverResource
		err       error  // of every look
		want      string // empty: nothing is missing
	}{
		"one that is there": {resources: []notificationv1.ReceiverResource{named("ImageRepository", "", "app")}},
		"one that is not": {
			resources: []notificationv1.ReceiverResource{named("ImageRepository", "", "app"), named("ImageRepository", "apps", "apq")},
			want:      "spec.resources[1]: ImageRepository 'apps/apq' is not there",
		},
		"a kind that is not installed": {
			resources: []notificationv1.ReceiverResource{named("GitRepository", "", "fleet")},
			err:       &apimeta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "GitRepository"}},
			want:      "spec.resources[0]: the cluster has no GitRepository of source.toolkit.fluxcd.io/v1",
		},
		"one in another namespace, of which nothing is told": {
			resources: []notificationv1.ReceiverResource{named("ImageRepository", "other", "apq")},
		},
		"one that cannot be read": {
			resources: []notificationv1.ReceiverResource{named("ImageRepository", "", "app")}, err: errors.New("no answer"),
		},
		"many": {
			resources: twelve(), want: "spec.resources[9]: ImageRepository 'apps/apq' is not there; and 2 more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			secrets := fake.NewClientBuilder().WithObjects(secret(map[string]string{"token": "t"})).Build()
			r := &Reconciler{Secrets: secrets, Resources: failing(cluster(t, "app"), tc.err)}
			obj := newReceiver(func(spec *notificationv1.ReceiverSpec) { spec.Resources = tc.resources })
			result, err := r.Reconcile(t.Context(), obj)
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" {
				if strings.Contains(result.Message, ";") || len(result.Events) > 0 || result.After != time.Hour {
					t.Errorf("got %+v", result)
				}
				return
			}
			if !strings.HasSuffix(result.Message, tc.want) || result.After != time.Minute {
				t.Errorf("got %+v, want %q", result, tc.want)
			}
			if len(result.Events) != 1 || result.Events[0].Type != corev1.EventTypeWarning || !strings.HasSuffix(result.Events[0].Message, tc.want) {
				t.Errorf("the events are %+v", result.Events)
			}
			apimeta.SetStatusCondition(&obj.Status.Conditions, metav1.Condition{Type: meta.ReadyCondition, Message: result.Message})
			if again, err := r.Reconcile(t.Context(), obj); err != nil || len(again.Events) > 0 || again.Message != result.Message {
				t.Errorf("it is told again: %+v, %v", again, err)
			}
		})
	}
}

func twelve() []notificationv1.ReceiverResource {
	all := make([]notificationv1.ReceiverResource, 12)
	for i := range all {
		all[i] = named("ImageRepository", "", "apq")
	}
	return all
}

func failing(c client.WithWatch, err error) client.Reader {
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if err != nil {
				return err
			}
			return c.Get(ctx, key, obj, opts...)
		},
	})
}
