// Command kube is the playground's control plane in one binary.
//
// It dispatches on its first argument, or on the name it was called by, to
// etcd, to a Kubernetes component, or to kubectl: a symbolic link named
// kubectl that points here is a kubectl.
//
// One binary links the shared code once, which makes the build three times
// faster and the cache four times smaller than one binary for each.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// components are the commands that can be run by name; etcd is not among them
// because it is not a cobra command.
var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": func() *cobra.Command { return controllermanager.NewControllerManagerCommand() },
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
}

func main() {
	args := os.Args
	if filepath.Base(args[0]) != "kubectl" {
		args = args[1:]
	}
	if len(args) == 0 {
		usage()
	}
	os.Args = args // every component reads its own command line
	os.Exit(run(args))
}

func run(args []string) int {
	switch name := filepath.Base(args[0]); name {
	case "etcd":
		etcdmain.Main(args)
		return 0
	case "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err) // prints the error as kubectl does, and exits
		}
		return 0
	default:
		component, ok := components[name]
		if !ok {
			usage()
		}
		return cli.Run(component())
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: kube etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubectl [flags]")
	os.Exit(2)
}
