// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// byPolicy indexes pipelines by the policies of their artifacts, which are in their own
// namespace.
const byPolicy = "spec.artifacts.imagePolicyRef"

// policiesOfPipeline are the names of the policies that a pipeline bundles.
func policiesOfPipeline(obj client.Object) []string {
	p, ok := obj.(*sluicev1.Pipeline)
	if !ok {
		return nil
	}
	var names []string
	for _, a := range p.Spec.Artifacts {
		if a.ImagePolicyRef != nil && !slices.Contains(names, a.ImagePolicyRef.Name) {
			names = append(names, a.ImagePolicyRef.Name)
		}
	}
	return names
}

// watchPipelines brings policies back when the quarantine of a pipeline that bundles them
// is another one.
func watchPipelines(mgr ctrl.Manager) reconciler.OptionalWatch {
	toPolicies := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []reconcile.Request {
		var found []reconcile.Request
		for _, name := range policiesOfPipeline(obj) {
			found = append(found, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: obj.GetNamespace(), Name: name}})
		}
		return found
	})
	return reconciler.OptionalWatch{
		Kind: sluicev1.GroupVersion.WithKind(sluicev1.PipelineKind), Object: &sluicev1.Pipeline{},
		Index: func(ctx context.Context) error {
			return reconciler.Index(ctx, mgr, &sluicev1.Pipeline{}, byPolicy, policiesOfPipeline)
		},
		Handler: toPolicies, Predicates: []predicate.Predicate{quarantineChanged()},
	}
}

// quarantineChanged passes what changes which versions a pipeline keeps back.
func quarantineChanged() predicate.Predicate {
	keepsBack := func(obj client.Object) bool {
		p, ok := obj.(*sluicev1.Pipeline)
		return ok && len(p.Status.Quarantined) > 0
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return keepsBack(e.Object) },
		DeleteFunc: func(e event.DeleteEvent) bool { return keepsBack(e.Object) },
		UpdateFunc: reconciler.Updates(func(before, after *sluicev1.Pipeline) bool {
			return (keepsBack(before) || keepsBack(after)) &&
				(!equality.Semantic.DeepEqual(before.Status.Quarantined, after.Status.Quarantined) ||
					!equality.Semantic.DeepEqual(before.Spec.Artifacts, after.Spec.Artifacts))
		}),
	}
}

// quarantine is the versions of an image that pipelines keep back.
type quarantine []quarantinedVersion

// quarantinedVersion is a version in quarantine: a digest or, if the pipeline knew none, a tag.
type quarantinedVersion struct{ tag, digest, why string }

// quarantine reads the versions that the pipelines of a policy keep back. A pin is a
// person's decision, which counts more.
func (r *Reconciler) quarantine(ctx context.Context, in *inputs) (quarantine, error) {
	if !r.pipelines.Served() || in.compiled.Pin() != nil {
		return nil, nil
	}
	var list sluicev1.PipelineList
	err := r.Client.List(ctx, &list, client.InNamespace(in.policy.Namespace),
		client.MatchingFields{byPolicy: in.policy.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing pipelines: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b sluicev1.Pipeline) int { return strings.Compare(a.Name, b.Name) })
	var found quarantine
	for i := range list.Items {
		found = append(found, quarantineOf(&list.Items[i], in.policy.Name, in.repo.Spec.Image)...)
	}
	return found, nil
}

// quarantineOf are the versions of a policy's image that a pipeline keeps back. They are told by
// their image: the pipeline may call its artifact otherwise by now. Where that is not known, the
// name of the artifact tells. That the time of a quarantine is over changes nothing here: it lets people promote the version,
// and nobody else.
func quarantineOf(p *sluicev1.Pipeline, policyName, image string) quarantine {
	bundled := map[string]bool{}
	for _, a := range p.Spec.Artifacts {
		bundled[a.Name] = a.ImagePolicyRef != nil && a.ImagePolicyRef.Name == policyName
	}
	var found quarantine
	for _, q := range p.Status.Quarantined {
		if q.Overridden {
			continue
		}
		for _, v := range q.Bundle.Versions {
			suspected := len(q.Artifacts) == 0 || slices.Contains(q.Artifacts, v.Artifact)
			isOurs := v.Image == image || v.Image == "" && bundled[v.Artifact]
			if !suspected || !isOurs || v.Tag == "" && v.Digest == "" {
				continue
			}
			found = append(found, quarantinedVersion{tag: v.Tag, digest: v.Digest, why: inQuarantine(p, q)})
		}
	}
	return found
}

func inQuarantine(p *sluicev1.Pipeline, q sluicev1.Quarantine) string {
	said := fmt.Sprintf("in quarantine by pipeline %s/%s", p.Namespace, p.Name)
	if q.Reason != "" {
		said += ": " + shorten.Bytes(q.Reason, maxWhy, shorten.Dots)
	}
	if q.Until != nil {
		said += fmt.Sprintf(" (people may promote it from %s on)", q.Until.UTC().Format(time.RFC3339))
	}
	return said
}

// asksDigests reports whether the digest of a candidate matters.
func (q quarantine) asksDigests() bool {
	return slices.ContainsFunc(q, func(k quarantinedVersion) bool { return k.digest != "" })
}

// excludes says why a candidate is not chosen; empty is no reason. A version with a digest
// is that digest under whatever tag, and not another one that its tag was moved to.
func (q quarantine) excludes(c candidate) string {
	for _, k := range q {
		if k.digest != "" && k.digest == c.digest || k.digest == "" && k.tag == c.tag {
			return k.why
		}
	}
	return ""
}

// quarantined drops versions that a pipeline keeps back. Where the policy stays with the
// digest of its last choice and that is kept back, its tag may have moved on to a mended
// one.
func quarantined(ctx context.Context, in *inputs, ask imageReader, c candidate) (candidate, gateResult, error) {
	if len(in.quarantine) == 0 {
		return c, gateResult{}, nil
	}
	if in.quarantine.asksDigests() {
		var err error
		if c, err = withDigest(ctx, in, ask, c); err != nil {
			return c, gateResult{}, err
		}
	}
	why := in.quarantine.excludes(c)
	if why == "" || !c.digestKept {
		return c, gateResult{rejected: why}, nil
	}
	moved, err := withDigest(ctx, in, ask, candidate{tag: c.tag, lost: true})
	if err != nil {
		return c, gateResult{}, err
	}
	return moved, gateResult{rejected: in.quarantine.excludes(moved)}, nil
}
