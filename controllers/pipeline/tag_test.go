// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
	"github.com/sluice-cd/sluice/promotion"
)

// tagEnv is a pipeline without Git, from an OCIRepository to two tags of a registry.
type tagEnv struct {
	*env
	host     string
	requests atomic.Int64
	// refuse answers a request, if it says so.
	refuse atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

func newTagEnv(t *testing.T, changes ...func(*sluicev1.Pipeline)) *tagEnv {
	t.Helper()
	e := &tagEnv{}
	served := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	e.host = registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.requests.Add(1)
		if refuse := e.refuse.Load(); refuse == nil || !(*refuse)(w, r) {
			served.ServeHTTP(w, r)
		}
	}))
	tags := func(p *sluicev1.Pipeline) {
		fromOCI(p)
		p.Spec.SourceRef = nil
		for i := range p.Spec.Stages {
			p.Spec.Stages[i].Write = sluicev1.Write{Tag: &sluicev1.WriteTag{Repository: e.host + "/deploy/app", Tag: p.Spec.Stages[i].Name}}
		}
	}
	e.env = newEnvInStatus(t, append([]func(*sluicev1.Pipeline){tags}, changes...)...)
	e.Registry = registry.NewClient(e.clock)
	return e
}

// ref is a reference of the registry.
func (e *tagEnv) ref(text string) name.Reference {
	e.t.Helper()
	ref, err := name.ParseReference(e.host + "/" + text)
	must(e.t, err)
	return ref
}

// publish pushes an artifact of its own to team/app, which the OCIRepository fetches.
func (e *tagEnv) publish(tag string) v1.Hash {
	e.t.Helper()
	image, err := random.Image(64, 2)
	must(e.t, err)
	must(e.t, remote.Write(e.ref("team/app:"+tag), image))
	digest, err := image.Digest()
	must(e.t, err)
	e.push("oci://"+e.host+"/team/app", tag+"@"+digest.String())
	return digest
}

// at is what a tag points at; empty if there is none.
func (e *tagEnv) at(stage string) string {
	got, err := remote.Head(e.ref("deploy/app:" + stage))
	if err != nil {
		return ""
	}
	return got.Digest.String()
}

func (e *tagEnv) wantTags(staging, production v1.Hash) {
	e.t.Helper()
	for stage, want := range map[string]v1.Hash{"staging": staging, "production": production} {
		text := want.String()
		if want == (v1.Hash{}) {
			text = ""
		}
		if got := e.at(stage); got != text {
			e.t.Errorf("%s is at %q, want %q: %+v", stage, got, text, e.pipeline.Status.Stages)
		}
	}
}

// pull has the Kustomization of a stage apply what its tag points at.
func (e *tagEnv) pull(stage string, changes ...func(*kustomizev1.Kustomization)) {
	e.t.Helper()
	e.apply(stage, append([]func(*kustomizev1.Kustomization){func(k *kustomizev1.Kustomization) {
		revision := stage + "@" + e.at(stage)
		k.Status.LastAppliedRevision, k.Status.LastAttemptedRevision = revision, revision
	}}, changes...)...)
}

func TestABundleGoesFromTagToTag(t *testing.T) {
	e := newTagEnv(t)
	one := e.publish("1")
	e.reconcile()
	e.wantTags(one, v1.Hash{})
	e.reconcile()
	e.wantTags(one, v1.Hash{}) // not Ready yet
	e.pull("staging")
	e.reconcile()
	e.wantTags(one, one)
	e.pull("production")
	e.reconcile()
	if got := e.pipeline.Status.Stages[1]; got.Phase != sluicev1.StageVerified || got.Has == nil || got.Has.Versions[0].Tag != "1" {
		t.Errorf("production is %+v", got)
	}
	image, err := remote.Image(e.ref("deploy/app:production"))
	must(t, err)
	layers, err := image.Layers()
	must(t, err)
	for _, layer := range layers {
		content, err := layer.Compressed()
		must(t, err)
		_, err = io.Copy(io.Discard, content)
		must(t, err)
	}
	if len(layers) != 2 {
		t.Errorf("%d layers were copied", len(layers))
	}
}

func TestWhatFailsInProductionIsTakenBackByItsTag(t *testing.T) {
	e := newTagEnv(t)
	one := e.publish("1")
	e.reconcile()
	e.pull("staging")
	e.reconcile()
	e.pull("production")
	e.reconcile()
	two := e.publish("2")
	e.reconcile()
	e.pull("staging")
	e.reconcile()
	e.wantTags(two, two)
	e.pull("production", fails)
	e.reconcile()
	e.wantTags(two, one)
	if q := e.pipeline.Status.Quarantined; len(q) != 1 || q[0].Stage != "production" {
		t.Errorf("quarantined %+v", q)
	}
}

