// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
)

// ErrDone ends a Follower that has seen what it was waiting for.
var ErrDone = errors.New("done")

// WithTimeout limits a context; its cause is then the error. No time is no limit.
func WithTimeout(ctx context.Context, limit time.Duration, cause error) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, limit, cause)
}

// NoteDisconnect tells a person that the connection was lost.
func NoteDisconnect(cmd *cobra.Command) func(error) {
	return func(err error) { output.Note(cmd, "connection lost, trying again: %v", err) }
}

// Named selects one object.
func Named(namespace, name string) []client.ListOption {
	return []client.ListOption{client.InNamespace(namespace), client.MatchingFields{"metadata.name": name}}
}
