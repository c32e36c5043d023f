// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"crypto/sha1" // names are made with it
	"errors"
	"fmt"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/notify/dispatch"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
	"github.com/sluice-cd/sluice/promotion/forge"
)

// Forges implements dispatch.Forges by the clients that Pipelines use, so that all share
// connections, and what an account may still ask.
type Forges struct {
	Clients *forge.Clients
	Clock   clock.PassiveClock
}

var _ dispatch.Forges = Forges{}

func (f Forges) open(r dispatch.Repository) (forge.Forge, error) {
	found, err := f.Clients.For(remoteOf(r))
	if err != nil {
		return nil, fmt.Errorf("spec.address or the Secret of spec.secretRef: %w", err)
	}
	return found, nil
}

// remoteOf is a repository as clients know it. A Secret without a namespace, which was put together, is one of the
// Provider's: connections and tokens are not shared between namespaces.
func remoteOf(r dispatch.Repository) forge.Remote {
	remote := forge.Remote{
		URL: r.URL, Provider: r.Forge, Secret: r.Secret, Proxy: r.Proxy, Kind: v1beta3.ProviderKind, Name: r.Provider.Name,
	}
	if remote.Secret != nil && remote.Secret.Namespace == "" {
		remote.Secret = remote.Secret.DeepCopy()
		remote.Secret.Namespace = r.Provider.Namespace
	}
	return remote
}

// Check implements dispatch.Forges.
func (f Forges) Check(r dispatch.Repository) error {
	if r.URL == "" {
		return message.NeedsURL
	}
	if r.Secret == nil && r.Forge != forge.AzureDevOps {
		return errors.New("spec.secretRef: a Secret with a token is needed")
	}
	_, err := f.open(r)
	return err
}

// SetStatus implements dispatch.Forges.
func (f Forges) SetStatus(ctx context.Context, r dispatch.Repository, s dispatch.Status) error {
	at, err := f.open(r)
	if err != nil {
		return err
	}
	return f.explain(at.EnsureStatus(ctx, s.Commit, statusOf(s)))
}

// statusOf is a status by the names that Flux gives it, which rules of branches demand: Azure DevOps has a genre, and the
// keys of Bitbucket are digests.
func statusOf(s dispatch.Status) forge.Status {
	return forge.Status{
		Context: s.Context, State: forge.CheckState(s.State), Description: s.Description, URL: s.URL, Genre: s.Genre,
		Key: fmt.Sprintf("%x", sha1.Sum([]byte(s.Context))),
	}
}

// Comment implements dispatch.Forges.
func (f Forges) Comment(ctx context.Context, r dispatch.Repository, number int64, marker, text string) error {
	at, err := f.open(r)
	if err != nil {
		return err
	}
	return f.explain(at.UpsertComment(ctx, number, marker, text))
}

// Dispatch implements dispatch.Forges.
func (f Forges) Dispatch(ctx context.Context, r dispatch.Repository, e message.Event) error {
	at, err := f.open(r)
	if err != nil {
		return err
	}
	o := e.InvolvedObject
	return f.explain(at.Dispatch(ctx, fmt.Sprintf("%s/%s.%s", o.Kind, o.Name, o.Namespace), e))
}

// explain marks what time may cure, and says from when.
func (f Forges) explain(err error) error {
	if err == nil || forge.Terminal(err) || forge.Declined(err) || errors.Is(err, forge.ErrNotFound) {
		return err
	}
	again := &outbox.Temporary{Err: err}
	if limited := (*forge.RateLimited)(nil); errors.As(err, &limited) {
		again.After, again.Limited = limited.Until.Sub(f.Clock.Now()), true
	}
	return again
}
