// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/cache"
	vault "github.com/hashicorp/vault/api"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	"google.golang.org/api/googleapi"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/identity"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// Bounds of a key service's answer.
const (
	answerTime = 10 * time.Second
	maxAnswer  = 1 << 20 // bytes
)

// Services reach the key services. The fields are set before the first use.
type Services struct {
	// Guard says where files may lead to; nil is anywhere.
	Guard *outbound.Guard
	// Client issues the tokens of ServiceAccounts whose identity is used.
	Client client.Client
	// Tokens caches those of clouds; nil caches none.
	Tokens *cache.TokenCache
	// Reader reads Vaults, the ConfigMap that says at which Vaults ServiceAccounts log in, and where;
	// without a name they log in at none.
	Reader client.Reader
	Vaults types.NamespacedName
	// Transport takes the place of the guard's, and Timeout of how long a key service may take to answer; for tests.
	Transport http.RoundTripper
	Timeout   time.Duration
}

// Requester is who asks a key service when the Secret has no credentials for it.
type Requester struct {
	// Owner is the object whose files are decrypted, of the given kind.
	Kind  string
	Owner types.NamespacedName
	// Account is a ServiceAccount of the owner's namespace; "" is the controller itself.
	Account string
}

// New returns the decrypter of one build, with the keys in the data of a Secret, which
// may be nil. AgeKeys leaves all others out, of a Secret that stands for all
// namespaces. The error is [ErrKeys].
func (s *Services) New(ctx context.Context, data map[string][]byte, selection KeySelection, who Requester) (*Decrypter, error) {
	quiet()
	use := func(string) bool { return true }
	if selection == AgeKeys {
		use = ageOnly
	}
	keys, err := readKeys(ctx, data, use, s)
	if err != nil {
		return nil, err
	}
	return &Decrypter{
		keys: keys, services: s, who: who, opened: map[string]dataKeyResult{}, silent: map[string]error{}, logins: map[string]vaultLogin{},
	}, nil
}

// KeySelection says which keys of a Secret are used.
type KeySelection int

const (
	// AllKeys uses all.
	AllKeys KeySelection = iota
	// AgeKeys uses the age keys alone.
	AgeKeys
)

// transport keeps no connection for the next request.
func (s *Services) transport() http.RoundTripper {
	if s.Transport != nil {
		return s.Transport
	}
	t := s.Guard.Transport()
	t.DisableKeepAlives = true
	return t
}

// timeout is how long a key service may take to answer, with all that goes before.
func (s *Services) timeout() time.Duration { return cmp.Or(s.Timeout, answerTime) }

// httpClient asks a key service. It follows no redirect: what authenticates would go along.
func (s *Services) httpClient() *http.Client { return s.clientOver(s.transport()) }

// vaultClient is httpClient with the certificates that the environment of the controller has for Vaults
// (VAULT_CACERT, VAULT_CLIENT_CERT, VAULT_SKIP_VERIFY and the like), as in Flux.
func (s *Services) vaultClient() (*http.Client, error) {
	config := vault.DefaultConfig()
	if config.Error != nil {
		return nil, fmt.Errorf("VAULT_* in the environment of the controller: %w", config.Error)
	}
	over := s.transport()
	own, ok := over.(*http.Transport)
	from, read := config.HttpClient.Transport.(*http.Transport)
	if ok && read {
		own.TLSClientConfig = from.TLSClientConfig.Clone()
	}
	return s.clientOver(over), nil
}

// ownClient is httpClient with an identity that goes to hosts of its provider alone.
func (s *Services) ownClient(provider string) *http.Client {
	return s.clientOver(identity.Bind(s.transport(), provider, identity.Keys))
}

func (s *Services) clientOver(transport http.RoundTripper) *http.Client {
	return outbound.NewClient(transport, outbound.Rules{
		Redirects: outbound.Return, Timeout: s.timeout(), Limits: outbound.Limits{Bytes: maxAnswer},
	})
}

// options are those of who asks.
func (d *Decrypter) options(operation string) []auth.Option {
	options := []auth.Option{auth.WithClient(d.services.Client)}
	if d.who.Account != "" {
		options = append(options, auth.WithServiceAccountName(d.who.Account), auth.WithServiceAccountNamespace(d.who.Owner.Namespace))
	}
	if d.services.Tokens != nil {
		options = append(options, auth.WithCache(*d.services.Tokens, cache.InvolvedObject{
			Kind: d.who.Kind, Name: d.who.Owner.Name, Namespace: d.who.Owner.Namespace, Operation: operation,
		}))
	}
	return options
}

// mayAsk says whether the identity of who asks may go to a key service.
func (d *Decrypter) mayAsk(provider, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("its address cannot be parsed")
	}
	return identity.Use{Provider: provider, Service: identity.Keys, URL: u, Account: d.who.Account}.Check()
}

// errSilent says that a key service did not answer in time.
var errSilent = errors.New("it did not answer")

// reasonOf says why a key service did not decrypt, without a word of what it answered.
func (s *Services) reasonOf(err error) error {
	var (
		fromAWS    smithy.APIError
		fromAzure  *azcore.ResponseError
		fromVault  *vault.ResponseError
		fromGoogle *googleapi.Error
		network    net.Error
		fromHuawei *sdkerr.ServiceResponseError
		fromKube   apierrors.APIStatus
	)
	switch {
	case errors.Is(err, outbound.ErrForbiddenAddress), errors.Is(err, identity.ErrRefused):
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			return wrapped.Err
		}
		return err
	case errors.As(err, &fromAWS):
		return fmt.Errorf("AWS answers %.60q", fromAWS.ErrorCode())
	case errors.As(err, &fromAzure):
		return fmt.Errorf("it answers %d %s", fromAzure.StatusCode, http.StatusText(fromAzure.StatusCode))
	case errors.As(err, &fromVault):
		return fmt.Errorf("it answers %d %s", fromVault.StatusCode, http.StatusText(fromVault.StatusCode))
	case errors.As(err, &fromGoogle):
		return fmt.Errorf("it answers %d %s", fromGoogle.Code, http.StatusText(fromGoogle.Code))
	case errors.As(err, &fromHuawei):
		return fmt.Errorf("it answers %d %s", fromHuawei.StatusCode, http.StatusText(fromHuawei.StatusCode))
	case errors.Is(err, errNoHuawei):
		return err
	case errors.As(err, &fromKube): // about the ServiceAccount whose identity it is
		return errors.New(fromKube.Status().Message)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("%w within %s", errSilent, s.timeout())
	case untrusted(err) != "":
		return errors.New(untrusted(err))
	case errors.As(err, &network):
		return errors.New("it cannot be reached")
	}
	return errors.New("it did not decrypt the key")
}

// untrusted says why a certificate is not accepted, "" if that is not the reason.
func untrusted(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		names   x509.HostnameError
		other   *tls.CertificateVerificationError
		peer    *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return "its certificate is signed by an unknown authority"
	case errors.As(err, &names):
		return "its certificate is for other names"
	case errors.As(err, &other):
		return "its certificate is not valid, or has expired"
	case errors.As(err, &peer) && peer.Op == "remote error": // its words are those of crypto/tls
		return "it ends the connection: " + peer.Err.Error()
	}
	return ""
}
