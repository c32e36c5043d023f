package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// patience is how long a command is silent about what it waits for.
const patience = 2 * time.Second

// note tells a person something that is not data.
func note(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
}

// awaiting does something that may take long, and says so once it does.
func awaiting(cmd *cobra.Command, what string, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	for waited := time.Duration(0); ; waited += patience {
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			say(cmd.ErrOrStderr(), what, waited+patience)
		}
	}
}

func say(w io.Writer, what string, waited time.Duration) {
	fmt.Fprintf(w, "%s ... %s\n", what, waited)
}
