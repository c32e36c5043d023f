// SPDX-License-Identifier: Apache-2.0

// Package cli tests the commands against a real API server, a real registry and
// a real Git server, as the binary that people run. No controller runs: what one
// would have written is in the status of the objects.
package cli

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// heldBy is the commit that reverted an update of the automation.
const heldBy = "0123456789abcdef0123456789abcdef01234567"

// binary is Sluice as kubectl finds it.
var binary string

func TestMain(m *testing.M) { os.Exit(link(m)) }

func link(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp("", "sluice-cli-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	built, err := harness.Binary()
	if err == nil {
		binary = filepath.Join(dir, "kubectl-sluice")
		err = os.Symlink(built, binary)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// fixture is a namespace with an image, its policy, and an automation.
type fixture struct {
	*harness.Playground
	t    *testing.T
	ns   string
	host string
	repo *gitserver.Repo
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	t.Parallel()
	pg := harness.Installed(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	f := &fixture{
		Playground: pg, t: t, host: strings.TrimPrefix(server.URL, "http://"),
		repo: gitserver.New(t, gitserver.WithBasicAuth("user", "secret")).Repo("app"),
	}
	f.ns = f.NewNamespace(t, "cli-", nil)
	f.fill()
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: f.ns, Name: name, Labels: map[string]string{"app": name}}
}

// fill makes the objects: the image has three tags of which 1.0.0 was chosen
// and written, and the update of another policy is held.
func (f *fixture) fill() {
	f.t.Helper()
	for _, tag := range []string{"1.0.0", "1.1.0", "latest"} {
		ref, err := name.NewTag(f.host + "/app:" + tag)
		f.must(err)
		f.must(remote.Write(ref, empty.Image))
	}
	f.repo.Commit("main", gitserver.Files{
		"fleet/a.yaml": fmt.Sprintf("a: %s/app:0.9.0 # {\"$imagepolicy\": \"%s:app\"}\n"+
			"b: other:1 # {\"$imagepolicy\": \"%s:other\"}\nc: x:1 # {'$imagepolicy': '%s:app'}\n",
			f.host, f.ns, f.ns, f.ns),
		"elsewhere.yaml": fmt.Sprintf("a: x:1 # {\"$imagepolicy\": \"%s:app\"}\n", f.ns),
	})
	f.create(
		make.Login(f.ns),
		&corev1.Secret{ObjectMeta: f.named("registry"), Type: corev1.SecretTypeDockerConfigJson,
			StringData: map[string]string{corev1.DockerConfigJsonKey: `{"auths": {}}`}},
		&imagev1.ImageRepository{ObjectMeta: f.named("app"), Spec: imagev1.ImageRepositorySpec{
			Image: f.host + "/app", Interval: metav1.Duration{Duration: time.Hour}, SecretRef: &meta.LocalObjectReference{Name: "registry"}}},
		make.GitRepository(f.ns, "app", make.WithSecret("git"), func(r *sourcev1.GitRepository) { r.Spec.URL = f.repo.URL }),
	)
	f.policy("app", imagev1.ImageRef{Name: f.host + "/app", Tag: "1.0.0"})
	f.policy("other", imagev1.ImageRef{Name: "other", Tag: "2"})
	a := &imagev1.ImageUpdateAutomation{ObjectMeta: f.named("fleet"), Spec: imagev1.ImageUpdateAutomationSpec{
		SourceRef: imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
		Interval:  metav1.Duration{Duration: time.Hour},
		Update:    &imagev1.UpdateStrategy{Path: "./fleet"},
		GitSpec:   &imagev1.GitSpec{Commit: imagev1.CommitSpec{Author: imagev1.CommitUser{Email: "bot@example.com"}}},
	}}
	f.create(a)
	a.Status.LastPushCommit = "0123456789abcdef0123456789abcdef01234567"
	a.Status.ObservedPolicies = imagev1.ObservedPolicies{"app": {Name: f.host + "/app", Tag: "1.0.0"}}
	a.Status.Markers = &imagev1.MarkerCounts{Total: 3, Current: 1, Held: 1, Skipped: []imagev1.SkippedMarkers{{Reason: "x", Count: 1}}}
	a.Status.Held = []imagev1.HeldUpdate{{Policy: "other", Ref: imagev1.ImageRef{Name: "other", Tag: "2"}, By: heldBy, Since: metav1.Now()}}
	f.must(f.Client.Status().Update(f.t.Context(), a))
}

func (f *fixture) create(objects ...client.Object) {
	f.t.Helper()
	for _, o := range objects {
		f.must(f.Client.Create(f.t.Context(), o))
	}
}

func (f *fixture) policy(name string, chosen imagev1.ImageRef) {
	f.t.Helper()
	p := make.ImagePolicy(f.ns, name, func(p *imagev1.ImagePolicy) { p.Labels = map[string]string{"app": name} })
	f.create(p)
	p.Status.LatestRef = &chosen
	p.Status.Conditions = []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionTrue, Reason: meta.SucceededReason,
		ObservedGeneration: p.Generation, LastTransitionTime: metav1.Now()}}
	p.Status.Decision = &imagev1.Decision{Rule: "semver 1.x", Total: 3, Qualified: 2,
		Candidates: []imagev1.Candidate{{Tag: "1.1.0", Digest: "sha256:feed", Dropped: "too young"}, {Tag: "1.0.0"}}}
	f.must(f.Client.Status().Update(f.t.Context(), p))
}

// viewer may read everything here but Secrets.
func (f *fixture) viewer() string {
	f.t.Helper()
	f.create(
		&rbacv1.Role{ObjectMeta: f.named("viewer"), Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"image.toolkit.fluxcd.io", "source.toolkit.fluxcd.io"}, Resources: []string{"*"}, Verbs: []string{"get", "list"}}}},
		&rbacv1.RoleBinding{ObjectMeta: f.named("viewer"), RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "viewer", APIGroup: rbacv1.GroupName},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: "viewer", APIGroup: rbacv1.GroupName}}},
	)
	return "viewer"
}

// sluice runs the binary in the fixture's namespace.
func (f *fixture) sluice(args ...string) (out, errs string, err error) {
	f.t.Helper()
	return f.raw(append(args, "--kubeconfig", f.Kubeconfig, "-n", f.ns)...)
}

// raw runs the binary with these arguments and no others.
func (f *fixture) raw(args ...string) (out, errs string, err error) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// succeed is sluice for what should not fail.
func (f *fixture) succeed(args ...string) (out, errs string) {
	f.t.Helper()
	out, errs, err := f.sluice(args...)
	if err != nil {
		f.t.Fatalf("sluice %s: %v\n%s", strings.Join(args, " "), err, errs)
	}
	return out, errs
}

// words are the words of each line.
func words(text string) [][]string {
	var lines [][]string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Fields(line))
	}
	return lines
}
