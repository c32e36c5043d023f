// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-git/go-git/v5/plumbing"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
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

// Each write of a status would be one more run otherwise.
func TestOnlyACommandThatIsWrittenWakesItsPipeline(t *testing.T) {
	given := map[string]string{"hold.sluice.dev/staging": `{"by":"alice","at":"2026-11-29T15:00:00Z"}`}
	for name, tc := range map[string]struct {
		before, after map[string]string
		want          bool
	}{
		"a command":                     {nil, given, true},
		"one that cannot be read":       {nil, map[string]string{"hold.sluice.dev/staging": "alice"}, true},
		"the command that was there":    {given, given, false},
		"an annotation of anybody":      {nil, map[string]string{"example.com/a": "b"}, false},
		"one that is no more a command": {given, nil, false},
	} {
		was := shop(func(p *sluicev1.Pipeline) { p.Annotations = tc.before })
		is := shop(func(p *sluicev1.Pipeline) { p.Annotations = tc.after })
		if got := isCommanded(event.UpdateEvent{ObjectOld: was, ObjectNew: is}); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A source that fetched since may have been pointed elsewhere by somebody: it is not asked again and again.
func TestWhetherAnOCIRepositoryHasWhatItsTagPointsAt(t *testing.T) {
	there := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		revision string
		fetched  time.Time
		present  time.Time
		want     bool
	}{
		"nothing yet":                   {},
		"the digest":                    {revision: "staging@" + someDigest, want: true},
		"another one":                   {revision: "staging@sha256:other"},
		"another one, fetched before":   {revision: "staging@sha256:other", fetched: there, present: there},
		"another one, fetched since":    {revision: "staging@sha256:other", fetched: there.Add(time.Second), present: there, want: true},
		"another one, of no known time": {revision: "staging@sha256:other", fetched: there},
	} {
		repo := make.OCIRepository("apps", "app")
		if tc.revision != "" {
			repo.Status.Artifact = &meta.Artifact{Revision: tc.revision, LastUpdateTime: metav1.NewTime(tc.fetched)}
		}
		if got := hasDigest(repo, someDigest, tc.present); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAQuarantineIsInTheStatusWithItsEnd(t *testing.T) {
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	until := at.Add(time.Hour)
	got := quarantineOf(promotion.State{Quarantine: []promotion.Quarantine{
		{Bundle: "a", Stage: "staging", Reason: "pods crash", At: at, Until: &until}, {Bundle: "b", At: at, Overridden: &at},
	}})
	if len(got) != 2 || !got[0].Until.Time.Equal(until) || got[0].Overridden || got[0].Reason != "pods crash" {
		t.Fatalf("it is %+v", got)
	}
	if got[1].Until != nil || !got[1].Overridden || got[1].Bundle.ID != "b" {
		t.Errorf("the second is %+v", got[1])
	}
}

func TestWhatAStateThatIsNotOnItsBranchIs(t *testing.T) {
	on := func(branch string, at plumbing.Hash) stateCache {
		return stateCache{state: promotion.State{Serial: 7}, carrier: sluicev1.StateBranch, branch: branch, commit: at, known: true}
	}
	commit := plumbing.NewHash("aa")
	for name, tc := range map[string]struct {
		was, is stateCache
		serial  int64
		lost    bool
	}{
		"it was deleted":                     {on("a", commit), stateCache{carrier: sluicev1.StateBranch, branch: "a"}, 0, true},
		"it was never there":                 {on("a", plumbing.ZeroHash), stateCache{carrier: sluicev1.StateBranch, branch: "a"}, 0, false},
		"it is there, without its file":      {on("a", commit), stateCache{carrier: sluicev1.StateBranch, branch: "a", commit: commit}, 0, false},
		"it is to be on another branch":      {on("a", commit), stateCache{carrier: sluicev1.StateBranch, branch: "b"}, 7, false},
		"it is to be in the status":          {on("a", commit), stateCache{carrier: sluicev1.StateNone}, 0, false},
		"a process that has not read it yet": {stateCache{}, stateCache{carrier: sluicev1.StateBranch, branch: "a"}, 0, false},
	} {
		is := tc.is
		is.follow(tc.was)
		if is.lost != tc.lost || is.state.Serial != tc.serial || is.unsaved != (tc.serial > 0) {
			t.Errorf("%s: %+v", name, is)
		}
	}
}
