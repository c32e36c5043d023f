// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/decrypt"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/internal/kubeconfig"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
	"github.com/sluice-cd/sluice/test/harness"
)

// testEnv is a reconciler, a cluster to apply to, and a source with trees by digest.
type testEnv struct {
	*Reconciler
	t         *testing.T
	cluster   *apiserver.Server
	informers *watch.Informers
	clock     *clocktesting.FakePassiveClock
	trees     map[string]tree.Tree
	opened    int // how often an artifact was
	events    []reconciler.Event
	// checkpoints are what was written before a reconcile went on, unless that is an error.
	checkpoints     []*kustomizev1.Kustomization
	checkpointError error

	mu    sync.Mutex
	woken int
}

// Open implements Opener.
func (e *testEnv) Open(_ context.Context, _ string, artifact *meta.Artifact) (tree.Tree, error) {
	e.opened++
	if t := e.trees[artifact.Digest]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("no artifact %s", artifact.Digest)
}

// Event implements reconciler.Recorder.
func (e *testEnv) Event(_ client.Object, event reconciler.Event) { e.events = append(e.events, event) }

// commit makes files the artifact of the source at a revision.
func (e *testEnv) commit(revision string, files map[string]string) {
	e.t.Helper()
	e.commitOf(revision, "", files)
}

// commitOf is commit, of an artifact that was made from another revision.
func (e *testEnv) commitOf(revision, origin string, files map[string]string) {
	e.t.Helper()
	made, err := tree.FromStrings(files)
	if err != nil {
		e.t.Fatal(err)
	}
	hash, _ := made.Hash(".")
	digest := "sha256:" + revision + hash
	e.trees[digest] = made
	src := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "src"}}
	ctx := e.t.Context()
	if err := e.client.Get(ctx, client.ObjectKeyFromObject(src), src); err != nil {
		if err := e.client.Create(ctx, src); err != nil {
			e.t.Fatal(err)
		}
	}
	src.Status.Artifact = &meta.Artifact{Revision: revision, Digest: digest}
	if origin != "" {
		src.Status.Artifact.Metadata = map[string]string{originRevision: origin}
	}
	if err := e.client.Update(ctx, src); err != nil {
		e.t.Fatal(err)
	}
}

// run is one reconcile, whose conditions end up where the runner puts them.
func (e *testEnv) run(k *kustomizev1.Kustomization) (reconciler.Result, error) {
	e.t.Helper()
	ctx := reconciler.WithCheckpoint(e.t.Context(), func(context.Context) error {
		e.checkpoints = append(e.checkpoints, k.DeepCopy())
		return e.checkpointError
	})
	result, err := e.Reconcile(ctx, k)
	status := metav1.ConditionTrue
	switch {
	case err != nil:
		status = metav1.ConditionFalse
	case result.Progressing:
		status = metav1.ConditionUnknown
	}
	apimeta.SetStatusCondition(&k.Status.Conditions, metav1.Condition{Type: meta.ReadyCondition, Status: status, Reason: "Test"})
	return result, err
}

// must is run, which has to make k ready. A busy machine may build for longer than a
// worker waits: then the next reconcile takes what was built.
func (e *testEnv) must(k *kustomizev1.Kustomization) reconciler.Result {
	e.t.Helper()
	result, err := e.built(k)
	if err != nil || result.Progressing {
		e.t.Fatalf("Reconcile = %+v, %v", result, err)
	}
	return result
}

// built is run, until no build goes on in the background.
func (e *testEnv) built(k *kustomizev1.Kustomization) (result reconciler.Result, err error) {
	e.t.Helper()
	harness.MustEventually(e.t, "the build is done", harness.True(func() bool {
		result, err = e.run(k)
		return !strings.HasPrefix(result.Message, "Building ")
	}))
	return result, err
}

func configMap(name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: ns\ndata:\n  key: %s\n", name, value)
}

func deployment(name string) string {
	return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: %s\n  namespace: ns\nspec:\n  replicas: 1\n", name)
}

func pathOf(name string) string { return "/api/v1/namespaces/ns/configmaps/" + name }

func valueOf(u *unstructured.Unstructured) string {
	if u == nil {
		return ""
	}
	value, _, _ := unstructured.NestedString(u.Object, "data", "key")
	return value
}

func newTestEnv(t *testing.T) *testEnv {
	t.Helper()
	e := &testEnv{
		Reconciler: reconcilerWith(t), t: t, cluster: apiserver.New(t), trees: map[string]tree.Tree{},
		clock: clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0)),
	}
	e.Reconciler.clock, e.recorder, e.Opener, e.live = e.clock, e, e, e.client
	e.Decryption.Services = &decrypt.Services{}
	e.buildInTheBackground()
	informers, err := watch.New(e.cluster.Config(), e.cluster.Mapper(), logr.Discard(), profile)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = informers.Start(t.Context()) }()
	e.informers = informers
	engine := apply.NewEngine(profile, apply.NewClients(e.cluster.Config(), e.cluster.Mapper(), profile.FieldManager), informers, e.clock)
	e.states = newStates(&clusters{
		local: engine, profile: profile, clock: e.clock, log: logr.Discard(), kubeConfigs: &kubeconfig.Reader{Objects: e.client, Clock: e.clock},
	}, func(types.NamespacedName) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.woken++
	})
	return e
}

// wakes is how often the engine asked for a reconcile.
func (e *testEnv) wakes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.woken
}

// inSync reports whether informers see the objects as they were left.
func (e *testEnv) inSync(k *kustomizev1.Kustomization) bool {
	for _, entry := range k.Status.Inventory.Entries {
		id, _ := inventory.Parse(entry.ID)
		gvk := schema.GroupVersionKind{Group: id.Group, Version: entry.Version, Kind: id.Kind}
		if _, freshness := e.informers.Observe(gvk, id, ""); freshness != decide.Fresh {
			return false
		}
	}
	return e.states.get(keyOf(k)).objects.Drift().Worst == decide.NoDrift
}
