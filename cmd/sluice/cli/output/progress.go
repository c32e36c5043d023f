// SPDX-License-Identifier: Apache-2.0

package output

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
)

// patience is how long a command is silent about what it waits for.
const patience = 2 * time.Second

// Note tells a person something that is not data.
func Note(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
}

// Await does something that may take long, and says so once it does.
func Await(cmd *cobra.Command, what string, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	for waited := time.Duration(0); ; waited += patience {
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			Note(cmd, "%s ... %s", what, waited+patience)
		}
	}
}

// Ago is the time that has passed from then to now, as people say it.
func Ago(then, now time.Time) string { return duration.HumanDuration(now.Sub(then)) }
