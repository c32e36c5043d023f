// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// slow has copies not end before the channel is closed, and their runs not wait for them.
func (e *tagEnv) slow() (end chan struct{}, woken chan copyKey) {
	end, woken = make(chan struct{}), make(chan copyKey, 1)
	waits := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/deploy/app/manifests/sha256:") {
			select {
			case <-end:
			case <-r.Context().Done():
			}
		}
		return false
	}
	e.refuse.Store(&waits)
	e.copying.Patience, e.copying.Wake = 0, func(key copyKey) { woken <- key }
	return end, woken
}

func TestACopyOutlastsItsRun(t *testing.T) {
	e := newTagEnv(t)
	end, woken := e.slow()
	one := e.publish("1")
	for range 2 { // the second joins what the first began
		ctx, ends := context.WithCancel(t.Context())
		_, err := e.Reconcile(ctx, e.pipeline)
		ends() // and the copy goes on
		if err == nil || errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), "spec.stages[staging].write.tag: ") ||
			!strings.Contains(err.Error(), "is being copied to "+e.host+"/deploy/app") {
			t.Fatalf("got %v", err)
		}
		e.wantTags(v1.Hash{}, v1.Hash{})
	}
	if got := e.pipeline.Status.Stages[0].Message; !strings.Contains(got, "is being copied") {
		t.Errorf("staging says %q", got)
	}
	close(end)
	if key := <-woken; key.pipeline.Name != "shop" || key.tag != e.host+"/deploy/app:staging" {
		t.Errorf("woken was %+v", key)
	}
	e.reconcile()
	e.wantTags(one, v1.Hash{})
	if copies := e.caches.get(keyOf(e.pipeline, "", "shop")).tags.copies.all; len(copies) > 0 {
		t.Errorf("%v are remembered", copies)
	}
}

func TestTheCopiesOfAPipelineThatWasDeletedEnd(t *testing.T) {
	e := newTagEnv(t)
	end, _ := e.slow()
	defer close(end)
	e.publish("1")
	if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil {
		t.Fatal("the copy ended")
	}
	key := copyKey{keyOf(e.pipeline, "", "shop"), e.host + "/deploy/app:staging"}
	if !e.copying.Has(key) {
		t.Fatal("there is no copy")
	}
	e.forgetCopies(e.caches.forget(key.pipeline))
	if e.copying.Has(key) {
		t.Error("the copy goes on")
	}
}

// What is wrong with the registry of one stage kept all stages from going on.
func TestARegistryThatIsAwayHoldsNoOtherStage(t *testing.T) {
	e := newTagEnv(t, func(p *sluicev1.Pipeline) { p.Spec.Stages[1].After = nil })
	away := func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/deploy/app/manifests/production") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	e.refuse.Store(&away)
	one := e.publish("1")
	for range 3 {
		_, err := e.Reconcile(t.Context(), e.pipeline)
		if err == nil || errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), "spec.stages[production].write.tag: ") {
			t.Fatalf("got %v", err)
		}
		e.pull("staging")
	}
	stages := e.pipeline.Status.Stages
	if e.at("staging") != one.String() || stages[0].Phase != sluicev1.StageVerified ||
		!strings.Contains(stages[1].Message, "spec.stages[production].write.tag: ") {
		t.Errorf("staging is at %q, and the stages are %+v", e.at("staging"), stages)
	}
	e.refuse.Store(nil)
	e.reconcile()
	e.wantTags(one, one)
}

