// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/follow"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/report"
)

// SuspendCommand is `sluice suspend`.
func SuspendCommand(version string) *cobra.Command {
	return verb(version, "suspend", "Have nothing done for objects until they are resumed: sets spec.suspend",
		func(k kind) bool { return k.suspends }, (*target).suspend)
}

// ResumeCommand is `sluice resume`, which undoes it.
func ResumeCommand(version string) *cobra.Command {
	return verb(version, "resume", "Undo sluice suspend: unsets spec.suspend", func(k kind) bool { return k.suspends }, (*target).resume)
}

// ReconcileCommand is `sluice reconcile`.
func ReconcileCommand(version string) *cobra.Command {
	var timeout time.Duration
	var source bool
	cmd := verb(version, "reconcile", "Have objects reconciled now, and wait for what comes of it, but of canaries",
		func(k kind) bool { return k.requests != ignored }, func(t *target) error {
			if source {
				if err := t.source(timeout); err != nil {
					return err
				}
			}
			return t.reconcile(timeout)
		})
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "give up after this time")
	cmd.Flags().BoolVar(&source, "with-source", false, "first have the source of a Kustomization reconciled")
	return cmd
}

// verb is a command about objects of one kind.
func verb(version, name, short string, which func(kind) bool, do func(*target) error) *cobra.Command {
	known := strings.Join(plurals(which), ", ")
	cmd := &cobra.Command{
		Use: name + " KIND NAME...", Short: short,
		Long: short + ".\nKIND is one of " + known +
			", or its singular or short name, or as in Flux's\nCLI: source git, source oci, source bucket, image repository,\n" +
			"image policy, image update. KIND/NAME will do.",
		Example: fmt.Sprintf("  sluice %s kustomization podinfo -n apps", name),
	}
	c := cluster.AddFlags(cmd, version)
	cmd.ValidArgsFunction = complete(c, which)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k, names, err := kindAndNames(cmd, args, known)
		if err != nil {
			return err
		}
		if !which(k) {
			return fmt.Errorf("%s of %s is not possible: their kind has nothing for it", name, k.plural)
		}
		return each(cmd, c, k, names, do)
	}
	return cmd
}

// kindAndNames are what the arguments of a command say, which takes the known kinds.
func kindAndNames(cmd *cobra.Command, args []string, known string) (kind, []string, error) {
	missing := fmt.Errorf("%s needs a KIND and a NAME: %s; kinds: %s", cmd.CommandPath(), cmd.UseLine(), known)
	if len(args) > 0 {
		if word, name, pair := strings.Cut(args[0], "/"); pair {
			args = append([]string{word, name}, args[1:]...)
		}
	}
	if len(args) < 2 {
		return kind{}, nil, missing
	}
	k, names, err := namedFirst(args)
	if err != nil {
		return k, nil, err
	}
	names = slices.Clone(names)
	for i, arg := range names {
		word, name, pair := strings.Cut(arg, "/")
		if !pair {
			continue
		}
		if other, err := named(word); err != nil || other.Kind != k.Kind {
			return k, nil, fmt.Errorf("%s: %s is about objects of one kind, here of %s", arg, cmd.CommandPath(), k.plural)
		}
		names[i] = name
	}
	if len(names) == 0 || slices.Contains(names, "") {
		return k, nil, missing
	}
	return k, names, nil
}

// complete offers kinds, and then names of objects of the one that the arguments name.
func complete(c *cluster.Cluster, which func(kind) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		before, _, pair := strings.Cut(word, "/")
		prefix := ""
		switch {
		case pair:
			args, prefix = []string{before}, before+"/"
		case len(args) == 0:
			return plurals(which), cobra.ShellCompDirectiveNoFileComp
		}
		if word, name, given := strings.Cut(args[0], "/"); given {
			args = append([]string{word, name}, args[1:]...)
		}
		k, given, err := namedFirst(args)
		if err != nil || !which(k) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, directive := c.Complete(func() client.ObjectList { return k.list() })(cmd, nil, word)
		var names []cobra.Completion
		for _, name := range found {
			if !slices.Contains(given, name) {
				names = append(names, prefix+name)
			}
		}
		return names, directive
	}
}

// target is an object that a command is about.
type target struct {
	cmd    *cobra.Command
	client client.WithWatch
	kind   kind
	object *unstructured.Unstructured
}

