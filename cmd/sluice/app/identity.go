// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/cache"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// identityFlags say whose identity is used towards clouds. They are spelled as in
// Flux.
type identityFlags struct {
	gates  map[string]string
	tokens cache.TokenFlags
	// decryptionAccount asks key services for Kustomizations that name no account, and
	// ageSecret has age keys for those that name no Secret.
	decryptionAccount, ageSecret string
	// vaults names the Vaults that ServiceAccounts log in at.
	vaults string
	// kubeConfigAccount is that of kubeConfigs with a configMapRef that name no account, and
	// insecureTLS lets kubeConfigs go without verifying the server.
	kubeConfigAccount string
	insecureTLS       bool
}

// defaultTokens is how many tokens of clouds the cache keeps by default.
const defaultTokens = 100

// additiveReadyExpr is the feature, spelled as in Flux, by which a readyExpr is asked for
// beside what is asked of other dependencies.
const additiveReadyExpr = "AdditiveCELDependencyCheck"

// disableConfigWatchers is the feature, spelled as in Flux, by which no Secret and no ConfigMap is
// watched for the objects that refer to it.
const disableConfigWatchers = "DisableConfigWatchers"

// features are those that --feature-gates knows, with their defaults.
var features = map[string]bool{
	auth.FeatureGateObjectLevelWorkloadIdentity: false, additiveReadyExpr: false, disableConfigWatchers: false,
}

func (f *identityFlags) register(set *pflag.FlagSet) {
	set.StringToStringVar(&f.gates, "feature-gates", nil,
		"features to turn on or off, as Name=true; known: "+auth.FeatureGateObjectLevelWorkloadIdentity+
			" (lets objects use the cloud identity of their service account), "+additiveReadyExpr+
			" (asks of a dependency with a readyExpr to be Ready, too), "+disableConfigWatchers+
			" (watches no Secrets and ConfigMaps: their changes count at the next interval)")
	f.tokens.BindFlags(set, defaultTokens)
	set.StringVar(&f.decryptionAccount, "default-decryption-service-account", "", "service account of each namespace that asks key "+
		"services for Kustomizations whose spec.decryption names none, with the feature "+auth.FeatureGateObjectLevelWorkloadIdentity)
	set.StringVar(&f.kubeConfigAccount, "default-kubeconfig-service-account", "", "service account of each namespace by whose cloud "+
		"identity clusters are reached whose spec.kubeConfig.configMapRef names none, with the feature "+
		auth.FeatureGateObjectLevelWorkloadIdentity)
	set.BoolVar(&f.insecureTLS, "insecure-kubeconfig-tls", false, "accept kubeconfigs of objects with insecure-skip-tls-verify")
	set.StringVar(&f.ageSecret, "sops-age-secret", "", "Secret in --namespace with age keys (*.agekey) for Kustomizations "+
		"whose spec.decryption names no Secret")
	set.StringVar(&f.vaults, "sops-vault-configmap", "", "ConfigMap in --namespace with the Vaults, or OpenBaos, that ServiceAccounts "+
		"log in at to decrypt (config.yaml: instances, each with address and loginPath)")
}

func (f *identityFlags) validate() error {
	for name, value := range f.gates {
		if _, ok := features[name]; !ok {
			return fmt.Errorf("--feature-gates: unknown feature %q; known: %s", name,
				strings.Join(slices.Sorted(maps.Keys(features)), ", "))
		}
		if _, err := strconv.ParseBool(value); err != nil {
			return fmt.Errorf("--feature-gates: %s is true or false, not %q", name, value)
		}
	}
	if f.decryptionAccount != "" && !f.enabled(auth.FeatureGateObjectLevelWorkloadIdentity) {
		return fmt.Errorf("--default-decryption-service-account needs --feature-gates=%s=true", auth.FeatureGateObjectLevelWorkloadIdentity)
	}
	if f.kubeConfigAccount != "" && !f.enabled(auth.FeatureGateObjectLevelWorkloadIdentity) {
		return fmt.Errorf("--default-kubeconfig-service-account needs --feature-gates=%s=true", auth.FeatureGateObjectLevelWorkloadIdentity)
	}
	if f.tokens.MaxDuration < 0 || f.tokens.MaxDuration > cache.TokenMaxDuration {
		return fmt.Errorf("--token-cache-max-duration: must be at most %s, is %s",
			cache.TokenMaxDuration.Round(time.Minute), f.tokens.MaxDuration)
	}
	return nil
}

// controllersOwn is an object of the controller's namespace; without a name there is none.
func controllersOwn(namespace, name string) types.NamespacedName {
	if name == "" {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// kubeConfigAccountOr is the service account of kubeConfigs that name none: the one of all
// objects, with the feature on, unless they have one of their own.
func (f *identityFlags) kubeConfigAccountOr(defaultServiceAccount string) string {
	if f.kubeConfigAccount == "" && f.enabled(auth.FeatureGateObjectLevelWorkloadIdentity) {
		return defaultServiceAccount
	}
	return f.kubeConfigAccount
}

// enabled reports whether a feature is on.
func (f *identityFlags) enabled(name string) bool {
	if on, err := strconv.ParseBool(f.gates[name]); err == nil {
		return on
	}
	return features[name]
}

// apply sets the process up. With the feature on, the default service account is also
// that of objects that use a cloud's identity and name none; with the feature off it
// is that of Kustomizations alone.
func (f *identityFlags) apply(defaultServiceAccount string) {
	if !f.enabled(auth.FeatureGateObjectLevelWorkloadIdentity) {
		return
	}
	auth.EnableObjectLevelWorkloadIdentity()
	if defaultServiceAccount != "" {
		auth.SetDefaultServiceAccount(defaultServiceAccount)
	}
}

// cache keeps tokens, and has metrics with the given prefix; it is nil when the flags turn
// it off.
func (f *identityFlags) cache(prefix string) (*cache.TokenCache, error) {
	if f.tokens.MaxSize <= 0 {
		return nil, nil
	}
	tokens, err := cache.NewTokenCache(f.tokens.MaxSize, cache.WithMaxDuration(f.tokens.MaxDuration),
		cache.WithMetricsRegisterer(metrics.Registry), cache.WithMetricsPrefix(prefix))
	if err != nil {
		return nil, fmt.Errorf("--token-cache-max-size: %w", err)
	}
	return tokens, nil
}
