// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/report"
)

// stageNode is the kind of a node that is a stage of a Pipeline, and no object.
const stageNode = "Stage"

// treeBuilder makes a tree of what objects of the cluster say.
type treeBuilder struct {
	client client.Client
	// shown are the objects of the tree so far that something may hang below, and whether
	// something does. What hangs below one that is there again is shown once: it may be there
	// often, or below itself, which would have no end.
	shown   map[string]bool
	skipped []error // what could not be read
}

// shownAbove is the note of an object that is in the tree before, with what hangs below it.
const shownAbove = "(shown above)"

func newTreeBuilder(c client.Client) *treeBuilder {
	return &treeBuilder{client: c, shown: map[string]bool{}}
}

func groupKind(group, kind string) schema.GroupKind {
	return schema.GroupKind{Group: group, Kind: kind}
}

// leaf is an object below which nothing is looked for.
func leaf(group, kind, namespace, name string) report.TreeNode {
	return report.TreeNode{Group: group, ObjectReference: report.ObjectReference{Kind: kind, Namespace: namespace, Name: name}}
}

// below says what hangs below a kind; nil if nothing does.
func (b *treeBuilder) below(of schema.GroupKind) func(context.Context, client.ObjectKey) ([]report.TreeNode, error) {
	switch of {
	case kustomizations:
		return b.kustomization
	case groupKind(flaggerv1.GroupVersion.Group, flaggerv1.CanaryKind):
		return b.canary
	case groupKind(sluicev1.GroupVersion.Group, sluicev1.PipelineKind):
		return b.pipeline
	case groupKind(imagev1.GroupVersion.Group, "ImageUpdateAutomation"):
		return b.automation
	case groupKind(imagev1.GroupVersion.Group, "ImagePolicy"):
		return b.policy
	case groupKind(imagev1.GroupVersion.Group, "ImageRepository"):
		return b.repository
	case groupKind(notificationv1.GroupVersion.Group, "Receiver"):
		return b.receiver
	case groupKind(notificationv1beta3.GroupVersion.Group, "Alert"):
		return b.alert
	}
	if of == groupKind(generatorv1.GroupVersion.Group, generatorv1.ArtifactGeneratorKind) {
		return b.generator
	}
	if of.Group == sourcev1.GroupVersion.Group {
		return b.consumers(of.Kind)
	}
	return nil
}

func nodeID(of schema.GroupKind, key client.ObjectKey) string {
	return of.String() + "/" + key.String()
}

// node is an object with what hangs below it. One that is not there is a leaf, and so is one that
// was shown before.
func (b *treeBuilder) node(ctx context.Context, of schema.GroupKind, key client.ObjectKey) (report.TreeNode, error) {
	found := leaf(of.Group, of.Kind, key.Namespace, key.Name)
	below, id := b.below(of), nodeID(of, key)
	if below == nil {
		return found, nil
	}
	if something, again := b.shown[id]; again {
		if something {
			found.Note = shownAbove
		}
		return found, nil
	}
	b.shown[id] = true
	nodes, err := below(ctx, key)
	if err = client.IgnoreNotFound(err); err != nil {
		return found, fmt.Errorf("reading %s %s: %w", of.Kind, key, err)
	}
	found.Below, b.shown[id] = nodes, len(nodes) > 0
	return found, nil
}

// list lists objects of all namespaces or, if that is forbidden, of one.
func (b *treeBuilder) list(ctx context.Context, list client.ObjectList, namespace string) error {
	err := cluster.List(ctx, b.client, list)
	if apierrors.IsForbidden(err) {
		err = cluster.List(ctx, b.client, list, client.InNamespace(namespace))
	}
	return err
}

// kustomization has what is in its inventory, and what Kustomizations and Canaries in it have.
func (b *treeBuilder) kustomization(ctx context.Context, key client.ObjectKey) ([]report.TreeNode, error) {
	k := &kustomizev1.Kustomization{}
	if err := b.client.Get(ctx, key, k); err != nil || k.Status.Inventory == nil {
		return nil, err
	}
	var found []report.TreeNode
	for _, entry := range k.Status.Inventory.Entries {
		id, err := inventory.Parse(entry.ID)
		if err != nil {
			b.skipped = append(b.skipped, fmt.Errorf("an entry of the inventory of Kustomization %s: %w", key, err))
			continue
		}
		node := leaf(id.Group, id.Kind, id.Namespace, id.Name)
		if id.Kind == kustomizev1.KustomizationKind || id.Kind == flaggerv1.CanaryKind {
			if node, err = b.node(ctx, groupKind(id.Group, id.Kind), client.ObjectKey{Namespace: id.Namespace, Name: id.Name}); err != nil {
				return nil, err
			}
		}
		found = append(found, node)
	}
	return found, nil
}

// kustomizations is the kind.
var kustomizations = groupKind(kustomizev1.GroupVersion.Group, kustomizev1.KustomizationKind)

