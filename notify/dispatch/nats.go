// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nkeys"

	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/notify/message"
	"github.com/sluice-cd/sluice/notify/outbox"
)

// Keys of the Secret for NATS.
const (
	keyCreds = "creds"
	keyNKey  = "nkey"
)

// Bounds of what a server of NATS may say.
const (
	// maxInfo is how long the first line may be, and how much may follow it, in bytes.
	maxInfo = 64 << 10
	// maxLine is how long each line after the first may be.
	maxLine = 4 << 10
)

// natsConnect is the message CONNECT. To a client of protocol 0 the server sends no addresses of its cluster.
type natsConnect struct {
	Verbose     bool   `json:"verbose"`
	Pedantic    bool   `json:"pedantic"`
	TLSRequired bool   `json:"tls_required"`
	Name        string `json:"name"`
	Lang        string `json:"lang"`
	Version     string `json:"version"`
	Protocol    int    `json:"protocol"`
	User        string `json:"user,omitempty"`
	Password    string `json:"pass,omitempty"`
	Token       string `json:"auth_token,omitempty"`
	NKey        string `json:"nkey,omitempty"`
	JWT         string `json:"jwt,omitempty"`
	Signature   string `json:"sig,omitempty"`
}

// natsInfo is what of the message INFO counts for a publisher.
type natsInfo struct {
	TLSRequired bool   `json:"tls_required"`
	MaxPayload  int64  `json:"max_payload"`
	Nonce       string `json:"nonce"`
}

// maxServers is how many servers of a cluster an address may name.
const maxServers = 16

// natsServers are the servers of an address, which has commas between them; one without a scheme
// is nats, as clients of NATS have it. Errors do not repeat the address.
func natsServers(address string) ([]*url.URL, error) {
	parts := strings.Split(address, ",")
	if one, err := url.Parse(address); err == nil && strings.Count(address, "@") == 1 && !strings.Contains(one.Host+one.Path, ",") {
		parts = []string{address} // its commas are those of a user or a password
	}
	var servers []*url.URL
	for _, part := range parts {
		part = strings.TrimSpace(part)
		if !strings.Contains(part, "://") {
			part = "nats://" + part
		}
		u, err := url.Parse(part)
		if err != nil || u.Hostname() == "" || u.Scheme != "nats" && u.Scheme != "tls" {
			return nil, errors.New("spec.address, or the key address of the Secret, has to be a URL such as nats://host:4222 or " +
				"tls://host:4222, or several with commas between them")
		}
		if servers = append(servers, u); len(servers) > maxServers {
			return nil, fmt.Errorf("spec.address, or the key address of the Secret, may name %d servers", maxServers)
		}
	}
	return servers, nil
}

