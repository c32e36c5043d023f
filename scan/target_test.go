// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

func TestNewTarget(t *testing.T) {
	tests := map[string]struct {
		image   string
		want    string
		wantErr string
	}{
		"a bare name is on Docker Hub": {image: "alpine", want: "index.docker.io/library/alpine"},
		"a name with a namespace":      {image: "team/app", want: "index.docker.io/team/app"},
		"a registry":                   {image: "ghcr.io/team/app", want: "ghcr.io/team/app"},
		"a registry with a port":       {image: "registry:5000/app", want: "registry:5000/app"},
		"a scheme":                     {image: "https://ghcr.io/app", wantErr: "remove 'https://'"},
		"a tag":                        {image: "ghcr.io/app:1.0", wantErr: "remove ':1.0'"},
		"a tag on a host with a port":  {image: "registry:5000/app:1.0", wantErr: "remove ':1.0'"},
		"a digest":                     {image: "ghcr.io/app@sha256:abc", wantErr: "remove '@sha256:abc'"},
		"a host without a name":        {image: "registry:5000", wantErr: "remove ':5000'"},
		"capitals":                     {image: "ghcr.io/App", wantErr: "spec.image"},
		"nothing":                      {image: "", wantErr: "spec.image"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := NewTarget(repository(imagev1.ImageRepositorySpec{Image: tc.image}))
			if tc.wantErr != "" {
				if !errors.Is(err, registry.ErrInvalidReference) || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || got.Repository.String() != tc.want {
				t.Errorf("got %s, %v", got.Repository, err)
			}
		})
	}
}

func TestABrokenExclusionIsRefused(t *testing.T) {
	_, err := NewTarget(repository(imagev1.ImageRepositorySpec{Image: "app", ExclusionList: []string{"ok", "("}}))
	if !errors.Is(err, ErrInvalidExclusion) || !strings.Contains(err.Error(), `spec.exclusionList "("`) {
		t.Errorf("got %v", err)
	}
}

func TestTimeout(t *testing.T) {
	tests := map[string]struct {
		interval time.Duration
		timeout  *metav1.Duration
		want     time.Duration
	}{
		"the interval by default":     {interval: 30 * time.Second, want: 30 * time.Second},
		"a minute at most by default": {interval: time.Hour, want: time.Minute},
		"what the spec says": {
			interval: time.Minute,
			timeout:  &metav1.Duration{Duration: 5 * time.Minute},
			want:     5 * time.Minute,
		},
		"a second at least, whatever it says": {
			interval: time.Minute,
			timeout:  &metav1.Duration{Duration: time.Millisecond},
			want:     time.Second,
		},
		"a second at least, by default as well": {interval: time.Millisecond, want: time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			spec := imagev1.ImageRepositorySpec{Image: "app", Interval: metav1.Duration{Duration: tc.interval}, Timeout: tc.timeout}
			got, err := NewTarget(repository(spec))
			if err != nil || got.Timeout != tc.want {
				t.Errorf("got %s, %v, want %s", got.Timeout, err, tc.want)
			}
		})
	}
}

// packed is the set of tags that a registry sends.
func packed(tags ...string) *tagset {
	var h tagBuffer
	for _, tag := range tags {
		h.add([]byte(tag))
	}
	return h.set(nil)
}

func snap(t *testing.T, spec imagev1.ImageRepositorySpec, tags ...string) (Target, *Snapshot) {
	t.Helper()
	to := target(t, spec)
	return to, newSnapshot(to, newListing(to.Image(registry.Access{}).ID(), packed(tags...), time.Unix(0, 0)), nil)
}

func TestSnapshotIsTheSetOfTags(t *testing.T) {
	spec := imagev1.ImageRepositorySpec{Image: "app"}
	_, a := snap(t, spec, "b", "a", "b", "c.sig", "", ".x", "a b", "a\nb", strings.Repeat("x", 129))
	_, b := snap(t, spec, "a", "b")
	_, c := snap(t, spec, "ab")
	if diff := cmp.Diff([]string{"a", "b"}, slices.Collect(a.All())); diff != "" {
		t.Error(diff)
	}
	if a.Revision() != b.Revision() {
		t.Error("one set has two revisions")
	}
	if a.Revision() == c.Revision() {
		t.Error("two sets have one revision")
	}
	if diff := cmp.Diff([]string{"b", "a"}, a.Last(10)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b"}, a.Last(1)); diff != "" || a.Len() != 2 {
		t.Error(diff)
	}
}

func TestStoreKnowsWhatASnapshotIsOf(t *testing.T) {
	store, key := NewStore(), types.NamespacedName{Namespace: "apps", Name: "app"}
	arrivals := waketest.Objects(t, store.Arrivals())
	before, old := snap(t, imagev1.ImageRepositorySpec{Image: "app"}, "1")
	store.Put(key, old)
	if waketest.Next(t, arrivals) != key {
		t.Error("another object was woken")
	}
	store.Put(key, old)
	last := types.NamespacedName{Namespace: "apps", Name: "last"}
	store.Put(last, old)
	if _, ok := store.Get(key, before); !ok || waketest.Next(t, arrivals) != last {
		t.Errorf("there: %v, and woken again for the same tags", ok)
	}
	for name, spec := range map[string]imagev1.ImageRepositorySpec{
		"another image":          {Image: "other"},
		"another exclusion":      {Image: "app", ExclusionList: []string{"x"}},
		"plain HTTP of the same": {Image: "app", Insecure: true},
	} {
		if _, ok := store.Get(key, target(t, spec)); ok {
			t.Errorf("%s is answered with the old tags", name)
		}
	}
	after, fresh := snap(t, imagev1.ImageRepositorySpec{Image: "other"}, "2")
	store.Put(key, fresh)
	if _, ok := store.Get(key, after); !ok || waketest.Next(t, arrivals) != key {
		t.Errorf("there: %v, or another object was woken", ok)
	}
	store.Delete(key)
	if _, ok := store.Get(key, after); ok {
		t.Error("still there")
	}
}

func FuzzNewTarget(f *testing.F) {
	for _, s := range []string{
		"alpine", "ghcr.io/team/app", "localhost:5000/app:1", "a@sha256:b", "https://x/y", "[::1]:5000/app", "//", ":",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, image string) {
		got, err := NewTarget(repository(imagev1.ImageRepositorySpec{Image: image}))
		if err != nil {
			if !errors.Is(err, registry.ErrInvalidReference) {
				t.Fatalf("%q: %v", image, err)
			}
			return
		}
		again, err := NewTarget(repository(imagev1.ImageRepositorySpec{Image: got.Repository.String()}))
		if err != nil || again.Repository.String() != got.Repository.String() {
			t.Errorf("%q is %s, which is %s, %v", image, got.Repository, again.Repository, err)
		}
	})
}
