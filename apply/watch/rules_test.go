// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/internal/pattern"
)

func decoded(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err == nil {
		err = utiljson.Unmarshal(data, &u.Object)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func check(apiVersion, kind, current string) kustomize.CustomHealthCheck {
	return kustomize.CustomHealthCheck{
		APIVersion: apiVersion, Kind: kind, HealthCheckExpressions: kustomize.HealthCheckExpressions{Current: current},
	}
}

func TestExpressionsTellHealthInOrder(t *testing.T) {
	all := check("example.com/v1", "Thing", "status.up")
	all.Failed, all.InProgress = "status.broken", "status.busy"
	tests := map[string]struct {
		checks []kustomize.CustomHealthCheck
		object string
		want   status.Status
		says   string
	}{
		"in progress comes first": {[]kustomize.CustomHealthCheck{all}, `status: {up: true, broken: true, busy: true}`,
			status.InProgressStatus, ""},
		"then a failure": {[]kustomize.CustomHealthCheck{all}, `status: {up: true, broken: true, busy: false}`, status.FailedStatus, ""},
		"then health": {[]kustomize.CustomHealthCheck{all}, `status: {up: true, broken: false, busy: false}`,
			status.CurrentStatus, ""},
		"nothing is in progress": {[]kustomize.CustomHealthCheck{all}, `status: {up: false, broken: false, busy: false}`,
			status.InProgressStatus, ""},
		"a spec that is not seen yet": {
			[]kustomize.CustomHealthCheck{all}, `{metadata: {name: t, generation: 2}, status: {up: true, broken: false, busy: false, ` +
				`observedGeneration: 1}}`,
			status.InProgressStatus, "",
		},
		"an observedGeneration that is a text": {
			[]kustomize.CustomHealthCheck{check("example.com/v1", "Thing", "true")},
			`{metadata: {generation: 2}, status: {observedGeneration: "1"}}`,
			status.CurrentStatus, "",
		},
		"a field that is not there": {[]kustomize.CustomHealthCheck{all}, `spec: {}`, status.UnknownStatus, "no such"},
		"a field that is no condition": {[]kustomize.CustomHealthCheck{check("example.com/v1", "Thing", "spec.size")}, `spec: {size: 1}`,
			status.UnknownStatus, "not true or false"},
		"an expression of the whole group": {[]kustomize.CustomHealthCheck{check("example.com/v2", "", "spec.size == 1")}, `spec: {size: 1}`,
			status.CurrentStatus, ""},
		"one of the kind beside one of the group": {
			[]kustomize.CustomHealthCheck{check("example.com/v1", "", "true"), check("example.com/v1", "Thing", "false")}, `spec: {}`,
			status.InProgressStatus, "",
		},
		"one of another kind": {
			[]kustomize.CustomHealthCheck{check("example.com/v1", "Other", "false")}, `status: {conditions: [{type: Ready, status: "True"}]}`,
			status.CurrentStatus, "",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			rules, err := NewRules(profile, tc.checks, nil)
			if err != nil {
				t.Fatal(err)
			}
			u := decoded(t, tc.object)
			u.SetAPIVersion("example.com/v1")
			u.SetKind("Thing")
			o := observer.With(rules).Observe(u)
			if o.Status != tc.want || !strings.Contains(o.Message, tc.says) {
				t.Errorf("%s: %s", o.Status, o.Message)
			}
		})
	}
}

func TestWhatIsDeletedIsNotHealthyByAnyExpression(t *testing.T) {
	rules, err := NewRules(profile, []kustomize.CustomHealthCheck{check("example.com/v1", "Thing", "true")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	u := decoded(t, `{apiVersion: example.com/v1, kind: Thing, metadata: {name: t, deletionTimestamp: "2026-01-01T00:00:00Z"}}`)
	if o := observer.With(rules).Observe(u); o.Status != status.TerminatingStatus {
		t.Errorf("got %s", o.Status)
	}
}

func TestSelectorsOfIgnoreRules(t *testing.T) {
	gvk := schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}
	obj := &metav1.ObjectMeta{Namespace: "ns", Name: "app-1", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"}}
	tests := map[string]struct {
		target *kustomize.Selector
		want   bool
	}{
		"none":                      {nil, true},
		"an empty one":              {&kustomize.Selector{}, true},
		"the kind":                  {&kustomize.Selector{Kind: "Deployment"}, true},
		"a part of the kind":        {&kustomize.Selector{Kind: "Deploy"}, false},
		"an expression of the name": {&kustomize.Selector{Name: "app-.*|x"}, true},
		"another name":              {&kustomize.Selector{Name: "app"}, false},
		"group, version, namespace": {&kustomize.Selector{Group: "apps", Version: "v.", Namespace: "n."}, true},
		"another namespace":         {&kustomize.Selector{Namespace: "other"}, false},
		"another group":             {&kustomize.Selector{Group: "batch"}, false},
		"another version":           {&kustomize.Selector{Version: "v2"}, false},
		"labels":                    {&kustomize.Selector{LabelSelector: "a in (b)"}, true},
		"other labels":              {&kustomize.Selector{LabelSelector: "a=c"}, false},
		"annotations":               {&kustomize.Selector{AnnotationSelector: "c"}, true},
		"other annotations":         {&kustomize.Selector{AnnotationSelector: "!c"}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			rules, err := NewRules(profile, nil, []IgnoreRule{{Paths: []string{"/spec/replicas"}, Target: tc.target}})
			if err != nil {
				t.Fatal(err)
			}
			if got := len(rules.Ignored(gvk, obj)) > 0; got != tc.want || (rules.DigestFor(gvk, obj) != "") != tc.want {
				t.Errorf("matches = %v", got)
			}
		})
	}
}

func TestIgnoreRulesAreBounded(t *testing.T) {
	many := func(n int, rule IgnoreRule) []IgnoreRule {
		rules := make([]IgnoreRule, n)
		for i := range rules {
			rules[i] = rule
		}
		return rules
	}
	for name, rules := range map[string][]IgnoreRule{
		"paths":           many(maxIgnoredPaths+1, IgnoreRule{Paths: []string{"/a"}}),
		"a path":          {{Paths: []string{"/" + strings.Repeat("a", maxPathLength)}}},
		"an expression":   {{Target: &kustomize.Selector{Name: "(a{0,1000}){0,1000}"}}},
		"all expressions": many(30, IgnoreRule{Target: &kustomize.Selector{Name: "a{0,900}"}}),
		"the kind":        {{Paths: []string{"/kind"}}},
		"the name":        {{Paths: []string{"/metadata/name"}}},
		"all metadata":    {{Paths: []string{"/metadata"}}},
	} {
		if _, err := NewRules(profile, nil, rules); !errors.Is(err, ErrIgnoreRule) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if maxSelectorSize < pattern.MaxSize {
		t.Error("one expression has to fit")
	}
}

const liveDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: d
  annotations: {example.com/a: theirs}
  managedFields:
  - {manager: kustomize-controller, operation: Apply, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: OURS}
  - {manager: hpa, operation: Apply, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:replicas": {}}}}
  - {manager: kubectl-edit, operation: Update, apiVersion: apps/v1, fieldsType: FieldsV1,
     fieldsV1: {"f:metadata": {"f:annotations": {"f:example.com/a": {}}}}}
spec:
  replicas: 7
  template: {spec: {containers: [{name: side, image: s}, {name: app, image: live, ports: [{containerPort: 80, protocol: TCP}]}]}}
`

const ourFields = `{"f:metadata": {"f:annotations": {"f:example.com/a": {}}}, "f:spec": {"f:template": {"f:spec": ` +
	`{"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:image": {}, "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": ` +
	`{"f:name": {}}}}}}}}}`

func ignoring(t *testing.T, paths ...string) *Rules {
	t.Helper()
	rules, err := NewRules(profile, nil, []IgnoreRule{{Paths: paths}})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestIgnoredFieldsAreNoDrift(t *testing.T) {
	with := func(ours string) *unstructured.Unstructured {
		return decoded(t, strings.Replace(liveDeployment, "OURS", ours, 1))
	}
	tests := map[string]struct {
		ignore string
		taken  string // from our fields
	}{
		"a field":            {"/metadata/annotations/example.com~1a", `"f:metadata": {"f:annotations": {"f:example.com/a": {}}}, `},
		"a field of an item": {"/spec/template/spec/containers/1/image", `, "f:image": {}`},
		"a field of items' items": {"/spec/template/spec/containers/1/ports/0/name",
			`, "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {"f:name": {}}}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			before, after := with(ourFields), with(strings.Replace(ourFields, tc.taken, "", 1))
			if before, after := observer.Observe(before), observer.Observe(after); before.FieldHash == after.FieldHash {
				t.Fatal("it would be drift without a rule")
			}
			by := observer.With(ignoring(t, tc.ignore))
			left, seen := by.Observe(before), by.Observe(after)
			if left.FieldHash != seen.FieldHash || left.Rules == "" {
				t.Errorf("left %s, seen %s", left.FieldHash, seen.FieldHash)
			}
		})
	}
	if o := observer.With(ignoring(t, "/metadata/annotations/example.com~1a")).Observe(with(ourFields)); o.FormerHash != "" {
		t.Error("a field that kubectl changed is to be taken over although it is ignored")
	}
	if o := observer.With(ignoring(t, "/spec/replicas")).Observe(with(ourFields)); o.FormerHash == "" {
		t.Error("a field that kubectl changed is not to be taken over although another one is ignored")
	}
}