func (t *target) String() string {
	return fmt.Sprintf("%s %s/%s", t.kind.Kind, t.object.GetNamespace(), t.object.GetName())
}

// each does something to each of the objects of a kind.
func each(cmd *cobra.Command, in *cluster.Cluster, k kind, names []string, do func(*target) error) error {
	c, err := in.Client()
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range names {
		t := &target{cmd: cmd, client: c, kind: k, object: k.object()}
		if err := in.Get(cmd.Context(), c, name, t.object); err != nil {
			failed = append(failed, err)
			continue
		}
		failed = append(failed, do(t))
	}
	return errors.Join(failed...)
}

// patch changes the object as it is by now.
func (t *target) patch(change func(*unstructured.Unstructured) error) error {
	before := t.object.DeepCopy()
	if err := change(t.object); err != nil {
		return err
	}
	if err := t.client.Patch(t.cmd.Context(), t.object, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("changing %s: %w", t, err)
	}
	return nil
}

func (t *target) suspend() error {
	err := t.patch(func(u *unstructured.Unstructured) error {
		return t.kind.suspend(u)
	})
	if err == nil {
		output.Note(t.cmd, "%s suspended", t)
	}
	return err
}

func (t *target) resume() error {
	err := t.patch(func(u *unstructured.Unstructured) error {
		t.kind.resume(u)
		return nil
	})
	if err == nil {
		output.Note(t.cmd, "%s resumed", t)
	}
	return err
}

// reconcile asks for a reconcile, and waits for its end if the status says when that is.
func (t *target) reconcile(limit time.Duration) error {
	if report.OfResource(t.object).Suspended {
		return fmt.Errorf("%s is suspended: sluice resume %s %s", t, strings.ToLower(t.kind.Kind), t.object.GetName())
	}
	at := time.Now().UTC().Format(time.RFC3339Nano)
	err := t.patch(func(u *unstructured.Unstructured) error {
		annotations := u.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[meta.ReconcileRequestAnnotation] = at
		u.SetAnnotations(annotations)
		return nil
	})
	switch {
	case err != nil:
		return err
	case t.kind.requests == obeyed:
		output.Note(t.cmd, "%s is asked to reconcile; its status does not say when it has, so nothing is awaited", t)
		return nil
	}
	var now report.Resource
	err = follow.Await(t.cmd, t.client, func() client.ObjectList { return t.kind.list() }, t.object, follow.Wait[*unstructured.Unstructured]{
		What: fmt.Sprintf("the reconcile of %s", t), Limit: limit,
		Timeout: fmt.Errorf("%s is not reconciled after %s: is its controller running?", t, shorten.Duration(limit)),
		Until: func(u *unstructured.Unstructured) (bool, error) {
			now = report.OfResource(u)
			handled, _, _ := unstructured.NestedString(u.Object, "status", "lastHandledReconcileAt")
			return handled == at && now.Ready != string(metav1.ConditionUnknown), nil
		},
	})
	switch {
	case err != nil:
		return err
	case now.Ready != string(metav1.ConditionTrue):
		return fmt.Errorf("%s is not ready: %s: %s", t, now.Reason, now.Message)
	}
	output.Note(t.cmd, "%s is ready: %s", t, now.Message)
	return nil
}

// source has the source of a Kustomization reconciled.
func (t *target) source(limit time.Duration) error {
	if t.kind.Kind != kustomizev1.KustomizationKind {
		return fmt.Errorf("--with-source is for Kustomizations, and not for %s", t.kind.plural)
	}
	ref, _, _ := unstructured.NestedStringMap(t.object.Object, "spec", "sourceRef")
	k, err := named(ref["kind"])
	if err != nil {
		return err
	}
	if k.requests == ignored {
		return fmt.Errorf("--with-source: nobody reconciles %s %s on request", k.Kind, ref["name"])
	}
	key := client.ObjectKey{Namespace: ref["namespace"], Name: ref["name"]}
	if key.Namespace == "" {
		key.Namespace = t.object.GetNamespace()
	}
	of := &target{cmd: t.cmd, client: t.client, kind: k, object: k.object()}
	if err := cluster.Get(t.cmd.Context(), t.client, key, of.object); err != nil {
		return err
	}
	return of.reconcile(limit)
}
