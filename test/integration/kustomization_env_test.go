// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/controllers/kustomization"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// treeStore holds trees by the digest of their artifact.
type treeStore struct {
	mu    sync.Mutex
	trees map[string]tree.Tree
}

func (s *treeStore) Open(_ context.Context, _ string, artifact *meta.Artifact) (tree.Tree, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.trees[artifact.Digest]; t != nil {
		return t, nil
	}
	return nil, fs.ErrNotExist
}

func (s *treeStore) put(digest string, t tree.Tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trees[digest] = t
}

// calls remembers the requests that the controller made.
type calls struct {
	mu   sync.Mutex
	made []string
}

// through counts what goes through one of the controller's clients.
func (c *calls) through(next http.RoundTripper) http.RoundTripper {
	return tripper(func(req *http.Request) (*http.Response, error) {
		if !strings.Contains(req.URL.RawQuery, "watch=") {
			c.mu.Lock()
			c.made = append(c.made, req.Method+" "+req.URL.Path)
			c.mu.Unlock()
		}
		return next.RoundTrip(req)
	})
}

type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(req *http.Request) (*http.Response, error) { return t(req) }

// about returns the requests that concern a namespace, and forgets them.
func (c *calls) about(namespace string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var mine, others []string
	for _, call := range c.made {
		if strings.Contains(call, "/namespaces/"+namespace+"/") {
			mine = append(mine, strings.ReplaceAll(call, "/namespaces/"+namespace+"/", " "))
		} else {
			others = append(others, call)
		}
	}
	c.made = others
	return mine
}

// cluster is a playground with the controller under test.
type cluster struct {
	client.Client
	trees *treeStore
	calls *calls
}

// startKustomization runs the controller against the playground until the test
// is over.
func startKustomization(t *testing.T) *cluster {
	t.Helper()
	pg := harness.Installed(t)
	c := &cluster{Client: pg.Client, trees: &treeStore{trees: map[string]tree.Tree{}}, calls: &calls{}}
	counted := *pg
	counted.REST = rest.CopyConfig(pg.REST)
	counted.REST.Wrap(c.calls.through)
	counted.Serve(t, func(mgr ctrl.Manager, opts reconciler.Options) error {
		opts.Concurrent = 8
		return (&kustomization.Reconciler{Opener: c.trees}).SetupWithManager(t.Context(), mgr, opts)
	})
	return c
}

// testEnv is a namespace with a source in it.
type testEnv struct {
	*cluster
	t    *testing.T
	ns   string
	head int
}

func (c *cluster) env(t *testing.T) *testEnv {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "ks-"}}
	b := &testEnv{cluster: c, t: t}
	b.must(c.Create(t.Context(), ns))
	b.ns = ns.Name
	b.must(c.Create(t.Context(), make.GitRepository(b.ns, "src")))
	t.Cleanup(func() {
		ctx := context.Background()
		_ = c.DeleteAllOf(ctx, &kustomizev1.Kustomization{}, client.InNamespace(b.ns))
		_ = c.Delete(ctx, ns)
	})
	return b
}

func (b *testEnv) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// push makes files the source's next revision, which it returns.
func (b *testEnv) push(files map[string]string) string {
	b.t.Helper()
	b.head++
	made, err := tree.FromStrings(files)
	b.must(err)
	digest := fmt.Sprintf("sha256:%s-%d", b.ns, b.head)
	b.trees.put(digest, made)
	src := &sourcev1.GitRepository{}
	b.must(b.Get(b.t.Context(), client.ObjectKey{Namespace: b.ns, Name: "src"}, src))
	before := src.DeepCopy()
	src.Status.Artifact = &meta.Artifact{
		Digest: digest, Path: "p", URL: "http://example.com/p", Revision: fmt.Sprintf("main@sha1:%d", b.head),
		LastUpdateTime: metav1.Now(),
	}
	b.must(b.Status().Patch(b.t.Context(), src, client.MergeFrom(before)))
	return src.Status.Artifact.Revision
}

// kustomization creates one that prunes and builds the path of its name.
func (b *testEnv) kustomization(name string, change func(*kustomizev1.KustomizationSpec)) {
	b.t.Helper()
	k := make.Kustomization(b.ns, name)
	k.Spec.Path, k.Spec.TargetNamespace = "./"+name, b.ns
	if change != nil {
		change(&k.Spec)
	}
	b.must(b.Create(b.t.Context(), k))
}

