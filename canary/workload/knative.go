// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/object"
)

var (
	knativeService  = schema.GroupVersionKind{Group: knativeGroup, Version: "v1", Kind: "Service"}
	knativeRevision = schema.GroupVersionKind{Group: knativeGroup, Version: "v1", Kind: "Revision"}
)

// primaryRevision is Flagger's annotation on a Knative Service: the name of the
// Revision that users trust.
const primaryRevision = "flagger.app/primary-revision"

// knative releases a Knative Service. Knative makes an immutable Revision of each
// template and scales all of them by itself, so that nothing is copied: the
// target is the latest Revision, the primary the one that an annotation names.
type knative struct {
	scope     *scope
	seen      Copies
	target    *unstructured.Unstructured
	revisions map[string]*unstructured.Unstructured // by name
	digests   map[string]string                     // names by digest
}

// observe implements [adapter].
func (n *knative) observe(ctx context.Context) (Copies, error) {
	err := n.read(ctx)
	if err == nil && n.target != nil {
		err = n.observeTarget()
	}
	if err == nil && n.target != nil {
		err = n.observePrimary()
	}
	return n.seen, err
}

// read reads the Knative Service and its Revisions, if it exists.
func (n *knative) read(ctx context.Context) error {
	if err := refuseAutoscaler(n.scope, "Knative scales its Revisions by itself"); err != nil {
		return err
	}
	if provider := n.scope.canary.Spec.Provider; provider != "knative" {
		return reconcile.TerminalError(fmt.Errorf("spec.provider: must be knative for a Knative Service, not %q", provider))
	}
	var err error
	if n.target, err = n.scope.read(ctx, knativeService, n.scope.targetName()); err != nil || n.target == nil {
		return err
	}
	return n.list(ctx)
}

// list reads the Revisions of the Service. Of two with the same content the later
// one counts: Knative makes a new one even if a template goes back to what it was.
func (n *knative) list(ctx context.Context) error {
	found := &unstructured.UnstructuredList{}
	found.SetGroupVersionKind(knativeRevision.GroupVersion().WithKind("RevisionList"))
	err := n.scope.live.List(ctx, found, client.InNamespace(n.scope.canary.Namespace),
		client.MatchingLabels{knativeGroup + "/service": n.target.GetName()})
	if err != nil {
		return fmt.Errorf("listing revisions of knative %s: %w", title(n.target), err)
	}
	n.revisions, n.digests, n.seen.Saved = map[string]*unstructured.Unstructured{}, map[string]string{}, map[string]bool{}
	for i := range found.Items {
		item := &found.Items[i]
		digest, err := digestOfRevision(item)
		if err != nil {
			return err
		}
		n.revisions[item.GetName()] = item
		if before, ok := n.revisions[n.digests[digest]]; !ok || before.GetCreationTimestamp().Time.Before(item.GetCreationTimestamp().Time) {
			n.digests[digest] = item.GetName()
		}
		n.seen.Saved[digest] = true
	}
	return nil
}

// digestOfRevision covers what an owner can say in a template, and nothing that
// Knative notes about a Revision.
func digestOfRevision(u *unstructured.Unstructured) (string, error) {
	theirs := func(m map[string]string) map[string]any {
		out := map[string]any{}
		for key, value := range m {
			if !strings.HasPrefix(key, knativeGroup+"/") {
				out[key] = value
			}
		}
		return out
	}
	r := Revision{Template: map[string]any{"spec": object.Map(u.Object, "spec"),
		"metadata": map[string]any{"labels": theirs(u.GetLabels()), "annotations": theirs(u.GetAnnotations())}}}
	digest, err := r.digest()
	if err != nil {
		return "", fmt.Errorf("%s: %w", title(u), err)
	}
	return digest, nil
}

// observeTarget looks at the latest Revision. Until Knative has made one of a new
// template, that is the one before.
func (n *knative) observeTarget() error {
	name := object.Text(n.target.Object, "status", "latestCreatedRevisionName")
	latest, ok := n.revisions[name]
	if !ok {
		return fmt.Errorf("knative %s has no revision yet", title(n.target))
	}
	digest, err := digestOfRevision(latest)
	if err != nil {
		return err
	}
	w := n.describe(latest, target)
	w.Revision, w.Alias = digest, revisionAlias(name)
	n.seen.Target, n.seen.Revision = w, &Revision{Digest: digest, Template: latest.Object}
	return nil
}

func (n *knative) observePrimary() error {
	name := n.target.GetAnnotations()[primaryRevision]
	if name == "" {
		return nil
	}
	live, ok := n.revisions[name]
	if !ok {
		n.seen.Primary = canary.Workload{Exists: true, Why: fmt.Sprintf("knative revision %s.%s not found", name, n.scope.canary.Namespace)}
		return nil
	}
	digest, err := digestOfRevision(live)
	if err != nil {
		return err
	}
	n.seen.Primary = n.describe(live, primary)
	n.seen.Primary.Revision = digest
	return nil
}

// describe says how a Revision stands. A ready one serves even while it has no
// pods: its first request gives it some.
func (n *knative) describe(u *unstructured.Unstructured, of role) canary.Workload {
	w := describeRevision(u, patienceWith(n.scope, of))
	n.scope.entry.noteWaiting(of, w, n.scope.clock.Now())
	return w
}

func describeRevision(u *unstructured.Unstructured, p patience) canary.Workload {
	w := canary.Workload{Exists: true, Replicas: 1, Images: imagesOf(object.Map(u.Object, "spec"))}
	w.Why = fmt.Sprintf("knative revision %s is not ready", u.GetName())
	for _, c := range object.List(u.Object, "status", "conditions") {
		if c["type"] != "Ready" {
			continue
		}
		if c["status"] == "True" {
			w.Ready, w.Available, w.Why = true, 1, ""
			return w
		}
		for _, field := range []string{"reason", "message"} {
			if text, _ := c[field].(string); text != "" {
				w.Why += ": " + brief(text)
			}
		}
	}
	w.Stuck = p.isOver()
	return w
}

// revision implements [revisionSource]: Knative keeps Revisions itself.
func (n *knative) revision(digest string) (*Revision, error) {
	name, ok := n.digests[digest]
	if !ok {
		return nil, fmt.Errorf("finding revision %s of knative service %s.%s: it is gone", digest, n.scope.targetName(), n.scope.canary.Namespace)
	}
	return &Revision{Digest: digest, Template: n.revisions[name].Object}, nil
}

// promote implements [adapter].
func (n *knative) promote(ctx context.Context, r *Revision) error {
	name := n.digests[r.Digest]
	if n.target.GetAnnotations()[primaryRevision] == name {
		return nil
	}
	return n.scope.annotate(ctx, n.target, map[string]any{primaryRevision: name})
}

// revert implements [reverter]: the rest is Knative's business, and the router's.
func (n *knative) revert(context.Context) (string, error) { //nolint:unparam // as the interface has it
	return n.seen.Target.Why, nil
}

// objects implements [adapter]. What happens to its Revisions shows in the status of
// a Knative Service.
func (n *knative) objects() []object.Ref {
	return []object.Ref{n.scope.object(knativeService, n.scope.targetName())}
}
