package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// errNamedOfAll is what naming one object of all namespaces ends with.
var errNamedOfAll = errors.New("a NAME is of one namespace: leave out -A, and choose it with -n")

// canaryWatch is `sluice canary watch`.
type canaryWatch struct {
	cluster   *kube
	output    output
	all       bool
	untilDone bool
	timeout   time.Duration

	view    view
	last    map[client.ObjectKey]standing
	verdict map[client.ObjectKey]*ending
}

func canaryWatchCommand(cluster *kube) *cobra.Command {
	w := &canaryWatch{cluster: cluster, last: map[client.ObjectKey]standing{}, verdict: map[client.ObjectKey]*ending{}}
	cmd := &cobra.Command{
		Use:   "watch [NAME]",
		Short: "Follow releases as they go",
		Long: `Follow releases as they go: one line for each transition, or in a terminal a table
that is kept current. With -o json, each line is an object as in sluice canary get.

With --until-done it ends with the release that is under way, or else with the next
one: the exit code is 0 when the revision was promoted, and not 0 when it was rolled
back or taken back.`,
		Example: `  sluice canary watch -A
  sluice canary watch podinfo -n apps --until-done --timeout 30m`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cluster.complete(canaries),
		RunE:              w.run,
	}
	cmd.Flags().BoolVarP(&w.all, "all-namespaces", "A", false, "follow the canaries of all namespaces")
	cmd.Flags().BoolVar(&w.untilDone, "until-done", false, "end with the release of NAME; the exit code says how it ended")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 0, "give up after this time; 0 is never")
	w.output.register(cmd)
	return cmd
}

func (w *canaryWatch) validate(args []string) error {
	if err := w.output.validate(); err != nil {
		return err
	}
	switch {
	case w.output.format == asYAML:
		return errors.New("--output: there is no end to what is followed; use json, which has one object a line")
	case len(args) > 0 && w.all:
		return errNamedOfAll
	case len(args) == 0 && w.untilDone:
		return errors.New("--until-done needs the NAME of a canary")
	}
	return nil
}

func (w *canaryWatch) run(cmd *cobra.Command, args []string) error {
	if err := w.validate(args); err != nil {
		return err
	}
	c, err := w.cluster.client()
	if err != nil {
		return err
	}
	where, err := w.where(cmd, c, args)
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(cmd.Context(), w.timeout, fmt.Errorf("not done within --timeout %s", w.timeout))
	defer cancel()
	w.view = newView(cmd, w.output.format)
	defer w.view.close()
	f := &follower{
		client: c, where: where, saw: w.saw,
		lost: func(err error) { note(cmd, "connection lost, trying again: %v", err) },
		gone: func(key client.ObjectKey) error { return w.gone(key, args) },
	}
	err = f.run(ctx)
	if errors.Is(err, errDone) || cmd.Context().Err() != nil {
		return nil // all that was asked for, or the person has seen enough
	}
	return err
}

// where says what to follow. One that is named has to be there.
func (w *canaryWatch) where(cmd *cobra.Command, c client.Client, args []string) ([]client.ListOption, error) {
	if w.all {
		return nil, nil
	}
	ns, err := w.cluster.namespace()
	if err != nil || len(args) == 0 {
		return []client.ListOption{client.InNamespace(ns)}, err
	}
	return named(ns, args[0]), w.cluster.get(cmd.Context(), c, args[0], &flaggerv1.Canary{})
}

// named selects one object.
func named(namespace, name string) []client.ListOption {
	return []client.ListOption{client.InNamespace(namespace), client.MatchingFields{"metadata.name": name}}
}

// saw shows a canary if it is not where it was.
func (w *canaryWatch) saw(c *flaggerv1.Canary) error {
	key, now := client.ObjectKeyFromObject(c), standingOf(c)
	before, known := w.last[key]
	if known && before.same(now) {
		return nil
	}
	w.last[key] = now
	if w.verdict[key] == nil {
		w.verdict[key] = &ending{}
	}
	done, err := w.verdict[key].judge(c)
	if shown := w.view.show(key, now); shown != nil {
		return shown
	}
	if w.untilDone && done {
		if err != nil {
			return err
		}
		return errDone
	}
	return nil
}

func (w *canaryWatch) gone(key client.ObjectKey, args []string) error {
	delete(w.last, key)
	w.view.forget(key)
	if len(args) > 0 {
		return fmt.Errorf("Canary %s was deleted", key)
	}
	return nil
}

// same reports whether nothing has changed that a person would call a transition.
func (s standing) same(o standing) bool { return s.position() == o.position() }

func (s standing) position() string {
	command := ""
	if s.LastCommand != nil {
		command = s.LastCommand.String()
	}
	return strings.Join([]string{
		string(s.Phase), fmt.Sprint(s.Weight, s.Stage, s.FailedChecks), s.Revision, s.Image, s.holds(), s.Ready, command,
	}, "\x00")
}

// line is a standing as one line of a log.
func (s standing) line(at time.Time) string {
	parts := []string{at.Format(time.TimeOnly), s.Namespace + "/" + s.Name}
	for _, part := range []struct{ name, value string }{
		{"", string(s.Phase)}, {"weight ", fmt.Sprint(s.Weight)}, {"step ", s.step()}, {"failed ", s.failed()},
		{"", s.Image}, {"hold ", s.holds()}, {"", s.news()},
	} {
		if part.value != "" {
			parts = append(parts, part.name+part.value)
		}
	}
	return strings.Join(cells(parts), "  ")
}

// news is what to say of a standing: why a check failed, or how things are.
func (s standing) news() string {
	if s.Release == nil || s.FailedChecks == 0 || len(s.Release.Steps) == 0 {
		return s.Message
	}
	for _, m := range s.Release.Steps[len(s.Release.Steps)-1].Measured {
		if m.Failure != "" {
			return m.Failure
		}
	}
	return s.Message
}

// jsonLine is a standing as one line of JSON.
func (s standing) jsonLine(at time.Time) ([]byte, error) {
	return json.Marshal(struct {
		Time time.Time `json:"time"`
		standing
	}{at.UTC(), s})
}