// checkNATS says what a Provider of NATS lacks.
func checkNATS(to *resolvedProvider) error {
	servers, err := natsServers(to.target.Address)
	switch {
	case err != nil:
		return err
	case to.target.Channel == "":
		return errors.New("spec.channel has to be the subject")
	case strings.ContainsFunc(to.target.Channel, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return errors.New("spec.channel has to be a subject, which has no white space")
	case to.proxy != nil:
		return errors.New("spec.proxySecretRef: NATS is reached without a proxy; remove it")
	}
	_, _, err = natsIdentity(to, servers[0])
	return err
}

// natsIdentity authenticates by the first of what a Secret has: credentials of a user
// (creds), the seed of a key (nkey), user and password, a token; or else by the user in the
// URL of the server. The pair, if there is one, signs what the server asks.
func natsIdentity(to *resolvedProvider, server *url.URL) (natsConnect, nkeys.KeyPair, error) {
	c := natsConnect{Name: "sluice", Lang: "go", Version: "1"}
	if to.secret != nil {
		if creds := to.secret.Data[keyCreds]; len(creds) > 0 {
			pair, err := nkeys.ParseDecoratedUserNKey(creds)
			if err == nil {
				c.JWT, err = nkeys.ParseDecoratedJWT(creds)
			}
			if err != nil {
				return c, nil, errors.New("key creds of the Secret is no file of credentials")
			}
			return c, pair, nil
		}
		if seed := bytes.TrimSpace(to.secret.Data[keyNKey]); len(seed) > 0 {
			pair, err := nkeys.FromSeed(seed)
			if err == nil {
				c.NKey, err = pair.PublicKey()
			}
			if err != nil {
				return c, nil, errors.New("key nkey of the Secret is no seed")
			}
			return c, pair, nil
		}
	}
	if t := to.target; t.Username != "" && t.Password != "" {
		c.User, c.Password = t.Username, t.Password
	} else if t.Token != "" {
		c.Token = t.Token
	} else if password, ok := server.User.Password(); ok {
		c.User, c.Password = server.User.Username(), password
	} else {
		c.Token = server.User.Username()
	}
	return c, nil, nil
}

// publish sends an event to a subject, and waits until the server has it.
func (d *Dispatcher) publish(ctx context.Context, to *resolvedProvider, e message.Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding the event: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, to.provider.GetTimeout())
	defer cancel()
	c, info, err := d.natsConnect(ctx, to)
	if err != nil {
		return err
	}
	defer c.hangUp()
	stop := c.closeWith(ctx)
	defer stop()
	if info.MaxPayload > 0 && int64(len(body)) > info.MaxPayload {
		return fmt.Errorf("the event has %d bytes, and the server of NATS takes %d", len(body), info.MaxPayload)
	}
	return c.send("PUB %s %d\r\n%s\r\nPING\r\n", to.target.Channel, len(body), body)
}

// natsConnect logs in at the first server that lets it within its share of the time.
func (d *Dispatcher) natsConnect(ctx context.Context, to *resolvedProvider) (*natsConn, natsInfo, error) {
	servers, err := natsServers(to.target.Address)
	if err != nil {
		return nil, natsInfo{}, secretError("%w", err)
	}
	config, err := outbound.TLSConfig([]byte(to.settings.CA), []byte(to.settings.Cert), []byte(to.settings.Key))
	if err != nil {
		return nil, natsInfo{}, secretError("spec.certSecretRef: %w", err)
	}
	var c *natsConn
	var info natsInfo
	for _, server := range servers {
		share, cancel := context.WithTimeout(ctx, to.provider.GetTimeout()/time.Duration(len(servers)))
		c, info, err = d.natsLogin(share, to, server, config)
		cancel()
		if again := (*outbox.Temporary)(nil); err == nil || !errors.As(err, &again) {
			break
		}
	}
	return c, info, err
}

// natsLogin connects to a server, and logs in.
func (d *Dispatcher) natsLogin(
	ctx context.Context, to *resolvedProvider, server *url.URL, config *tls.Config,
) (*natsConn, natsInfo, error) {
	raw, err := d.opts.Guard.DialContext(ctx, "tcp", net.JoinHostPort(server.Hostname(), cmp.Or(server.Port(), "4222")))
	if err != nil {
		err = fmt.Errorf("connecting to the server of NATS: %w", err)
		if errors.Is(err, outbound.ErrForbiddenAddress) {
			return nil, natsInfo{}, err
		}
		return nil, natsInfo{}, temporary(err)
	}
	stop := listen(raw).closeWith(ctx)
	c, info, err := natsOpen(ctx, raw, server, config)
	if err == nil {
		err = c.login(to, server, info)
	}
	if !stop() && err == nil {
		err = temporary(errors.New("the server of NATS did not answer in time"))
	}
	if err != nil {
		_ = raw.Close()
	}
	return c, info, err
}

// natsConn is a connection to a server of NATS.
type natsConn struct {
	net.Conn
	reader *bufio.Reader
	raw    net.Conn // beneath TLS
}

// listen reads at most maxInfo bytes of a connection.
func listen(conn net.Conn) *natsConn {
	return &natsConn{conn, bufio.NewReaderSize(io.LimitReader(conn, maxInfo), maxLine), conn}
}

