// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/kubeconfig"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// newCluster is another API server, which says which kinds it has.
func newCluster(t *testing.T) *apiserver.Server {
	t.Helper()
	server := apiserver.New(t)
	for path, text := range map[string]string{
		"/version": `{"major": "1"}`,
		"/api":     `{"kind": "APIVersions", "versions": ["v1"]}`,
		"/apis":    `{"kind": "APIGroupList", "apiVersion": "v1", "groups": []}`,
		"/api/v1": `{"kind": "APIResourceList", "groupVersion": "v1", "resources": [{"name": "configmaps", "singularName": "configmap", ` +
			`"kind": "ConfigMap", "namespaced": true, "verbs": ["get", "list", "watch", "patch", "delete"]}]}`,
	} {
		u := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(text), &u.Object); err != nil {
			t.Fatal(err)
		}
		server.Put(path, u)
	}
	server.Calls()
	return server
}

// kubeConfigOf writes a kubeconfig that leads to a server into the Secret ns/cluster.
func (e *testEnv) kubeConfigOf(server *apiserver.Server) {
	e.t.Helper()
	e.t.Cleanup(func() { // before the server ends, which waits for its watches
		ended, end := context.WithCancel(context.Background())
		end()
		_ = e.states.clusters.Start(ended)
	})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "cluster"}}
	data := map[string][]byte{"value": apiserver.KubeConfig(server.Config().Host, "")}
	err := e.client.Get(e.t.Context(), keyOf(secret), secret)
	secret.Data = data
	if err == nil {
		err = e.client.Update(e.t.Context(), secret)
	} else {
		err = e.client.Create(e.t.Context(), secret)
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// elsewhere is a Kustomization that applies to the cluster of ns/cluster.
func elsewhere(name string) *kustomizev1.Kustomization {
	k := app(name)
	k.Spec.Prune = true
	k.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "cluster"}}
	return k
}

