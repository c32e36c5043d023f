// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/grpc"
)

// keyClient is a key service to the library of SOPS. It keeps which keys opened, and why others did not, since
// what the library says of that is a page long.
type keyClient struct {
	decrypt  func(*keyservice.DecryptRequest) ([]byte, error)
	opened   []string
	failures []string
}

// Decrypt implements keyservice.KeyServiceClient.
func (c *keyClient) Decrypt(_ context.Context, req *keyservice.DecryptRequest, _ ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	plain, err := c.decrypt(req)
	if err != nil {
		c.failures = append(c.failures, fmt.Sprintf("%s: %s", named(req.Key), err))
		return nil, err
	}
	c.opened = append(c.opened, named(req.Key))
	return &keyservice.DecryptResponse{Plaintext: plain}, nil
}

// Encrypt implements keyservice.KeyServiceClient.
func (*keyClient) Encrypt(context.Context, *keyservice.EncryptRequest, ...grpc.CallOption) (*keyservice.EncryptResponse, error) {
	return nil, errors.New("nothing is encrypted here")
}

// named is what people call a key, cut to what a message can hold.
func named(key *keyservice.Key) string {
	name := "a key"
	switch k := key.KeyType.(type) {
	case *keyservice.Key_AgeKey:
		name = "age " + k.AgeKey.Recipient
	case *keyservice.Key_PgpKey:
		name = "PGP " + k.PgpKey.Fingerprint
	case *keyservice.Key_VaultKey:
		name = "Vault " + k.VaultKey.VaultAddress + " " + k.VaultKey.EnginePath + "/" + k.VaultKey.KeyName
	case *keyservice.Key_KmsKey:
		name = "AWS " + k.KmsKey.Arn
	case *keyservice.Key_AzureKeyvaultKey:
		name = "Azure " + k.AzureKeyvaultKey.VaultUrl + " " + k.AzureKeyvaultKey.Name
	case *keyservice.Key_GcpKmsKey:
		name = "Google Cloud " + k.GcpKmsKey.ResourceId
	case *keyservice.Key_HckmsKey:
		name = "Huawei Cloud " + k.HckmsKey.KeyId
	}
	return fmt.Sprintf("%.200q", name)
}

// serviceOf names the key service that has a key: what does not answer for one does not for the others. Keys that are decrypted
// here have none.
func serviceOf(key *keyservice.Key) string {
	switch k := key.KeyType.(type) {
	case *keyservice.Key_VaultKey:
		return "Vault " + k.VaultKey.VaultAddress
	case *keyservice.Key_KmsKey:
		if parts := arn.FindStringSubmatch(k.KmsKey.Arn); parts != nil {
			return "AWS " + parts[2]
		}
	case *keyservice.Key_AzureKeyvaultKey:
		return "Azure " + k.AzureKeyvaultKey.VaultUrl
	case *keyservice.Key_GcpKmsKey:
		return "Google Cloud"
	case *keyservice.Key_HckmsKey:
		region, _, _ := strings.Cut(k.HckmsKey.KeyId, ":")
		return "Huawei Cloud " + region
	}
	return ""
}
