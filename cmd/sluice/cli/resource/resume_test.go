// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	scheme "github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/test/make"
)

func resumed(t *testing.T, objects ...client.Object) (*cobra.Command, client.WithWatch, kind) {
	t.Helper()
	known, err := scheme.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetErr(&bytes.Buffer{})
	cmd.SetOut(&bytes.Buffer{})
	k, err := named("ks")
	if err != nil {
		t.Fatal(err)
	}
	return cmd, fake.NewClientBuilder().WithScheme(known).WithObjects(objects...).
		WithIndex(&kustomizev1.Kustomization{}, "metadata.name", byName).
		WithIndex(&generatorv1.ArtifactGenerator{}, "metadata.name", byName).
		WithInterceptorFuncs(interceptor.Funcs{Watch: watchUntilDone}).Build(), k
}

func byName(o client.Object) []string { return []string{o.GetName()} }

// watchUntilDone is a watch that ends with its context, as those of an API server do.
func watchUntilDone(ctx context.Context, c client.WithWatch, of client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
	w, err := c.Watch(ctx, of, opts...)
	if err == nil {
		context.AfterFunc(ctx, w.Stop)
	}
	return w, err
}

// The command returned at once with 0, whatever came of the object; flux resume waits.
func TestResumeWaitsForWhatComesOfIt(t *testing.T) {
	for name, tc := range map[string]struct {
		observed int64
		ready    []metav1.Condition
		want     string // "" is that all is well
	}{
		"it is ready": {2, []metav1.Condition{{Type: meta.ReadyCondition, Status: "True"}}, ""},
		"it is stalled": {2, []metav1.Condition{{Type: meta.ReadyCondition, Status: "False", Reason: "Bad", Message: "no such path"},
			{Type: meta.StalledCondition, Status: "True"}}, "is not ready: Bad: no such path"},
		"it fails": {2, []metav1.Condition{{Type: meta.ReadyCondition, Status: "False", Reason: "Bad", Message: "no such path"},
			{Type: meta.ReconcilingCondition, Status: "True"}}, "is not ready after 1s: Bad: no such path"},
		"it has yet to be seen": {1, []metav1.Condition{{Type: meta.ReadyCondition, Status: "True"}}, "is not ready after 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			ks := make.Kustomization("apps", "web", func(k *kustomizev1.Kustomization) {
				k.Generation, k.Status.ObservedGeneration, k.Status.Conditions = 2, tc.observed, tc.ready
			})
			cmd, c, k := resumed(t, ks)
			of := &target{cmd: cmd, client: c, kind: k, object: k.object()}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(ks), of.object); err != nil {
				t.Fatal(err)
			}
			err := of.awaitResumed(time.Second)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// The command waited for a status.observedGeneration, which ArtifactGenerators do not have; the status from before it was suspended
// says nothing either.
func TestResumeOfAnArtifactGeneratorWaitsForAReconcileOfItsOwn(t *testing.T) {
	for name, handles := range map[string]bool{"somebody reconciles it": true, "nobody does": false} {
		t.Run(name, func(t *testing.T) {
			ag := &generatorv1.ArtifactGenerator{}
			ag.Namespace, ag.Name, ag.Generation = "apps", "web", 2
			ag.Annotations = map[string]string{generatorv1.ReconcileAnnotation: generatorv1.DisabledValue}
			ag.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: "True", ObservedGeneration: 2}}
			cmd, c, _ := resumed(t, ag)
			k, err := named("ag")
			if err != nil {
				t.Fatal(err)
			}
			of := &target{cmd: cmd, client: c, kind: k, object: k.object()}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(ag), of.object); err != nil {
				t.Fatal(err)
			}
			if err := of.resume(); err != nil {
				t.Fatal(err)
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(ag), ag); err != nil || ag.IsDisabled() {
				t.Fatalf("it is still disabled: %v, %v", ag.Annotations, err)
			}
			if handles {
				ag.Status.LastHandledReconcileAt = ag.Annotations[meta.ReconcileRequestAnnotation]
				if err := c.Update(t.Context(), ag); err != nil {
					t.Fatal(err)
				}
			}
			if err := of.awaitResumed(time.Second); (err == nil) != handles {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAllObjectsOfANamespaceAreResumed(t *testing.T) {
	suspended := func(namespace, name string) client.Object {
		return make.Kustomization(namespace, name, func(k *kustomizev1.Kustomization) { k.Spec.Suspend = true })
	}
	cmd, c, k := resumed(t, suspended("apps", "web"), suspended("apps", "api"), suspended("other", "web"))
	in := cluster.AddFlags(cmd, "test")
	if err := cmd.ParseFlags([]string{"-n", "apps"}); err != nil {
		t.Fatal(err)
	}
	found, err := allTargets(cmd, in, c, k)
	if err == nil {
		err = each((*target).resume)(found)
	}
	if err != nil {
		t.Fatal(err)
	}
	var list kustomizev1.KustomizationList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var still []string
	for _, item := range list.Items {
		if item.Spec.Suspend {
			still = append(still, item.Namespace+"/"+item.Name)
		}
	}
	if !slices.Equal(still, []string{"other/web"}) {
		t.Errorf("suspended are %v", still)
	}
	if k, err = named("git"); err != nil {
		t.Fatal(err)
	}
	if _, err := allTargets(cmd, in, c, k); err == nil || !strings.Contains(err.Error(), "there are no gitrepositories in namespace apps") {
		t.Errorf("without any: %v", err)
	}
}

func TestAllIsOfAKindWithoutNames(t *testing.T) {
	for line, want := range map[string]string{
		"ks": "", "source git": "", "image policy": "", "": "--all needs a KIND", "ks web": "leave out web", "pigeons": "unknown kind",
	} {
		_, err := kindAlone(strings.Fields(line))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}
