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

// verb is a command about objects of one kind.
type verb struct {
	name, short string
	// which are the kinds that it is for.
	which func(kind) bool
	// all says that it has the flag --all.
	all bool
	do  func([]*target) error
}

func suspends(k kind) bool { return k.suspends }

// SuspendCommand is `sluice suspend`.
func SuspendCommand(version string) *cobra.Command {
	return verb{
		name: "suspend", short: "Have nothing done for objects until they are resumed: sets spec.suspend",
		which: suspends, all: true, do: each((*target).suspend),
	}.command(version)
}

// ResumeCommand is `sluice resume`, which undoes it.
func ResumeCommand(version string) *cobra.Command {
	var timeout time.Duration
	var waits bool
	v := verb{
		name: "resume", short: "Undo sluice suspend: unsets spec.suspend, and wait for the reconcile of a single object",
		which: suspends, all: true,
	}
	var cmd *cobra.Command
	v.do = func(targets []*target) error {
		all, _ := cmd.Flags().GetBool(allFlag)
		// As in Flux: one that is named is waited for unless the flag says otherwise.
		if !cmd.Flags().Changed("wait") {
			waits = len(targets) == 1 && !all
		}
		failed := each((*target).resume)(targets)
		if failed != nil || !waits {
			return failed
		}
		end := time.Now().Add(timeout)
		return each(func(t *target) error { return t.awaitResumed(max(time.Until(end), time.Second)) })(targets)
	}
	cmd = v.command(version)
	cmd.Flags().BoolVar(&waits, "wait", false, "wait until the objects are reconciled; default: if one is named")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "give up waiting after this time")
	return cmd
}

// ReconcileCommand is `sluice reconcile`.
func ReconcileCommand(version string) *cobra.Command {
	var timeout time.Duration
	var source bool
	cmd := verb{
		name: "reconcile", short: "Have objects reconciled now, and wait for what comes of it, but of canaries",
		which: func(k kind) bool { return k.requests != ignored },
		do: each(func(t *target) error {
			if source {
				if err := t.source(timeout); err != nil {
					return err
				}
			}
			return t.reconcile(timeout)
		}),
	}.command(version)
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "give up after this time")
	cmd.Flags().BoolVar(&source, "with-source", false, "first have the source of a Kustomization reconciled")
	return cmd
}

// allFlag selects all objects of a kind in the namespace.
const allFlag = "all"

func (v verb) command(version string) *cobra.Command {
	known := strings.Join(plurals(v.which), ", ")
	cmd := &cobra.Command{
		Use: v.name + " KIND NAME...", Short: v.short,
		Long: v.short + ".\nKIND is one of " + known +
			", or its singular or short name, or as in Flux's\nCLI: source git, source oci, source bucket, image repository,\n" +
			"image policy, image update. KIND/NAME will do.",
		Example: fmt.Sprintf("  sluice %s kustomization podinfo -n apps", v.name),
	}
	c := cluster.AddFlags(cmd, version)
	var all bool
	if v.all {
		cmd.Flags().BoolVar(&all, allFlag, false, "all objects of the KIND in the namespace")
		cmd.Example += fmt.Sprintf("\n  sluice %s source git --all -n apps", v.name)
	}
	cmd.ValidArgsFunction = complete(c, v.which)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		k, names, err := kindAndNames(cmd, args, known)
		if all {
			k, names, err = kindAlone(args)
		}
		if err != nil {
			return err
		}
		if !v.which(k) {
			return fmt.Errorf("%s of %s is not possible: their kind has nothing for it", v.name, k.plural)
		}
		api, err := c.Client()
		if err != nil {
			return err
		}
		var found []*target
		if all {
			found, err = allTargets(cmd, c, api, k)
		} else {
			found, err = targets(cmd, c, api, k, names)
		}
		return errors.Join(err, v.do(found))
	}
	return cmd
}

// kindAlone is the kind that the arguments of a command with --all name.
func kindAlone(args []string) (kind, []string, error) {
	if len(args) == 0 {
		return kind{}, nil, errors.New("--all needs a KIND")
	}
	k, names, err := namedFirst(args)
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("--all is all %s of the namespace: leave out %s", k.plural, strings.Join(names, " "))
	}
	return k, nil, err
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

// each does something to each of several objects.
func each(do func(*target) error) func([]*target) error {
	return func(all []*target) error {
		var failed []error
		for _, t := range all {
			failed = append(failed, do(t))
		}
		return errors.Join(failed...)
	}
}

// targets are the objects of a kind by their names. The error is about those that are not there.
func targets(cmd *cobra.Command, in *cluster.Cluster, c client.WithWatch, k kind, names []string) ([]*target, error) {
	var found []*target
	var failed []error
	for _, name := range names {
		t := &target{cmd: cmd, client: c, kind: k, object: k.object()}
		if err := in.Get(cmd.Context(), c, name, t.object); err != nil {
			failed = append(failed, err)
			continue
		}
		found = append(found, t)
	}
	return found, errors.Join(failed...)
}

// allTargets are all objects of a kind in the namespace.
func allTargets(cmd *cobra.Command, in *cluster.Cluster, c client.WithWatch, k kind) ([]*target, error) {
	namespace, err := in.Namespace()
	if err != nil {
		return nil, err
	}
	list := k.list()
	if err := cluster.List(cmd.Context(), c, list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("there are no %s in namespace %s", k.plural, namespace)
	}
	var found []*target
	for i := range list.Items {
		found = append(found, &target{cmd: cmd, client: c, kind: k, object: &list.Items[i]})
	}
	return found, nil
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

// awaitResumed waits as Flux does: until what was resumed is ready, or stalled.
func (t *target) awaitResumed(limit time.Duration) error {
	if t.kind.requests != answered {
		return nil // its status does not say when it was reconciled
	}
	generation := t.object.GetGeneration()
	var now report.Resource
	err := follow.Await(t.cmd, t.client, func() client.ObjectList { return t.kind.list() }, t.object, follow.Wait[*unstructured.Unstructured]{
		What: fmt.Sprintf("the reconcile of %s", t), Limit: limit,
		Timeout: fmt.Errorf("%s is not ready after %s", t, shorten.Duration(limit)),
		Until: func(u *unstructured.Unstructured) (bool, error) {
			observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
			now = report.OfResource(u)
			switch {
			case observed < generation:
				return false, nil
			case hasCondition(u, meta.StalledCondition):
				return false, fmt.Errorf("%s is not ready: %s: %s", t, now.Reason, now.Message)
			}
			return now.Ready == string(metav1.ConditionTrue) && !hasCondition(u, meta.ReconcilingCondition), nil
		},
	})
	switch {
	case err == nil:
		output.Note(t.cmd, "%s is ready: %s", t, now.Message)
	case now.Ready == string(metav1.ConditionFalse) && !strings.Contains(err.Error(), now.Message):
		err = fmt.Errorf("%w: %s: %s", err, now.Reason, now.Message)
	}
	return err
}

// hasCondition reports whether a condition of an object is True.
func hasCondition(u *unstructured.Unstructured, name string) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		fields, _ := c.(map[string]any)
		return fields["type"] == name && fields["status"] == string(metav1.ConditionTrue)
	})
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
