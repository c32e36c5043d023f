// SPDX-License-Identifier: Apache-2.0

package kustomization

import (
	"errors"
	"fmt"
	"io"
	"os"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/apply"
	"github.com/sluice-cd/sluice/apply/build"
	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/apply/watch"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/usage"
)

// ErrDifferent says that there are differences, which were printed.
var ErrDifferent = errors.New("there are differences")

// FailedError is why a diff could not be made, or not of all objects: its exit code is
// another one than that of differences.
type FailedError struct{ error }

// Unwrap returns the cause.
func (e FailedError) Unwrap() error { return e.error }

// colours are the values of --color.
const (
	colourAuto   = "auto"
	colourAlways = "always"
	colourNever  = "never"
)

// DiffCommand is `sluice diff kustomization`.
func DiffCommand(c *cluster.Cluster) *cobra.Command {
	b := &builder{cluster: c}
	colour := colourAuto
	cmd := &cobra.Command{
		Use:     "kustomization NAME",
		Aliases: []string{"kustomizations", "ks"},
		Short:   "Print how a Kustomization with a directory would change the cluster",
		Long: `Print how a Kustomization with a directory would change the cluster: the API server
is asked in a dry run, with your rights. Values of Secrets are masked, so that only
whether they change is shown; what SOPS encrypted is not compared. Objects
that ask to be left alone are left out, and so are fields that spec.ignore names. What
left the directory is deleted only if the controller would delete it, and noted otherwise.
What is probably a mistake is noted on standard error. With --recursive the
Kustomizations that are among the objects are compared as well, but those of other
clusters.

The exit code is 0 if nothing would change, 1 if something would, and 2 if that could
not be found out.`,
		Example: `  sluice diff kustomization podinfo -n apps --path ./apps/podinfo
  sluice diff kustomization podinfo -n apps --color=always | less -R`,
		Args:              usage.OneName("kubectl get kustomizations"),
		ValidArgsFunction: c.Complete(newList),
		RunE: func(cmd *cobra.Command, args []string) error {
			coloured, err := isColoured(colour, cmd.OutOrStdout())
			if err != nil {
				return FailedError{err}
			}
			err = b.diff(cmd, args[0], coloured)
			if err != nil && !errors.Is(err, ErrDifferent) {
				return FailedError{err}
			}
			return err
		},
	}
	b.register(cmd)
	cmd.Flags().StringVar(&colour, "color", colour, "whether to colour differences: auto, always or never")
	return cmd
}

// isColoured reports whether differences are coloured.
func isColoured(value string, out io.Writer) (bool, error) {
	switch value {
	case colourAlways, colourNever:
		return value == colourAlways, nil
	case colourAuto:
		file, ok := out.(*os.File)
		return ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "", nil
	}
	return false, fmt.Errorf("--color: %q is none of auto, always and never", value)
}

// comparison compares the objects of a Kustomization with those of a cluster.
type comparison struct {
	cmd      *cobra.Command
	client   client.Client
	k        *kustomizev1.Kustomization
	rules    *watch.Rules
	coloured bool
	// encrypted are those with values that SOPS encrypted.
	encrypted map[inventory.ID]bool
	different bool
}

func (b *builder) diff(cmd *cobra.Command, name string, coloured bool) error {
	all, err := b.build(cmd, name)
	if err != nil {
		return err
	}
	c, err := b.cluster.Client()
	if err != nil {
		return err
	}
	different := false
	var failed []error
	for i, built := range all {
		if built.k.Spec.KubeConfig != nil && i > 0 {
			output.Note(cmd, "Kustomization %s applies to the cluster of its spec.kubeConfig, and is not compared", built.k.Name)
			continue
		}
		err := (&comparison{cmd: cmd, client: c, k: built.k, coloured: coloured}).run(built.objects)
		if errors.Is(err, ErrDifferent) {
			different = true
		} else if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 && different {
		return ErrDifferent
	}
	return errors.Join(failed...)
}

// run compares a Kustomization with the cluster.
func (d *comparison) run(objects []*unstructured.Unstructured) (err error) {
	k := d.k
	if k.Spec.KubeConfig != nil {
		output.Note(d.cmd, "Kustomization %s applies to the cluster of its spec.kubeConfig: this compares with that of your own kubeconfig",
			k.Name)
	}
	var ignore []watch.IgnoreRule
	for _, rule := range k.Spec.Ignore {
		ignore = append(ignore, watch.IgnoreRule{Paths: rule.Paths, Target: rule.Target})
	}
	if d.rules, err = watch.NewRules(profile, nil, ignore); err != nil {
		return err
	}
	return d.compareAll(objects)
}

// compareAll prints how all objects would change, once they are what the controller applies.
func (d *comparison) compareAll(objects []*unstructured.Unstructured) error {
	d.encrypted = map[inventory.ID]bool{}
	for _, u := range objects { // as they are in the source, since preparing drops the field sops
		d.encrypted[inventory.IDOf(u)] = build.IsEncrypted(u)
	}
	if err := apply.Prepare(profile, profile.Owner(d.k.Namespace, d.k.Name), requestOf(d.k, objects)); err != nil {
		return err
	}
	var failed []error
	for _, u := range objects {
		if err := d.compare(u); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", subject(u), err))
		}
	}
	if err := d.deleted(objects); err != nil {
		failed = append(failed, err)
	}
	if len(failed) == 0 && d.different {
		return ErrDifferent
	}
	return errors.Join(failed...)
}

