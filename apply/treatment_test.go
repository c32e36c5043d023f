// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/internal/contention"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

func TestAnObjectOfWhichOnlyTheExistenceMatters(t *testing.T) {
	for name, env := range map[string]func(*testing.T) *testEnv{
		"that informers do not see": newTestEnv, "that has no owner's label": newWatchingEnv,
	} {
		t.Run(name, func(t *testing.T) {
			e := env(t)
			once := func(value string) *unstructured.Unstructured {
				return annotate(config(value), profile.SSAKey, decide.IfNotPresent)
			}
			e.Put(configAt, config("theirs"))
			out := e.apply(t, once("ours"))
			data := e.Get(configAt).Object["data"].(map[string]any)
			if len(out.Changes) != 1 || out.Changes[0].Action != decide.Skipped || data["key"] != "theirs" {
				t.Errorf("changes %v, data %v", out.Changes, data)
			}
			e.Delete(configAt)
			if out := e.apply(t, once("ours")); out.Changes[0].Action != decide.Created {
				t.Errorf("once it is gone: %v", out.Changes)
			}
		})
	}
}

func TestWhatIsKeptIsReportedAsUnchanged(t *testing.T) {
	e := newWatchingEnv(t)
	e.apply(t, config("1"))
	e.waitSeen(t, "c")
	out := e.apply(t, config("1")) // without a call, see TestInformersSaveCalls
	want := []inventory.Entry{{ID: inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}, Version: "v1"}}
	if diff := cmp.Diff(want, out.Entries()); diff != "" || out.Changes[0].Action != decide.Unchanged {
		t.Errorf("%v: %s", out.Changes, diff)
	}
}

func TestGivingAnObjectUpIsAnApplyOfNothing(t *testing.T) {
	e := newWatchingEnv(t)
	e.Put(configAt, config("theirs"))
	var sent []map[string]any
	e.Hook = func(r apiserver.Request) error {
		if r.Method == http.MethodPatch {
			sent = append(sent, r.Body.DeepCopy().Object)
			annotate(r.Body, profile.ReconcileKey, decide.Disabled)
		}
		return nil
	}
	e.apply(t, config("ours"))
	want := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "ns", "name": "c"}}
	if len(sent) != 2 {
		t.Fatalf("sent %v", sent)
	}
	if diff := cmp.Diff(want, sent[1]); diff != "" {
		t.Error(diff)
	}
}

func TestFieldsOfOthersStayWhereThatIsAskedFor(t *testing.T) {
	tests := map[string]struct {
		inSource, live bool
		patched        bool
	}{
		"nobody asks":         {patched: true},
		"the source asks":     {inSource: true},
		"the live one asks":   {live: true},
		"both of them ask so": {inSource: true, live: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			patched := false
			e.Hook = func(r apiserver.Request) error {
				switch {
				case r.Method != http.MethodPatch:
				case r.Body.Object == nil:
					patched = true
				case !patched:
					edited(r.Body)
					if tc.live {
						annotate(r.Body, profile.SSAKey, decide.Merge)
					}
				}
				return nil
			}
			u := config("1")
			if tc.inSource {
				annotate(u, profile.SSAKey, decide.Merge)
			}
			e.apply(t, u)
			if patched != tc.patched {
				t.Errorf("taken over: %v", patched)
			}
		})
	}
}

