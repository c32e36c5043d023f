// SPDX-License-Identifier: Apache-2.0

// Package kubeconfig reaches the clusters that kubeConfigs of objects lead to: those of
// Kustomizations and of the stages of Pipelines.
//
//	secretRef    --> kubeconfig, self-contained ------------------.
//	configMapRef --> cloud --> address, CA, tokens that expire ---+--> Config --Connect--> Connection
//
// A kubeConfig is its author's word. It may read no files, and run no commands unless the operator says
// so: those would be the controller's. Its server and its proxy are dialed through the guard, each answer is
// bounded, and what it says is told to nobody. The identity of the controller itself goes to
// API servers that a cloud has said are those of the cluster, and nowhere else.
//
// Nothing is kept here: who connects keeps the [Connection], by [Config].ID.
package kubeconfig

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/cache"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// maxKubeConfig bounds a kubeconfig, in bytes.
const maxKubeConfig = 256 << 10

// ErrInvalid means that a kubeConfig cannot be used as it is; only an edit of what it refers
// to helps.
var ErrInvalid = errors.New("the kubeConfig cannot be used")

var errNoReference = fmt.Errorf("%w: it names neither a secretRef nor a configMapRef", ErrInvalid)

// Reader reads what kubeConfigs refer to.
type Reader struct {
	// Objects reads Secrets and ConfigMaps. It should not be a cache.
	Objects client.Reader
	// Guard says where they may lead to; nil is anywhere.
	Guard *outbound.Guard
	// InsecureTLS lets them go without verifying the server's certificate.
	InsecureTLS bool
	// Commands runs the commands of kubeconfigs; nil refuses those that have one.
	Commands *Commands

	// What only configMapRef needs. Client makes tokens of ServiceAccounts; Tokens keeps
	// those of clouds, nil for none; DefaultAccount is the ServiceAccount of ConfigMaps
	// that name none, "" for the controller itself.
	Client         client.Client
	Tokens         *cache.TokenCache
	DefaultAccount string
	Clock          clock.PassiveClock

	// clouds makes the identities of clouds; nil is the real ones.
	clouds clouds
}

// Config is what a kubeConfig says.
type Config struct {
	// ID names the cluster and as whom it is reached, without telling secrets. It is the
	// same for as long as nothing of that changes.
	ID string
	// Name is what people call the cluster: the Secret or ConfigMap.
	Name string
	// Version is the resource version of that.
	Version string

	rest  *rest.Config
	guard *outbound.Guard
	cloud *token // nil with a kubeconfig
	// command is that of a kubeconfig; nil without one.
	command *command
}

// Read reads the kubeConfig of an object in a namespace. Errors say nothing of the secrets
// that it holds.
func (r *Reader) Read(ctx context.Context, namespace string, ref *meta.KubeConfigReference) (*Config, error) {
	switch {
	case ref.SecretRef != nil:
		return r.readSecret(ctx, types.NamespacedName{Namespace: namespace, Name: ref.SecretRef.Name}, ref.SecretRef.Key)
	case ref.ConfigMapRef != nil:
		return r.readConfigMap(ctx, types.NamespacedName{Namespace: namespace, Name: ref.ConfigMapRef.Name})
	}
	return nil, errNoReference
}

// Version is the version of what a reference names. While that is the same, so is what
// [Reader.Read] makes of it, unless [Connection.Moved] says otherwise.
func (r *Reader) Version(ctx context.Context, namespace string, ref *meta.KubeConfigReference) (string, error) {
	object, kind, name := client.Object(&corev1.Secret{}), "Secret", types.NamespacedName{Namespace: namespace}
	switch {
	case ref.SecretRef != nil:
		name.Name = ref.SecretRef.Name
	case ref.ConfigMapRef != nil:
		object, kind, name.Name = &corev1.ConfigMap{}, "ConfigMap", ref.ConfigMapRef.Name
	default:
		return "", errNoReference
	}
	err := r.get(ctx, kind, name, object)
	return object.GetResourceVersion(), err
}

func (r *Reader) readSecret(ctx context.Context, name types.NamespacedName, key string) (*Config, error) {
	var secret corev1.Secret
	if err := r.get(ctx, "Secret", name, &secret); err != nil {
		return nil, err
	}
	config, err := r.parse(&secret, key)
	if err != nil {
		return nil, fmt.Errorf("%w: Secret %s: %w", ErrInvalid, name, err)
	}
	id := identify("Secret", name, key, config)
	command, err := r.Commands.command(name.Namespace, config, r.Clock)
	if err != nil {
		return nil, fmt.Errorf("%w: Secret %s: %w", ErrInvalid, name, err)
	}
	return &Config{
		ID: id, Name: name.Name, Version: secret.ResourceVersion, rest: config, guard: r.Guard, command: command,
	}, nil
}