func TestAnotherClusterGetsTheObjects(t *testing.T) {
	e, there := newTestEnv(t), newCluster(t)
	e.kubeConfigOf(there)
	e.commit("1", map[string]string{"a.yaml": configMap("a", "one"), "b.yaml": configMap("b", "one")})
	k := elsewhere("a")
	e.must(k)
	if e.cluster.Get(pathOf("a")) != nil || valueOf(there.Get(pathOf("a"))) != "one" {
		t.Error("the objects are not where the kubeConfig leads")
	}
	state := e.states.get(keyOf(k))
	harness.MustEventually(e.t, "its informers see the objects there", harness.True(func() bool {
		return state.objects.Drift().Worst == decide.NoDrift
	}))
	there.Delete(pathOf("a"))
	harness.MustEventually(e.t, "it is woken by what is deleted there", harness.True(func() bool {
		return state.objects.Drift().Worst == decide.Drifted && e.wakes() > 0
	}))
	e.must(k)
	if got := valueOf(there.Get(pathOf("a"))); got != "one" {
		t.Error("what was deleted there does not come back")
	}

	e.commit("2", map[string]string{"a.yaml": configMap("a", "two")})
	e.must(k)
	if there.Get(pathOf("b")) != nil || valueOf(there.Get(pathOf("a"))) != "two" {
		t.Error("what left the source was not pruned there")
	}
	if err := e.Finalize(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if there.Get(pathOf("a")) != nil {
		t.Error("a deleted Kustomization leaves its objects there")
	}
	if n := len(e.states.clusters.remote); n != 0 {
		t.Errorf("%d clusters are kept for nobody", n)
	}
}

func TestThoseOfANamespaceShareACluster(t *testing.T) {
	e, there := newTestEnv(t), newCluster(t)
	e.kubeConfigOf(there)
	e.commit("1", map[string]string{"a.yaml": configMap("a", "one")})
	one, other := elsewhere("a"), elsewhere("b")
	e.must(one)
	e.must(other)
	cluster := func(k *kustomizev1.Kustomization) *remoteCluster { return e.states.get(keyOf(k)).cluster.remoteCluster }
	if n := len(e.states.clusters.remote); n != 1 || cluster(one) != cluster(other) {
		t.Errorf("%d clusters", n)
	}
	e.states.forget(t.Context(), keyOf(one))
	if n := len(e.states.clusters.remote); n != 1 {
		t.Errorf("%d clusters, while one of two is left", n)
	}
}

func TestAKustomizationThatMovesIsAppliedToTheOtherCluster(t *testing.T) {
	e, first, second := newTestEnv(t), newCluster(t), newCluster(t)
	e.kubeConfigOf(first)
	e.commit("1", map[string]string{"a.yaml": configMap("a", "one"), "b.yaml": configMap("b", "one")})
	k := elsewhere("a")
	e.must(k)
	e.kubeConfigOf(second)
	e.commit("2", map[string]string{"a.yaml": configMap("a", "one")})
	said := fmt.Sprint(e.must(k).Events)
	if first.Get(pathOf("a")) == nil || second.Get(pathOf("a")) == nil {
		t.Error("the objects are not in both clusters")
	}
	if first.Get(pathOf("b")) == nil {
		t.Error("what left the source was deleted in the cluster before")
	}
	if strings.Contains(said, "ConfigMap/ns/b deleted") || !strings.Contains(said, "ConfigMap/ns/b not pruned: it is not in the cluster") {
		t.Errorf("an object that is still in the cluster before: %s", said)
	}
	k.Spec.KubeConfig = nil
	k.Generation++
	e.must(k)
	if e.cluster.Get(pathOf("a")) == nil || len(e.states.clusters.remote) != 0 {
		t.Errorf("not applied here, or %d other clusters are kept", len(e.states.clusters.remote))
	}
}

// The inventory in the status is that of the cluster before, and after a restart nothing else says so. In the other one only what
// has the labels of the Kustomization is its own.
func TestAMoveAcrossARestartDeletesNothingThatIsNotItsOwn(t *testing.T) {
	e, first, second := newTestEnv(t), newCluster(t), newCluster(t)
	e.kubeConfigOf(first)
	e.commit("1", map[string]string{"a.yaml": configMap("a", "one"), "b.yaml": configMap("b", "one"), "c.yaml": configMap("c", "one")})
	k := elsewhere("a")
	e.must(k)

	of := func(name string, labels map[string]string) {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
		u.SetNamespace("ns")
		u.SetName(name)
		u.SetLabels(labels)
		second.Put(pathOf(name), u)
	}
	of("b", nil)
	of("c", map[string]string{"kustomize.toolkit.fluxcd.io/name": "other", "kustomize.toolkit.fluxcd.io/namespace": "ns"})
	restarted := newTestEnv(t)
	restarted.kubeConfigOf(second)
	restarted.commit("2", map[string]string{"a.yaml": configMap("a", "one")})
	said := fmt.Sprint(restarted.must(k).Events)
	for _, name := range []string{"a", "b", "c"} {
		if first.Get(pathOf(name)) == nil || second.Get(pathOf(name)) == nil {
			t.Errorf("%s is not in both clusters", name)
		}
	}
	for _, want := range []string{
		"ConfigMap/ns/b not pruned: it lacks the labels", "ConfigMap/ns/c not pruned: it has the labels of Kustomization ns/other",
	} {
		if !strings.Contains(said, want) || strings.Contains(said, " deleted") {
			t.Errorf("%q is not in %s", want, said)
		}
	}
	if len(k.Status.Inventory.Entries) != 1 {
		t.Errorf("the inventory is %v", k.Status.Inventory)
	}
}

func TestAKustomizationThatIsDeletedAfterAMoveLeavesTheClusterBefore(t *testing.T) {
	e, first, second := newTestEnv(t), newCluster(t), newCluster(t)
	e.kubeConfigOf(first)
	e.commit("1", map[string]string{"a.yaml": configMap("a", "one")})
	k := elsewhere("a")
	e.must(k)
	restarted := newTestEnv(t)
	restarted.kubeConfigOf(second)
	if err := restarted.Finalize(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprint(restarted.events)
	if first.Get(pathOf("a")) == nil || strings.Contains(said, "ConfigMap/ns/a deleted") ||
		!strings.Contains(said, "ConfigMap/ns/a not pruned: it is not in the cluster") {
		t.Errorf("told %s", said)
	}
}

func TestAKubeConfigThatIsReadAgainAndSaysTheSameCostsNothing(t *testing.T) {
	e, there := newTestEnv(t), newCluster(t)
	e.kubeConfigOf(there)
	e.commit("1", map[string]string{"a.yaml": configMap("a", "one")})
	k := elsewhere("a")
	e.must(k)
	harness.MustEventually(e.t, "its informers see the object", harness.True(func() bool {
		return e.states.get(keyOf(k)).objects.Drift().Worst == decide.NoDrift
	}))
	before := e.states.get(keyOf(k)).objects
	there.Calls()
	var secret corev1.Secret
	secret.Namespace, secret.Name = "ns", "cluster"
	if err := e.client.Get(t.Context(), keyOf(&secret), &secret); err != nil {
		t.Fatal(err)
	}
	secret.Labels = map[string]string{"new": "label"}
	if err := e.client.Update(t.Context(), &secret); err != nil {
		t.Fatal(err)
	}
	e.must(k)
	if calls := there.Calls(); len(calls) > 0 || e.states.get(keyOf(k)).objects != before {
		t.Errorf("calls %q", calls)
	}
	reads := &countingReader{Reader: e.client}
	e.states.clusters.kubeConfigs.Objects = reads
	e.must(k)
	if reads.n != 0 {
		t.Errorf("it was read %d times more, and so it is by every run that follows", reads.n)
	}
}

// countingReader counts how often it is asked for an object.
type countingReader struct {
	client.Reader
	n int
}

func (r *countingReader) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	r.n++
	return r.Reader.Get(ctx, key, into, opts...)
}

func TestAnAccountIsAssumedInTheOtherCluster(t *testing.T) {
	e, there := newTestEnv(t), newCluster(t)
	e.kubeConfigOf(there)
	e.commit("1", map[string]string{"a.yaml": configMap("a", "one")})
	k := elsewhere("a")
	k.Spec.ServiceAccountName = "deployer"
	e.must(k)
	if calls := strings.Join(there.Calls(), "\n"); !strings.Contains(calls, "PATCH "+pathOf("a")+" as system:serviceaccount:ns:deployer") {
		t.Errorf("calls:\n%s", calls)
	}
	// Whoever may assume an account need not be able to look for it.
	there.Hook = func(r apiserver.Request) error {
		if strings.Contains(r.Path, "serviceaccounts") {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "serviceaccounts"}, "deployer", errors.New("no role says so"))
		}
		return nil
	}
	if err := e.Finalize(t.Context(), k); err != nil || there.Get(pathOf("a")) != nil {
		t.Errorf("the objects stay, %v", err)
	}
}

