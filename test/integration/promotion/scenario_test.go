// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"context"
	"fmt"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// gitServer is a repository at a Git server, as a scenario sees it.
type gitServer interface {
	// remote is where it is, and the credential of the pipeline.
	remote() (url, username, password string)
	// head is the commit of a branch; empty if there is none.
	head(ctx context.Context, branch string) (string, error)
	file(ctx context.Context, branch, path string) (string, error)
	// messages are those of the commits of main, the newest first.
	messages(ctx context.Context) ([]string, error)
	// commit is what a person commits to main.
	commit(ctx context.Context, message string, files map[string]string) error
}

// scenario is a pipeline with all that it needs, in an environment that it shares with others.
type scenario struct {
	*testing.T
	*environment
	name string // of the pipeline and, with a suffix, of all other objects
	git  gitServer
}

// images are the objects that tell of new versions of NAME, and the repository.
const images = `
apiVersion: v1
kind: Secret
metadata: {name: NAME-git, namespace: NAMESPACE}
stringData: {username: "USERNAME", password: "PASSWORD"}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: NAME, namespace: NAMESPACE}
spec: {url: "URL", interval: 1h, ref: {branch: main}, secretRef: {name: NAME-git}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: NAME, namespace: NAMESPACE}
spec: {image: REGISTRY/NAMESPACE/NAME, interval: 1h, insecure: true}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: NAME, namespace: NAMESPACE}
spec: {imageRepositoryRef: {name: NAME}, policy: {semver: {range: ">=1.0.0"}}}
---
`

// kustomizations apply the two stages that most scenarios have.
const kustomizations = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: NAME-staging, namespace: NAMESPACE}
spec: {interval: 1h, path: ./staging, prune: true, wait: true, sourceRef: {kind: GitRepository, name: NAME}, targetNamespace: NAMESPACE}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: NAME-production, namespace: NAMESPACE}
spec: {interval: 1h, path: ./production, prune: true, wait: true, sourceRef: {kind: GitRepository, name: NAME}, targetNamespace: NAMESPACE}
---
`

// byCommits are two stages, the second of which has more fields at its end.
const byCommits = `
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: NAME, namespace: NAMESPACE, labels: {scenario: NAME}}
spec:
  interval: 1h
  artifacts: [{name: app, imagePolicyRef: {name: NAME}}]
  sourceRef: {kind: GitRepository, name: NAME}
  stages:
  - name: staging
    write: {commit: {}, path: ./staging}
    ready: [{kind: Kustomization, name: NAME-staging}]
  - name: production
    after: {stages: [staging]}
    write: {commit: {}, path: ./production}
    ready: [{kind: Kustomization, name: NAME-production}]
