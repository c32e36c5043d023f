// SPDX-License-Identifier: Apache-2.0

package handover

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"

	"github.com/sluice-cd/sluice/test/harness"
)

// TestFlaggersOwnCRDs hands back to a Flagger that was installed with its own CRDs,
// under which the API server forgets what is an extension of Sluice.
func TestFlaggersOwnCRDs(t *testing.T) {
	some := slices.DeleteFunc(slices.Clone(apps), func(a app) bool {
		return a.name != "initialized" && a.name != "succeeded" && a.name != "failed"
	})
	f := newFleet(t, "own-crds", some)
	sluice := startSluice(t, f.ns)
	f.each(f.apps, f.bring)
	sluice.Kill()
	before := f.look()

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
		defer cancel()
		if err := the.Install(ctx); err != nil {
			t.Error(err)
		}
	})
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/fluxcd/flagger").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := the.ApplyFile(t.Context(), filepath.Join(strings.TrimSpace(string(out)), "artifacts", "flagger", "crd.yaml")); err != nil {
		t.Fatal(err)
	}
	f.until("forgetting extensions", func() bool {
		c := &flaggerv1.Canary{}
		return f.get("succeeded", c) && len(c.Status.History) == 0
	})
	flagger := startFlagger(t, f.ns)
	defer func() { f.explain(flagger.Log()) }()
	f.settle(flagger)
	f.nothingMoved(before)
	f.newToFlagger("succeeded")
	f.nothingElseMoved(before, "succeeded")
}

// newToFlagger is the remedy for a hash that Flagger does not know: it notes its own
// for canaries that are new to it.
func (f *fleet) newToFlagger(name string) {
	f.Helper()
	c := f.canary(name)
	patch := fmt.Sprintf(`{"status":{"phase":%q,"lastAppliedSpec":"unknown","lastPromotedSpec":"unknown"}}`, flaggerv1.CanaryPhaseInitializing)
	if err := the.Client.Status().Patch(f.Context(), c, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		f.Fatal(err)
	}
	f.phase(name, flaggerv1.CanaryPhaseInitialized)
	if s := f.canary(name).Status; s.LastAppliedSpec == "unknown" || s.LastAppliedSpec != s.LastPromotedSpec {
		f.Errorf("%s: %+v", name, s)
	}
}

// nothingElseMoved is about all but the Canary of an app.
func (f *fleet) nothingElseMoved(before map[string]string, name string) {
	f.Helper()
	delete(before, "Canary/"+name)
	now := f.look()
	delete(now, "Canary/"+name)
	f.same(before, now)
}