// subject names an object as events do.
func subject(u *unstructured.Unstructured) string { return inventory.IDOf(u).Subject() }

// compare prints how an object would change.
func (d *comparison) compare(u *unstructured.Unstructured) error {
	live, err := d.live(u)
	if err != nil {
		return err
	}
	if live == nil {
		return d.print(subject(u)+" created", nil, u)
	}
	switch {
	case profile.Excluded(u.GetLabels(), u.GetAnnotations()), profile.Excluded(live.GetLabels(), live.GetAnnotations()),
		decide.Wants(u.GetLabels(), u.GetAnnotations(), profile.SSAKey, decide.IfNotPresent):
		return nil
	case d.encrypted[inventory.IDOf(u)]:
		output.Note(d.cmd, "%s is encrypted, and is not compared", subject(u))
		return nil
	}
	if ignored := d.rules.Ignored(u.GroupVersionKind(), u); len(ignored) > 0 {
		watch.Adopt(ignored, u, live, profile.FieldManager)
	}
	after, err := d.dryRun(u)
	if err != nil {
		return err
	}
	return d.print(subject(u)+" changed", live, after)
}

// live is the object in the cluster; nil if there is none, or none of its kind.
func (d *comparison) live(u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(u.GroupVersionKind())
	err := d.client.Get(d.cmd.Context(), client.ObjectKeyFromObject(u), found)
	switch {
	case apierrors.IsNotFound(err), cluster.IsUnserved(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return found, nil
}

// dryRun is the object as the API server would leave it.
func (d *comparison) dryRun(u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	after := u.DeepCopy()
	err := d.client.Apply(d.cmd.Context(), client.ApplyConfigurationFromUnstructured(after),
		client.DryRunAll, client.FieldOwner(profile.FieldManager), client.ForceOwnership)
	return after, err
}

// deleted prints what left the source, and would be deleted. What would be kept, by the same rule as the controller's, is
// noted, and what is not there is left out.
func (d *comparison) deleted(objects []*unstructured.Unstructured) error {
	live := &kustomizev1.Kustomization{}
	err := d.client.Get(d.cmd.Context(), types.NamespacedName{Namespace: d.k.Namespace, Name: d.k.Name}, live)
	if err != nil || live.Status.Inventory == nil || !d.k.Spec.Prune {
		return client.IgnoreNotFound(err)
	}
	kept := map[inventory.ID]bool{}
	for _, u := range objects {
		kept[inventory.IDOf(u)] = true
	}
	var failed []error
	for _, entry := range live.Status.Inventory.Entries {
		id, err := inventory.Parse(entry.ID)
		if err != nil || kept[id] || kept[inventory.ID{Name: id.Name, Group: id.Group, Kind: id.Kind}] {
			continue // of a kind without namespaces, kustomize sets one
		}
		if err := d.prune(inventory.Entry{ID: id, Version: entry.Version}); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", id.Subject(), err))
		}
	}
	return errors.Join(failed...)
}

// prune prints whether an object that left the source would be deleted.
func (d *comparison) prune(entry inventory.Entry) error {
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(schema.GroupVersionKind{Group: entry.Group, Version: entry.Version, Kind: entry.Kind})
	err := d.client.Get(d.cmd.Context(), types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name}, found)
	switch {
	case apierrors.IsNotFound(err), cluster.IsUnserved(err):
		return nil
	case err != nil:
		return err
	}
	if why, ok := profile.Prunable(found.GetLabels(), found.GetAnnotations(), profile.Owner(d.k.Namespace, d.k.Name)); !ok {
		output.Note(d.cmd, "%s is not among the objects, and is not deleted: %s", entry.Subject(), why)
		return nil
	}
	d.different = true
	return d.title(entry.Subject() + " deleted")
}