func TestIgnoredFieldsAreAppliedAsTheyAre(t *testing.T) {
	source := func() *unstructured.Unstructured {
		return decoded(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, annotations: {example.com/a: ours, example.com/b: ours}},
			spec: {replicas: 1, paused: true, template: {spec: {containers: [{name: side, image: s}, {name: app, image: ours}]}}}}`)
	}
	tests := map[string]struct {
		ignore string
		want   string // instead of the source
	}{
		"what somebody changed keeps its value": {"/metadata/annotations/example.com~1a",
			`{"metadata": {"annotations": {"example.com/a": "theirs"}}}`},
		"what another manager applies is left to him": {"/spec/replicas", `{"spec": {"replicas": null}}`},
		"what somebody removed stays away":            {"/spec/paused", `{"spec": {"paused": null}}`},
		"what is not in the source is not there":      {"/spec/strategy", `{}`},
		"an item of a list": {
			"/spec/template/spec/containers/1/image",
			`{"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s"}, {"name": "app", "image": "live"}]}}}}`,
		},
		"an item that is not there": {"/spec/template/spec/containers/5/image", `{}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			live := decoded(t, strings.Replace(liveDeployment, "OURS", ourFields, 1))
			got, want := source(), source()
			Adopt(ignoring(t, tc.ignore).Ignored(got.GroupVersionKind(), got), got, live, "kustomize-controller")
			var patch map[string]any
			if err := json.Unmarshal([]byte(tc.want), &patch); err != nil {
				t.Fatal(err)
			}
			merge(want.Object, patch)
			if diff := cmp.Diff(want.Object, got.Object); diff != "" {
				t.Errorf("applied (-want +got):\n%s", diff)
			}
		})
	}
}