// change updates a Kustomization.
func (b *testEnv) change(name string, change func(*kustomizev1.Kustomization)) {
	b.t.Helper()
	k := b.get(name)
	before := k.DeepCopy()
	change(k)
	b.must(b.Patch(b.t.Context(), k, client.MergeFrom(before)))
}

func (b *testEnv) get(name string) *kustomizev1.Kustomization {
	b.t.Helper()
	k := &kustomizev1.Kustomization{}
	b.must(b.Get(b.t.Context(), client.ObjectKey{Namespace: b.ns, Name: name}, k))
	return k
}

// condition waits for a condition with a status, a reason, and a message that
// contains the text.
func (b *testEnv) condition(name, kind string, want metav1.Condition) *kustomizev1.Kustomization {
	b.t.Helper()
	k := &kustomizev1.Kustomization{}
	harness.MustSucceed(b.t, func(ctx context.Context) error {
		if err := b.Get(ctx, client.ObjectKey{Namespace: b.ns, Name: name}, k); err != nil {
			return err
		}
		got := apimeta.FindStatusCondition(k.Status.Conditions, kind)
		if got == nil {
			return fmt.Errorf("%s has no %s", name, kind)
		}
		if got.ObservedGeneration != k.Generation || got.Status != want.Status ||
			(want.Reason != "" && got.Reason != want.Reason) || !strings.Contains(got.Message, want.Message) {
			return fmt.Errorf("%s is %s=%s %s: %s", name, kind, got.Status, got.Reason, got.Message)
		}
		return nil
	})
	return k
}

// ready waits until a Kustomization has applied a revision.
func (b *testEnv) ready(name, revision string) *kustomizev1.Kustomization {
	b.t.Helper()
	return b.condition(name, meta.ReadyCondition, metav1.Condition{
		Status: metav1.ConditionTrue, Reason: meta.ReconciliationSucceededReason, Message: "Applied revision: " + revision,
	})
}

// failing waits until a Kustomization is not ready for a reason.
func (b *testEnv) failing(name, reason, says string) *kustomizev1.Kustomization {
	b.t.Helper()
	return b.condition(name, meta.ReadyCondition, metav1.Condition{Status: metav1.ConditionFalse, Reason: reason, Message: says})
}

// object reads an object of the namespace; nil if it is not there.
func (b *testEnv) object(apiVersion, kind, name string) *unstructured.Unstructured {
	b.t.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	err := b.Get(b.t.Context(), client.ObjectKey{Namespace: b.ns, Name: name}, u)
	if client.IgnoreNotFound(err) != nil {
		b.t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return u
}

// serverSideApply applies YAML as somebody.
func (b *testEnv) serverSideApply(manager, text string) *unstructured.Unstructured {
	b.t.Helper()
	u := &unstructured.Unstructured{}
	b.must(yaml.NewYAMLOrJSONDecoder(bytes.NewBufferString(text), 4096).Decode(u))
	if u.GetKind() != "CustomResourceDefinition" {
		u.SetNamespace(b.ns)
	}
	harness.MustSucceed(b.t, func(ctx context.Context) error {
		err := b.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(manager), client.ForceOwnership)
		if !apimeta.IsNoMatchError(err) { // a definition that was just applied may not be served yet
			b.must(err)
		}
		return err
	})
	return u
}

// gone waits until an object is not there.
func (b *testEnv) gone(apiVersion, kind, name string) {
	b.t.Helper()
	harness.MustSucceed(b.t, func(context.Context) error {
		if b.object(apiVersion, kind, name) != nil {
			return errors.New(kind + "/" + name + " is still there")
		}
		return nil
	})
}

func configMap(name, value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\ndata:\n  key: \"" + value + "\"\n"
}

func deployment(name string, replicas int, extra string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
spec:
  replicas: %[2]d
  %[3]s
  selector:
    matchLabels: {app: %[1]s}
  template:
    metadata:
      labels: {app: %[1]s}
    spec:
      containers:
      - name: app
        image: example.com/app:1.0.0
`, name, replicas, extra)
}