func TestAClusterThatCannotBeReachedIsSaid(t *testing.T) {
	e, there := newTestEnv(t), newCluster(t)
	e.commit("1", map[string]string{"a.yaml": configMap("a", "one")})
	k := elsewhere("a")
	_, err := e.run(k)
	if want := "spec.kubeConfig: the kubeConfig cannot be used: Secret ns/cluster does not exist"; !errors.Is(err, kubeconfig.ErrInvalid) ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	e.kubeConfigOf(there)
	broken := true
	there.Hook = func(r apiserver.Request) error {
		if broken && r.Method == http.MethodGet {
			return apierrors.NewInternalError(errors.New("etcd is gone"))
		}
		return nil
	}
	_, err = e.run(k)
	if want := "reaching the cluster of kubeConfig cluster: the API server answers 500"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	broken = false
	e.clock.SetTime(e.clock.Now().Add(time.Minute))
	e.must(k)
}

func TestADeletedKustomizationWithoutItsKubeConfigSaysWhatHelps(t *testing.T) {
	e := newTestEnv(t)
	k := elsewhere("a")
	if err := e.Finalize(t.Context(), k); err != nil {
		t.Errorf("there is nothing to delete: %v", err)
	}
	k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{{ID: "ns_a__ConfigMap", Version: "v1"}}}
	if err := e.Finalize(t.Context(), k); err == nil || !strings.Contains(err.Error(), "to leave them where they are, set spec.suspend") {
		t.Errorf("got %v", err)
	}
	k.Spec.Suspend = true
	if err := e.Finalize(t.Context(), k); err != nil {
		t.Errorf("a suspended one needs no cluster: %v", err)
	}
}

