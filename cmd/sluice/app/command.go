// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Command is `sluice controller`, of a program of the given version.
func Command(version string) *cobra.Command {
	f := flags{version: version}
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Run the controllers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.canary.fromEnvironment()
			if err := f.validate(); err != nil {
				return err
			}
			if err := setLogger(f.logLevel, f.logEncoding); err != nil {
				return err
			}
			config, err := restConfig(&f)
			if err != nil {
				return err
			}
			return run(cmd.Context(), config, &f)
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// restConfig finds the cluster: the flag, then KUBECONFIG, then the pod.
func restConfig(f *flags) (*rest.Config, error) {
	config, err := f.clientConfig(f.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("finding the cluster (--kubeconfig, KUBECONFIG or a service account): %w", err)
	}
	return config, nil
}

// clientConfig reads the kubeconfig at path; without one it looks where kubectl would.
func (f *flags) clientConfig(path string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = f.qps, f.burst
	config.UserAgent = "sluice/" + f.version
	return config, nil
}
