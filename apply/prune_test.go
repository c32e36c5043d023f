package apply

import (
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/apply/inventory"
)

func TestPruneDeletesWhatItJudged(t *testing.T) {
	const path = "/api/v1/namespaces/ns/configmaps/c"
	before, after := Owner{Namespace: "ns", Name: "before"}, Owner{Namespace: "ns", Name: "after"}
	write := func(a *api, change func(*unstructured.Unstructured)) {
		u := a.objects[path].DeepCopy()
		change(u)
		a.put(path, u)
	}
	tests := map[string]struct {
		// meanwhile happens between the look and the deletion, once or always.
		meanwhile func(*api)
		always    bool
		want      Action
		kept      bool
		left      bool
	}{
		"nobody else wants it": {want: Deleted},
		"another owner adopts it between the look and the deletion": {
			meanwhile: func(a *api) {
				write(a, func(u *unstructured.Unstructured) { u.SetLabels(ownerLabels(after)) })
			},
			want: Skipped, kept: true,
		},
		"somebody asks that it be kept between the look and the deletion": {
			meanwhile: func(a *api) {
				write(a, func(u *unstructured.Unstructured) { u.SetAnnotations(map[string]string{keyPrune: disabled}) })
			},
			want: Skipped, kept: true,
		},
		"a controller writes its status between the look and the deletion": {
			meanwhile: func(a *api) { write(a, func(*unstructured.Unstructured) {}) }, want: Deleted,
		},
		"it goes by itself between the look and the deletion": {
			meanwhile: func(a *api) { delete(a.objects, path) }, want: Deleted,
		},
		"a controller writes without pause": {
			meanwhile: func(a *api) { write(a, func(*unstructured.Unstructured) {}) }, always: true, kept: true, left: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a, engine := newAPI(t)
			a.put(path, labelled(unstructuredOf("v1", "ConfigMap", "c"), before))
			did := false
			a.hook = func(method, _, _ string, _ *unstructured.Unstructured) error {
				if method == http.MethodDelete && tc.meanwhile != nil && (tc.always || !did) {
					did = true
					tc.meanwhile(a)
				}
				return nil
			}
			entry := inventory.Entry{ID: inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}, Version: "v1"}
			changes, left, err := engine.Prune(t.Context(), before, Identity{}, []inventory.Entry{entry})
			if (a.objects[path] != nil) != tc.kept {
				t.Errorf("kept = %v, want %v; calls:\n%s", a.objects[path] != nil, tc.kept, strings.Join(a.calls, "\n"))
			}
			if (len(left) > 0) != tc.left || (err != nil) != tc.left {
				t.Errorf("left %v, %v", left, err)
			}
			if !tc.left && (len(changes) != 1 || changes[0].Action != tc.want) {
				t.Errorf("changes = %v, want %s", changes, tc.want)
			}
		})
	}
}

func TestWhatRemainsOfWhatWasDeleted(t *testing.T) {
	a, engine := newAPI(t)
	owner := Owner{Namespace: "ns", Name: "app"}
	a.put("/api/v1/namespaces/ns/configmaps/held", labelled(unstructuredOf("v1", "ConfigMap", "held"), owner))
	change := func(name, kind string, action Action) Change {
		return Change{Entry: inventory.Entry{ID: inventory.ID{Namespace: "ns", Name: name, Kind: kind}, Version: "v1"}, Action: action}
	}
	left, err := engine.Remaining(t.Context(), owner, Identity{}, []Change{
		change("held", "ConfigMap", Deleted), change("gone", "ConfigMap", Deleted),
		change("kept", "ConfigMap", Skipped), change("x", "Unknown", Deleted),
	})
	if err != nil || len(left) != 1 || left[0] != "ConfigMap/ns/held" {
		t.Errorf("left %v, %v", left, err)
	}
}
