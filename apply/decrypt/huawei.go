// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/getsops/sops/v3/hckms"
	"github.com/getsops/sops/v3/keyservice"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/provider"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	kms "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/kms/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/kms/v2/model"
	kmsregion "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/kms/v2/region"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// openHuawei has the key service of Huawei Cloud decrypt a data key. As in Flux, neither a Secret nor a ServiceAccount
// has an identity for it: it is asked as the controller, by the credentials of its environment, its profile or its machine.
func (d *Decrypter) openHuawei(ctx context.Context, key *keyservice.HckmsKey, ciphertext []byte) ([]byte, error) {
	if d.who.Account != "" {
		return nil, errors.New("it is asked with the identity of the controller only, and here it would be asked as a ServiceAccount")
	}
	named, err := hckms.NewMasterKey(key.KeyId)
	if err != nil {
		return nil, errors.New("its ID is none of the form region:key")
	}
	return d.decryptWith(ctx, &huaweiKey{MasterKey: named, services: d.services}, ciphertext)
}

// huaweiKey is a key of Huawei Cloud. That of SOPS' library has no end but its own, and connects past the guard.
type huaweiKey struct {
	*hckms.MasterKey
	services *Services
}

// DecryptContext implements masterKey.
func (k *huaweiKey) DecryptContext(ctx context.Context) ([]byte, error) {
	var asking background.Group[struct{}, []byte]
	return asking.Do(ctx, struct{}{}, func(ctx context.Context) ([]byte, error) { return k.ask(ctx) }) // the library waits for no context
}

func (k *huaweiKey) ask(ctx context.Context) ([]byte, error) {
	region, err := kmsregion.SafeValueOf(k.Region)
	if err != nil {
		return nil, errors.New("its region is none of Huawei Cloud")
	}
	who, err := provider.BasicCredentialProviderChain().GetCredentials()
	if err != nil {
		return nil, errNoHuawei
	}
	over := outbound.Bound(k.services.transport(), outbound.Limits{Bytes: maxAnswer})
	client, err := core.NewHcHttpClientBuilder().WithCredential(who).WithRegion(region).WithHttpConfig(
		config.DefaultHttpConfig().WithTimeout(k.services.timeout()).WithHttpRoundTripper(within(ctx, over))).SafeBuild()
	if err != nil {
		return nil, err
	}
	algorithm := model.GetDecryptDataRequestBodyEncryptionAlgorithmEnum().SYMMETRIC_DEFAULT
	answer, err := kms.NewKmsClient(client).DecryptData(&model.DecryptDataRequest{
		Body: &model.DecryptDataRequestBody{CipherText: k.EncryptedKey, EncryptionAlgorithm: &algorithm, KeyId: &k.KeyUUID},
	})
	switch {
	case err != nil:
		return nil, err
	case answer.PlainText == nil:
		return nil, errors.New("no plaintext")
	}
	return base64.StdEncoding.DecodeString(*answer.PlainText)
}

// errNoHuawei says that the controller has no identity in Huawei Cloud.
var errNoHuawei = errors.New("the controller has no credentials of Huawei Cloud: " +
	"set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK in its environment")

// within ends all requests with a context.
func within(ctx context.Context, next http.RoundTripper) http.RoundTripper {
	return roundTrips(func(req *http.Request) (*http.Response, error) { return next.RoundTrip(req.WithContext(ctx)) })
}

type roundTrips func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (r roundTrips) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }
