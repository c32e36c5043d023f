// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/sluice-cd/sluice/internal/kubeconfig"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
	builder "github.com/sluice-cd/sluice/test/make"
)

var (
	pipeline  = types.NamespacedName{Namespace: "apps", Name: "shop"}
	databases = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Database"}
	widgets   = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}
)

const path = "/apis/example.com/v1/namespaces/apps/databases/"

// env are clusters of one API server, and the pipelines that were woken.
type env struct {
	*Clusters
	t      *testing.T
	server *apiserver.Server
	clock  *clocktesting.FakeClock
	woken  chan types.NamespacedName
	mapper *lateMapper
	reader *kubeconfig.Reader
}

// lateMapper does not have Widgets until they are installed.
type lateMapper struct {
	apimeta.RESTMapper
	installed atomic.Bool
}

func (m *lateMapper) RESTMapping(kind schema.GroupKind, versions ...string) (*apimeta.RESTMapping, error) {
	if kind.Kind == widgets.Kind && m.installed.Load() {
		resource := widgets.GroupVersion().WithResource("widgets")
		return &apimeta.RESTMapping{Resource: resource, GroupVersionKind: widgets, Scope: apimeta.RESTScopeNamespace}, nil
	}
	return m.RESTMapper.RESTMapping(kind, versions...)
}

func newEnv(t *testing.T, guard *outbound.Guard, objects ...client.Object) *env {
	t.Helper()
	e := &env{
		t: t, server: apiserver.New(t), clock: clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0)),
		woken: make(chan types.NamespacedName, 1000),
	}
	e.mapper = &lateMapper{RESTMapper: e.server.Mapper()}
	e.reader = &kubeconfig.Reader{Objects: fake.NewClientBuilder().WithObjects(objects...).Build(), Guard: guard}
	var err error
	e.Clusters, err = New(Options{
		Config: e.server.Config(), Mapper: e.mapper,
		KubeConfigs: e.reader,
		Clock:       e.clock, Log: logr.Discard(), Wake: func(p types.NamespacedName) { e.woken <- p },
	})
	if err != nil {
		t.Fatal(err)
	}
	var stopped sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	stopped.Go(func() { _ = e.Start(ctx) })
	t.Cleanup(func() { cancel(); stopped.Wait() })
	return e
}

func named(kind schema.GroupVersionKind, name string) Object {
	return Object{kind, types.NamespacedName{Namespace: "apps", Name: name}}
}

// discoverable has the API server say which kinds it has.
func (e *env) discoverable() {
	for path, text := range map[string]string{
		"/api": `{"kind": "APIVersions", "versions": ["v1"]}`,
		"/apis": `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "example.com", ` +
			`"versions": [{"groupVersion": "example.com/v1", "version": "v1"}], "preferredVersion": {"groupVersion": ` +
			`"example.com/v1", "version": "v1"}}]}`,
		"/apis/example.com/v1": `{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "example.com/v1", ` +
			`"resources": [{"name": "databases", "singularName": "database", "kind": "Database", "namespaced": ` +
			`true, "verbs": ["get", "list", "watch"]}]}`,
	} {
		u := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(text), &u.Object); err != nil {
			e.t.Fatal(err)
		}
		e.server.Put(path, u)
	}
}

func (e *env) put(name, value string) {
	u := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"password": "hunter2"}, "status": map[string]any{"value": value, "inventory": map[string]any{"entries": "many"}},
	}}
	u.SetGroupVersionKind(databases)
	u.SetNamespace("apps")
	u.SetName(name)
	u.SetAnnotations(map[string]string{"token": "hunter2"})
	e.server.Put(path+name, u)
}

// get asks for an object as a pipeline does, until the answer is as wanted.
func (e *env) get(of types.NamespacedName, at *meta.KubeConfigReference, o Object, ok func(Answer) bool) Answer {
	e.t.Helper()
	deadline := time.After(5 * time.Minute)
	for {
		look := e.Reader(of)
		answer, err := look.Get(e.t.Context(), at, o)
		if err != nil {
			e.t.Fatal(err)
		}
		look.Done()
		if ok(answer) {
			return answer
		}
		select {
		case <-e.woken:
		case <-deadline:
			e.t.Fatalf("nobody was woken; the answer is %+v", answer)
		}
	}
}

