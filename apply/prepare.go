// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"github.com/fluxcd/pkg/ssa/normalize"
	ssautil "github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/apply/decide"
)

// Prepare makes of the objects of a request, in place, what is applied for an owner: without
// the fields that their kinds do not have, with the metadata of [SetMetadata], and without
// what the control plane fills in. It is an error if an object cannot be encoded.
func Prepare(profile *decide.Profile, owner decide.Owner, req Request) error {
	if err := normalize.UnstructuredList(req.Objects); err != nil {
		return err
	}
	SetMetadata(profile, owner, req)
	for _, u := range req.Objects {
		ssautil.RemoveCABundleFromCRD(u)
		leaveAggregatedRules(u)
	}
	return nil
}

// SetMetadata puts the labels and annotations of a request on its objects, and the labels
// that name their owner.
func SetMetadata(profile *decide.Profile, owner decide.Owner, req Request) {
	ssautil.SetCommonMetadata(req.Objects, req.Labels, req.Annotations)
	ssautil.SetCommonMetadata(req.Objects, profile.Labels(owner), nil)
}

// leaveAggregatedRules takes the rules out of a ClusterRole that is aggregated from others.
// The control plane fills them in and overwrites whatever is there, and manifests say
// "rules: []" in their place, so that the two would undo each other's work for ever.
func leaveAggregatedRules(u *unstructured.Unstructured) {
	gvk := u.GroupVersionKind()
	if gvk.Group != "rbac.authorization.k8s.io" || gvk.Kind != "ClusterRole" {
		return
	}
	if rule, ok := u.Object["aggregationRule"].(map[string]any); ok && len(rule) > 0 {
		delete(u.Object, "rules")
	}
}
