// SPDX-License-Identifier: Apache-2.0

// Package cluster connects commands to a Kubernetes cluster. [AddFlags] gives a command kubectl's flags (--context, -n and so
// on), and the [Cluster] that it returns reads by them:
//
//	Find, FindToPrint   the object that the argument of a command names, in the namespace of -n
//	Listing             the objects of some kinds, of a namespace or of all
//	KindFor             the kind that a word of kubectl means: deploy, ks, canaries.flagger.app
//	Complete            names of objects, for the completion of a shell
//
// No kubeconfig is looked for before a command needs one. Errors say what to type instead: a name that is misspelt, a kind that
// the API server does not serve, a kubeconfig that is missing.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/internal/kinds"
)

// Cluster is the cluster that a command talks to, as kubectl's flags say.
type Cluster struct {
	flags   *genericclioptions.ConfigFlags
	version string
}

// rareFlags of kubectl work and are not shown: they would bury the others.
var rareFlags = []string{
	"cache-dir", "disable-compression", "tls-server-name", "as-uid", "as-group", "as-user-extra",
	"certificate-authority", "client-certificate", "client-key", "insecure-skip-tls-verify", "cluster", "user", "token",
}

// AddFlags gives a command and those below it kubectl's flags. The API server is told
// the version of the program.
func AddFlags(cmd *cobra.Command, version string) *Cluster {
	k := &Cluster{flags: genericclioptions.NewConfigFlags(true), version: version}
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

// ErrUnconfigured means that nobody has said which cluster is meant.
var ErrUnconfigured = errors.New("no cluster is configured: name a kubeconfig with --kubeconfig or KUBECONFIG, or a server with --server")

// unconfigured reports whether neither a kubeconfig nor a flag names a cluster.
func (k *Cluster) unconfigured() bool {
	raw, err := k.flags.ToRawKubeConfigLoader().RawConfig()
	return err == nil && clientcmdapi.IsConfigEmpty(&raw) && *k.flags.APIServer == ""
}

// Config says how to reach the cluster.
func (k *Cluster) Config() (*rest.Config, error) {
	config, err := k.flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster (--kubeconfig, --context, KUBECONFIG): %w", err)
	}
	if config.Host == fallbackHost && k.unconfigured() {
		return nil, ErrUnconfigured
	}
	config.UserAgent = "sluice/" + k.version
	return config, nil
}

// Context is the name of the kubeconfig's context that the cluster is reached by; empty without one, or where a flag names
// another server.
func (k *Cluster) Context() string {
	raw, err := k.flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil || *k.flags.APIServer != "" || *k.flags.ClusterName != "" {
		return ""
	}
	return cmp.Or(*k.flags.Context, raw.CurrentContext)
}

// Client returns a client that caches nothing.
func (k *Cluster) Client() (client.WithWatch, error) {
	config, err := k.Config()
	if err != nil {
		return nil, err
	}
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

// KindFor is the kind that a word names, as for kubectl: deployment, deploy, deployments.apps.
func (k *Cluster) KindFor(word string) (schema.GroupVersionKind, error) {
	if _, err := k.Config(); err != nil {
		return schema.GroupVersionKind{}, err
	}
	mapper, err := k.flags.ToRESTMapper()
	if err != nil {
		return schema.GroupVersionKind{}, fmt.Errorf("asking the cluster for its kinds: %w", err)
	}
	full, partial := schema.ParseResourceArg(strings.ToLower(word))
	if full != nil {
		if gvk, err := mapper.KindFor(*full); err == nil {
			return gvk, nil
		}
	}
	gvk, err := mapper.KindFor(partial.WithVersion(""))
	if err != nil {
		return gvk, fmt.Errorf("the cluster has no kind %s: list them with kubectl api-resources: %w", word, err)
	}
	return gvk, nil
}

// Namespace is the one of -n, or that of the context, or default.
func (k *Cluster) Namespace() (string, error) {
	ns, _, err := k.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return "", fmt.Errorf("reading the namespace of the kubeconfig: %w", err)
	}
	return ns, nil
}

// Find connects, and reads the object that the argument of a command names.
func (k *Cluster) Find(ctx context.Context, name string, into client.Object) (client.WithWatch, error) {
	c, err := k.Client()
	if err != nil {
		return nil, err
	}
	return c, k.Get(ctx, c, name, into)
}

// FindToPrint is [Cluster.Find] for a command that prints the object: the flags of its format are checked before the cluster is
// asked for anything.
func (k *Cluster) FindToPrint(cmd *cobra.Command, as *output.Flags, name string, into client.Object) (client.WithWatch, error) {
	if err := as.Validate(); err != nil {
		return nil, err
	}
	return k.Find(cmd.Context(), name, into)
}

// Get reads the object that the argument of a command names.
func (k *Cluster) Get(ctx context.Context, c client.Client, name string, into client.Object) error {
	ns, err := k.Namespace()
	if err != nil {
		return err
	}
	return Get(ctx, c, client.ObjectKey{Namespace: ns, Name: name}, into)
}

// Get reads an object. The error says what can be done about it.
func Get(ctx context.Context, c client.Client, key client.ObjectKey, into client.Object) error {
	err := c.Get(ctx, key, into)
	kind := kindOf(c, into)
	switch {
	case IsUnserved(err): // which may wrap that discovery was not found
		return unserved(kind)
	case apierrors.IsNotFound(err):
		return Absent(kind, key)
	case err != nil:
		return fmt.Errorf("reading %s %s: %w", kind, key, err)
	}
	return nil
}

// Absent is the error of an object that is not there.
func Absent(kind string, key client.ObjectKey) error {
	return fmt.Errorf("there is no %s %s in namespace %s: list them with kubectl get %s -A, choose a namespace with -n",
		kind, key.Name, key.Namespace, strings.ToLower(kind))
}

// IsUnserved reports whether the API server knows nothing of a kind, or of its group.
func IsUnserved(err error) bool {
	if meta.IsNoMatchError(err) {
		return true
	}
	var failed *apiutil.ErrResourceDiscoveryFailed
	if !errors.As(err, &failed) {
		return false
	}
	for _, err := range *failed {
		if !apierrors.IsNotFound(err) {
			return false
		}
	}
	return true
}

func unserved(kind string) error {
	return fmt.Errorf("the cluster does not serve %s: install the CRDs of config/crd", kind)
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

// Complete offers the names of the objects of a list for the first argument.
func (k *Cluster) Complete(list func() client.ObjectList) cobra.CompletionFunc {
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

func (k *Cluster) names(ctx context.Context, list client.ObjectList) ([]string, error) {
	c, err := k.Client()
	if err != nil {
		return nil, err
	}
	ns, err := k.Namespace()
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