// closeWith ends what reads and writes when ctx ends, unless it was stopped before.
func (c *natsConn) closeWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) })
}

// hangUp waits for nobody.
func (c *natsConn) hangUp() { _ = c.raw.Close() }

// natsOpen reads INFO, and goes on in TLS if the server, the scheme or a Secret asks.
func natsOpen(ctx context.Context, raw net.Conn, u *url.URL, config *tls.Config) (*natsConn, natsInfo, error) {
	var info natsInfo
	c := listen(raw)
	line, err := c.reader.ReadBytes('\n')
	if err != nil {
		return nil, info, temporary(errors.New("the server of NATS does not introduce itself in time, or not within 64 KiB"))
	}
	verb, rest, _ := bytes.Cut(line, []byte(" "))
	if !bytes.EqualFold(verb, []byte("INFO")) || json.Unmarshal(rest, &info) != nil {
		return nil, info, temporary(errors.New("the server does not speak the protocol of NATS"))
	}
	// Nothing is said before CONNECT; what is would count as said within TLS.
	if c.reader.Buffered() > 0 {
		return nil, info, temporary(errNATS)
	}
	if info.TLSRequired = info.TLSRequired || config != nil || u.Scheme == "tls"; !info.TLSRequired {
		return listen(raw), info, nil
	}
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config = config.Clone()
	config.ServerName = u.Hostname()
	secure := tls.Client(raw, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, info, temporary(fmt.Errorf("connecting to the server of NATS: %w", err))
	}
	c = listen(secure)
	c.raw = raw
	return c, info, nil
}

// login sends CONNECT.
func (c *natsConn) login(to *resolvedProvider, server *url.URL, info natsInfo) error {
	connect, pair, err := natsIdentity(to, server)
	if err != nil {
		return secretError("%w", err)
	}
	if pair != nil {
		signature, err := pair.Sign([]byte(info.Nonce))
		if err != nil {
			return secretError("the key of the Secret cannot sign")
		}
		connect.Signature = base64.RawURLEncoding.EncodeToString(signature)
	}
	connect.TLSRequired = info.TLSRequired
	text, err := json.Marshal(connect)
	if err != nil {
		return fmt.Errorf("encoding CONNECT: %w", err)
	}
	return c.send("CONNECT %s\r\nPING\r\n", text)
}

// errNATS does not quote the server, which may be anybody's.
var errNATS = errors.New("the server of NATS says what a publisher cannot be told")

// send sends messages of which the last is PING, and waits for its answer.
func (c *natsConn) send(format string, args ...any) error {
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		return temporary(errors.New("the server of NATS closed the connection, or did not take the event in time"))
	}
	for {
		line, err := c.reader.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return temporary(errNATS)
		case err != nil:
			return temporary(errors.New("the server of NATS closed the connection, or did not answer in time"))
		}
		verb, rest, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
		switch strings.ToUpper(verb) {
		case "PONG":
			return nil
		case "+OK", "INFO":
		case "PING":
			if _, err := io.WriteString(c, "PONG\r\n"); err != nil {
				return temporary(errors.New("the server of NATS closed the connection"))
			}
		case "-ERR":
			return natsRefusal(rest)
		default:
			return temporary(errNATS)
		}
	}
}

// natsRefusal is the error of what follows -ERR; it is final if only a person can cure it.
func natsRefusal(text string) error {
	text = strings.ToLower(strings.Trim(text, "' "))
	for said, means := range map[string]string{
		"authorization violation":   "does not accept the credential of spec.secretRef",
		"permissions violation":     "does not let the credential publish to the subject of spec.channel",
		"invalid subject":           "does not accept the subject of spec.channel",
		"invalid publish subject":   "does not accept the subject of spec.channel",
		"maximum payload violation": "does not take an event as large",
	} {
		if strings.HasPrefix(text, said) {
			return errors.New("the server of NATS " + means)
		}
	}
	return temporary(errors.New("the server of NATS answers with an error"))
}
