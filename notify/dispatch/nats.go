// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/notify/message"
)

// Keys of the Secret for NATS.
const (
	keyCreds = "creds"
	keyNKey  = "nkey"
)

// checkNATS says what a Provider of NATS lacks.
func checkNATS(to *destination) error {
	u, err := url.Parse(to.target.Address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls":
		return errors.New("spec.address, or the key address of the Secret, has to be a URL such as nats://host:4222")
	case to.target.Channel == "":
		return errors.New("spec.channel has to be the subject")
	case to.proxy != nil:
		return errors.New("spec.proxySecretRef: NATS is reached without a proxy; remove it")
	}
	_, err = natsIdentity(to)
	return err
}

// natsIdentity authenticates by the first of what a Secret has: credentials of a user
// (creds), the seed of a key (nkey), user and password, a token.
func natsIdentity(to *destination) ([]nats.Option, error) {
	if to.secret != nil {
		if creds := to.secret.Data[keyCreds]; len(creds) > 0 {
			return []nats.Option{nats.UserCredentialBytes(creds)}, nil
		}
		if seed := to.secret.Data[keyNKey]; len(seed) > 0 {
			pair, err := nkeys.FromSeed(seed)
			if err != nil {
				return nil, errors.New("key nkey of the Secret is no seed")
			}
			public, err := pair.PublicKey()
			if err != nil {
				return nil, errors.New("key nkey of the Secret is no seed")
			}
			return []nats.Option{nats.Nkey(public, pair.Sign)}, nil
		}
	}
	switch t := to.target; {
	case t.Username != "" && t.Password != "":
		return []nats.Option{nats.UserInfo(t.Username, t.Password)}, nil
	case t.Token != "":
		return []nats.Option{nats.Token(t.Token)}, nil
	}
	return nil, nil
}

// guardedDialer connects where the guard lets it.
type guardedDialer struct {
	ctx   context.Context //nolint:containedctx // the library's interface has none
	guard *outbound.Guard
}

// Dial implements nats.CustomDialer.
func (g guardedDialer) Dial(network, address string) (net.Conn, error) {
	return g.guard.DialContext(g.ctx, network, address)
}

// publish sends an event to a subject, and waits until the server has it.
func (d *Dispatcher) publish(ctx context.Context, to *destination, e message.Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding the event: %w", err)
	}
	opts, err := natsIdentity(to)
	if err != nil {
		return secretError("%w", err)
	}
	opts = append(opts, nats.Name("sluice"), nats.SetCustomDialer(guardedDialer{ctx, d.opts.Guard}), nats.NoReconnect(),
		nats.Timeout(to.provider.GetTimeout()))
	config, err := outbound.TLSConfig([]byte(to.settings.CA), []byte(to.settings.Cert), []byte(to.settings.Key))
	if err != nil {
		return secretError("spec.certSecretRef: %w", err)
	}
	if config != nil {
		opts = append(opts, nats.Secure(config))
	} else if u, err := url.Parse(to.target.Address); err == nil && u.Scheme == "tls" {
		opts = append(opts, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	conn, err := nats.Connect(to.target.Address, opts...)
	if err != nil {
		return natsError("connecting to the server", err)
	}
	defer conn.Close()
	if err := conn.Publish(to.target.Channel, body); err != nil {
		return natsError("publishing", err)
	}
	if err := conn.FlushWithContext(ctx); err != nil {
		return natsError("publishing", err)
	}
	if err := conn.LastError(); err != nil {
		return natsError("publishing", err)
	}
	return nil
}

// natsError is final if only a person can cure it.
func natsError(doing string, err error) error {
	wrapped := fmt.Errorf("%s: %w", doing, err)
	for _, final := range []error{
		nats.ErrAuthorization, nats.ErrBadSubject, nats.ErrMaxPayload, nats.ErrPermissionViolation, outbound.ErrForbiddenAddress,
	} {
		if errors.Is(err, final) {
			return wrapped
		}
	}
	return temporary(wrapped)
}
