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
	*Pair
	target    *unstructured.Unstructured
	revisions map[string]*unstructured.Unstructured // by name
	digests   map[string]string                     // names by digest
}

func (n *knative) look(ctx context.Context) error {
	if err := n.noScaler("Knative scales its Revisions by itself"); err != nil {
		return err
	}
	if provider := n.canary.Spec.Provider; provider != "knative" {
		return reconcile.TerminalError(fmt.Errorf("spec.provider: must be knative for a Knative Service, not %q", provider))
	}
	var err error
	if n.target, err = n.kit.read(ctx, knativeService, n.key(n.canary.Spec.TargetRef.Name)); err != nil || n.target == nil {
		return err
	}
	if err := n.list(ctx); err != nil {
		return err
	}
	if err := n.lookAtTarget(); err != nil {
		return err
	}
	return n.lookAtPrimary()
}

// list reads the Revisions of the Service. Of two with the same content the later
// one counts: Knative makes a new one even if a template goes back to what it was.
func (n *knative) list(ctx context.Context) error {
	found := &unstructured.UnstructuredList{}
	found.SetGroupVersionKind(knativeRevision.GroupVersion().WithKind("RevisionList"))
	err := n.kit.live.List(ctx, found, client.InNamespace(n.canary.Namespace),
		client.MatchingLabels{knativeGroup + "/service": n.target.GetName()})
	if err != nil {
		return fmt.Errorf("listing revisions of knative %s: %w", title(n.target), err)
	}
	n.revisions, n.digests, n.Saved = map[string]*unstructured.Unstructured{}, map[string]string{}, map[string]bool{}
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
		n.Saved[digest] = true
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
	r := Revision{Template: map[string]any{"spec": dict(u.Object, "spec"),
		"metadata": map[string]any{"labels": theirs(u.GetLabels()), "annotations": theirs(u.GetAnnotations())}}}
	digest, err := r.digest()
	if err != nil {
		return "", fmt.Errorf("%s: %w", title(u), err)
	}
	return digest, nil
}

// lookAtTarget looks at the latest Revision. Until Knative has made one of a new
// template, that is the one before.
func (n *knative) lookAtTarget() error {
	name, _ := dict(n.target.Object, "status")["latestCreatedRevisionName"].(string)
	latest, ok := n.revisions[name]
	if !ok {
		return fmt.Errorf("knative %s has no revision yet", title(n.target))
	}
	digest, err := digestOfRevision(latest)
	if err != nil {
		return err
	}
	n.Target, n.Revision = n.describe(latest, n.patience(target)), &Revision{Digest: digest, Template: latest.Object}
	n.Target.Revision, n.Target.Alias = digest, revisionAlias(name)
	n.wait(target, n.Target)
	return nil
}

func (n *knative) lookAtPrimary() error {
	name, ok := n.target.GetAnnotations()[primaryRevision]
	if !ok || name == "" {
		return nil
	}
	n.Primary = canary.Workload{Exists: true, Why: fmt.Sprintf("knative revision %s.%s not found", name, n.canary.Namespace)}
	live, ok := n.revisions[name]
	if !ok {
		return nil
	}
	n.Primary = n.describe(live, n.patience(primary))
	n.wait(primary, n.Primary)
	var err error
	n.Primary.Revision, err = digestOfRevision(live)
	return err
}

// describe says how a Revision stands. A ready one serves even while it has no
// pods: its first request gives it some.
func (n *knative) describe(u *unstructured.Unstructured, p patience) canary.Workload {
	w := canary.Workload{Exists: true, Replicas: 1, Images: imagesOf(dict(u.Object, "spec"))}
	w.Why = fmt.Sprintf("knative revision %s is not ready", u.GetName())
	for _, c := range list(dict(u.Object, "status"), "conditions") {
		if c["type"] != "Ready" {
			continue
		}
		if c["status"] == "True" {
			w.Ready, w.Available, w.Why = true, 1, ""
			return w
		}
		for _, field := range []string{"reason", "message"} {
			if text, _ := c[field].(string); text != "" {
				w.Why += ": " + shorten(text)
			}
		}
	}
	w.Stuck = p.over()
	return w
}

// recall implements [archive]: Knative keeps Revisions itself.
func (n *knative) recall(digest string) (*Revision, error) {
	name, ok := n.digests[digest]
	if !ok {
		return nil, fmt.Errorf("finding revision %s of knative service %s.%s: it is gone", digest, n.canary.Spec.TargetRef.Name, n.canary.Namespace)
	}
	return &Revision{Digest: digest, Template: n.revisions[name].Object}, nil
}

// setPrimary implements [form].
func (n *knative) setPrimary(ctx context.Context, r *Revision) error {
	name := n.digests[r.Digest]
	if n.target.GetAnnotations()[primaryRevision] == name {
		return nil
	}
	return n.annotate(ctx, n.target, map[string]any{primaryRevision: name})
}

// The rest is Knative's business, and the router's.

func (*knative) start(context.Context) error { return nil }

func (*knative) stop(context.Context) error { return nil }

func (n *knative) revert(context.Context) (string, error) {
	if n.target == nil {
		return "", nil
	}
	return n.Target.Why, nil
}

func (*knative) ensureServices(context.Context) error { return nil }

func (*knative) ensureApex(context.Context) error { return nil }

func (*knative) revertApex(context.Context) error { return nil }

// objects implements [form]. What happens to its Revisions shows in the status of
// a Knative Service.
func (n *knative) objects() []Object {
	return []Object{n.object(knativeService, n.canary.Spec.TargetRef.Name)}
}
