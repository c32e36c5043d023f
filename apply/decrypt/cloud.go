// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/fluxcd/pkg/auth"
	authaws "github.com/fluxcd/pkg/auth/aws"
	authazure "github.com/fluxcd/pkg/auth/azure"
	authgcp "github.com/fluxcd/pkg/auth/gcp"
	"github.com/getsops/sops/v3/azkv"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/keyservice"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"
	"sigs.k8s.io/yaml"
)

// arn of a key or an alias of AWS KMS: the partition and the region.
var arn = regexp.MustCompile(`^arn:(aws[a-z0-9-]*):kms:([a-z]{2,}(?:-[a-z]+)+-[0-9]+):[0-9]+:(?:key|alias)/[\w/-]+$`)

// domains of the partitions of AWS that have one of their own.
var domains = map[string]string{
	"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu",
}

// openAWS has AWS KMS decrypt a data key.
func (d *Decrypter) openAWS(ctx context.Context, key *keyservice.KmsKey, ciphertext []byte) ([]byte, error) {
	parts := arn.FindStringSubmatch(key.Arn)
	if parts == nil || domains[parts[1]] == "" {
		return nil, errors.New("its ARN is none of a key in a region of AWS")
	}
	who, over := d.keys.aws, d.services.httpClient()
	if who == nil {
		if err := d.mayAsk("aws", "https://kms."+parts[2]+"."+domains[parts[1]]); err != nil {
			return nil, err
		}
		who = authaws.NewCredentialsProvider(ctx, append(d.options("decrypt_with_aws"), auth.WithSTSRegion(parts[2]))...)
		over = d.services.ownClient("aws")
	}
	return d.decryptWith(ctx, &awsKey{KmsKey: key, region: parts[2], who: who, over: over}, ciphertext)
}

// awsKey is a key of AWS KMS. That of SOPS' library reads configuration from the
// environment, and a profile that the file names would be one of ours.
type awsKey struct {
	*keyservice.KmsKey
	region string
	who    aws.CredentialsProvider
	over   *http.Client
	sealed string
}

// SetEncryptedDataKey implements masterKey.
func (k *awsKey) SetEncryptedDataKey(sealed []byte) { k.sealed = string(sealed) }

// DecryptContext implements masterKey.
func (k *awsKey) DecryptContext(ctx context.Context) ([]byte, error) {
	sealed, err := base64.StdEncoding.DecodeString(k.sealed)
	if err != nil {
		return nil, err
	}
	who := k.who
	if k.Role != "" {
		who = stscreds.NewAssumeRoleProvider(sts.New(sts.Options{Region: k.region, Credentials: who, HTTPClient: k.over}), k.Role,
			func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = "sops@sluice" })
	}
	answer, err := kms.New(kms.Options{Region: k.region, Credentials: who, HTTPClient: k.over}).Decrypt(ctx,
		&kms.DecryptInput{KeyId: &k.Arn, CiphertextBlob: sealed, EncryptionContext: k.Context})
	if err != nil {
		return nil, err
	}
	return answer.Plaintext, nil
}

// openAzure has an Azure Key Vault decrypt a data key.
func (d *Decrypter) openAzure(ctx context.Context, key *keyservice.AzureKeyVaultKey, ciphertext []byte) ([]byte, error) {
	who, over := d.keys.azure, d.services.httpClient()
	if who == nil || d.keys.azureOwn {
		if err := d.mayAsk("azure", key.VaultUrl); err != nil {
			return nil, err
		}
		over = d.services.ownClient("azure")
	}
	if who == nil {
		who = authazure.NewTokenCredential(ctx, d.options("decrypt_with_azure")...)
	}
	master := azkv.NewMasterKey(key.VaultUrl, key.Name, key.Version)
	azkv.NewTokenCredential(who).ApplyToMasterKey(master)
	azkv.NewClientOptions(&azkeys.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: over}}).ApplyToMasterKey(master)
	return d.decryptWith(ctx, master, ciphertext)
}

// openGCP has the key service of Google Cloud decrypt a data key. It has one address.
func (d *Decrypter) openGCP(ctx context.Context, key *keyservice.GcpKmsKey, ciphertext []byte) ([]byte, error) {
	who := d.keys.gcp
	if who == nil {
		who = authgcp.NewTokenSource(ctx, d.options("decrypt_with_gcp")...)
	}
	over := d.services.clientOver(&oauth2.Transport{Source: who, Base: d.services.transport()})
	master := gcpkms.NewMasterKeyFromResourceID(key.ResourceId)
	gcpkms.NewTokenSource(who).ApplyToMasterKey(master)
	gcpkms.ClientOptions{option.WithHTTPClient(over)}.ApplyToMasterKey(master)
	gcpkms.UseRESTClient{}.ApplyToMasterKey(master)
	return d.decryptWith(ctx, master, ciphertext)
}

// masterKey is a key of a key service.
type masterKey interface {
	SetEncryptedDataKey([]byte)
	DecryptContext(ctx context.Context) ([]byte, error)
}

