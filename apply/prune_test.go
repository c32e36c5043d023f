// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/test/fake/apiserver"
)

func TestPruneDeletesWhatItJudged(t *testing.T) {
	const path = "/api/v1/namespaces/ns/configmaps/c"
	write := func(s *apiserver.Server, change func(*unstructured.Unstructured)) {
		u := s.Peek(path)
		change(u)
		s.Store(path, u)
	}
	tests := map[string]struct {
		// meanwhile happens between the look and the deletion, once or always.
		meanwhile func(*apiserver.Server)
		always    bool
		absent    bool
		want      decide.Action
		kept      bool
		left      bool
	}{
		"nobody else wants it": {want: decide.Deleted},
		"it is not there: it was deleted before, or is in another cluster": {absent: true, want: decide.Skipped},
		"another owner adopts it between the look and the deletion": {
			meanwhile: func(s *apiserver.Server) {
				write(s, func(u *unstructured.Unstructured) { u.SetLabels(profile.Labels(other)) })
			},
			want: decide.Skipped, kept: true,
		},
		"somebody asks that it be kept between the look and the deletion": {
			meanwhile: func(s *apiserver.Server) {
				write(s, func(u *unstructured.Unstructured) {
					u.SetAnnotations(map[string]string{profile.PruneKey: decide.Disabled})
				})
			},
			want: decide.Skipped, kept: true,
		},
		"a controller writes its status between the look and the deletion": {
			meanwhile: func(s *apiserver.Server) { write(s, func(*unstructured.Unstructured) {}) }, want: decide.Deleted,
		},
		"it goes by itself between the look and the deletion": {
			meanwhile: func(s *apiserver.Server) { s.Remove(path) }, want: decide.Deleted,
		},
		"a controller writes without pause": {
			meanwhile: func(s *apiserver.Server) { write(s, func(*unstructured.Unstructured) {}) }, always: true, kept: true, left: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			if !tc.absent {
				e.Put(path, ownedBy(owner, unstructuredOf("v1", "ConfigMap", "c")))
			}
			did := false
			e.Hook = func(r apiserver.Request) error {
				method := r.Method
				if method == http.MethodDelete && tc.meanwhile != nil && (tc.always || !did) {
					did = true
					tc.meanwhile(e.Server)
				}
				return nil
			}
			entry := inventory.Entry{ID: inventory.ID{Namespace: "ns", Name: "c", Kind: "ConfigMap"}, Version: "v1"}
			changes, left, err := e.set.Prune(t.Context(), Impersonation{}, []inventory.Entry{entry})
			if kept := e.Get(path) != nil; kept != tc.kept {
				t.Errorf("kept = %v, want %v; calls:\n%s", kept, tc.kept, strings.Join(e.Calls(), "\n"))
			}
			if (len(left) > 0) != tc.left || (err != nil) != tc.left {
				t.Errorf("left %v, %v", left, err)
			}
			if !tc.left && (len(changes) != 1 || changes[0].Action != tc.want) {
				t.Errorf("changes = %v, want %s", changes, tc.want)
			}
			if said := NotPruned(changes); (said != "") != (tc.want == decide.Skipped) {
				t.Errorf("%s, and it says %q", tc.want, said)
			}
		})
	}
}

func TestWhatRemainsOfWhatWasDeleted(t *testing.T) {
	e := newTestEnv(t)
	e.Put("/api/v1/namespaces/ns/configmaps/held", ownedBy(owner, unstructuredOf("v1", "ConfigMap", "held")))
	change := func(name, kind string, action decide.Action) Change {
		return Change{Entry: inventory.Entry{ID: inventory.ID{Namespace: "ns", Name: name, Kind: kind}, Version: "v1"}, Action: action}
	}
	left, err := e.set.Remaining(t.Context(), Impersonation{}, DeletedOf([]Change{
		change("held", "ConfigMap", decide.Deleted), change("gone", "ConfigMap", decide.Deleted),
		change("kept", "ConfigMap", decide.Skipped), change("x", "Unknown", decide.Deleted),
	}))
	if err != nil || len(left) != 1 || left[0] != "ConfigMap/ns/held" {
		t.Errorf("left %v, %v", left, err)
	}
}
