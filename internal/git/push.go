package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/sluice-cd/sluice/internal/git/pack"
)

// Push moves ref at the remote from old to new, which is a commit that Write
// made or one that the remote has; a zero old makes the branch. A short ref is
// that of a branch. Only the objects that the remote lacks are sent.
//
// The remote compares and swaps: ErrNonFastForward means that ref was not at
// old. When it is at new already, as after a push whose answer was lost, Push
// succeeds. ErrRejected means that rules at the remote refuse it.
func (m *Mirror) Push(ctx context.Context, ref string, old, new plumbing.Hash) error {
	if !strings.HasPrefix(ref, "refs/") {
		ref = "refs/heads/" + ref
	}
	if old == new {
		return nil
	}
	s := m.storeOf(new)
	if s == nil {
		return fmt.Errorf("pushing to %s: %w: commit %s", m.remote, ErrMissing, new)
	}
	chain, err := s.drafts(new)
	if err != nil {
		return fmt.Errorf("pushing to %s: %w", m.remote, err)
	}
	objects, err := packOf(chain)
	if err != nil {
		return fmt.Errorf("pushing to %s: %w", m.remote, err)
	}
	command := &packp.Command{Name: plumbing.ReferenceName(ref), Old: old, New: new}
	if err := m.conn.push(ctx, command, objects); err != nil {
		if err = m.settle(ctx, command, err); err != nil {
			return fmt.Errorf("pushing to %s of %s: %w", ref, m.remote, err)
		}
	}
	return s.addTip(new)
}

// settle finds out what a push that did not go through came to, by looking at
// the ref: servers word their refusals as they like, and answers get lost.
func (m *Mirror) settle(ctx context.Context, command *packp.Command, cause error) error {
	if errors.Is(cause, ErrUnauthorized) || errors.Is(cause, ErrRepositoryNotFound) || ctx.Err() != nil {
		return cause
	}
	refs, err := m.Refs(ctx)
	if err != nil {
		return cause
	}
	switch refs[command.Name.String()] {
	case command.New:
		return nil
	case command.Old:
		return cause
	}
	return ErrNonFastForward
}

// packOf is the pack that carries a chain of drafts.
func packOf(chain []draft) (io.Reader, error) {
	if len(chain) == 1 {
		return chain[0].pack.Raw(), nil
	}
	var objects []pack.Object
	for _, d := range chain {
		for object, err := range d.pack.All() {
			if err != nil {
				return nil, err
			}
			objects = append(objects, object)
		}
	}
	var merged bytes.Buffer
	return &merged, pack.Encode(&merged, objects)
}

// push sends one command with the objects it needs.
func (c *connection) push(ctx context.Context, command *packp.Command, objects io.Reader) error {
	endpoint := c.at()
	session, err := c.transport.NewReceivePackSession(endpoint, c.auth)
	if err != nil {
		return c.explain(err)
	}
	defer func() { _ = session.Close() }()
	caps := c.known(&c.pushCaps)
	if caps == nil {
		if caps, err = c.discover(ctx, session, endpoint, command); err != nil {
			return err
		}
	}
	request := packp.NewReferenceUpdateRequestFromCapabilities(caps)
	if caps.Supports(capability.Sideband64k) {
		_ = request.Capabilities.Set(capability.Sideband64k)
	}
	var said bytes.Buffer
	request.Progress = &said
	request.Commands = []*packp.Command{command}
	request.Packfile = io.NopCloser(objects)
	report, err := session.ReceivePack(ctx, request)
	switch {
	case err == nil && report == nil:
		return &remoteError{kind: ErrUnreachable, text: "it did not confirm the push"}
	case err == nil:
		return nil
	case report == nil:
		return c.explain(err)
	}
	return &remoteError{kind: ErrRejected, text: c.redact(err.Error() + " " + said.String())}
}

// discover learns what the server can do, and on the way where the ref is.
func (c *connection) discover(
	ctx context.Context, session transport.ReceivePackSession, endpoint *transport.Endpoint, command *packp.Command,
) (*capability.List, error) {
	advertised, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	c.learn(endpoint, &c.pushCaps, advertised.Capabilities)
	if at := advertised.References[command.Name.String()]; at != command.Old {
		return nil, ErrNonFastForward
	}
	return advertised.Capabilities, nil
}