// consumers are the Kustomizations that are built from a source of a kind, and the ArtifactGenerators that copy of it. One that another of
// them has applied is shown below that.
func (b *treeBuilder) consumers(kind string) func(context.Context, client.ObjectKey) ([]report.TreeNode, error) {
	return func(ctx context.Context, key client.ObjectKey) ([]report.TreeNode, error) {
		var list kustomizev1.KustomizationList
		if err := b.list(ctx, &list, key.Namespace); err != nil {
			return nil, err
		}
		users := slices.DeleteFunc(list.Items, func(k kustomizev1.Kustomization) bool {
			ref := k.Spec.SourceRef
			return ref.Kind != kind || ref.Name != key.Name || cmp.Or(ref.Namespace, k.Namespace) != key.Namespace
		})
		var found []report.TreeNode
		for _, at := range appliedLast(users) {
			if _, again := b.shown[nodeID(kustomizations, at)]; again {
				continue
			}
			node, err := b.node(ctx, kustomizations, at)
			if err != nil {
				return nil, err
			}
			found = append(found, node)
		}
		generators, err := b.generators(ctx, kind, key)
		return append(generators, found...), err
	}
}

// appliedLast are some Kustomizations, those last that another one of them has applied.
func appliedLast(all []kustomizev1.Kustomization) []client.ObjectKey {
	applied := map[client.ObjectKey]bool{}
	for i := range all {
		if all[i].Status.Inventory == nil {
			continue
		}
		for _, entry := range all[i].Status.Inventory.Entries {
			id, err := inventory.Parse(entry.ID)
			key := client.ObjectKey{Namespace: id.Namespace, Name: id.Name}
			if err == nil && groupKind(id.Group, id.Kind) == kustomizations && key != client.ObjectKeyFromObject(&all[i]) {
				applied[key] = true
			}
		}
	}
	var first, last []client.ObjectKey
	for i := range all {
		if key := client.ObjectKeyFromObject(&all[i]); applied[key] {
			last = append(last, key)
		} else {
			first = append(first, key)
		}
	}
	return append(first, last...)
}

// madeByCanaries are the kinds of objects that canaries make beside their target: copies of it and of what it reads,
// and routes. Those that the API server does not know are passed over.
func madeByCanaries() []schema.GroupKind {
	return append([]schema.GroupKind{
		groupKind("apps", "Deployment"), groupKind("apps", "DaemonSet"),
		groupKind("", "Service"), groupKind("", "ConfigMap"), groupKind("", "Secret"),
		groupKind("autoscaling", "HorizontalPodAutoscaler"), groupKind("keda.sh", "ScaledObject"),
	}, provider.MadeKinds()...)
}

// canary has its target, and what it has made.
func (b *treeBuilder) canary(ctx context.Context, key client.ObjectKey) ([]report.TreeNode, error) {
	c := &flaggerv1.Canary{}
	if err := b.client.Get(ctx, key, c); err != nil {
		return nil, err
	}
	target := c.Spec.TargetRef
	gv, _ := schema.ParseGroupVersion(target.APIVersion)
	found := []report.TreeNode{leaf(gv.Group, target.Kind, key.Namespace, target.Name)}
	for _, made := range madeByCanaries() {
		mapping, err := b.client.RESTMapper().RESTMapping(made)
		if err != nil || mapping.Scope.Name() != meta.RESTScopeNameNamespace { // no Canary owns what is the whole cluster's
			continue
		}
		// Of what was made only the names are asked for: Secrets stay where they are.
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(mapping.GroupVersionKind.GroupVersion().WithKind(made.Kind + "List"))
		if err := cluster.List(ctx, b.client, list, client.InNamespace(key.Namespace)); err != nil {
			b.skipped = append(b.skipped, fmt.Errorf("what Canary %s has made of %s: %w", key, mapping.Resource.Resource, err))
			continue
		}
		for _, item := range list.Items {
			if owns(c, &item) {
				found = append(found, leaf(made.Group, made.Kind, item.Namespace, item.Name))
			}
		}
	}
	return found, nil
}

func owns(owner, object client.Object) bool {
	return slices.ContainsFunc(object.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == owner.GetUID() })
}

// pipeline has its artifacts, and its stages with what judges them.
func (b *treeBuilder) pipeline(ctx context.Context, key client.ObjectKey) ([]report.TreeNode, error) {
	p := &sluicev1.Pipeline{}
	if err := b.client.Get(ctx, key, p); err != nil {
		return nil, err
	}
	var found []report.TreeNode
	for _, artifact := range p.Spec.Artifacts {
		switch {
		case artifact.ImagePolicyRef != nil:
			node, err := b.node(ctx, groupKind(imagev1.GroupVersion.Group, "ImagePolicy"),
				client.ObjectKey{Namespace: key.Namespace, Name: artifact.ImagePolicyRef.Name})
			if err != nil {
				return nil, err
			}
			found = append(found, node)
		case artifact.OCIRepositoryRef != nil:
			found = append(found, leaf(sourcev1.GroupVersion.Group, "OCIRepository", key.Namespace, artifact.OCIRepositoryRef.Name))
		}
	}
	for _, stage := range report.OfPipeline(p).Stages {
		node := report.TreeNode{ObjectReference: report.ObjectReference{Kind: stageNode, Name: stage.Name}, Note: string(stage.Phase)}
		if stage.Has != nil {
			node.Note = strings.TrimSpace(node.Note + " " + report.NameBundle(*stage.Has))
		}
		for _, judge := range report.JudgesOf(p, stage.Name) {
			gv, _ := schema.ParseGroupVersion(judge.APIVersion)
			node.Below = append(node.Below, leaf(cmp.Or(gv.Group, groupOf(judge.Kind)), judge.Kind, judge.Namespace, judge.Name))
		}
		found = append(found, node)
	}
	return found, nil
}

