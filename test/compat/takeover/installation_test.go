// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// TestAnInstallationOfFluxIsTakenOverAndHandedBack: what Flux's own controllers have applied for 200
// Kustomizations stays as it is when Sluice serves them, and when Flux does again. Each applies what is pushed
// while it serves, prunes what the other one applied, and tells of it once.
func TestAnInstallationOfFluxIsTakenOverAndHandedBack(whole *testing.T) {
	i := newInstallation(whole)
	var applied state
	steps := []struct {
		name string
		test func(*testing.T)
	}{
		{"Flux applies", func(t *testing.T) {
			i.startFlux(t)
			i.await(t, "being applied by Flux", i.applied)
			i.settle(t)
			i.deletions = watchDeletions(whole, i)
			applied = i.look(t)
			i.messages.take()
		}},
		{"Flux stops", func(*testing.T) { i.stop() }},
		{"Sluice takes over", func(t *testing.T) {
			i.startSluice(t)
			i.reconcileAll(t)
			i.unchanged(t, applied)
		}},
		{"Sluice applies a push", func(t *testing.T) {
			changed := i.push(t, "2", "fleet", "platform", "apps", "infra")
			i.await(t, "applying the push", i.applied)
			applied = i.onlyChanged(t, applied, changed)
			i.pushIsTold(t, changed)
		}},
		{"Sluice stops", func(*testing.T) { i.stop() }},
		{"Flux takes back", func(t *testing.T) {
			i.startFlux(t)
			i.reconcileAll(t)
			i.unchanged(t, applied)
		}},
		{"Flux applies a push", func(t *testing.T) {
			changed := i.push(t, "3", "platform", "infra")
			i.await(t, "applying the push", i.applied)
			applied = i.onlyChanged(t, applied, changed)
			i.pushIsTold(t, changed)
		}},
		{"nothing but what Git dropped was deleted", i.onlyDropped},
		{"Flux prunes what both have applied", i.pruneAll},
	}
	for _, step := range steps {
		started := time.Now()
		ok := whole.Run(step.name, step.test)
		whole.Logf("%s: %s", step.name, time.Since(started).Round(100*time.Millisecond))
		if !ok {
			i.explain(whole)
			return
		}
	}
}

// reconcileAll asks every object for a reconcile, as `flux reconcile` does, and waits until all are Ready with what
// the controllers that run now have made. Neither is anybody told of anything, nor is anything not Ready meanwhile.
func (i *installation) reconcileAll(t *testing.T) {
	t.Helper()
	i.request = time.Now().Format(time.RFC3339Nano)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, i.request)
	for _, owner := range i.owners.objects() {
		if err := i.Client.Patch(t.Context(), owner, client.RawPatch(types.MergePatchType, patch)); err != nil {
			t.Fatal(err)
		}
	}
	i.await(t, "being reconciled", func(owner *unstructured.Unstructured) string {
		if handled, _, _ := unstructured.NestedString(owner.Object, "status", "lastHandledReconcileAt"); handled != i.request {
			return "handled " + handled
		}
		return i.applied(owner)
	})
}

// unchanged fails if anything that was applied, or an object that says what to apply, is another one than before.
func (i *installation) unchanged(t *testing.T, before state) {
	t.Helper()
	if diff := cmp.Diff(before, i.look(t)); diff != "" {
		t.Errorf("the controllers changed what nobody asked them to change (-before +after):\n%s", diff)
	}
	// Flux tells of artifacts that another controller had stored, and of its own restart.
	told := slices.DeleteFunc(i.messages.take(), func(said string) bool { return !i.sluice && !changes.MatchString(said) })
	if len(told) > 0 {
		t.Errorf("alerts were sent of nothing:\n%s", strings.Join(told, "\n"))
	}
	i.noFaults(t)
}

// noFaults fails if an object was not Ready for a moment while Sluice served it, or if Sluice warned of it.
func (i *installation) noFaults(t *testing.T) {
	t.Helper()
	if faults := i.owners.takeFaults(); len(faults) > 0 && i.sluice {
		t.Errorf("for a moment at least, these were not Ready:\n%s", strings.Join(faults, "\n"))
	}
}

