// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// A namespace whose registries have tags without end must not fill the memory that
// all have.
func TestTheTagsOfANamespaceAreBounded(t *testing.T) {
	size := packed(numbered(0, 1000)...).bytes()
	store := NewStore(WithTagMemory(4*size + size/2))
	s := patient(t, store)
	image := func(name string) imagev1.ImageRepositorySpec {
		tags := `{"name":"app","tags":["` + strings.Join(numbered(len(name), 1000), `","`) + `"]}`
		return imagev1.ImageRepositorySpec{Image: registrytest.Serve(t, body(tags, nil)) + "/" + name}
	}
	scan := func(namespace, name string) error {
		key := types.NamespacedName{Namespace: namespace, Name: name}
		_, err := s.Scan(context.Background(), Request{Key: key, Target: target(t, image(name))})
		return err
	}
	for _, step := range []struct {
		namespace, name string
		want            error
	}{
		{"greedy", "a", nil}, {"greedy", "bb", nil}, {"greedy", "ccc", ErrMemory},
		{"modest", "d", nil}, {"modest", "ee", nil},
		{"other", "f", ErrMemory},
	} {
		if err := scan(step.namespace, step.name); !errors.Is(err, step.want) || step.want == nil && err != nil {
			t.Fatalf("%s/%s: %v", step.namespace, step.name, err)
		}
	}
	s.Forget(types.NamespacedName{Namespace: "greedy", Name: "a"})
	store.collect()
	if err := scan("greedy", "dddd"); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
	for _, key := range []string{"greedy bb", "greedy dddd", "modest d", "modest ee"} {
		namespace, name, _ := strings.Cut(key, " ")
		s.Forget(types.NamespacedName{Namespace: namespace, Name: name})
	}
	store.collect()
	if store.memory.used != 0 || len(store.memory.sets) != 0 || len(store.memory.reserved) != 0 {
		t.Errorf("after all: %+v", store.memory)
	}
}

func TestALongPageWaitsForMemory(t *testing.T) {
	var tags strings.Builder
	for i := range 40_000 {
		_, _ = fmt.Fprintf(&tags, `"%0100d",`, i)
	}
	page := `{"name":"app","tags":[` + strings.TrimSuffix(tags.String(), ",") + `]}`
	host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			_, _ = w.Write([]byte(page))
		}
	}))
	to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image})
	for name, tc := range map[string]struct {
		total int64
		want  error
	}{"enough": {64 << 20, nil}, "less than it takes": {8 << 20, ErrMemory}} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t)
			client.memory = budget.New(tc.total)
			_, err := client.Tags(context.Background(), to, registry.In("apps"))
			if !errors.Is(err, tc.want) || tc.want == nil && err != nil {
				t.Errorf("got %v", err)
			}
			all, err := client.memory.Acquire(context.Background(), "apps", client.memory.NamespaceLimit())
			if err != nil {
				t.Errorf("not all was given back: %v", err)
			}
			all.Release()
		})
	}
}