func has(value string) func(Answer) bool {
	return func(a Answer) bool {
		if a.Object == nil {
			return false
		}
		is, _, _ := unstructured.NestedString(a.Object.Object, "status", "value")
		return is == value
	}
}

func says(part string) func(Answer) bool {
	return func(a Answer) bool { return a.Object == nil && strings.Contains(a.Why, part) }
}

func TestAPipelineIsToldOfItsObjects(t *testing.T) {
	e := newEnv(t, nil)
	e.put("db", "1")
	e.get(pipeline, nil, named(databases, "db"), has("1"))
	e.put("db", "2")
	seen := e.get(pipeline, nil, named(databases, "db"), has("2"))
	if text := fmt.Sprint(seen.Object.Object); strings.Contains(text, "hunter2") || strings.Contains(text, "many") {
		t.Errorf("kept %s", text)
	}
	e.server.Delete(path + "db")
	if a := e.get(pipeline, nil, named(databases, "db"), says("Database apps/db does not exist")); a.Unknown {
		t.Error("it is known that it does not exist")
	}
}

func TestOneWatchServesAllWhoLookAtAKindInANamespace(t *testing.T) {
	e := newEnv(t, nil)
	e.put("db", "1")
	e.put("other", "1")
	second := types.NamespacedName{Namespace: "apps", Name: "second"}
	e.get(pipeline, nil, named(databases, "db"), has("1"))
	e.get(second, nil, named(databases, "other"), has("1"))
	if len(e.watches) != 1 {
		t.Errorf("%d watches", len(e.watches))
	}
	e.Forget(pipeline)
	if len(e.watches) != 1 {
		t.Errorf("%d watches after the first is gone", len(e.watches))
	}
	e.Reader(second).Done() // it names nothing any more
	if len(e.watches) != 0 || len(e.users) != 0 {
		t.Errorf("%d watches, %d users in the end", len(e.watches), len(e.users))
	}
}

func TestAKindThatIsInstalledLaterIsFound(t *testing.T) {
	e := newEnv(t, nil)
	a := e.get(pipeline, nil, named(widgets, "w"), says("does not have the kind Widget of example.com/v1: install its CRD"))
	if !a.Unknown {
		t.Error("nobody can tell whether it exists")
	}
	e.get(pipeline, nil, named(widgets, "w"), func(Answer) bool { return true })
	e.mapper.installed.Store(true)
	waits := func(context.Context) (bool, error) { return e.clock.HasWaiters(), nil }
	if err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, waits); err != nil {
		t.Fatal(err)
	}
	e.clock.Step(retryKinds)
	e.get(pipeline, nil, named(widgets, "w"), says("Widget apps/w does not exist"))
}

func TestWhatMayNotBeReadIsSaidWithTheRemedy(t *testing.T) {
	e := newEnv(t, nil)
	e.server.ForbidsLists.Store(true)
	a := e.get(pipeline, nil, named(databases, "db"),
		says("it may not be read: grant get, list and watch of databases.example.com to the identity that looks"))
	if !a.Unknown {
		t.Error("nobody can tell whether it exists")
	}
}

func reference(name, key string) *meta.KubeConfigReference {
	return &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: name, Key: key}}
}

// slowCloud knows the clusters of ConfigMaps, and takes its time to say where they are.
type slowCloud struct {
	*kubeconfig.Reader
	asked  atomic.Int32
	answer chan error // what it says; nil is where the cluster is
}

func (c *slowCloud) Read(ctx context.Context, namespace string, at *meta.KubeConfigReference) (*kubeconfig.Config, error) {
	if at.ConfigMapRef == nil {
		return c.Reader.Read(ctx, namespace, at)
	}
	c.asked.Add(1)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case err := <-c.answer:
		if err != nil {
			return nil, err
		}
	}
	return c.Reader.Read(ctx, namespace, reference("remote", ""))
}

