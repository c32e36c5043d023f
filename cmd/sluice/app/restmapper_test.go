// SPDX-License-Identifier: Apache-2.0

package app

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// counting counts what it is asked.
type counting struct {
	meta.RESTMapper
	asked int
}

func (c *counting) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	c.asked++
	return c.RESTMapper.RESTMapping(kind, versions...)
}

func TestAKindIsLookedUpOnceAndAMissingOneAgain(t *testing.T) {
	served := meta.NewDefaultRESTMapper([]schema.GroupVersion{imagev1.GroupVersion})
	below := &counting{RESTMapper: served}
	m := &mapper{RESTMapper: below}
	kind := imagev1.GroupVersion.WithKind("ImageRepository")
	for range 2 {
		if _, err := m.RESTMapping(kind.GroupKind(), kind.Version); !meta.IsNoMatchError(err) {
			t.Fatalf("a kind that is not installed gives %v", err)
		}
	}
	served.Add(kind, meta.RESTScopeNamespace)
	for range 3 {
		found, err := m.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil || found.Resource.Resource != "imagerepositories" || found.Scope.Name() != meta.RESTScopeNameNamespace {
			t.Fatalf("%+v, %v", found, err)
		}
		found.Resource.Resource = "of the caller" // who may do with it what it likes
	}
	if below.asked != 3 {
		t.Errorf("asked %d times, want twice in vain and once", below.asked)
	}
	if _, err := m.RESTMapping(kind.GroupKind()); err != nil {
		t.Errorf("without a version: %v", err)
	}
}