// A tag that somebody moved is content as a commit of theirs is: it is looked at within an
// interval, and who moved it wins.
func TestATagThatSomebodyMovedIsNotMovedBack(t *testing.T) {
	e := newTagEnv(t)
	one := e.publish("1")
	e.reconcile()
	e.pull("staging")
	e.reconcile()
	other, err := random.Image(64, 1)
	must(t, err)
	must(t, remote.Write(e.ref("deploy/app:production"), other))
	theirs, err := other.Digest()
	must(t, err)
	e.clock.Step(e.pipeline.Spec.Interval.Duration)
	e.reconcile()
	e.wantTags(one, theirs)
	if l := e.pipeline.Status.Stages[1].Landings; len(l) != 2 || l[0].Kind != sluicev1.LandingManual ||
		l[0].Bundle.Versions[0].Digest != theirs.String() {
		t.Errorf("production had %+v", l)
	}
}

// It was overwritten when somebody moved it since it was looked at last.
func TestATagThatSomebodyMovesJustBeforeIsLookedAtFirst(t *testing.T) {
	e := newTagEnv(t)
	e.publish("1")
	e.reconcile()
	e.pull("staging")
	e.reconcile()
	other, err := random.Image(64, 1)
	must(t, err)
	must(t, remote.Write(e.ref("deploy/app:staging"), other))
	e.publish("2")
	e.reconcile()
	theirs, err := other.Digest()
	must(t, err)
	if l := e.pipeline.Status.Stages[0].Landings; !slices.ContainsFunc(l, func(l sluicev1.Landing) bool {
		return l.Kind == sluicev1.LandingManual && l.Bundle.Versions[0].Digest == theirs.String()
	}) {
		t.Errorf("staging had %+v", l)
	}
}

func TestAProcessThatEndsBetweenTheCopyAndTheTag(t *testing.T) {
	e := newTagEnv(t)
	one := e.publish("1")
	dies := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/deploy/app/manifests/staging") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	}
	e.refuse.Store(&dies)
	_, err := e.Reconcile(t.Context(), e.pipeline)
	if err == nil || !strings.Contains(err.Error(), "spec.stages[staging].write.tag: pointing") {
		t.Fatalf("got %v", err)
	}
	if _, err := remote.Get(e.ref("deploy/app@" + one.String())); err != nil || e.at("staging") != "" {
		t.Fatalf("the copy is not there (%v), or the tag is at %q", err, e.at("staging"))
	}
	e.recorded()
	sent := 0
	counts := func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/uploads/") {
			sent++
		}
		return false
	}
	e.refuse.Store(&counts)
	e.restart()
	e.Registry = registry.NewClient(e.clock)
	e.reconcile()
	e.wantTags(one, v1.Hash{})
	if l := e.pipeline.Status.Stages[0].Landings; sent > 0 || len(l) != 1 || l[0].Kind != sluicev1.LandingPromotion {
		t.Errorf("%d blobs were sent again, and staging had %+v", sent, l)
	}
}

func TestTagsAtRestAskNoRegistry(t *testing.T) {
	e := newTagEnv(t)
	e.publish("1")
	e.reconcile()
	e.pull("staging")
	e.reconcile()
	e.pull("production")
	e.reconcile()
	before := e.requests.Load()
	for range 5 {
		e.reconcile()
	}
	if after := e.requests.Load(); after != before {
		t.Errorf("%d requests at rest", after-before)
	}
}

func TestATagNeedsADigest(t *testing.T) {
	e := newTagEnv(t, func(p *sluicev1.Pipeline) {
		p.Spec.Artifacts[0] = sluicev1.Artifact{Name: "app", ImagePolicyRef: &meta.LocalObjectReference{Name: "app"}}
	})
	e.reconcile()
	const want = "artifact app: ImagePolicy app tells no digest, which tags are pointed at: " +
		"set spec.digestReflectionPolicy of its ImagePolicy to IfNotPresent or Always"
	if got := e.pipeline.Status.Stages[0].Waiting; len(got) == 0 || got[0].Message != want {
		t.Errorf("waits for %+v", got)
	}
}

func TestTheImageOfATagIsKnownWhateverTheArtifactWasCalled(t *testing.T) {
	p := &sluicev1.Pipeline{Spec: sluicev1.PipelineSpec{Artifacts: []sluicev1.Artifact{{Name: "api"}}}}
	was := promotion.NewBundle([]sluicev1.Version{{Artifact: "app", Image: "registry/app", Digest: "sha256:1"}})
	kept := promotion.State{Bundles: []promotion.KnownBundle{{Bundle: was}}}
	tag := target{tag: &sluicev1.WriteTag{Repository: "registry/manifests"}}
	got := tagContent(p, tag, "sha256:1", promotion.Newest{}, kept)
	if len(got.Versions) != 1 || got.Versions[0].Image != "registry/app" || !got.Is(was) {
		t.Errorf("content %+v", got)
	}
}

// Where a tag may not lead is told of the field that people wrote it in.
func TestAForbiddenAddressOfATagIsToldWithItsField(t *testing.T) {
	e := newTagEnv(t)
	e.publish("1")
	e.Registry = registry.NewClient(e.clock, registry.WithGuard(outbound.NewGuard(nil)))
	_, err := e.Reconcile(t.Context(), e.pipeline)
	if !errors.Is(err, reconcile.TerminalError(nil)) || !errors.Is(err, outbound.ErrForbiddenAddress) ||
		!strings.Contains(err.Error(), "spec.stages[staging].write.tag.repository: ") || strings.Contains(err.Error(), "spec.image") {
		t.Errorf("got %v", err)
	}
}

