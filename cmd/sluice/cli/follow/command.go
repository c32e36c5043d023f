// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
)

// ErrDone ends a Follower that has seen what it was waiting for.
var ErrDone = errors.New("done")

// Command is what commands share that follow objects of a kind until a person has seen
// enough; T is a pointer such as *Canary.
type Command[T client.Object] struct {
	Cluster *cluster.Cluster
	Output  output.Flags
	// NewList makes an empty list of the kind.
	NewList func() client.ObjectList
	all     bool
	timeout time.Duration
}

// Register adds the flags to a command. The plural is that of the kind, for help texts.
func (f *Command[T]) Register(cmd *cobra.Command, plural string) {
	cmd.Args, cmd.ValidArgsFunction = cobra.MaximumNArgs(1), f.Cluster.Complete(f.NewList)
	cmd.Flags().BoolVarP(&f.all, "all-namespaces", "A", false, "follow the "+plural+" of all namespaces")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "give up after this time; 0 is never")
	f.Output.Register(cmd)
}

// Follower connects, and follows what the arguments name, which has to be there, or the
// objects of a namespace, or all. The caller sets OnChange.
func (f *Command[T]) Follower(cmd *cobra.Command, args []string, empty T) (*Follower[T], error) {
	if err := f.validate(args); err != nil {
		return nil, err
	}
	c, err := f.Cluster.Client()
	if err != nil {
		return nil, err
	}
	where, err := f.listOptions(cmd.Context(), c, args, empty)
	if err != nil {
		return nil, err
	}
	return &Follower[T]{
		Client: c, NewList: f.NewList, Options: where, OnDisconnect: NoteDisconnect(cmd),
		OnDelete: func(key client.ObjectKey) error {
			if len(args) > 0 {
				return deleted(c, empty, key)
			}
			return nil
		},
	}, nil
}

func (f *Command[T]) validate(args []string) error {
	if err := f.Output.Validate(); err != nil {
		return err
	}
	switch {
	case f.Output.Format() == output.YAML, f.Output.Format() == output.Name:
		return errors.New("--output: there is no end to what is followed; use json, which has one object a line")
	case len(args) > 0 && f.all:
		return cluster.ErrNamedOfAll
	}
	return nil
}

func (f *Command[T]) listOptions(ctx context.Context, c client.Client, args []string, empty T) ([]client.ListOption, error) {
	if f.all {
		return nil, nil
	}
	ns, err := f.Cluster.Namespace()
	if err != nil || len(args) == 0 {
		return []client.ListOption{client.InNamespace(ns)}, err
	}
	return named(ns, args[0]), f.Cluster.Get(ctx, c, args[0], empty)
}

// Run follows until all was seen that was asked for, or the person has seen enough.
func (f *Command[T]) Run(cmd *cobra.Command, follower *Follower[T]) error {
	ctx, cancel := withTimeout(cmd.Context(), f.timeout, fmt.Errorf("--timeout %s is over", f.timeout))
	defer cancel()
	err := follower.Run(ctx)
	if errors.Is(err, ErrDone) || cmd.Context().Err() != nil {
		return nil
	}
	return err
}

// Wait is what is waited for.
type Wait[T client.Object] struct {
	// What says to the person what is waited for.
	What string
	// Limit is how long, and Timeout the error after that.
	Limit   time.Duration
	Timeout error
	// Until reports whether it came, or why it never will.
	Until func(T) (bool, error)
}

// Await follows an object until it is as it is waited for. NewList makes an empty list of
// its kind.
func Await[T client.Object](cmd *cobra.Command, c client.WithWatch, newList func() client.ObjectList, object T, w Wait[T]) error {
	ctx, cancel := withTimeout(cmd.Context(), w.Limit, w.Timeout)
	defer cancel()
	f := &Follower[T]{
		Client: c, NewList: newList, Options: named(object.GetNamespace(), object.GetName()), OnDisconnect: NoteDisconnect(cmd),
		OnDelete: func(key client.ObjectKey) error { return deleted(c, object, key) },
		OnChange: func(now T) error {
			done, err := w.Until(now)
			if done && err == nil {
				return ErrDone
			}
			return err
		},
	}
	err := output.Await(cmd, w.What, func() error { return f.Run(ctx) })
	if errors.Is(err, ErrDone) {
		return nil
	}
	return err
}

func deleted(c client.Client, of client.Object, key client.ObjectKey) error {
	gvk, _ := c.GroupVersionKindFor(of) // only for the message
	return fmt.Errorf("%s %s was deleted", gvk.Kind, key)
}

// withTimeout limits a context; its cause is then the error. No time is no limit.
func withTimeout(ctx context.Context, limit time.Duration, cause error) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, limit, cause)
}

// NoteDisconnect tells a person that the connection was lost.
func NoteDisconnect(cmd *cobra.Command) func(error) {
	return func(err error) { output.Note(cmd, "connection lost, trying again: %v", err) }
}

// named selects one object.
func named(namespace, name string) []client.ListOption {
	return []client.ListOption{client.InNamespace(namespace), client.MatchingFields{"metadata.name": name}}
}