`

func (s *scenario) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// fill puts the names of a scenario into a text.
func (s *scenario) fill(text string) string {
	url, username, password := s.git.remote()
	return strings.NewReplacer("NAMESPACE", s.namespace, "URL", url, "USERNAME", username, "PASSWORD", password,
		"REGISTRY", s.p.Registry, "PROMETHEUS", s.p.Prometheus, "NAME", s.name).Replace(text)
}

func (s *scenario) apply(objects ...string) {
	s.Helper()
	s.must(s.p.Apply(s.Context(), []byte(s.fill(strings.Join(objects, "\n---\n")))))
}

// stageFile is a ConfigMap with the version of a stage.
func (s *scenario) stageFile(stage, version string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s-%s}\ndata:\n  tag: %s # {\"$imagepolicy\": \"%s:%s:tag\"}\n",
		s.name, stage, version, s.namespace, s.name)
}

// push releases a version, and says so as a webhook would.
func (s *scenario) push(version string) {
	s.Helper()
	s.pushOf(s.name, version)
}

func (s *scenario) pushOf(image, version string) {
	s.Helper()
	_, err := s.p.PushImage(s.Context(), s.namespace+"/"+image, version, nil)
	s.must(err)
	s.request(&imagev1.ImageRepository{}, image)
}

// request asks for a reconcile of an object, and returns what it was asked with.
func (s *scenario) request(object client.Object, name string) string {
	s.Helper()
	object.SetNamespace(s.namespace)
	object.SetName(name)
	token, err := s.p.RequestReconcile(s.Context(), object)
	s.must(client.IgnoreNotFound(err))
	return token
}

// fetch has the GitRepository look at the server, and returns when it has.
func (s *scenario) fetch() {
	s.Helper()
	repo := &sourcev1.GitRepository{}
	token := s.request(repo, s.name)
	_, err := harness.Eventually(s.Context(), "a fetch", harness.Patience, func(ctx context.Context) (bool, string) {
		err := s.p.Client.Get(ctx, client.ObjectKeyFromObject(repo), repo)
		return err == nil && repo.Status.LastHandledReconcileAt == token, fmt.Sprintf("%v %+v", err, repo.Status)
	})
	s.must(err)
}

// look has the pipeline look at everything, the forge too, and returns when it has.
func (s *scenario) look() *sluicev1.Pipeline {
	s.Helper()
	s.fetch()
	token := s.request(&sluicev1.Pipeline{}, s.name)
	return s.pipelineBecomes("a look at everything", func(p *sluicev1.Pipeline) bool { return p.Status.LastHandledReconcileAt == token })
}

func (s *scenario) pipeline() *sluicev1.Pipeline {
	s.Helper()
	p := &sluicev1.Pipeline{}
	s.must(s.p.Client.Get(s.Context(), client.ObjectKey{Namespace: s.namespace, Name: s.name}, p))
	return p
}

// change changes fields of the pipeline that are named.
func (s *scenario) change(change func(*sluicev1.Pipeline)) {
	s.Helper()
	p := s.pipeline()
	before := p.DeepCopy()
	change(p)
	s.must(s.p.Client.Patch(s.Context(), p, client.MergeFrom(before)))
}

// stage changes the fields of a stage that a text names.
func (s *scenario) stage(name, fields string) {
	s.Helper()
	s.change(func(p *sluicev1.Pipeline) { s.must(yaml.UnmarshalStrict([]byte(s.fill(fields)), p.Spec.Stage(name))) })
}

// suspend stops the Kustomization of a stage, or lets it go on.
func (s *scenario) suspend(stage string, suspend bool) {
	s.Helper()
	k := kustomizationOf(client.ObjectKey{Namespace: s.namespace, Name: s.name + "-" + stage})
	patch := fmt.Appendf(nil, `{"spec":{"suspend":%t}}`, suspend)
	s.must(s.p.Client.Patch(s.Context(), k, client.RawPatch(types.MergePatchType, patch)))
}

// neverHealthy has a Kustomization fail whatever it applies, and healthyAgain ends that.
var (
	neverHealthy = client.RawPatch(types.MergePatchType, []byte(`{"spec":{"wait":false,"timeout":"1s","healthChecks":[
		{"apiVersion":"v1","kind":"ConfigMap","namespace":"default","name":"nowhere"}]}}`))
	healthyAgain = client.RawPatch(types.MergePatchType, []byte(`{"spec":{"timeout":null,"healthChecks":null}}`))
)

func kustomizationOf(key client.ObjectKey) *kustomizev1.Kustomization {
	return &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
}

// pipelineBecomes waits until the pipeline is as it should be.
func (s *scenario) pipelineBecomes(what string, ok func(*sluicev1.Pipeline) bool) *sluicev1.Pipeline {
	s.Helper()
	return becomes(s.T, what, s.pipeline, ok)
}

// becomes reads a pipeline until it is as it should be, and says where it stands if it never is.
func becomes(t *testing.T, what string, read func() *sluicev1.Pipeline, ok func(*sluicev1.Pipeline) bool) (p *sluicev1.Pipeline) {
	t.Helper()
	harness.MustEventually(t, what, func(context.Context) (bool, string) {
		p = read()
		return ok(p), standing(p)
	})
	return p
}

// standing is where a pipeline stands, for who reads why a test failed.
func standing(p *sluicev1.Pipeline) string {
	text := p.Status.Summary
	for _, stage := range p.Status.Stages {
		text += fmt.Sprintf("\n  %s is %s: %s", stage.Name, stage.Phase, stage.Message)
		for _, g := range stage.Waiting {
			text += fmt.Sprintf("\n    waits for %s: %s", g.Type, g.Message)
		}
		for _, l := range stage.Landings {
			text += fmt.Sprintf("\n    %s %s by %s, %s %s", l.Kind, l.Bundle.Versions[0].Tag, l.By, l.Verdict, l.Reason)
		}
	}
	for _, c := range p.Status.Conditions {
		text += fmt.Sprintf("\n  %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	return text
}

// stands waits until both stages are verified with what they have.
func (s *scenario) stands(staging, production string) *sluicev1.Pipeline {
	s.Helper()
	return s.pipelineBecomes(fmt.Sprintf("staging is verified with %s, and production with %s", staging, production),
		func(p *sluicev1.Pipeline) bool {
			return hasVerified(p, "staging", staging) && hasVerified(p, "production", production)
		})
}

// hasVerified reports whether a stage has a version that is verified, whatever it waits for.
func hasVerified(p *sluicev1.Pipeline, stage, version string) bool {
	status := statusOf(p, stage)
	return status.Has != nil && status.Has.Versions[0].Tag == version && status.Verified != nil
}

// statusOf is where a stage stands.
func statusOf(p *sluicev1.Pipeline, stage string) sluicev1.StageStatus {
	for _, s := range p.Status.Stages {
		if s.Name == stage {
			return s
		}
	}
	return sluicev1.StageStatus{}
}

// waits reports whether a stage waits at a gate whose message has a text.
func waits(p *sluicev1.Pipeline, stage string, gate sluicev1.GateType, text string) bool {
	for _, g := range statusOf(p, stage).Waiting {
		if g.Type == gate && strings.Contains(g.Message, text) {
			return true
		}
	}
	return false
}

// has is the version of a stage on a branch.
func (s *scenario) has(branch, stage string) string {
	s.Helper()
	text, err := s.git.file(s.Context(), branch, stage+"/app.yaml")
	s.must(err)
	_, rest, _ := strings.Cut(text, "tag: ")
	version, _, _ := strings.Cut(rest, " #")
	return version
}

func (s *scenario) want(branch, stage, version string) {
	s.Helper()
	if got := s.has(branch, stage); got != version {
		s.Errorf("%s has %s on %s, want %s: %s", stage, got, branch, version, standing(s.pipeline()))
	}
}

func (s *scenario) headOf(branch string) string {
	s.Helper()
	head, err := s.git.head(s.Context(), branch)
	s.must(err)
	return head
}

// subjects are those of the commits of main, the newest first.
func (s *scenario) subjects() []string {
	s.Helper()
	messages, err := s.git.messages(s.Context())
	s.must(err)
	for i := range messages {
		messages[i], _, _ = strings.Cut(messages[i], "\n")
	}
	return messages
}

// state is the name of the state branch.
func (s *scenario) state() string { return "sluice/state/" + s.namespace + "." + s.name }
