// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"context"
	"errors"
	"fmt"

	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/grpc"
)

// keyClient is a key service to the library of SOPS. It keeps why keys did not open, since
// what the library says of that is a page long.
type keyClient struct {
	decrypt  func(*keyservice.DecryptRequest) ([]byte, error)
	failures []string
}

// Decrypt implements keyservice.KeyServiceClient.
func (c *keyClient) Decrypt(_ context.Context, req *keyservice.DecryptRequest, _ ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	plain, err := c.decrypt(req)
	if err != nil {
		c.failures = append(c.failures, fmt.Sprintf("%s: %s", named(req.Key), err))
		return nil, err
	}
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
