// SPDX-License-Identifier: Apache-2.0

package build

import (
	"sync"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// maxCopied is how many bytes the copy operations of one JSON patch may add: each can
// double what is there.
const maxCopied = 8 << 20

// schemaGuard keeps kustomize's global OpenAPI schema constant for everyone who
// shares it. Parsing it takes longer than twenty builds, so it is done once.
type schemaGuard struct {
	mu     sync.RWMutex
	parsed bool
}

// schema is a package variable because what it guards is one, in another module.
var schema schemaGuard

// withBuiltinSchema runs f beside other builds, with the built-in schema loaded.
func (g *schemaGuard) withBuiltinSchema(f func()) {
	g.mu.RLock()
	for !g.parsed {
		g.mu.RUnlock()
		g.parse()
		g.mu.RLock()
	}
	defer g.mu.RUnlock()
	f()
}

func (g *schemaGuard) parse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.parsed {
		jsonpatch.AccumulatedCopySizeLimit = maxCopied
		_ = openapi.Schema()
		g.parsed = true
	}
}

// withChangedSchema runs f, which may change the schema, while nobody else builds. It
// starts from the built-in schema and leaves nothing of f's behind.
func (g *schemaGuard) withChangedSchema(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer func() {
		openapi.ResetOpenAPI()
		g.parsed = false
	}()
	openapi.ResetOpenAPI()
	jsonpatch.AccumulatedCopySizeLimit = maxCopied
	_ = openapi.Schema()
	f()
}