// merge is a JSON merge patch.
func merge(into, patch map[string]any) {
	for name, value := range patch {
		below, isMap := value.(map[string]any)
		switch {
		case value == nil:
			delete(into, name)
		case isMap:
			merge(into[name].(map[string]any), below)
		default:
			into[name] = value
		}
	}
}

func TestInformersReadByTheRulesOfEachOwner(t *testing.T) {
	server, s := newInformers(t)
	rules, err := NewRules(profile, []kustomize.CustomHealthCheck{check("v1", "Service", `spec.up`)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	with, without := newSignals(), newSignals()
	a, b := s.Subscribe(owner, with), s.Subscribe(profile.Owner("ns", "other"), without)
	a.Read(rules)
	for _, u := range []*Subscription{a, b} {
		u.Use(t.Context(), []Target{{GroupVersionKind: services}})
		u.WaitSynced(t.Context())
	}
	put := func(name string, up bool, labels map[string]string) {
		u := named(services, name)
		u.SetLabels(labels)
		u.Object["spec"] = map[string]any{"up": up}
		server.Put("/api/v1/namespaces/ns/services/"+name, u)
	}
	put("a", false, profile.Labels(owner))
	put("b", false, profile.Labels(profile.Owner("ns", "other")))
	wait(t, with.changed, "a is there")
	wait(t, without.changed, "b is there")
	if seen, freshness := a.Observe(services, idOf(services, "a"), nil); freshness != decide.Fresh || seen.Status != status.InProgressStatus {
		t.Errorf("with rules: %v", seen)
	}
	if seen, _ := b.Observe(services, idOf(services, "b"), nil); seen == nil || seen.Status != status.CurrentStatus {
		t.Errorf("without rules: %v", seen)
	}
	if _, freshness := b.Observe(services, idOf(services, "a"), nil); freshness != decide.Unknown {
		t.Errorf("what was read by another's rules is %v", freshness)
	}
}