// A cloud that hangs would keep a worker waiting, and one that is asked by each reader is asked
// for each news of an object.
func TestACloudIsAskedOnceAndInTheBackground(t *testing.T) {
	guard := outbound.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	e := newEnv(t, guard)
	where := builder.ConfigMap("apps", "cloud", nil)
	remote := builder.Secret("apps", "remote", map[string][]byte{"value": apiserver.KubeConfig(e.server.Config().Host, "hunter2")})
	objects := fake.NewClientBuilder().WithObjects(where, remote).Build()
	e.reader.Objects = objects
	cloud := &slowCloud{Reader: e.reader, answer: make(chan error)}
	e.KubeConfigs = cloud
	e.discoverable()
	e.put("db", "1")
	at := &meta.KubeConfigReference{ConfigMapRef: &meta.LocalObjectReference{Name: "cloud"}}
	db := named(databases, "db")

	if a := e.get(pipeline, at, db, says("its cloud is being asked where it is")); !a.Unknown || a.Failed {
		t.Errorf("while it is being asked: %+v", a)
	}
	cloud.answer <- errors.New("asking aws for the cluster of ConfigMap apps/cloud: throttled")
	if a := e.get(pipeline, at, db, says("throttled")); !a.Failed {
		t.Errorf("when it says no: %+v", a)
	}
	e.get(pipeline, at, db, says("its cloud is being asked where it is"))
	cloud.answer <- nil
	e.get(pipeline, at, db, has("1"))
	e.put("db", "2")
	e.get(pipeline, at, db, has("2"))
	if asked := cloud.asked.Load(); asked != 2 {
		t.Errorf("the cloud was asked %d times", asked)
	}

	where.Labels = map[string]string{"a": "b"}
	if err := objects.Update(t.Context(), where); err != nil {
		t.Fatal(err)
	}
	e.get(pipeline, at, db, says("its cloud is being asked where it is"))
	cloud.answer <- nil
	e.get(pipeline, at, db, has("2"))
	e.get(pipeline, at, db, has("2"))
	e.Forget(pipeline)
	if asked := cloud.asked.Load(); asked != 3 || len(e.questions) > 0 {
		t.Errorf("the cloud was asked %d times, %d questions are left", asked, len(e.questions))
	}
}

func TestAKubeConfigMayNotLeadEverywhere(t *testing.T) {
	guard := outbound.NewGuard(nil)
	e := newEnv(t, guard)
	remote := builder.Secret("apps", "remote", map[string][]byte{"value": apiserver.KubeConfig(e.server.Config().Host, "hunter2")})
	e.reader.Objects = fake.NewClientBuilder().WithObjects(remote).Build()
	a := e.get(pipeline, reference("remote", ""), named(databases, "db"), says("forbidden address"))
	if !a.Unknown || !strings.Contains(a.Why, "Database apps/db (cluster of kubeConfig remote) is not known") {
		t.Errorf("got %+v", a)
	}
}

func TestAnotherClusterAnswersOnlyWhatItIsAskedFor(t *testing.T) {
	e := newEnv(t, outbound.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}))
	host := e.server.Config().Host
	e.discoverable()
	remote := builder.Secret("apps", "remote", map[string][]byte{"value.yaml": apiserver.KubeConfig(host, "hunter2")})
	e.reader.Objects = fake.NewClientBuilder().WithObjects(remote).Build()
	e.put("db", "1")
	e.get(pipeline, reference("remote", ""), named(databases, "db"), has("1"))
	for key, w := range e.watches {
		if key.name != "db" || len(w.informer.GetStore().List()) != 1 {
			t.Errorf("%+v has %d objects", key, len(w.informer.GetStore().List()))
		}
	}
}