// automation has the repository that it writes to, and the policies that it selects.
func (b *treeBuilder) automation(ctx context.Context, key client.ObjectKey) ([]report.TreeNode, error) {
	a, policies := &imagev1.ImageUpdateAutomation{}, &imagev1.ImagePolicyList{}
	if err := b.client.Get(ctx, key, a); err != nil {
		return nil, err
	}
	ref := a.Spec.SourceRef
	found := []report.TreeNode{leaf(sourcev1.GroupVersion.Group, ref.Kind, cmp.Or(ref.Namespace, key.Namespace), ref.Name)}
	options := &client.ListOptions{Namespace: key.Namespace}
	if a.Spec.PolicySelector != nil {
		selector, err := metav1.LabelSelectorAsSelector(a.Spec.PolicySelector)
		if err != nil {
			return nil, fmt.Errorf("spec.policySelector: %w", err)
		}
		options.LabelSelector = selector
	}
	if err := cluster.List(ctx, b.client, policies, options); err != nil {
		return nil, err
	}
	for i := range policies.Items {
		node, err := b.node(ctx, groupKind(imagev1.GroupVersion.Group, "ImagePolicy"), client.ObjectKeyFromObject(&policies.Items[i]))
		if err != nil {
			return nil, err
		}
		found = append(found, node)
	}
	return found, nil
}

// policy has the repository that it chooses of.
func (b *treeBuilder) policy(ctx context.Context, key client.ObjectKey) ([]report.TreeNode, error) {
	p := &imagev1.ImagePolicy{}
	if err := b.client.Get(ctx, key, p); err != nil {
		return nil, err
	}
	ref := p.Spec.ImageRepositoryRef
	return []report.TreeNode{leaf(imagev1.GroupVersion.Group, "ImageRepository", cmp.Or(ref.Namespace, key.Namespace), ref.Name)}, nil
}

// repository has the policies that choose of it.
func (b *treeBuilder) repository(ctx context.Context, key client.ObjectKey) ([]report.TreeNode, error) {
	var list imagev1.ImagePolicyList
	if err := b.list(ctx, &list, key.Namespace); err != nil {
		return nil, err
	}
	var found []report.TreeNode
	for _, p := range list.Items {
		if ref := p.Spec.ImageRepositoryRef; ref.Name == key.Name && cmp.Or(ref.Namespace, p.Namespace) == key.Namespace {
			found = append(found, leaf(imagev1.GroupVersion.Group, "ImagePolicy", p.Namespace, p.Name))
		}
	}
	return found, nil
}

// receiver has the objects that it has reconciled.
func (b *treeBuilder) receiver(ctx context.Context, key client.ObjectKey) ([]report.TreeNode, error) {
	r := &notificationv1.Receiver{}
	if err := b.client.Get(ctx, key, r); err != nil {
		return nil, err
	}
	var found []report.TreeNode
	for _, of := range r.Spec.Resources {
		found = append(found, referred(of.CrossNamespaceObjectReference, key.Namespace))
	}
	return found, nil
}

// alert has the Provider that it sends to, and the objects whose events it sends.
func (b *treeBuilder) alert(ctx context.Context, key client.ObjectKey) ([]report.TreeNode, error) {
	u, a := &unstructured.Unstructured{}, &notificationv1beta3.Alert{}
	u.SetGroupVersionKind(notificationv1beta3.GroupVersion.WithKind("Alert")) // whose types no client of ours knows
	if err := b.client.Get(ctx, key, u); err != nil {
		return nil, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, a); err != nil {
		return nil, err
	}
	found := []report.TreeNode{leaf(notificationv1beta3.GroupVersion.Group, "Provider", key.Namespace, a.Spec.ProviderRef.Name)}
	for _, of := range a.Spec.EventSources {
		found = append(found, referred(of, key.Namespace))
	}
	return found, nil
}

// referred is an object, or all of a kind with labels where the name is *.
func referred(ref notificationv1.CrossNamespaceObjectReference, namespace string) report.TreeNode {
	node := leaf(groupOf(ref.Kind), ref.Kind, cmp.Or(ref.Namespace, namespace), ref.Name)
	if len(ref.MatchLabels) > 0 {
		node.Note = metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: ref.MatchLabels})
	}
	return node
}

// groupOf is the group of a kind that is served, which references leave out; empty for others.
func groupOf(kind string) string {
	k, err := named(kind)
	if err != nil {
		return ""
	}
	return k.Group
}
