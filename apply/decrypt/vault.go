// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/auth/generic"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/golang-jwt/jwt/v5"
	vault "github.com/hashicorp/vault/api"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// vaultConfigKey is where a ConfigMap has a [kustomizev1.VaultConfig].
const vaultConfigKey = "config.yaml"

// openVault has a Vault, or an OpenBao, decrypt a data key.
func (d *Decrypter) openVault(ctx context.Context, key *keyservice.VaultKey, ciphertext []byte) ([]byte, error) {
	address, err := url.Parse(key.VaultAddress)
	if err != nil || address.Host == "" || address.User != nil || address.Scheme != "https" && address.Scheme != "http" {
		return nil, errors.New("its address is no http or https URL")
	}
	if err := d.services.Guard.CheckURL(address); err != nil {
		return nil, err
	}
	client, err := d.services.vaultClient()
	if err != nil {
		return nil, err
	}
	token := d.keys.vault
	if token == "" {
		if token, err = d.vaultToken(ctx, key.VaultAddress); err != nil {
			return nil, err
		}
	}
	master := hcvault.NewMasterKey(key.VaultAddress, key.EnginePath, key.KeyName)
	hcvault.Token(token).ApplyToMasterKey(master)
	hcvault.NewHTTPClient(client).ApplyToMasterKey(master)
	return d.decryptWith(ctx, master, ciphertext)
}

// vaultLogin is what came of a login.
type vaultLogin struct {
	token string
	err   error
}

// vaultToken is what a Vault gives to a ServiceAccount that logs in, once for each build.
func (d *Decrypter) vaultToken(ctx context.Context, address string) (string, error) {
	known, ok := d.logins[address]
	if !ok {
		ctx, cancel := context.WithTimeout(ctx, d.services.timeout())
		defer cancel()
		known.token, known.err = d.logIn(ctx, address)
		d.logins[address] = known
	}
	return known.token, known.err
}

// logIn exchanges a token of the ServiceAccount, whose audience is the address, for one of a Vault that
// the ConfigMap names, in the role NAMESPACE_NAME, as kustomize-controller does.
func (d *Decrypter) logIn(ctx context.Context, address string) (string, error) {
	path, err := d.loginPath(ctx, address)
	if err != nil {
		return "", err
	}
	issued, err := auth.GetAccessToken(ctx, generic.Provider{}, append(d.options("decrypt_with_vault"), auth.WithAudiences(address))...)
	if err != nil {
		return "", fmt.Errorf("there is no token of a ServiceAccount to log in with: %w", err)
	}
	account, ok := issued.(*generic.Token)
	if !ok {
		return "", fmt.Errorf("a token of a ServiceAccount is a %T", issued)
	}
	role, err := roleOf(account.Token)
	if err != nil {
		return "", err
	}
	over, err := d.services.vaultClient()
	if err != nil {
		return "", err
	}
	client, err := vault.NewClient(&vault.Config{Address: address, HttpClient: over})
	if err != nil {
		return "", errors.New("its address is no http or https URL")
	}
	client.ClearToken() // that of the environment, whose namespace counts
	answer, err := client.Logical().WriteWithContext(ctx, path, map[string]any{"role": role, "jwt": account.Token})
	if err != nil {
		return "", fmt.Errorf("logging in at %s as role %s: %w", path, role, d.services.reasonOf(err))
	}
	if answer == nil || answer.Auth == nil || answer.Auth.ClientToken == "" {
		return "", fmt.Errorf("logging in at %s as role %s: it gives no token", path, role)
	}
	return answer.Auth.ClientToken, nil
}

// loginPath is where ServiceAccounts log in at a Vault. Only those that the ConfigMap names get their tokens.
func (d *Decrypter) loginPath(ctx context.Context, address string) (string, error) {
	key := d.services.Vaults
	if key.Name == "" {
		return "", errors.New("the Secret has no key " + vaultToken)
	}
	var found corev1.ConfigMap
	if err := d.services.Reader.Get(ctx, key, &found); err != nil {
		return "", fmt.Errorf("reading ConfigMap %s of --sops-vault-configmap: %w", key, err)
	}
	var config kustomizev1.VaultConfig
	if err := yaml.UnmarshalStrict([]byte(found.Data[vaultConfigKey]), &config); err != nil {
		return "", fmt.Errorf("ConfigMap %s: %s is not as it has to be: %w", key, vaultConfigKey, err)
	}
	for _, instance := range config.Instances {
		if instance.Address == address && instance.LoginPath != "" {
			return instance.LoginPath, nil
		}
	}
	return "", fmt.Errorf("the Secret has no key %s, and %s of ConfigMap %s has no loginPath for this address",
		vaultToken, vaultConfigKey, key)
}

// roleOf is the role of a ServiceAccount, by the subject of its token.
func roleOf(token string) (string, error) {
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		return "", errors.New("the token of the ServiceAccount is no JWT")
	}
	account, ok := strings.CutPrefix(claims.Subject, "system:serviceaccount:")
	namespace, name, both := strings.Cut(account, ":")
	if !ok || !both || namespace == "" || name == "" {
		return "", fmt.Errorf("the token is of %q, which is no ServiceAccount", claims.Subject)
	}
	return namespace + "_" + name, nil
}