// get reads what a kubeConfig refers to.
func (r *Reader) get(ctx context.Context, kind string, name types.NamespacedName, into client.Object) error {
	err := r.Objects.Get(ctx, name, into)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w: %s %s does not exist", ErrInvalid, kind, name)
	case err != nil:
		return fmt.Errorf("reading %s %s of kubeConfig: %w", kind, name, err)
	}
	return nil
}

// identify makes the [Config].ID of all that decides where a config leads, and as whom.
func identify(kind string, name types.NamespacedName, key string, config *rest.Config) string {
	proxy := ""
	if u, err := proxyOf(config); err == nil && u != nil {
		proxy = u.String()
	}
	var exec []any
	if with := config.ExecProvider; with != nil {
		exec = []any{with.Command, with.Args, with.Env, with.APIVersion, with.ProvideClusterInfo, with.Config}
	}
	text, err := json.Marshal([]any{
		key, config.Host, config.APIPath, config.TLSClientConfig.ServerName, config.Insecure, config.CAData, config.CertData,
		config.KeyData, config.BearerToken, config.Username, config.Password, config.Impersonate, proxy, exec,
	})
	if err != nil {
		text = []byte(err.Error()) // strings and bytes do not fail to encode, nor what was decoded
	}
	sum := sha256.Sum256(text)
	return fmt.Sprintf("%s/%s@%s", kind, name, hex.EncodeToString(sum[:]))
}

// parse reads the kubeconfig in a Secret.
func (r *Reader) parse(secret *corev1.Secret, key string) (*rest.Config, error) {
	keys := []string{key}
	if key == "" {
		keys = []string{"value", "value.yaml"} // as Flux does
	}
	var text []byte
	for _, k := range keys {
		if text = secret.Data[k]; len(text) > 0 {
			break
		}
	}
	switch {
	case len(text) == 0:
		return nil, fmt.Errorf("it has no key '%s' with a kubeconfig", keys[0])
	case len(text) > maxKubeConfig:
		return nil, fmt.Errorf("its kubeconfig has more than %d bytes", maxKubeConfig)
	}
	parsed, err := clientcmd.Load(text)
	if err != nil {
		return nil, errors.New("its kubeconfig is no valid YAML of that kind")
	}
	if err := r.selfContained(parsed); err != nil {
		return nil, err
	}
	config, err := clientcmd.NewDefaultClientConfig(*parsed, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, errors.New("its kubeconfig names no server in its current context")
	}
	if config.Insecure && !r.InsecureTLS {
		return nil, errors.New("its kubeconfig has `insecure-skip-tls-verify`, so that anybody may pose as the server: " +
			"use certificate-authority-data, or run the controller with --insecure-kubeconfig-tls")
	}
	if err := keysize.CheckPEM(config.CAData, config.CertData, config.KeyData); err != nil {
		return nil, fmt.Errorf("a certificate or key of its kubeconfig: %w", err)
	}
	return config, nil
}

// selfContained refuses a kubeconfig that has files read, or commands run that may not be.
func (r *Reader) selfContained(config *clientcmdapi.Config) error {
	for name, user := range config.AuthInfos {
		switch {
		case user.Exec != nil && r.Commands == nil:
			return fmt.Errorf("user %q %w", name, errNoCommands)
		case user.Exec != nil && (user.Exec.Command == "" || user.Exec.InteractiveMode == ""):
			return fmt.Errorf("user %q has an `exec` without a command or an interactiveMode", name)
		case user.AuthProvider != nil:
			return fmt.Errorf("user %q has `auth-provider`, which is not supported; use a token or a certificate", name)
		case user.TokenFile != "", user.ClientCertificate != "", user.ClientKey != "":
			return fmt.Errorf("user %q names files, which are not read; use token, client-certificate-data and client-key-data", name)
		}
	}
	for name, of := range config.Clusters {
		if of.CertificateAuthority != "" {
			return fmt.Errorf("cluster %q names a file, which is not read; use certificate-authority-data", name)
		}
	}
	return nil
}

// proxyOf is the proxy that a config names, nil for none.
func proxyOf(config *rest.Config) (*url.URL, error) {
	if config.Proxy == nil {
		return nil, nil
	}
	proxy, err := config.Proxy(&http.Request{URL: &url.URL{}})
	if err != nil {
		return nil, errors.New("its proxy-url is no URL")
	}
	return proxy, nil
}
