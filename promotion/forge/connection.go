// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// Connection is what an object says of the forge of its GitRepository, and as whom it is
// asked: as the Secret that the object names, which is its own, or else as that of the
// GitRepository, which admits the object. The latter is sent to the host of the repository
// alone: an API elsewhere needs the former.
type Connection struct {
	// Field of the object that says so, such as spec.forge; errors name it.
	Field string
	// Kind and Object are who asks.
	Kind   string
	Object types.NamespacedName
	// Provider, URL and SecretRef are what the field says; each may be empty.
	Provider, URL string
	SecretRef     *meta.LocalObjectReference
	// Repository is the GitRepository, and Proxy the URL of its proxy, if it has one.
	Repository *sourcev1.GitRepository
	Proxy      string
}

// forgejo is another name of the API of Gitea.
const forgejo = "forgejo"

// Validate refuses an API elsewhere without a Secret of the object's own.
func (c Connection) Validate() error {
	if c.URL == "" || c.SecretRef != nil {
		return nil
	}
	return refuse("%s.secretRef: %s.url needs a Secret of the %s: that of the GitRepository is sent to the host of the repository alone",
		c.Field, c.Field, noun(c.Kind))
}

// noun is how a sentence calls an object of a kind.
func noun(kind string) string {
	if kind == sluicev1.PipelineKind {
		return "pipeline"
	}
	return "automation"
}

// ProviderName is the provider of the repository's forge, as the table calls it.
func (c Connection) ProviderName() (string, error) {
	switch c.Provider {
	case "":
		found, err := Detect(c.Repository.Spec.URL)
		if err != nil {
			return "", refuse("%s.provider: %w", c.Field, err)
		}
		return found, nil
	case forgejo:
		return Gitea, nil
	}
	return c.Provider, nil
}

// Open connects to the forge. It asks nobody but the API server, for the Secret.
func (c Connection) Open(ctx context.Context, clients *Clients, reader client.Reader) (Forge, error) {
	if clients == nil {
		return nil, refuse("%s: this process does not speak with forges", c.Field)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	provider, err := c.ProviderName()
	if err != nil {
		return nil, err
	}
	remote := Remote{URL: c.Repository.Spec.URL, Provider: provider, Kind: c.Kind, Name: c.Object.Name}
	if c.URL != "" {
		if remote.API, err = ParseAPI(provider, c.URL); err != nil {
			return nil, refuse("%s.url: %w", c.Field, err)
		}
	}
	if remote.Secret, err = c.secret(ctx, reader); err != nil {
		return nil, err
	}
	if c.Proxy != "" {
		if remote.Proxy, err = outbound.ParseProxy(c.Proxy); err != nil {
			return nil, refuse("GitRepository %s: its proxy: %w", client.ObjectKeyFromObject(c.Repository), err)
		}
	}
	found, err := clients.For(remote)
	if err != nil {
		field := c.secretField()
		if errors.Is(err, errURL) {
			field = fmt.Sprintf("spec.url of GitRepository %s", client.ObjectKeyFromObject(c.Repository))
		}
		return nil, Explain(field, err)
	}
	return found, nil
}

// secretField is the field that names the forge's Secret.
func (c Connection) secretField() string {
	if c.SecretRef != nil {
		return c.Field + ".secretRef"
	}
	return c.Field + ".secretRef (the default is the Secret of the GitRepository)"
}

// secret reads the Secret that the forge is asked with.
func (c Connection) secret(ctx context.Context, reader client.Reader) (*corev1.Secret, error) {
	key := client.ObjectKey{Namespace: c.Object.Namespace}
	switch {
	case c.SecretRef != nil:
		key.Name = c.SecretRef.Name
	case c.Repository.Spec.SecretRef != nil:
		key = client.ObjectKey{Namespace: c.Repository.Namespace, Name: c.Repository.Spec.SecretRef.Name}
	default:
		return nil, refuse("%s.secretRef: pull requests need a Secret with a token, and GitRepository %s has none",
			c.Field, client.ObjectKeyFromObject(c.Repository))
	}
	var secret corev1.Secret
	if err := reader.Get(ctx, key, &secret); err != nil {
		return nil, reconciler.WithReason(sluicev1.ForgeFailedReason, fmt.Errorf("%s: reading secret %s: %w", c.secretField(), key, err))
	}
	return &secret, nil
}

// refuse is an error that only another spec resolves.
func refuse(format string, args ...any) error {
	return reconcile.TerminalError(reconciler.WithReason(sluicev1.InvalidSpecReason, fmt.Errorf(format, args...)))
}

// Explain is an error of a forge that names the field that it is about. One that only a
// person resolves is terminal; a limit of requests says when it ends.
func Explain(field string, err error) error {
	text := fmt.Errorf("%s: %w", field, err)
	if limited := (*RateLimited)(nil); errors.As(err, &limited) {
		text = fmt.Errorf("%w, which is at %s", text, limited.Until.UTC().Format(time.RFC3339))
	}
	err = reconciler.WithReason(sluicev1.ForgeFailedReason, text)
	if Terminal(err) {
		return reconcile.TerminalError(err)
	}
	return err
}

// IsUs reports whether a login that a forge names is who an identity is.
func (i User) IsUs(login string) bool { return login != "" && strings.EqualFold(login, i.Login) }
