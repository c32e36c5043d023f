// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/cluster"
	"github.com/sluice-cd/sluice/test/make"
)

// readsNothing is a client of these objects that refuses what the functions refuse.
func readsNothing(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.WithWatch {
	t.Helper()
	return fake.NewClientBuilder().WithScheme(kinds()).WithObjects(objects...).WithInterceptorFuncs(funcs).Build()
}

// Reconciles of one host take turns, so that a server which is away holds no others.
func TestAPipelineIsOfTheHostThatHasItsState(t *testing.T) {
	writesTag := func(repository string) func(*sluicev1.Pipeline) {
		return func(p *sluicev1.Pipeline) {
			p.Spec.SourceRef = nil
			p.Spec.Stages[0].Write = sluicev1.Write{Tag: &sluicev1.WriteTag{Repository: repository, Tag: "staging"}}
		}
	}
	for name, tc := range map[string]struct {
		change func(*sluicev1.Pipeline)
		want   string
	}{
		"a repository in Git":               {want: "git.example.com"},
		"a GitRepository that there is not": {change: func(p *sluicev1.Pipeline) { p.Spec.SourceRef.Name = "other" }},
		"tags of a registry":                {change: writesTag("registry.example.com/shop/app"), want: "registry.example.com"},
		"tags of what is no repository":     {change: writesTag("https://registry.example.com")},
		"neither Git nor tags":              {change: func(p *sluicev1.Pipeline) { p.Spec.SourceRef = nil }},
		"no stages":                         {change: func(p *sluicev1.Pipeline) { p.Spec.SourceRef, p.Spec.Stages = nil, nil }},
		"tags, and a repository with the state": {change: func(p *sluicev1.Pipeline) {
			source := p.Spec.SourceRef
			writesTag("registry.example.com/shop/app")(p)
			p.Spec.SourceRef = source
		}, want: "git.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			p := shop()
			if tc.change != nil {
				tc.change(p)
			}
			repo := make.GitRepository("apps", "fleet", func(r *sourcev1.GitRepository) { r.Spec.URL = "https://git.example.com/fleet" })
			r := &Reconciler{Client: readsNothing(t, interceptor.Funcs{}, repo)}
			if got := r.host(t.Context(), p); got != tc.want {
				t.Errorf("it is of %q, want %q", got, tc.want)
			}
		})
	}
}

// What a pipeline of the same name pushed, and was told, before it was deleted is nothing of the new one's.
func TestADeletedPipelineIsForgotten(t *testing.T) {
	var caches pipelineCaches
	key := client.ObjectKey{Namespace: "apps", Name: "shop"}
	if caches.forget(key) != nil {
		t.Error("there was something to forget")
	}
	was, other := caches.get(key), caches.get(client.ObjectKey{Namespace: "apps", Name: "other"})
	if caches.get(key) != was || caches.forget(key) != was {
		t.Error("it was not remembered")
	}
	if caches.get(key) == was || caches.get(client.ObjectKey{Namespace: "apps", Name: "other"}) != other {
		t.Error("it is remembered, or another one is forgotten")
	}
}

func TestAnObjectIsOfAKindOfItsGroupAlone(t *testing.T) {
	for name, tc := range map[string]struct {
		group, kind string
		want        bool
	}{
		"Flux's HelmRelease":             {"helm.toolkit.fluxcd.io", helmReleaseKind, true},
		"somebody's own HelmRelease":     {"helm.example.com", helmReleaseKind, false},
		"another kind of Flux's":         {"helm.toolkit.fluxcd.io", "HelmChart", false},
		"another kind of somebody's own": {"helm.example.com", "Database", false},
	} {
		o := object{Object: cluster.Object{GroupVersionKind: schema.GroupVersionKind{Group: tc.group, Version: "v1", Kind: tc.kind}}}
		if got := o.isKind(helmReleaseKind); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Anybody may write anything into a status. It proves nothing then, and says why.
func TestAStatusThatCannotBeReadProvesNothing(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Database", "metadata": map[string]any{"name": "db"},
		"status": map[string]any{"conditions": "none"},
	}}
	if got := healthOf(t.Context(), u); got.Status != status.UnknownStatus || !strings.Contains(got.Message, "cannot restore slice") {
		t.Errorf("it is %+v", got)
	}
}

func TestWhereOCIRepositoriesAreAskedForATag(t *testing.T) {
	ref := func(namespace string, at *meta.KubeConfigReference) sluicev1.ReadyReference {
		return sluicev1.ReadyReference{Kind: "Kustomization", Namespace: namespace, Name: "app", KubeConfig: at}
	}
	judgedBy := func(refs ...sluicev1.ReadyReference) target { return target{ready: refs} }
	for name, tc := range map[string]struct {
		target target
		own    bool
		want   []string
	}{
		"the pipeline's own namespace":              {target: judgedBy(ref("", nil)), want: []string{"apps"}},
		"those of the objects that it is judged by": {target: judgedBy(ref("eu", nil), ref("us", nil)), want: []string{"apps", "eu", "us"}},
		"each once":               {target: judgedBy(ref("eu", nil), ref("apps", nil), ref("eu", nil)), want: []string{"apps", "eu"}},
		"none of another cluster": {target: judgedBy(ref("eu", kubeConfig("eu"))), want: []string{"apps"}},
		"none of the target's other cluster": {
			target: target{ready: []sluicev1.ReadyReference{ref("eu", nil)}, kubeConfig: kubeConfig("eu")}, want: []string{"apps"},
		},
		"no other namespace where those are refused": {target: judgedBy(ref("eu", nil)), own: true, want: []string{"apps"}},
	} {
		if got := (ociSources{ownNamespace: tc.own}).namespaces(shop(), tc.target); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestAReferenceOfAKindThatIsNotKnownIsRefused(t *testing.T) {
	os := objects{pipeline: shop()}
	_, err := os.referred(target{stage: "staging", ready: []sluicev1.ReadyReference{{Kind: "Kustomisation", Name: "app"}}}, 0)
	if err == nil || !strings.Contains(err.Error(), "did you mean Kustomization?") {
		t.Errorf("got %v", err)
	}
}