// Whatever identity this process has, a tag is written with the Secret of the pipeline.
func TestATagIsWrittenWithItsSecretAlone(t *testing.T) {
	e := newTagEnv(t, func(p *sluicev1.Pipeline) {
		for i := range p.Spec.Stages {
			p.Spec.Stages[i].Write.Tag.SecretRef = &meta.LocalObjectReference{Name: "push"}
		}
	})
	one := e.publish("1")
	guard := func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, _ := r.BasicAuth(); user == "ann" && password == "pw" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	e.refuse.Store(&guard)
	_, err := e.Reconcile(t.Context(), e.pipeline)
	if err == nil ||
		!strings.Contains(err.Error(), "unusable credentials: spec.stages[staging].write.tag.secretRef: reading Secret apps/push") {
		t.Fatalf("got %v", err)
	}
	must(t, e.Client.Create(t.Context(), registrytest.DockerConfig("push", e.host, "ann", "pw")))
	_, err = e.Reconcile(t.Context(), e.pipeline)
	must(t, err)
	e.refuse.Store(nil)
	e.wantTags(one, v1.Hash{})
}

func TestTagsThatAreRefused(t *testing.T) {
	tags := func(change func(*sluicev1.Pipeline)) *sluicev1.Pipeline {
		return shop(func(p *sluicev1.Pipeline) {
			p.Spec.SourceRef = nil
			for i := range p.Spec.Stages {
				p.Spec.Stages[i].Write = sluicev1.Write{Tag: &sluicev1.WriteTag{Repository: "registry.example.com/app", Tag: p.Spec.Stages[i].Name}}
			}
			change(p)
		})
	}
	for name, tc := range map[string]struct {
		change func(*sluicev1.Pipeline)
		want   string
	}{
		"as it is": {func(*sluicev1.Pipeline) {}, ""},
		"a stage in Git without it": {
			func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write = sluicev1.Write{Commit: &sluicev1.WriteCommit{}} },
			"spec.sourceRef is required: stage staging is in Git",
		},
		"a branch without Git": {func(p *sluicev1.Pipeline) { p.Spec.State = sluicev1.StateBranch }, "spec.state: Branch needs a spec.sourceRef"},
		"two stages, one tag": {
			func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Tag.Tag = "production" },
			"registry.example.com/app:production is the tag of stage staging already",
		},
		"a scheme": {
			func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Tag.Repository = "oci://registry.example.com/app" },
			"spec.stages[staging].write.tag.repository: \"oci://registry.example.com/app\" is no repository",
		},
		"a tag that is none": {
			func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Tag.Tag = "a b" },
			"spec.stages[staging].write.tag.tag: \"a b\" is no tag",
		},
		"an unknown artifact": {
			func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Write.Tag.Artifact = "web" },
			"spec.stages[staging].write.tag.artifact: there is no artifact web",
		},
		"several artifacts": {func(p *sluicev1.Pipeline) {
			p.Spec.Artifacts = append(p.Spec.Artifacts, sluicev1.Artifact{Name: "web"})
		}, "spec.stages[staging].write.tag.artifact is required"},
		"a Canary, if an artifact is an image": {func(p *sluicev1.Pipeline) {
			p.Spec.Stages[1].Verify = []sluicev1.Verification{{Canary: &sluicev1.CanaryVerification{Name: "app"}}}
		}, ""},
		"a Canary that nobody can tell a version of": {func(p *sluicev1.Pipeline) {
			p.Spec.Artifacts = []sluicev1.Artifact{{Name: "app", OCIRepositoryRef: &meta.LocalObjectReference{Name: "app"}}}
			p.Spec.Stages[1].Verify = []sluicev1.Verification{{Canary: &sluicev1.CanaryVerification{Name: "app"}}}
		}, "spec.stages[production].verify[0].canary: which version Canary app has is told by the image"},
		"one that has to be Ready": {func(p *sluicev1.Pipeline) {
			p.Spec.Artifacts = []sluicev1.Artifact{{Name: "app", OCIRepositoryRef: &meta.LocalObjectReference{Name: "app"}}}
			p.Spec.Stages[0].Ready = append(p.Spec.Stages[0].Ready, sluicev1.ReadyReference{Kind: "Canary", Name: "app"})
		}, "spec.stages[staging].ready[1]: which version Canary app has is told by the image"},
		"a target with a path": {
			func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Targets = []sluicev1.Target{{Name: "a", Path: "a"}} },
			"spec.stages[staging].targets[a].path: the stage writes tags",
		},
		"targets with one tag": {
			func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Targets = []sluicev1.Target{{Name: "a"}, {Name: "b"}} },
			"is the tag of target a of stage staging already",
		},
		"targets with their own": {func(p *sluicev1.Pipeline) {
			p.Spec.Stages[0].Targets = []sluicev1.Target{{Name: "a"}, {Name: "b", Tag: "b"}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := validate(tags(tc.change))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
