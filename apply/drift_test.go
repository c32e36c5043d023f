package apply

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
)

func TestDrift(t *testing.T) {
	owner, other := Owner{Namespace: "ns", Name: "app"}, Owner{Namespace: "ns", Name: "other"}
	seen := func(change func(*watch.Observed)) *watch.Observed {
		o := &watch.Observed{Print: "ours", ObjectMeta: metav1.ObjectMeta{Labels: ownerLabels(owner)}}
		if change != nil {
			change(o)
		}
		return o
	}
	annotated := func(key, value string) *watch.Observed {
		return seen(func(o *watch.Observed) { o.Print, o.Annotations = "changed", map[string]string{key: value} })
	}
	rivals := seen(func(o *watch.Observed) { o.Rivals = "kubectl-edit" })
	foreign := seen(func(o *watch.Observed) { o.Labels = nil })
	tests := map[string]struct {
		left  applied
		sight watch.Sight
		seen  *watch.Observed
		want  Drift
	}{
		"nothing happened":                                     {sight: watch.Seen, seen: seen(nil), want: Steady},
		"a field was changed":                                  {sight: watch.Seen, seen: seen(func(o *watch.Observed) { o.Print = "less" }), want: Drifted},
		"a field was added with kubectl":                       {sight: watch.Seen, seen: rivals, want: Drifted},
		"a field was added with kubectl where that may be":     {left: applied{merges: true}, sight: watch.Seen, seen: rivals, want: Steady},
		"a field that an admission webhook keeps adding":       {left: applied{seen: rivals}, sight: watch.Seen, seen: rivals, want: Steady},
		"it was deleted":                                       {sight: watch.Missing, want: Drifted},
		"a finished Job was cleaned up":                        {left: applied{expires: true}, sight: watch.Missing, want: Steady},
		"it is not known yet what became of it":                {sight: watch.Behind, want: Steady},
		"nobody may watch it":                                  {sight: watch.Unknown, want: Unsure},
		"it asks to be left alone from now on":                 {sight: watch.Seen, seen: annotated(keyReconcile, disabled), want: Steady},
		"it is ignored from now on":                            {sight: watch.Seen, seen: annotated(keySSA, "Ignore"), want: Steady},
		"another Kustomization has it":                         {sight: watch.Seen, seen: seen(func(o *watch.Observed) { o.Print, o.Labels = "theirs", ownerLabels(other) }), want: Unsure},
		"one of its labels was taken":                          {sight: watch.Seen, seen: seen(func(o *watch.Observed) { o.Print = "less"; delete(o.Labels, labelNamespace) }), want: Drifted},
		"it asked to be left alone and does no more":           {left: applied{action: Skipped, seen: annotated(keyReconcile, disabled)}, sight: watch.Seen, seen: seen(nil), want: Drifted},
		"it asks to be left alone, as before":                  {left: applied{action: Skipped}, sight: watch.Seen, seen: annotated(keyReconcile, disabled), want: Steady},
		"it is not ours and asked to be left alone":            {left: applied{action: Skipped, seen: foreign}, sight: watch.Missing, want: Unsure},
		"the source asks not to apply it":                      {left: applied{action: Skipped, declined: true}, sight: watch.Seen, seen: seen(nil), want: Steady},
		"what need only be there was changed":                  {left: applied{present: true}, sight: watch.Seen, seen: annotated("a", "b"), want: Steady},
		"what need only be there, and we made it, was deleted": {left: applied{present: true, action: Skipped}, sight: watch.Missing, want: Drifted},
		"what need only be there is another's":                 {left: applied{present: true, action: Skipped, seen: foreign}, sight: watch.Missing, want: Unsure},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.left.seen == nil {
				tc.left.seen = seen(nil)
			}
			if got := tc.left.drift(owner, tc.seen, tc.sight); got != tc.want {
				t.Errorf("drift = %d, want %d", got, tc.want)
			}
		})
	}
}

