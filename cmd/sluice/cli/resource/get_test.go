// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	internalkinds "github.com/sluice-cd/sluice/internal/kinds"
)

// refusing lists nothing, or fails as refuse says for a kind.
func refusing(t *testing.T, refuse func(schema.GroupVersionKind) error) client.WithWatch {
	t.Helper()
	scheme, err := internalkinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, into client.ObjectList, _ ...client.ListOption) error {
			return refuse(into.GetObjectKind().GroupVersionKind())
		},
		Watch: func(ctx context.Context, _ client.WithWatch, _ client.ObjectList, _ ...client.ListOption) (watch.Interface, error) {
			w := watch.NewFake()
			context.AfterFunc(ctx, w.Stop)
			return w, nil
		},
	}).Build()
}

func followed(t *testing.T, c client.WithWatch) error {
	t.Helper()
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	return (&listing{kinds: kinds}).followKinds(cmd, c, nil, &lines{cmd: cmd})
}

// The others were followed on, and nobody was told.
func TestAKindThatMayNotBeFollowedEndsTheWatch(t *testing.T) {
	err := followed(t, refusing(t, func(gvk schema.GroupVersionKind) error {
		if !strings.HasPrefix(gvk.Kind, "Canary") {
			return nil
		}
		return apierrors.NewForbidden(schema.GroupResource{Resource: "canaries"}, "", nil)
	}))
	if err == nil || !strings.HasPrefix(err.Error(), "following canaries: ") || !apierrors.IsForbidden(err) {
		t.Errorf("got %v", err)
	}
}

func TestAClusterThatServesNoneOfTheKindsIsSaidToBeOne(t *testing.T) {
	c := refusing(t, func(gvk schema.GroupVersionKind) error { return &meta.NoKindMatchError{GroupKind: gvk.GroupKind()} })
	const want = "the cluster serves none of these kinds"
	if err := followed(t, c); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("followed: %v", err)
	}
	if _, _, err := (&listing{kinds: kinds}).list(t.Context(), c, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("listed: %v", err)
	}
}
