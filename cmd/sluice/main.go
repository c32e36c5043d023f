// SPDX-License-Identifier: Apache-2.0

// Command sluice watches container registries, chooses tags by policy, commits
// the bump to Git, drives the apply that follows and lets a release through
// only after canary analysis. It also answers why.
//
//	sluice controller           run the controllers
//	sluice get                  list objects of all kinds, and images on their way
//	sluice suspend, resume      stop and go on
//	sluice reconcile            have an object reconciled now, and wait for it
//	sluice events, logs         print what happened to objects, and what was logged of them
//	sluice trace                say where an object of the cluster comes from
//	sluice push, pull, tag      put artifacts of manifests into a registry, and get them
//	sluice list, diff artifact  list those of a repository, and compare one with a directory
//	sluice tree                 print what hangs below an object
//	sluice build kustomization  print what a Kustomization makes of a directory
//	sluice diff kustomization   print what that would change in the cluster
//	sluice explain policy       say why a policy chose a tag, and why not another
//	sluice explain automation   say what becomes of every marker
//	sluice explain pipeline     say what each stage waits for, and what to do
//	sluice release automation   release the updates that were reverted by a person
//	sluice canary               see where releases stand, and decide about them
//	sluice judge                plan, simulate and replay what the judge of canaries does
//	sluice create pipeline      print a Pipeline to begin with
//	sluice pipeline             see where pipelines stand, and decide about them
//	sluice ui                   serve the web page on this machine
//	sluice update               write images into a local directory, without a cluster
//	sluice version              print the version
//
// Named kubectl-sluice or flux-sluice it is a plugin of those. Data goes to
// standard output, everything else to standard error.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sluice-cd/sluice/cmd/sluice/app"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/kustomization"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/update"
)

// version is stamped by the linker.
var version = "dev"

// Exit codes.
const (
	exitFailed   = 1
	exitOutdated = 2
	// As with flux diff, differences are no failure.
	exitDifferent, exitDiffFailed = 1, 2
)

func main() {
	if served, err := app.ServeBuild(); served {
		exit(err)
	}
	cmd := newRoot(displayName(os.Args[0]))
	if strings.HasPrefix(filepath.Base(os.Args[0]), completionPrefix) {
		cmd.SetArgs(append([]string{cobra.ShellCompRequestCmd}, os.Args[1:]...))
	}
	exit(cmd.ExecuteContext(ctrl.SetupSignalHandler()))
}

// exit ends the process with the code that err stands for, and prints err if it is a
// failure.
func exit(err error) {
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, update.ErrOutdated):
		os.Exit(exitOutdated)
	case errors.Is(err, kustomization.ErrDifferent):
		os.Exit(exitDifferent)
	}
	fmt.Fprintln(os.Stderr, "sluice:", err)
	if errors.As(err, &kustomization.FailedError{}) {
		os.Exit(exitDiffFailed)
	}
	os.Exit(exitFailed)
}

// completionPrefix starts the name under which kubectl asks a plugin to complete
// its arguments.
const completionPrefix = "kubectl_complete-"

// displayName is how usage lines call the program: as plugins are called by the
// program that they extend.
func displayName(path string) string {
	base := strings.TrimSuffix(filepath.Base(path), ".exe")
	for _, host := range []string{"kubectl", "flux"} {
		if plugin, ok := strings.CutPrefix(base, host+"-"); ok {
			return host + " " + plugin
		}
	}
	return "sluice"
}