func TestARequestToRestartOutlastsTheFieldsOfItsManager(t *testing.T) {
	restart := metav1.ManagedFieldsEntry{
		Manager: "kubectl-rollout", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "apps/v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`),
	}
	edit := metav1.ManagedFieldsEntry{
		Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "apps/v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:replicas":{}}}`),
	}
	tests := map[string]struct {
		entries []metav1.ManagedFieldsEntry
		want    []string // the managers that are left; nil when nothing is written
	}{
		"a request alone":                 {entries: []metav1.ManagedFieldsEntry{restart}},
		"nobody":                          {},
		"somebody's fields":               {entries: []metav1.ManagedFieldsEntry{edit}, want: []string{"ours"}},
		"somebody's fields and a request": {entries: []metav1.ManagedFieldsEntry{edit, restart}, want: []string{"ours", "kubectl-rollout"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			u := unstructuredOf("apps/v1", "Deployment", "d")
			u.SetManagedFields(tc.entries)
			patches, err := replaceFormerManagers(u, &decide.Profile{FieldManager: "ours"})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range patches {
				for _, entry := range p.Value {
					got = append(got, entry.Manager)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTracesOfThoseWhoManagedAnObjectBeforeAreCleared(t *testing.T) {
	for _, key := range slices.Concat(formerAnnotations, formerLabels) {
		e := newTestEnv(t)
		patched := 0
		e.Hook = func(r apiserver.Request) error {
			switch {
			case r.Method != http.MethodPatch:
			case r.Body.Object == nil:
				patched++
			case patched == 0 && slices.Contains(formerLabels, key):
				labels := r.Body.GetLabels()
				labels[key] = "x"
				r.Body.SetLabels(labels)
			case patched == 0:
				annotate(r.Body, key, "x")
			}
			return nil
		}
		e.apply(t, config("1"))
		if patched != 1 {
			t.Errorf("%s: cleared %d times", key, patched)
		}
		if live := e.Get(configAt); live.GetAnnotations()[key]+live.GetLabels()[key] != "" {
			t.Errorf("%s is still there", key)
		}
	}
}

func TestASecretOfAnotherGroupIsNone(t *testing.T) {
	a := &applier{set: newTestEnv(t).set}
	err := apierrors.NewBadRequest("key is too short")
	for group, hidden := range map[string]bool{"": true, "vault.example.com": false} {
		o := &object{Unstructured: unstructuredOf("v1", "Secret", "s"), id: inventory.ID{Name: "s", Group: group, Kind: "Secret"}}
		if said := a.explain(o, err).Error(); strings.Contains(said, "too short") == hidden {
			t.Errorf("of group %q: %s", group, said)
		}
	}
	secret := &object{Unstructured: unstructuredOf("v1", "Secret", "s"), id: inventory.ID{Name: "s", Kind: "Secret"}}
	if said := a.explain(secret, errors.New("no route to host")).Error(); !strings.Contains(said, "no route to host") {
		t.Errorf("what is not of the API server is hidden: %s", said)
	}
	if got := a.explain(secret, apierrors.NewForbidden(schema.GroupResource{}, "s", errors.New("x"))); !apierrors.IsForbidden(got) {
		t.Errorf("%v is not Forbidden any more", got)
	}
	noNamespace := apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "shop")
	if said := a.explain(secret, noNamespace).Error(); !strings.HasSuffix(said, `"shop" not found: create it, or add it to the manifests`) {
		t.Errorf("of a namespace that is missing: %s", said)
	}
	said := a.explain(secret, immutableError{error: invalid("x")}).Error()
	if !strings.Contains(said, ": a field is immutable (details hidden") {
		t.Errorf("said: %s", said)
	}
}

func TestWhatTheLiveServiceHoldsIsNotAskedForAgain(t *testing.T) {
	of := func(kind, group string, spec map[string]any) *unstructured.Unstructured {
		u := unstructuredOf("v1", kind, "s")
		u.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
		u.SetUID("u")
		u.SetResourceVersion("7")
		if spec != nil {
			u.Object["spec"] = spec
		}
		return u
	}
	address := func(ip string) map[string]any {
		return map[string]any{"clusterIP": ip, "clusterIPs": []any{ip}, "healthCheckNodePort": int64(31000)}
	}
	tests := map[string]struct {
		o, live *unstructured.Unstructured
		want    map[string]any
	}{
		"its address and its health check": {
			of("Service", "", address("10.0.0.1")), of("Service", "", address("10.0.0.1")), map[string]any{},
		},
		"another health check": {
			of("Service", "", address("10.0.0.1")), of("Service", "", map[string]any{"clusterIP": "10.0.0.1", "healthCheckNodePort": int64(31001)}),
			map[string]any{"healthCheckNodePort": int64(31000)},
		},
		"no address at all is one": {
			of("Service", "", address("None")), of("Service", "", address("None")), map[string]any{"clusterIP": "None", "clusterIPs": []any{"None"}},
		},
		"an object that is called a Service": {
			of("Service", "serving.knative.dev", address("10.0.0.1")),
			of("Service", "serving.knative.dev", address("10.0.0.1")), address("10.0.0.1"),
		},
		"another object": {of("Database", "", address("10.0.0.1")), of("Database", "", address("10.0.0.1")), address("10.0.0.1")},
		"no spec":        {of("Service", "", nil), of("Service", "", address("10.0.0.1")), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := asNew(tc.o, tc.live)
			if spec, _ := got["spec"].(map[string]any); !cmp.Equal(tc.want, spec) {
				t.Error(cmp.Diff(tc.want, spec))
			}
			if metadata := got["metadata"].(map[string]any); metadata["name"] != "s" || metadata["uid"] != nil ||
				metadata["resourceVersion"] != nil {
				t.Errorf("metadata %v", metadata)
			}
		})
	}
}

func TestTheOtherOwnerOfAnObjectIsNamed(t *testing.T) {
	e := newTestEnv(t)
	e.apply(t, config("ours"))
	e.Put(configAt, ownedBy(other, config("theirs")))
	out := e.apply(t, config("ours")) // which is told at once
	if len(out.Contentions) != 1 || out.Contentions[0].Owner != other || out.Contentions[0].Deleted || out.Contentions[0].Manager != "" {
		t.Errorf("contentions %+v", out.Contentions)
	}
}

func TestTheFieldsThatDifferAreNamed(t *testing.T) {
	list := func(values ...any) map[string]any { return map[string]any{"items": values} }
	many := func(value string) map[string]any {
		return map[string]any{"f": value, "e": value, "d": value, "c": value, "b": value, "a": value}
	}
	tests := map[string]struct {
		source, live map[string]any
		want         []string
	}{
		"an item":          {list("a", "b"), list("a", "c"), []string{".items[1]"}},
		"a field of it":    {list(map[string]any{"a": "1"}), list(map[string]any{"a": "2", "b": "x"}), []string{".items[0].a"}},
		"an item too many": {list("a"), list("a", "b"), []string{".items"}},
		"an item too few":  {list("a", "b"), list("a"), []string{".items"}},
		"no list any more": {list("a"), map[string]any{"items": "a"}, []string{".items"}},
		"what nobody set":  {map[string]any{"a": nil}, map[string]any{"a": "1"}, []string{}},
		"all of many":      {many("1"), many("2"), []string{".a", ".b", ".c", ".d", ".e", ".f"}},
	}
	for name, tc := range tests {
		if diff := cmp.Diff(tc.want, differences(tc.source, tc.live),
			cmp.Transformer("nil", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestWhatAnIdentityMayIsAskedAgainAfterAWhile(t *testing.T) {
	ref := Reference{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, Namespace: "ns", Name: "c"}
	for name, tc := range map[string]struct {
		allowed bool
		ttl     time.Duration
	}{"that it may": {true, grantTTL}, "that it may not": {false, refusalTTL}} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			var asked []map[string]any
			e.Hook = func(r apiserver.Request) error {
				if strings.HasSuffix(r.Path, "/selfsubjectaccessreviews") {
					asked = append(asked, r.Body.DeepCopy().Object)
					r.Body.Object["status"] = map[string]any{"allowed": tc.allowed}
				}
				return nil
			}
			e.Put("/api/v1/namespaces/ns/serviceaccounts/team", unstructuredOf("v1", "ServiceAccount", "team"))
			as := Impersonation{Namespace: "ns", ServiceAccount: "team"}
			look := func(want int) {
				t.Helper()
				if _, err := e.set.Apply(t.Context(), Request{Impersonation: as, References: []Reference{ref}}); err != nil {
					t.Fatal(err)
				}
				if got := len(e.set.references) == 1; got != tc.allowed || len(asked) != want {
					t.Errorf("watched: %v; asked %d times, want %d", got, len(asked), want)
				}
			}
			look(1)
			e.clock.SetTime(e.clock.Now().Add(tc.ttl - time.Second))
			look(1)
			e.clock.SetTime(e.clock.Now().Add(time.Second))
			look(2)
			if asked[0]["kind"] != "SelfSubjectAccessReview" || asked[0]["apiVersion"] != "authorization.k8s.io/v1" {
				t.Errorf("asked %v", asked[0])
			}
			as.ServiceAccount = "other"
			e.Put("/api/v1/namespaces/ns/serviceaccounts/other", unstructuredOf("v1", "ServiceAccount", "other"))
			look(3)
		})
	}
}

func TestANamespaceOfWhatIsInNoneIsLeftOut(t *testing.T) {
	e := newTestEnv(t)
	u := unstructuredOf("v1", "Namespace", "team")
	u.SetNamespace("ns")
	out := e.apply(t, u)
	if e.Get("/api/v1/namespaces/team").GetNamespace() != "" || len(out.Changes) != 1 || out.Changes[0].Namespace != "" {
		t.Errorf("changes %v", out.Changes)
	}
}

func TestLaterWavesWaitUntilAnEarlyOneIsEstablished(t *testing.T) {
	const at = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com"
	definition := func() *unstructured.Unstructured {
		u := unstructuredOf("apiextensions.k8s.io/v1", "CustomResourceDefinition", "things.example.com")
		u.Object["spec"] = map[string]any{
			"conversion": map[string]any{"webhook": map[string]any{"clientConfig": map[string]any{"caBundle": "Cg=="}}},
		}
		return u
	}
	for name, env := range map[string]func(*testing.T) *testEnv{"that is watched": newWatchingEnv, "that is asked for": newTestEnv} {
		t.Run(name, func(t *testing.T) {
			e := env(t)
			out := e.apply(t, config("1"), definition())
			if out.Waiting.Healthy() || len(out.Changes) != 1 || e.Get(configAt) != nil {
				t.Fatalf("waiting %+v, changes %v", out.Waiting, out.Changes)
			}
			if bundle, found, _ := unstructured.NestedString(e.Get(at).Object, "spec", "conversion", "webhook", "clientConfig", "caBundle"); found {
				t.Errorf("the bundle is applied: %q", bundle)
			}
			established := e.Get(at)
			established.Object["status"] = map[string]any{"conditions": []any{
				map[string]any{"type": "NamesAccepted", "status": "True"}, map[string]any{"type": "Established", "status": "True"},
			}}
			e.Put(at, established)
			if !e.ForbidsLists.Load() {
				e.wait(t, "it is established")
			}
			if out := e.apply(t, config("1"), definition()); !out.Waiting.Healthy() || len(out.Changes) != 2 {
				t.Errorf("waiting %+v, changes %v", out.Waiting, out.Changes)
			}
			e.set.tracker.applied[inventory.ID{
				Name: "things.example.com", Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition",
			}].Action = decide.Skipped
			if h := e.set.Health(t.Context()); !h.Healthy() {
				t.Errorf("health %+v", h)
			}
		})
	}
}

func TestHealthThatCannotBeReadIsNotHealth(t *testing.T) {
	e := newTestEnv(t)
	e.apply(t, config("1"))
	e.Hook = fails(http.MethodGet, 0, errTrouble)
	if h := e.set.Health(t.Context()); h.Healthy() || !strings.Contains(strings.Join(h.Pending, " "), "ConfigMap/ns/c") {
		t.Errorf("health %+v", h)
	}
	e.Hook = nil
	e.set.engine.clients.mapper = brokenMapper{e.Mapper()}
	e.set.engine.clients.pool.Remove(Impersonation{})
	if h := e.set.Health(t.Context()); h.Healthy() {
		t.Errorf("with discovery in trouble: %+v", h)
	}
	e = newTestEnv(t)
	e.apply(t, config("1"))
	e.Delete(configAt)
	if h := e.set.Health(t.Context()); h.Healthy() || !strings.Contains(strings.Join(h.Pending, " "), "NotFound") {
		t.Errorf("of what is gone: %+v", h)
	}
}

func TestADriftDuringAnApplyWakesTheOwnerAfterIt(t *testing.T) {
	id := inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}
	e := newWatchingEnv(t)
	e.apply(t, config("1"))
	e.waitSeen(t, "c")
	for len(e.woken) > 0 {
		<-e.woken
	}
	track := e.set.tracker
	track.beginApply()
	e.Delete(configAt)
	e.poll(t, "the deletion is never seen", func() bool {
		track.mu.Lock()
		defer track.mu.Unlock()
		return track.touched[id]
	})
	if len(e.woken) > 0 {
		t.Error("woken in the middle of an apply")
	}
	if !track.endApply() {
		t.Error("the drift is not seen")
	}
	if track.beginApply(); track.endApply() {
		t.Error("the drift of an earlier apply is told again")
	}
}

func TestADoubtfulChangeIsLookedAt(t *testing.T) {
	e := newWatchingEnv(t)
	e.apply(t, config("1"))
	e.waitSeen(t, "c")
	id := inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}
	gone := &decide.LiveObject{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1", Labels: profile.Labels(owner)}}
	change := watch.Event{
		ID: id, GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, Freshness: decide.Missing,
		Seen: gone, Doubtful: true,
	}
	if e.set.tracker.noteChange(change) {
		t.Error("what is there has drifted")
	}
}

func TestWhatDriftedIsForgottenOnceItIsAsApplied(t *testing.T) {
	id := inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}
	at := func(version, hash string) *decide.LiveObject {
		return &decide.LiveObject{FieldHash: hash, ObjectMeta: metav1.ObjectMeta{ResourceVersion: version, Labels: profile.Labels(owner)}}
	}
	left := &decide.Applied{Action: decide.Created, Left: at("10", "ours")}
	for name, mend := range map[string]func(*tracker){
		"by somebody": func(m *tracker) {
			m.ObjectChanged(watch.Event{ID: id, Freshness: decide.Fresh, Seen: at("12", "ours")})
		},
		"by an apply":              func(m *tracker) { m.record(id, left) },
		"when it leaves the set":   func(m *tracker) { m.retain(nil); m.record(id, left); m.drifted[inventory.ID{}] = false },
		"and others leave the set": func(m *tracker) { m.record(id, left); m.retain(map[inventory.ID]bool{id: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newTracker(newTestEnv(t).set.engine, owner, func() {})
			m.record(id, left)
			m.ObjectChanged(watch.Event{ID: id, Freshness: decide.Fresh, Seen: at("11", "theirs")})
			m.setRepairs(id, decide.Repairs{History: contention.History{Until: time.Unix(1, 0)}})
			if m.drift(time.Now()).Worst != decide.Drifted {
				t.Fatal("it has not drifted")
			}
			mend(m)
			if m.drift(time.Now()).Worst == decide.Drifted {
				t.Error("it has drifted still")
			}
			if name == "when it leaves the set" && !m.repairsOf(id).Until.IsZero() {
				t.Error("its repairs are remembered")
			}
		})
	}
}

func TestThePauseThatEndsFirstIsWaitedFor(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	m := newTracker(newTestEnv(t).set.engine, owner, func() {})
	for name, seconds := range map[string]int{"a": 30, "b": 10, "c": 20} {
		id := inventory.ID{Namespace: "ns", Name: name, Kind: "ConfigMap"}
		m.record(id, &decide.Applied{Action: decide.Created, Left: &decide.LiveObject{}})
		m.drifted[id] = true
		m.setRepairs(id, decide.Repairs{History: contention.History{Until: now.Add(time.Duration(seconds) * time.Second)}})
	}
	if found := m.drift(now); found.Worst == decide.Drifted || !found.Resume.Equal(now.Add(10*time.Second)) {
		t.Errorf("%+v", found)
	}
}

func TestWhatIsWatchedIsWhatWasAppliedAndReferredTo(t *testing.T) {
	e := newTestEnv(t)
	ref := Reference{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, Namespace: "ns", Name: "token"}
	if _, err := e.set.Apply(t.Context(),
		Request{Objects: []*unstructured.Unstructured{config("1"), named("d")}, References: []Reference{ref}}); err != nil {
		t.Fatal(err)
	}
	want := []watch.Target{
		{GroupVersionKind: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}},
		{GroupVersionKind: ref.GroupVersionKind, Namespace: "ns", Name: "token"},
	}
	if diff := cmp.Diff(want, e.set.targets()); diff != "" {
		t.Error(diff)
	}
}

func TestNewsOfHealthWakeTheOwner(t *testing.T) {
	woken := false
	newTracker(newTestEnv(t).set.engine, owner, func() { woken = true }).HealthChanged()
	if !woken {
		t.Error("not woken")
	}
}