func (d *Decrypter) decryptWith(ctx context.Context, key masterKey, ciphertext []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, d.services.timeout())
	defer cancel()
	key.SetEncryptedDataKey(ciphertext)
	plain, err := key.DecryptContext(ctx)
	switch {
	case err == nil:
		return plain, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded): // of which not every library says so
		return nil, d.services.reasonOf(ctx.Err())
	}
	return nil, d.services.reasonOf(err)
}

// readAWS reads credentials the way Flux has them in a Secret.
func readAWS(value []byte) (aws.CredentialsProvider, error) {
	var c struct {
		ID      string `json:"aws_access_key_id"`
		Secret  string `json:"aws_secret_access_key"`
		Session string `json:"aws_session_token"`
	}
	if yaml.Unmarshal(value, &c) != nil || c.ID == "" || c.Secret == "" {
		return nil, errors.New("needs aws_access_key_id and aws_secret_access_key in YAML")
	}
	return credentials.NewStaticCredentialsProvider(c.ID, c.Secret, c.Session), nil
}

// azureAccount are the credentials in a Secret: those of Flux, and those that
// `az ad sp create-for-rbac` prints.
type azureAccount struct {
	TenantID          string `json:"tenantId"`
	ClientID          string `json:"clientId"`
	ClientSecret      string `json:"clientSecret"`
	Certificate       string `json:"clientCertificate"`
	CertificateSecret string `json:"clientCertificatePassword"`
	SendChain         bool   `json:"clientCertificateSendChain"`
	AuthorityHost     string `json:"authorityHost"`
	Tenant            string `json:"tenant"`
	AppID             string `json:"appId"`
	Password          string `json:"password"`
}

// spelledOut are the credentials in Flux's names, if they have those of `az`.
func (c azureAccount) spelledOut() azureAccount {
	if c.Tenant != "" && c.AppID != "" && c.Password != "" && c.TenantID == "" {
		c.TenantID, c.ClientID, c.ClientSecret = c.Tenant, c.AppID, c.Password
	}
	return c
}

// cloud is where tokens are issued.
func (c azureAccount) cloud() cloud.Configuration {
	if c.AuthorityHost == "" {
		return cloud.AzurePublic
	}
	return cloud.Configuration{
		ActiveDirectoryAuthorityHost: c.AuthorityHost, Services: map[cloud.ServiceName]cloud.ServiceConfiguration{},
	}
}

// readAzure reads credentials. own says that they are an identity of the controller's.
func (s *Services) readAzure(value []byte) (who azcore.TokenCredential, own bool, err error) {
	var c azureAccount
	if yaml.Unmarshal(bytes.TrimPrefix(value, []byte("\ufeff")), &c) != nil {
		return nil, false, errors.New("is no YAML, or JSON, in UTF-8")
	}
	c = c.spelledOut()
	options := azcore.ClientOptions{Cloud: c.cloud(), Transport: s.httpClient()}
	switch {
	case c.TenantID != "" && c.ClientID != "" && c.ClientSecret != "":
		who, err = azidentity.NewClientSecretCredential(c.TenantID, c.ClientID, c.ClientSecret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options})
	case c.TenantID != "" && c.ClientID != "" && c.Certificate != "":
		certificates, key, failed := azidentity.ParseCertificates([]byte(c.Certificate), []byte(c.CertificateSecret))
		if failed != nil {
			return nil, false, errors.New("has a clientCertificate that cannot be read")
		}
		who, err = azidentity.NewClientCertificateCredential(c.TenantID, c.ClientID, certificates, key,
			&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, SendCertificateChain: c.SendChain})
	case c.ClientID != "":
		own = true
		who, err = azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID(c.ClientID)})
	default:
		err = errors.New("incomplete")
	}
	if err != nil {
		return nil, false, errors.New("needs tenantId, clientId and clientSecret or clientCertificate, or clientId alone for a managed identity")
	}
	return who, own, nil
}

// gcpScope is what is asked for with credentials of Google Cloud.
const gcpScope = "https://www.googleapis.com/auth/cloudkms"

// readGCP reads the key of a service account, or the credentials of a person. Other kinds
// of credentials would have us read files, run commands and ask where they say.
func (s *Services) readGCP(ctx context.Context, value []byte) (oauth2.TokenSource, error) {
	var c struct {
		Type string `json:"type"`
		oauthAccount
	}
	if json.Unmarshal(value, &c) != nil {
		return nil, errors.New("is no JSON")
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.httpClient())
	switch c.Type {
	case "service_account":
		config, err := google.JWTConfigFromJSON(value, gcpScope)
		if err != nil {
			return nil, errors.New("is no key of a service account")
		}
		return config.TokenSource(ctx), nil
	case "authorized_user":
		config := &oauth2.Config{ClientID: c.ClientID, ClientSecret: c.ClientSecret, Endpoint: google.Endpoint, Scopes: []string{gcpScope}}
		return config.TokenSource(ctx, &oauth2.Token{RefreshToken: c.RefreshToken}), nil
	}
	return nil, fmt.Errorf("is of type %.40q, and only service_account and authorized_user are supported; "+
		"leave it out for workload identity", strings.ToValidUTF8(c.Type, "?"))
}

// oauthAccount are the credentials of a person.
type oauthAccount struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`
}