func TestWhoFollowsATag(t *testing.T) {
	tag, err := tagName(&sluicev1.WriteTag{Repository: "registry.example.com/deploy/app", Tag: "staging"})
	must(t, err)
	for name, tc := range map[string]struct {
		spec sourcev1.OCIRepositorySpec
		want bool
	}{
		"the tag":      {sourcev1.OCIRepositorySpec{Reference: &sourcev1.OCIRepositoryRef{Tag: "staging"}}, true},
		"another tag":  {sourcev1.OCIRepositorySpec{Reference: &sourcev1.OCIRepositoryRef{Tag: "production"}}, false},
		"no reference": {sourcev1.OCIRepositorySpec{}, false},
		"a digest":     {sourcev1.OCIRepositorySpec{Reference: &sourcev1.OCIRepositoryRef{Tag: "staging", Digest: someDigest}}, false},
		"a range":      {sourcev1.OCIRepositorySpec{Reference: &sourcev1.OCIRepositoryRef{Tag: "staging", SemVer: "1.x"}}, false},
		"suspended":    {sourcev1.OCIRepositorySpec{Reference: &sourcev1.OCIRepositoryRef{Tag: "staging"}, Suspend: true}, false},
		"another repository": {
			sourcev1.OCIRepositorySpec{URL: "oci://registry.example.com/app", Reference: &sourcev1.OCIRepositoryRef{Tag: "staging"}},
			false,
		},
		"no repository": {sourcev1.OCIRepositorySpec{URL: "oci://A B", Reference: &sourcev1.OCIRepositoryRef{Tag: "staging"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.spec.URL == "" {
				tc.spec.URL = "oci://registry.example.com/deploy/app"
			}
			if got := followsTag(&sourcev1.OCIRepository{Spec: tc.spec}, tag); got != tc.want {
				t.Errorf("it follows: %t", got)
			}
		})
	}
}

func TestOCIRepositoriesAreToldOfATagThatMoved(t *testing.T) {
	e := newTagEnv(t, func(p *sluicev1.Pipeline) {
		p.Spec.Stages[0].Ready[0].Namespace = "apps"
		p.Spec.Stages[1].Ready[0].Namespace = "other"
	})
	e.cached[sourcev1.OCIRepositoryKind] = true
	follow := func(namespace, name, tag string) *sourcev1.OCIRepository {
		repo := &sourcev1.OCIRepository{}
		repo.Namespace, repo.Name = namespace, name
		repo.Spec.URL, repo.Spec.Reference = "oci://"+e.host+"/deploy/app", &sourcev1.OCIRepositoryRef{Tag: tag}
		e.create(repo)
		return repo
	}
	told := follow("apps", "staging", "staging")
	others := []*sourcev1.OCIRepository{follow("apps", "production", "production"), follow("other", "staging", "staging")}
	e.publish("1")
	e.reconcile()
	e.get("staging", told)
	if got, want := told.Annotations["reconcile.fluxcd.io/requestedAt"], e.clock.Now().
		Format(time.RFC3339); !strings.HasPrefix(got, want[:16]) {
		t.Errorf("it was requested at %q, want %s", got, want)
	}
	for _, repo := range others {
		must(t, e.Client.Get(t.Context(), keyOf(e.pipeline, repo.Namespace, repo.Name), repo))
		if len(repo.Annotations) > 0 {
			t.Errorf("%s/%s was told: %v", repo.Namespace, repo.Name, repo.Annotations)
		}
	}
}

const pulledRelease = `
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: app, generation: 1}
status: {observedGeneration: 1, conditions: [{type: Ready, status: "True"}], history: [{ociDigest: "DIGEST"}]}
`

const pulledRepository = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: follower, generation: 1}
status: {observedGeneration: 1, conditions: [{type: Ready, status: "True"}], artifact: {revision: "staging@DIGEST"}}
`

// Where stages are tags, an OCIRepository tells which artifact it has, and a HelmRelease which
// chart.
func TestWhoTellsThatATagWasPulled(t *testing.T) {
	for name, tc := range map[string]struct {
		ref    sluicev1.ReadyReference
		object string
	}{
		"a HelmRelease": {sluicev1.ReadyReference{Kind: "HelmRelease", Name: "app"}, pulledRelease},
		"an OCIRepository": {
			sluicev1.ReadyReference{APIVersion: "source.toolkit.fluxcd.io/v1", Kind: "OCIRepository", Name: "follower"},
			pulledRepository,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTagEnv(t, waitsFor(tc.ref))
			one := e.publish("1")
			e.put(strings.Replace(tc.object, "DIGEST", one.String(), 1))
			e.reconcile()
			e.reconcile()
			e.wantTags(one, one)
			two := e.publish("2")
			e.reconcile()
			e.reconcile()
			e.wantTags(two, one) // it has not been pulled
			e.put(strings.Replace(tc.object, "DIGEST", two.String(), 1))
			e.pull("production")
			e.reconcile()
			e.wantTags(two, two)
		})
	}
}
