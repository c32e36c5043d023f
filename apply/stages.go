// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sort"

	"github.com/fluxcd/pkg/ssa"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

// object is one object to apply.
type object struct {
	*unstructured.Unstructured
	id       inventory.ID
	endpoint endpoint
	payload  []byte
	digest   [sha256.Size]byte
}

// isSecret reports whether what others say about the object may quote secret values.
func (o *object) isSecret() bool { return o.id.Kind == "Secret" && o.id.Group == "" }

// stage is a group of objects that do not need one another, after everything
// that they do need.
type stage struct {
	objects []*object
	// gate holds later stages back until these objects are established.
	gate bool
}

// The stages, in order.
const (
	definitions   = iota // CRDs, Namespaces, ClusterRoles
	classes              // StorageClass, IngressClass, ...
	early                // what the operator names
	configuration        // what workloads fail to start without
	workloads
	webhooks // which would otherwise meet the objects that serve them
	stages
)

// configurationKinds are the kinds that upstream applies before workloads.
var configurationKinds = map[string]bool{
	"ClusterRoleBinding": true, "ResourceQuota": true, "ServiceAccount": true, "Role": true, "RoleBinding": true,
	"ConfigMap": true, "Secret": true, "LimitRange": true, "PersistentVolume": true, "PersistentVolumeClaim": true,
}

func stageOf(profile *decide.Profile, u *unstructured.Unstructured) int {
	switch {
	case ssautil.IsClusterDefinition(u):
		return definitions
	case ssautil.IsClassDefinition(u):
		return classes
	case ssautil.IsCustomStage(u, profile.EarlyKinds):
		return early
	case configurationKinds[u.GetKind()]:
		return configuration
	case u.GetKind() == "MutatingWebhookConfiguration", u.GetKind() == "ValidatingWebhookConfiguration":
		return webhooks
	}
	return workloads
}

// sortIntoStages prepares the objects of an owner and sorts them into stages.
func sortIntoStages(profile *decide.Profile, owner decide.Owner, req Request) ([]stage, error) {
	if err := Prepare(profile, owner, req); err != nil {
		return nil, err
	}
	sort.Sort(ssa.SortableUnstructureds(req.Objects))
	var planned [stages]stage
	for _, u := range req.Objects {
		i := stageOf(profile, u)
		planned[i].objects = append(planned[i].objects, &object{Unstructured: u})
		planned[i].gate = i <= classes
	}
	var used []stage
	for _, w := range planned {
		if len(w.objects) > 0 {
			used = append(used, w)
		}
	}
	return used, nil
}

// resolve finds out where the stage's objects live, and encodes them. It is done
// stage by stage, for a definition may be what makes a later kind known.
func (w stage) resolve(c *client, profile *decide.Profile) error {
	for _, o := range w.objects {
		err := o.locate(c, profile)
		if err != nil {
			return err
		}
		if o.payload, err = json.Marshal(o.Object); err != nil {
			return fmt.Errorf("encoding %s: %w", o.id.Subject(), err)
		}
		o.digest = sha256.Sum256(o.payload)
	}
	return nil
}

// locate finds out where the object lives, and with it its id.
func (o *object) locate(c *client, profile *decide.Profile) error {
	gvk := o.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%s: %w: correct apiVersion and kind in its manifest, or install the definition of its kind first",
			inventory.IDOf(o.Unstructured).Subject(), err)
	case err != nil:
		return fmt.Errorf("%s: %w", inventory.IDOf(o.Unstructured).Subject(), err)
	}
	switch {
	case mapping.Scope.Name() != meta.RESTScopeNameNamespace:
		o.SetNamespace("") // kustomize sets it where it does not know the kind
	case o.GetNamespace() == "":
		return fmt.Errorf("%s namespace not specified: set metadata.namespace in its manifest, or %s for all objects",
			inventory.IDOf(o.Unstructured).Subject(), profile.TargetNamespaceField)
	}
	o.id = inventory.IDOf(o.Unstructured)
	o.endpoint = endpoint{mapping: mapping, key: types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}}
	return nil
}