func TestWhatAServerAddsIsNotKept(t *testing.T) {
	for title, tc := range map[string]struct {
		namespace, name, status string
		want, message           string
	}{
		"an object of another name":              {"apps", "other", "b", "another", ""},
		"one of that name in another namespace":  {"mine", "db", "b", "another", ""},
		"the object":                             {"apps", "db", "b", "db", ""},
		"the object, with a status without end":  {"apps", "db", strings.Repeat("x", maxKept), "db", "more than 1048576 bytes"},
		"one of the cluster, which has the name": {"", "db", "b", "db", ""},
		"one of the cluster, which has another":  {"", "other", "b", "another", ""},
	} {
		t.Run(title, func(t *testing.T) {
			u := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"a": tc.status}}}
			u.SetName(tc.name)
			u.SetNamespace(tc.namespace)
			kept, err := trim(watchKey{cluster: "remote", namespace: "apps", name: "db"}, u)
			if err != nil {
				t.Fatal(err)
			}
			small := kept.(*unstructured.Unstructured)
			if text := fmt.Sprint(small.Object["status"]); small.GetName() != tc.want || len(text) > 1000 || !strings.Contains(text, tc.message) {
				t.Errorf("kept %.2000v", small.Object)
			}
		})
	}
}

// The digest of a HelmRelease's chart was dropped with its history, so that nothing told which
// chart it has.
func TestTheChartOfAHelmReleaseIsKept(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"chartRef": map[string]any{"kind": "OCIRepository", "name": "app"}, "values": map[string]any{"a": "b"}},
		"status": map[string]any{"history": []any{
			map[string]any{"ociDigest": "sha256:2", "name": "app"}, map[string]any{"ociDigest": "sha256:1"},
		}},
	}}
	u.SetName("app")
	got, err := trim(watchKey{name: "app"}, u)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"spec":   map[string]any{"chartRef": map[string]any{"kind": "OCIRepository", "name": "app"}},
		"status": map[string]any{"history": []any{map[string]any{"ociDigest": "sha256:2"}}},
	}
	small := got.(*unstructured.Unstructured).Object
	for field := range want {
		if diff := cmp.Diff(want[field], small[field]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
}

func TestANamespaceHasAShareOfTheWatches(t *testing.T) {
	e := newEnv(t, nil)
	look := e.Reader(pipeline)
	e.mu.Lock()
	e.users[pipeline] = map[watchKey]bool{}
	for i := range maxWatchesPerNamespace {
		e.users[pipeline][watchKey{namespace: fmt.Sprint(i)}] = true
	}
	e.mu.Unlock()
	a, err := look.Get(t.Context(), nil, named(databases, "db"))
	if err != nil || !a.Unknown || !strings.Contains(a.Why, "too many kinds of objects are watched for namespace apps") {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestANamespaceHasAShareOfTheQuestionsToClouds(t *testing.T) {
	at := &meta.KubeConfigReference{ConfigMapRef: &meta.LocalObjectReference{Name: "cloud"}}
	of := func(namespace string) types.NamespacedName {
		return types.NamespacedName{Namespace: namespace, Name: "other"}
	}
	for name, tc := range map[string]struct {
		others string // whose pipeline asks so many questions
		asks   int
		full   bool
	}{
		"another pipeline of the namespace asks as many as there may be": {"apps", maxWaitingPerNamespace, true},
		"one less":                        {"apps", maxWaitingPerNamespace - 1, false},
		"a pipeline of another namespace": {"theirs", maxWaitingPerNamespace, false},
	} {
		t.Run(name, func(t *testing.T) {
			where := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "cloud"}}
			e := newEnv(t, nil, where)
			e.KubeConfigs = &slowCloud{Reader: e.reader, answer: make(chan error)}
			asked := map[question]bool{}
			for i := range tc.asks {
				asked[question{of(tc.others), fmt.Sprint(i)}] = true
			}
			e.keepQuestions(of(tc.others), asked)
			look := e.Reader(pipeline)
			for i := range 2 { // the second time it is its own question
				a, err := look.Get(t.Context(), at, named(databases, "db"))
				if full := strings.Contains(a.Why, "which is the most that a namespace may"); err != nil || full != tc.full {
					t.Errorf("look %d: got %+v, %v", i, a, err)
				}
			}
		})
	}
}

func TestSecretsAreNeverAskedFor(t *testing.T) {
	e := newEnv(t, nil)
	_, err := e.Reader(pipeline).Get(t.Context(), nil, named(schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, "s"))
	if err == nil || len(e.watches) > 0 {
		t.Errorf("got %v", err)
	}
}
