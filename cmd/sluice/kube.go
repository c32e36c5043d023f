package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/kinds"
)

// kube is the cluster that a command talks to, as kubectl's flags say.
type kube struct {
	flags *genericclioptions.ConfigFlags
}

// rareFlags of kubectl work and are not shown: they would bury the others.
var rareFlags = []string{
	"cache-dir", "disable-compression", "tls-server-name", "as-uid", "as-group", "as-user-extra",
	"certificate-authority", "client-certificate", "client-key", "insecure-skip-tls-verify", "cluster", "user", "token",
}

// addKube gives a command and those below it kubectl's flags.
func addKube(cmd *cobra.Command) *kube {
	k := &kube{flags: genericclioptions.NewConfigFlags(true)}
	set := cmd.PersistentFlags()
	k.flags.AddFlags(set)
	for _, name := range rareFlags {
		if f := set.Lookup(name); f != nil {
			f.Hidden = true
		}
	}
	if f := set.Lookup("namespace"); f != nil {
		f.Usage = "namespace of the objects; default: that of the kubeconfig's context"
	}
	return k
}

// fallbackHost is where kubectl's own libraries look for a cluster when nobody has
// named one.
const fallbackHost = "http://localhost:8080"

var errUnconfigured = errors.New("no cluster is configured: name a kubeconfig with --kubeconfig or KUBECONFIG, or a server with --server")

// unconfigured reports whether neither a kubeconfig nor a flag names a cluster.
func (k *kube) unconfigured() bool {
	raw, err := k.flags.ToRawKubeConfigLoader().RawConfig()
	return err == nil && clientcmdapi.IsConfigEmpty(&raw) && *k.flags.APIServer == ""
}

// client returns a client that caches nothing.
func (k *kube) client() (client.WithWatch, error) {
	config, err := k.flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster (--kubeconfig, --context, KUBECONFIG): %w", err)
	}
	if config.Host == fallbackHost && k.unconfigured() {
		return nil, errUnconfigured
	}
	config.UserAgent = "sluice/" + version
	scheme, err := kinds.Scheme()
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", config.Host, err)
	}
	return c, nil
}

// namespace is the one of -n, or that of the context, or default.
func (k *kube) namespace() (string, error) {
	ns, _, err := k.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("reading the namespace of the kubeconfig: %w", err)
	}
	return ns, nil
}

// get reads the object of a command's argument. What is missing is said in terms
// of what was typed.
func (k *kube) get(ctx context.Context, c client.Client, name string, into client.Object) error {
	ns, err := k.namespace()
	if err != nil {
		return err
	}
	return fetch(ctx, c, client.ObjectKey{Namespace: ns, Name: name}, into)
}

// fetch reads an object and says what is to be done when it cannot.
func fetch(ctx context.Context, c client.Client, key client.ObjectKey, into client.Object) error {
	err := c.Get(ctx, key, into)
	kind := kindOf(c, into)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("there is no %s %s in namespace %s: list them with kubectl get %s -A, choose a namespace with -n",
			kind, key.Name, key.Namespace, strings.ToLower(kind))
	case meta.IsNoMatchError(err):
		return fmt.Errorf("the cluster does not serve %s: install the CRDs of config/crd", kind)
	case err != nil:
		return fmt.Errorf("reading %s %s: %w", kind, key, err)
	}
	return nil
}

func kindOf(c client.Client, of client.Object) string {
	gvk, err := c.GroupVersionKindFor(of)
	if err != nil {
		return fmt.Sprintf("%T", of)
	}
	return gvk.Kind
}

// completionPatience bounds what a person waits for a completion.
const completionPatience = 3 * time.Second

// complete offers the names of the objects of a list for the first argument.
func (k *kube) complete(list func() client.ObjectList) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		names, err := k.names(ctx, list())
		if err != nil {
			cobra.CompErrorln(err.Error())
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func (k *kube) names(ctx context.Context, list client.ObjectList) ([]string, error) {
	c, err := k.client()
	if err != nil {
		return nil, err
	}
	ns, err := k.namespace()
	if err != nil {
		return nil, err
	}
	if err := c.List(ctx, list, client.InNamespace(ns)); err != nil {
		return nil, err
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, item := range items {
		if object, ok := item.(client.Object); ok {
			names = append(names, object.GetName())
		}
	}
	return names, nil
}

func policies() client.ObjectList    { return &imagev1.ImagePolicyList{} }
func automations() client.ObjectList { return &imagev1.ImageUpdateAutomationList{} }
