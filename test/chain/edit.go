// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/harness"
)

// canaryFile is where the repository of a [Chain] has its Canary.
const canaryFile = "podinfo/canary.yaml"

// EditCanary edits the Canary in Git, as a person does, and waits until the cluster has it.
func (c *Chain) EditCanary(ctx context.Context, edit func(*flaggerv1.Canary)) error {
	text, err := c.Repo.File(ctx, canaryFile)
	if err != nil {
		return err
	}
	canary := &flaggerv1.Canary{}
	if err := yaml.UnmarshalStrict([]byte(text), canary); err != nil {
		return fmt.Errorf("reading %s: %w", canaryFile, err)
	}
	edit(canary)
	edited, err := yaml.Marshal(canary)
	if err != nil {
		return err
	}
	if _, err := c.Repo.Commit(ctx, "Edit the canary", map[string][]byte{canaryFile: edited}); err != nil {
		return err
	}
	source := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: App}}
	source.SetGroupVersionKind(schema.GroupVersionKind{Group: "source.toolkit.fluxcd.io", Version: "v1", Kind: "GitRepository"})
	ask := fmt.Sprintf(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}}}`, time.Now().Format(time.RFC3339Nano))
	if err := c.Client.Patch(ctx, source, client.RawPatch("application/merge-patch+json", []byte(ask))); err != nil {
		return err
	}
	_, err = harness.Eventually(ctx, "the edited canary", patience, func(ctx context.Context) (bool, string) {
		applied, err := c.canaryIn(ctx, c.Namespace)
		if err != nil {
			return false, err.Error()
		}
		diff := cmp.Diff(canary.Spec.Analysis, applied.Spec.Analysis)
		return diff == "" && applied.Status.ObservedGeneration == applied.Generation, diff
	})
	return err
}

// Canary is the one of the app.
func (c *Chain) Canary(ctx context.Context) (*flaggerv1.Canary, error) {
	return c.canaryIn(ctx, c.Namespace)
}
