// SPDX-License-Identifier: Apache-2.0

// Package trace follows an object of the cluster back to where it comes from:
//
//	object --> owners --> Kustomization, HelmRelease --> source --> what that was made of
//	image of its pods --> policy that chose the tag --> commit of the automation that wrote it
//	all on that way   --> stages of Pipelines that are judged by it, and the bundle that they have
package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// tracer is `sluice trace`.
type tracer struct {
	cluster *cluster.Cluster
	output  output.Flags
}

// Command is `sluice trace` of a program of the given version.
func Command(version string) *cobra.Command {
	t := &tracer{}
	cmd := &cobra.Command{
		Use:   "trace KIND NAME",
		Short: "Say where an object of the cluster comes from",
		Long: `Say where an object of the cluster comes from: who has applied it or what owns it,
out of which source, of which revision; and of the images of its pods, which policy
chose the tag and which commit wrote it to Git; and which stage of a Pipeline it belongs
to, and which bundle that has. KIND is as for kubectl: deployment, deploy,
deployments.apps. KIND/NAME will do.`,
		Example: `  sluice trace deployment podinfo -n apps
  sluice trace canary/podinfo -n apps -o yaml`,
		Args: cobra.RangeArgs(1, 2),
		RunE: t.run,
	}
	t.cluster = cluster.AddFlags(cmd, version)
	t.output.Register(cmd)
	return cmd
}

func (t *tracer) run(cmd *cobra.Command, args []string) error {
	if err := t.output.Validate(); err != nil {
		return err
	}
	if len(args) == 1 {
		args = strings.SplitN(args[0], "/", 2)
	}
	if len(args) != 2 || args[0] == "" || args[1] == "" {
		return errors.New("name an object: sluice trace KIND NAME, or KIND/NAME")
	}
	gvk, err := t.cluster.KindFor(args[0])
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(gvk)
	c, err := t.cluster.Find(cmd.Context(), args[1], object)
	if err != nil {
		return err
	}
	traced, err := trace(cmd.Context(), c, object)
	if err != nil {
		return err
	}
	if running := report.ImagesIn(object); len(running) > 0 {
		known, err := images(cmd.Context(), c)
		if err != nil {
			output.Note(cmd, "images are left out: %v", err)
		}
		traced.Images = report.TraceImages(running, known)
	}
	var pipelines sluicev1.PipelineList
	if err := cluster.List(cmd.Context(), c, &pipelines); err != nil {
		output.Note(cmd, "stages of Pipelines are left out: %v", err)
	}
	traced.Stages = report.TraceStages(traced, pipelines.Items)
	if traced.Owner == nil {
		output.Note(cmd, "nobody has applied it: neither it nor what owns it has the labels of a Kustomization or a HelmRelease")
	}
	if t.output.IsTable() {
		page := pageOf(traced)
		_, err = page.WriteTo(cmd.OutOrStdout())
		return err
	}
	return t.output.Print(cmd.OutOrStdout(), names(traced), traced)
}

// names are those of the objects on the way, for -o name.
func names(traced report.Trace) output.Table {
	var t output.Table
	for _, r := range append([]report.ObjectReference{traced.Object}, traced.Through...) {
		t.Add(strings.ToLower(r.Kind) + "/" + r.Name)
	}
	if traced.Owner != nil {
		t.Add(strings.ToLower(traced.Owner.Kind) + "/" + traced.Owner.Name)
	}
	if traced.Source != nil {
		t.Add(strings.ToLower(traced.Source.Kind) + "/" + traced.Source.Name)
	}
	return t
}

// appliers are the kinds that apply objects, by the prefix of the labels that they put on
// them.
var appliers = map[string]schema.GroupVersionKind{
	"kustomize.toolkit.fluxcd.io": {Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization"},
	"helm.toolkit.fluxcd.io":      {Group: "helm.toolkit.fluxcd.io", Version: "v2", Kind: "HelmRelease"},
}

// maxOwners is how many owners of owners are looked at.
const maxOwners = 10

// trace goes from an object to who has applied it, and to the source of that.
func trace(ctx context.Context, c client.Client, object *unstructured.Unstructured) (report.Trace, error) {
	traced := report.Trace{Object: reference(object)}
	for at := object; at != nil && len(traced.Through) <= maxOwners; {
		owner, err := applierOf(ctx, c, at)
		if err != nil {
			return traced, err
		}
		if owner != nil {
			found := report.OfOwner(owner)
			traced.Owner = &found
			traced.Source, err = sourceOf(ctx, c, owner)
			return traced, err
		}
		if at, err = ownerOf(ctx, c, at); err != nil {
			return traced, err
		}
		if at != nil {
			traced.Through = append(traced.Through, reference(at))
		}
	}
	return traced, nil
}

func reference(u *unstructured.Unstructured) report.ObjectReference {
	return report.ObjectReference{Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
}

// applierOf is who says with labels to have applied an object; nil if nobody does.
func applierOf(ctx context.Context, c client.Reader, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	labels := object.GetLabels()
	for prefix, gvk := range appliers {
		key := client.ObjectKey{Namespace: labels[prefix+"/namespace"], Name: labels[prefix+"/name"]}
		if key.Name != "" && key.Namespace != "" {
			return read(ctx, c, gvk, key)
		}
	}
	return nil, nil
}

// ownerOf is the object that controls one, or owns it; nil if none does.
func ownerOf(ctx context.Context, c client.Client, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	owners := object.GetOwnerReferences()
	if len(owners) == 0 {
		return nil, nil
	}
	owner := owners[0]
	for _, other := range owners {
		if other.Controller != nil && *other.Controller {
			owner = other
		}
	}
	u, key := &unstructured.Unstructured{}, client.ObjectKey{Name: owner.Name}
	u.SetGroupVersionKind(schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind))
	namespaced, err := c.IsObjectNamespaced(u)
	switch {
	case cluster.IsUnserved(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking for the kind of %s %s: %w", owner.Kind, owner.Name, err)
	case namespaced:
		key.Namespace = object.GetNamespace()
	}
	return read(ctx, c, u.GroupVersionKind(), key)
}

// read reads an object; nil if there is none, or none of its kind.
func read(ctx context.Context, c client.Reader, gvk schema.GroupVersionKind, key client.ObjectKey) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	err := c.Get(ctx, key, u)
	switch {
	case apierrors.IsNotFound(err), cluster.IsUnserved(err), apierrors.IsBadRequest(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading %s %s: %w", gvk.Kind, key, err)
	}
	return u, nil
}

// sourceOf is the source that an owner is built from; nil if it names none that is there.
func sourceOf(ctx context.Context, c client.Reader, owner *unstructured.Unstructured) (*report.TracedSource, error) {
	ref, apiVersion, ok := report.SourceOf(owner)
	if !ok {
		return nil, nil
	}
	gvk := schema.FromAPIVersionAndKind(cmp.Or(apiVersion, "source.toolkit.fluxcd.io/v1"), ref.Kind)
	source, err := read(ctx, c, gvk, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name})
	if err != nil || source == nil {
		return nil, err
	}
	traced := report.OfSource(source)
	return &traced, nil
}

// images are all that policies choose tags of, with what was written of them.
func images(ctx context.Context, c client.Client) ([]report.Image, error) {
	var policies imagev1.ImagePolicyList
	var repositories imagev1.ImageRepositoryList
	var automations imagev1.ImageUpdateAutomationList
	for _, list := range []client.ObjectList{&policies, &repositories, &automations} {
		if err := cluster.List(ctx, c, list); err != nil {
			return nil, err
		}
	}
	return report.Images(policies.Items, repositories.Items, automations.Items).Items, nil
}