func TestNewsOfObjects(t *testing.T) {
	owner := Owner{Namespace: "ns", Name: "app"}
	id := inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}
	at := func(version, print string) *watch.Observed {
		return &watch.Observed{Print: print, ObjectMeta: metav1.ObjectMeta{ResourceVersion: version, Labels: ownerLabels(owner)}}
	}
	tests := map[string]struct {
		id    inventory.ID
		sight watch.Sight
		seen  *watch.Observed
		busy  bool
		want  bool
	}{
		"a change is":                            {id: id, sight: watch.Seen, seen: at("11", "changed"), want: true},
		"a deletion is":                          {id: id, sight: watch.Missing, seen: at("11", "ours"), want: true},
		"what was applied itself is not":         {id: id, sight: watch.Seen, seen: at("10", "ours")},
		"what came before the apply is not":      {id: id, sight: watch.Seen, seen: at("9", "before")},
		"the deletion of a predecessor is not":   {id: id, sight: watch.Missing, seen: at("9", "before")},
		"what comes in the middle of one is not": {id: id, sight: watch.Seen, seen: at("11", "changed"), busy: true},
		"somebody else's is not":                 {id: inventory.ID{Name: "x"}, sight: watch.Seen, seen: at("11", "changed")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m := newMemory(owner)
			m.note(id, &applied{action: Created, seen: at("10", "ours")})
			if tc.busy {
				m.begin()
			}
			if got := m.hear(watch.News{ID: tc.id, Sight: tc.sight, Seen: tc.seen}, nil); got != tc.want {
				t.Errorf("hear = %v, want %v", got, tc.want)
			}
		})
	}
}

// config is a ConfigMap in the source.
func config(value string) *unstructured.Unstructured {
	u := unstructuredOf("v1", "ConfigMap", "c")
	u.SetNamespace("ns")
	u.Object["data"] = map[string]any{"key": value}
	return u
}

func TestAFightIsRecognised(t *testing.T) {
	const path = "/api/v1/namespaces/ns/configmaps/c"
	a, engine := newAPI(t)
	clk := clocktesting.NewFakePassiveClock(time.Now())
	engine.Clock = clk
	owner := Owner{Namespace: "ns", Name: "app"}
	apply := func() (repaired bool, fights []Fight) {
		t.Helper()
		a.calls = nil
		out, err := engine.Apply(t.Context(), Request{Owner: owner, Objects: []*unstructured.Unstructured{config("ours")}})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(strings.Join(a.calls, "\n"), "PATCH"), out.Fights
	}
	undo := func() {
		u := labelled(config("theirs"), owner)
		u.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "autoscaler", Operation: metav1.ManagedFieldsOperationUpdate}})
		a.put(path, u)
	}
	apply()
	for i := range 2 {
		undo()
		if repaired, fights := apply(); !repaired || len(fights) > 0 {
			t.Fatalf("repair %d: repaired %v, fights %v", i+1, repaired, fights)
		}
	}
	undo()
	_, fights := apply()
	want := []Fight{{ID: inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}, Who: "autoscaler", Fields: []string{".data.key"}, Pause: firstPause}}
	if diff := cmp.Diff(want, fights); diff != "" {
		t.Fatalf("fights (-want +got):\n%s", diff)
	}
	if text := fights[0].String(); strings.Contains(text, "theirs") || !strings.Contains(text, "autoscaler (.data.key)") {
		t.Errorf("told: %s", text)
	}
	undo()
	if repaired, _ := apply(); repaired {
		t.Error("repaired in a pause")
	}
	engine.Insist(owner)
	if repaired, fights := apply(); !repaired || len(fights) > 0 {
		t.Errorf("by request: repaired %v, told again %v", repaired, fights)
	}
	undo()
	clk.SetTime(clk.Now().Add(2*firstPause - time.Second))
	if repaired, _ := apply(); repaired {
		t.Error("the pause did not grow")
	}
	clk.SetTime(clk.Now().Add(2 * time.Second))
	if repaired, _ := apply(); !repaired {
		t.Error("not repaired after the pause")
	}
}

func TestDifferences(t *testing.T) {
	source := map[string]any{
		"spec": map[string]any{"replicas": int64(1), "same": "x", "containers": []any{map[string]any{"image": "a:1"}}, "gone": true},
		"data": map[string]any{"a": "1"},
	}
	live := map[string]any{
		"spec":   map[string]any{"replicas": int64(3), "same": "x", "containers": []any{map[string]any{"image": "a:1", "defaulted": "y"}}},
		"data":   map[string]any{"a": "1", "b": "theirs"},
		"status": map[string]any{},
	}
	if diff := cmp.Diff([]string{".spec.gone", ".spec.replicas"}, differences(source, live)); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
}
