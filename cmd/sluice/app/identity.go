// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
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
	// insecureTLS lets kubeConfigs go without verifying the server, and insecureExec has their commands run.
	kubeConfigAccount         string
	insecureTLS, insecureExec bool
}

// defaultTokens is how many tokens of clouds the cache keeps by default.
const defaultTokens = 100

func (f *identityFlags) register(set *pflag.FlagSet) {
	set.StringToStringVar(&f.gates, "feature-gates", nil,
		"features to turn on or off, as Name=true; known: "+auth.FeatureGateObjectLevelWorkloadIdentity+
			" (lets objects use the cloud identity of their service account), "+additiveReadyExpr+
			" (asks of a dependency with a readyExpr to be Ready, too), "+disableConfigWatchers+
			" (watches no Secrets and ConfigMaps: their changes count at the next interval), "+strictSubstitutions+
			" (on by default; off lets variables without value and default stand for nothing); other gates of Flux's are accepted, "+
			"and the log says what is done")
	f.tokens.BindFlags(set, defaultTokens)
	set.StringVar(&f.decryptionAccount, "default-decryption-service-account", "", "service account of each namespace that asks key "+
		"services for Kustomizations whose spec.decryption names none, with the feature "+auth.FeatureGateObjectLevelWorkloadIdentity)
	set.StringVar(&f.kubeConfigAccount, "default-kubeconfig-service-account", "", "service account of each namespace by whose cloud "+
		"identity clusters are reached whose spec.kubeConfig.configMapRef names none, with the feature "+
		auth.FeatureGateObjectLevelWorkloadIdentity)
	set.BoolVar(&f.insecureTLS, "insecure-kubeconfig-tls", false, "accept kubeconfigs of objects with insecure-skip-tls-verify")
	set.BoolVar(&f.insecureExec, "insecure-kubeconfig-exec", false, "run the commands (exec) of kubeconfigs of objects, as the controller: "+
		"who may write Secrets that Kustomizations or Pipelines name may do what the controller may")
	set.StringVar(&f.ageSecret, "sops-age-secret", "", "Secret in --namespace with age keys (*.agekey) for Kustomizations "+
		"whose spec.decryption names no Secret")
	set.StringVar(&f.vaults, "sops-vault-configmap", "", "ConfigMap in --namespace with the Vaults, or OpenBaos, that ServiceAccounts "+
		"log in at to decrypt (config.yaml: instances, each with address and loginPath)")
}

func (f *identityFlags) validate() error {
	if err := f.validateGates(); err != nil {
		return err
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