// onlyChanged fails if a push changed anything but what it was to change, or changed it otherwise than in its fields:
// an object is not made again, and no field manager joins in. It returns what is there now.
func (i *installation) onlyChanged(t *testing.T, before state, changed []string) state {
	t.Helper()
	i.settle(t)
	after := i.look(t)
	names := map[string]bool{}
	for _, name := range changed {
		names[name] = true
	}
	for _, id := range slices.Sorted(maps.Keys(before.Applied)) {
		was, is := before.Applied[id], after.Applied[id]
		switch {
		case !names[was.App]:
			if diff := cmp.Diff(was, is); diff != "" {
				t.Errorf("%s: a push elsewhere changed it (-before +after):\n%s", id, diff)
			}
		case is == nil && strings.Contains(id, "-config-"): // a generated one, which another one has replaced
			i.dropped = append(i.dropped, id)
		case is == nil: // see onlyDropped
		case was.UID != is.UID:
			t.Errorf("%s was made again", id)
		default:
			if diff := cmp.Diff(was.Managers, is.Managers); diff != "" {
				t.Errorf("%s: field managers (-before +after):\n%s", id, diff)
			}
			if was.Version != "" && is.Version != i.version && !strings.HasSuffix(id, "-once") {
				t.Errorf("%s has version %s, want %s", id, is.Version, i.version)
			}
		}
	}
	for id, is := range after.Applied {
		if before.Applied[id] == nil && !names[is.App] {
			t.Errorf("%s was made, and nothing asked for it", id)
		}
	}
	if diff := cmp.Diff(before.Owners, after.Owners); diff != "" {
		t.Errorf("a push changed the objects that say what to apply (-before +after):\n%s", diff)
	}
	i.noFaults(t)
	return after
}

// changes are messages about something that was applied.
var changes = regexp.MustCompile(" (configured|created|deleted)")

// pushIsTold waits until there is one message of what a push changed for each Kustomization, and one of each source,
// and fails if anything is said twice, or about others.
func (i *installation) pushIsTold(t *testing.T, changed []string) {
	t.Helper()
	want := map[string]int{}
	for _, name := range changed {
		want["Kustomization/"+name]++
	}
	for _, source := range i.pushed {
		want[source]++
	}
	got, all := map[string]int{}, map[string]int{}
	_, err := harness.Eventually(t.Context(), "an alert of each change", harness.Patience, func(context.Context) (bool, string) {
		for _, said := range i.messages.take() {
			about, _, _ := strings.Cut(said, " ")
			if strings.Contains(said, " configured") || strings.Contains(said, " NewArtifact: ") {
				got[about]++
			}
			if all[said]++; all[said] > 1 || want[about] == 0 {
				t.Errorf("told twice, or of what did not change: %s", said)
			}
		}
		return len(got) >= len(want), cmp.Diff(want, got)
	})
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("alerts of each object (-want +got):\n%s", diff)
	}
}

// onlyDropped fails if anything was deleted in the whole time but what pushes dropped.
func (i *installation) onlyDropped(t *testing.T) {
	slices.Sort(i.dropped)
	_, err := harness.Eventually(t.Context(), "seeing what was deleted", harness.Patience, func(context.Context) (bool, string) {
		return i.deletions.count() >= len(i.dropped), fmt.Sprint(i.deletions.count())
	})
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(i.dropped, i.deletions.end()); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
}

// pruneAll deletes the Kustomizations, and with them all that they have applied but for what may not be pruned.
func (i *installation) pruneAll(t *testing.T) {
	kinds := i.kinds()
	all := &unstructured.Unstructured{}
	all.SetGroupVersionKind(owned["Kustomization"])
	if err := i.Client.DeleteAllOf(t.Context(), all, client.InNamespace(i.namespace)); err != nil {
		t.Fatal(err)
	}
	_, err := harness.Eventually(t.Context(), "pruning", harness.Patience, func(ctx context.Context) (bool, string) {
		left := map[string]int{}
		for _, found := range i.list(ctx, t, kinds) {
			if !strings.HasSuffix(found.GetName(), "-merged") {
				left[found.GetKind()]++
			}
		}
		return len(left) == 0, fmt.Sprint(left)
	})
	if err != nil {
		t.Error(err)
	}
}
