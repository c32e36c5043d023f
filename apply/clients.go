// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/fluxcd/pkg/ssa"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/internal/lru"
)

// Impersonation is who applies: a service account, or, when zero, the controller.
type Impersonation struct {
	Namespace, ServiceAccount string
}

// user is the name that the API server knows the identity by.
func (i Impersonation) user() string {
	return "system:serviceaccount:" + i.Namespace + ":" + i.ServiceAccount
}

// Clients pools one API client per identity, of those that applied last. Discovery is
// the same for all of them, and is shared.
type Clients struct {
	config       *rest.Config
	mapper       meta.RESTMapper
	fieldManager string

	pool *lru.Cache[Impersonation, *client]
}

// maxClients is how many identities have a client at the ready. A client is little more
// than headers: its connections are those of all others.
const maxClients = 1000

// NewClients returns a pool for the cluster of config, whose clients write as a field
// manager.
func NewClients(config *rest.Config, mapper meta.RESTMapper, fieldManager string) *Clients {
	config = rest.CopyConfig(config)
	// The API server paces its clients better than a fixed rate here would.
	config.QPS, config.RateLimiter = -1, nil
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	// Warnings become events of the owner; by default each would be a line in the log.
	config.WarningHandlerWithContext = rest.NoWarnings{}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	return &Clients{config: config, mapper: mapper, fieldManager: fieldManager,
		pool: lru.NewCounted[Impersonation, *client](maxClients)}
}

// identity returns the pooled client of an identity.
func (c *Clients) identity(id Impersonation) (*client, error) {
	if pooled, ok := c.pool.Get(id); ok {
		return pooled, nil
	}
	config := rest.CopyConfig(c.config)
	if id != (Impersonation{}) {
		config.Impersonate = rest.ImpersonationConfig{UserName: id.user()}
	}
	made, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", id.user(), err)
	}
	ready := &client{rest: made, mapper: c.mapper, fieldManager: c.fieldManager}
	c.pool.Put(id, ready)
	return ready, nil
}

// client speaks to the API server as one identity. It works on bytes and
// unstructured objects, and tells a creation from an update by the HTTP status,
// and what the API server warns of, which typed clients hide.
type client struct {
	rest         rest.Interface
	mapper       meta.RESTMapper
	fieldManager string
}

// endpoint is where one object lives.
type endpoint struct {
	mapping *meta.RESTMapping
	key     types.NamespacedName
}

func (e endpoint) segments() []string {
	gv := e.mapping.GroupVersionKind.GroupVersion()
	path := []string{"apis", gv.Group, gv.Version}
	if gv.Group == "" {
		path = []string{"api", gv.Version}
	}
	if e.mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		path = append(path, "namespaces", e.key.Namespace)
	}
	return append(path, e.mapping.Resource.Resource, e.key.Name)
}

// conflicts is what a server-side apply does about fields that others own with
// other values.
type conflicts string

// refuseConflicts: the apply is refused. forceConflicts: it takes the fields over.
const (
	refuseConflicts conflicts = "false"
	forceConflicts  conflicts = "true"
)

// maxWarnings bounds what is kept of the warnings of one answer, in bytes. An API server
// sends at most half of it; an aggregated one may not keep to that.
const maxWarnings = 8 << 10

// applyResponse is what the API server made of an apply.
type applyResponse struct {
	object  *unstructured.Unstructured
	created bool
	// warnings are those of the API server itself, of a deprecated version for example,
	// and of its admission plugins and webhooks.
	warnings []string
}

// apply sends a server-side apply.
func (c *client) apply(ctx context.Context, at endpoint, payload []byte, how conflicts) (applyResponse, error) {
	var code int
	result := c.rest.Patch(types.ApplyPatchType).AbsPath(at.segments()...).
		Param("fieldManager", c.fieldManager).Param("force", string(how)).
		// An apply refuses unknown fields anyway; the API server need not decode
		// the object a second time to warn of them.
		Param("fieldValidation", "Ignore").
		Body(payload).Do(ctx).StatusCode(&code)
	obj, err := decode(result)
	got := applyResponse{object: obj, created: code == http.StatusCreated}
	size := 0
	for _, warning := range result.Warnings() {
		if size += len(warning.Text); size > maxWarnings {
			break
		}
		got.warnings = append(got.warnings, warning.Text)
	}
	return got, err
}

// patch sends a JSON patch of the object as of a version. Managed fields are written
// whole: on top of another version they would take back what was written meanwhile.
func (c *client) patch(
	ctx context.Context, at endpoint, resourceVersion string, operations []ssa.JSONPatch,
) (*unstructured.Unstructured, error) {
	all := []any{map[string]string{"op": "replace", "path": "/metadata/resourceVersion", "value": resourceVersion}}
	for _, operation := range operations {
		all = append(all, operation)
	}
	body, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return decode(c.rest.Patch(types.JSONPatchType).AbsPath(at.segments()...).
		Param("fieldManager", c.fieldManager).Body(body).Do(ctx))
}

// get reads an object.
func (c *client) get(ctx context.Context, at endpoint) (*unstructured.Unstructured, error) {
	return decode(c.rest.Get().AbsPath(at.segments()...).Do(ctx))
}

// delete removes exactly the version of the object that was looked at, and what it
// owns in the background. Whoever wrote the object meanwhile may have adopted it, or
// asked that it be kept: then the answer is a conflict, and the caller looks again.
func (c *client) delete(ctx context.Context, at endpoint, uid types.UID, resourceVersion string) error {
	background := metav1.DeletePropagationBackground
	body, err := json.Marshal(metav1.DeleteOptions{
		TypeMeta:          metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"},
		PropagationPolicy: &background,
		Preconditions:     &metav1.Preconditions{UID: &uid, ResourceVersion: &resourceVersion},
	})
	if err != nil {
		return err
	}
	return c.rest.Delete().AbsPath(at.segments()...).Body(body).Do(ctx).Error()
}

// decode reads an answer. Only Error knows what the API server says is wrong;
// Raw would return the bare HTTP status.
func decode(result rest.Result) (*unstructured.Unstructured, error) {
	if err := result.Error(); err != nil {
		return nil, err
	}
	data, err := result.Raw()
	if err != nil {
		return nil, err
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("decoding the API server's answer: %w", err)
	}
	return obj, nil
}

// locate finds out where an object of a kind lives; not ok when its kind is gone, and
// the object with it.
func (c *client) locate(entry inventory.Entry) (at endpoint, ok bool, err error) {
	gvk := kindOf(entry)
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) { // that version may be gone, not the kind
		mapping, err = c.mapper.RESTMapping(gvk.GroupKind())
	}
	if meta.IsNoMatchError(err) {
		return endpoint{}, false, nil
	}
	if err != nil {
		return endpoint{}, false, err
	}
	return endpoint{mapping: mapping, key: types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name}}, true, nil
}