// Clusters are connected to beside the lock: reading their keys held up all others.
func TestWhoConnectsSecondUsesTheClusterOfTheFirst(t *testing.T) {
	made := func() *remoteCluster { return &remoteCluster{Connection: &kubeconfig.Connection{ID: "a"}} }
	c := &clusters{}
	for range 2 { // both saw that there is none
		if known, err := c.use("a", "ns"); known != nil || err != nil {
			t.Fatalf("got %v, %v", known, err)
		}
	}
	first, second := made(), made()
	for _, of := range []*remoteCluster{first, second} {
		if known, err := c.add(of, "ns"); known != first || err != nil {
			t.Fatalf("got %v, %v", known, err)
		}
	}
	if first.users != 2 || second.users != 0 || len(c.remote) != 1 {
		t.Errorf("%d and %d users of %d clusters", first.users, second.users, len(c.remote))
	}
}

// Clusters without end would each have had watches of their own.
func TestTheClustersOfANamespaceHaveOneShareOfTheWatches(t *testing.T) {
	e, there := newTestEnv(t), newCluster(t)
	e.kubeConfigOf(there)
	second := make.Secret("ns", "second", map[string][]byte{"value": apiserver.KubeConfig(there.Config().Host, "token")})
	if err := e.client.Create(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	c := e.states.clusters
	acquire := func(secret string) *remoteCluster {
		t.Helper()
		k := elsewhere("a")
		k.Spec.KubeConfig.SecretRef.Name = secret
		to, _, err := c.acquire(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	count := func(when string, want int) {
		t.Helper()
		got := 0
		if of := c.quotas["ns"]; of != nil {
			got = of.clusters
		}
		if got != want {
			t.Errorf("%s: %d clusters have the share, want %d", when, got, want)
		}
	}
	a := acquire("cluster")
	together := c.quotas["ns"]
	if together.Targets != maxInformersPerNamespace || together.Bytes != maxKeptPerNamespace {
		t.Errorf("a share of %d watches and %d bytes", together.Targets, together.Bytes)
	}
	acquire("cluster")
	count("one cluster with two users", 1)
	b := acquire("second")
	if count("two clusters", 2); c.quotas["ns"] != together {
		t.Error("the second cluster has a share of its own")
	}
	if other := c.acquireQuota("other"); other == &together.Quota {
		t.Error("another namespace has the same share")
	}
	c.release(a)
	c.release(a)
	count("after the first is gone", 1)
	c.release(b)
	count("after both are gone", 0)
}

func TestBuildsForOtherClustersTakeASlotOfTheirNamespace(t *testing.T) {
	var r Reconciler
	r.buildInTheBackground()
	k := elsewhere("a")
	nothing := func(context.Context) (*build.Result, error) { return &build.Result{}, nil }
	var held func(left int)
	held = func(left int) {
		_, err := r.buildInBackground(t.Context(), k, background.Request[types.NamespacedName]{}, func(context.Context) (*build.Result, error) {
			if left > 1 {
				held(left - 1)
				return nil, nil
			}
			ended, end := context.WithCancel(t.Context())
			end()
			if _, err := r.buildInBackground(ended, k, background.Request[types.NamespacedName]{}, nothing); !errors.Is(err, context.Canceled) {
				t.Errorf("one more than %d: got %v", buildsPerNamespace, err)
			}
			other := k.DeepCopy()
			other.Namespace = "other"
			return r.buildInBackground(t.Context(), other, background.Request[types.NamespacedName]{}, nothing)
		})
		if err != nil {
			t.Error(err)
		}
	}
	held(buildsPerNamespace)
	if !r.remoteBuilds.Idle() {
		t.Error("a slot was not given back")
	}
}
