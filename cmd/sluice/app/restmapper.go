// SPDX-License-Identifier: Apache-2.0

package app

import (
	"net/http"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// mapper caches which resource serves a kind. controller-runtime asks a RESTMapper with
// every read of its cache and every write, and its own one searches all groups each
// time, which costs more than the read: with 40 groups 12 µs and 127 allocations, 35 times
// as long as the lookup here.
//
//	go test -run xxx -bench RESTMapping ./cmd/sluice/app
//
// Entries are never dropped, as there: a request for a kind that was removed fails at the
// API server. There are as many entries as kinds that the process reads or writes; a restart
// asks for them again.
type mapper struct {
	meta.RESTMapper
	known sync.Map // schema.GroupVersionKind -> meta.RESTMapping
}

func newMapper(config *rest.Config, client *http.Client) (meta.RESTMapper, error) {
	dynamic, err := apiutil.NewDynamicRESTMapper(config, client)
	if err != nil {
		return nil, err
	}
	return &mapper{RESTMapper: dynamic}, nil
}

// RESTMapping implements meta.RESTMapper. Only what was found is remembered: a kind
// that is missing may be installed later.
func (m *mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	if len(versions) != 1 {
		return m.RESTMapper.RESTMapping(kind, versions...)
	}
	key := kind.WithVersion(versions[0])
	if known, ok := m.known.Load(key); ok {
		mapping, _ := known.(meta.RESTMapping)
		return &mapping, nil
	}
	found, err := m.RESTMapper.RESTMapping(kind, versions...)
	if err == nil {
		m.known.Store(key, *found)
	}
	return found, err
}
