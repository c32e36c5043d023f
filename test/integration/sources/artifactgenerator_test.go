// SPDX-License-Identifier: Apache-2.0

package sources

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	swapi "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// TestARepositoryIsSplitSoThatAPushAppliesOnlyWhatItChanges has two Kustomizations of one repository, each of which
// applies an ExternalArtifact of its own.
func TestARepositoryIsSplitSoThatAPushAppliesOnlyWhatItChanges(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	repo := gitserver.New(t).Repo("mono")
	manifest := func(name, color string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s}\ndata: {color: %s}\n", name, f.ns, color)
	}
	repo.Commit("main", gitserver.Files{"deploy/web/app.yaml": manifest("web", "blue"), "deploy/db/app.yaml": manifest("db", "blue")})
	f.must(f.Client.Create(t.Context(), make.GitRepository(f.ns, "mono", func(r *sourcev1.GitRepository) { r.Spec.URL = repo.URL })))
	generator := &swapi.ArtifactGenerator{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "split"}}
	generator.Spec.Sources = []swapi.SourceReference{{Alias: "repo", Kind: sourcev1.GitRepositoryKind, Name: "mono"}}
	for _, name := range []string{"web", "db"} {
		generator.Spec.OutputArtifacts = append(generator.Spec.OutputArtifacts, swapi.OutputArtifact{
			Name: name, OriginRevision: "@repo", Copy: []swapi.CopyOperation{{From: "@repo/deploy/" + name + "/**", To: "@artifact/"}},
		})
	}
	f.must(f.Client.Create(t.Context(), generator))
	web, db := f.appliesOutput("web"), f.appliesOutput("db")
	f.colored("web", "blue")
	f.colored("db", "blue")
	f.eventually(generator, "Ready", func() bool {
		return apimeta.IsStatusConditionTrue(generator.Status.Conditions, meta.ReadyCondition) && len(generator.Status.Inventory) == 2
	})
	f.eventually(db, "db applied", func() bool { return apimeta.IsStatusConditionTrue(db.Status.Conditions, meta.ReadyCondition) })
	before := *db.DeepCopy()

	if listed := f.flux("get", "artifact", "generators"); !strings.Contains(listed, "split") || !strings.Contains(listed, "True") ||
		!strings.Contains(listed, "generated 2 artifact(s)") {
		t.Errorf("flux lists:\n%s", listed)
	}

	repo.Commit("main", gitserver.Files{"deploy/web/app.yaml": manifest("web", "green")})
	f.request(sourcev1.GitRepositoryKind, "mono")
	f.colored("web", "green")
	f.eventually(web, "the origin of web", func() bool {
		return strings.HasSuffix(web.Status.LastAppliedOriginRevision, repo.Head("main"))
	})
	// What the push is called has come to db, too, and nothing was applied for that.
	output := &sourcev1.ExternalArtifact{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "db"}}
	f.eventually(output, "the origin of db", func() bool {
		return output.Status.Artifact != nil &&
			strings.HasSuffix(output.Status.Artifact.Metadata[swapi.ArtifactOriginRevisionAnnotation], repo.Head("main"))
	})
	after := &kustomizev1.Kustomization{}
	f.must(f.Client.Get(t.Context(), client.ObjectKeyFromObject(db), after))
	if after.ResourceVersion != before.ResourceVersion || after.Status.LastAppliedRevision != output.Status.Artifact.Revision {
		t.Errorf("db was applied again: %+v, after %+v", after.Status, before.Status)
	}

	f.must(f.Client.Delete(t.Context(), output))
	f.eventually(output, "db again", func() bool { return output.DeletionTimestamp == nil && output.Status.Artifact != nil })
	f.must(f.Client.Delete(t.Context(), generator))
	for _, name := range []string{"web", "db"} {
		gone := &sourcev1.ExternalArtifact{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: name}}
		f.eventually(gone, name+" to go", func() bool {
			return apierrors.IsNotFound(f.Client.Get(t.Context(), client.ObjectKeyFromObject(gone), &sourcev1.ExternalArtifact{}))
		})
	}
}

// appliesOutput makes a Kustomization of an ExternalArtifact, of its name.
func (f *fixture) appliesOutput(name string) *kustomizev1.Kustomization {
	f.t.Helper()
	k := make.Kustomization(f.ns, name, func(k *kustomizev1.Kustomization) {
		k.Spec.SourceRef.Kind, k.Spec.SourceRef.Name, k.Spec.Path = sourcev1.ExternalArtifactKind, name, "./"
	})
	f.must(f.Client.Create(f.t.Context(), k))
	return k
}

// flux runs Flux's own client in the namespace.
func (f *fixture) flux(args ...string) string {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), harness.RequireUpstream(f.t, "flux"), append(args, "-n", f.ns)...)
	cmd.Env = append(cmd.Environ(), "HOME="+f.t.TempDir(), "KUBECONFIG="+f.Kubeconfig)
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("flux %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// colored waits until a ConfigMap has a color.
func (f *fixture) colored(name, color string) {
	f.t.Helper()
	app := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: name}}
	f.eventually(app, name+" is "+color, func() bool { return app.Data["color"] == color })
}
