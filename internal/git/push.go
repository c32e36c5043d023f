package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/sluice-cd/sluice/internal/git/pack"
)

// RefUpdate moves one ref of a remote from Old to New. A zero Old makes the
// ref. New is a commit that Write made or one that the remote has. A short Ref
// is that of a branch.
type RefUpdate struct {
	Ref      string
	Old, New plumbing.Hash
}

// command is the update as it goes over the wire.
func (u RefUpdate) command() *packp.Command {
	ref := u.Ref
	if !strings.HasPrefix(ref, "refs/") {
		ref = "refs/heads/" + ref
	}
	return &packp.Command{Name: plumbing.ReferenceName(ref), Old: u.Old, New: u.New}
}

// Push moves refs at the remote, and sends the objects that it lacks. Options
// are Git push options, for the server's hooks to read.
//
// The remote compares and swaps each ref: ErrNonFastForward means that one was
// not at its Old. A New that does not descend from Old replaces it, which is a
// forced push with a lease. When a ref is at New already, as after a push whose
// answer was lost, its part succeeds. ErrRejected means that rules at the remote
// refuse it. With several updates the remote does all or nothing, if it can.
func (m *Mirror) Push(ctx context.Context, options map[string]string, updates ...RefUpdate) error {
	p := push{options: options}
	var chain []draft
	var s *store
	for _, u := range updates {
		if u.Old == u.New {
			continue
		}
		if s = m.storeOf(u.New); s == nil {
			return fmt.Errorf("pushing to %s: %w: commit %s", m.remote, ErrMissing, u.New)
		}
		drafts, err := s.drafts(u.New)
		if err != nil {
			return fmt.Errorf("pushing to %s: %w", m.remote, err)
		}
		if len(drafts) > len(chain) {
			chain = drafts // updates of one push share their commits
		}
		p.commands = append(p.commands, u.command())
	}
	if len(p.commands) == 0 {
		return nil
	}
	var err error
	if p.objects, err = packOf(chain); err != nil {
		return fmt.Errorf("pushing to %s: %w", m.remote, err)
	}
	if err := m.conn.push(ctx, p); err != nil {
		if err = m.settle(ctx, p.commands, err); err != nil {
			return fmt.Errorf("pushing to %s of %s: %w", p.names(), m.remote, err)
		}
	}
	return s.addTip(p.commands[0].New)
}

// push is what one push sends.
type push struct {
	commands []*packp.Command
	options  map[string]string
	objects  io.Reader
}

func (p push) names() string {
	var names []string
	for _, c := range p.commands {
		names = append(names, c.Name.String())
	}
	return strings.Join(names, ", ")
}

// settle finds out what a push that did not go through came to, by looking at
// the refs: servers word their refusals as they like, and answers get lost.
func (m *Mirror) settle(ctx context.Context, commands []*packp.Command, cause error) error {
	if errors.Is(cause, ErrUnauthorized) || errors.Is(cause, ErrRepositoryNotFound) || ctx.Err() != nil {
		return cause
	}
	refs, err := m.Refs(ctx)
	if err != nil {
		return cause
	}
	done := 0
	for _, command := range commands {
		switch refs[command.Name.String()] {
		case command.New:
			done++
		case command.Old:
		default:
			return ErrNonFastForward
		}
	}
	if done == len(commands) {
		return nil
	}
	return cause
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

// push sends commands with the objects they need.
func (c *connection) push(ctx context.Context, p push) error {
	endpoint := c.at()
	session, err := c.receive(ctx, endpoint)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	caps := c.known(&c.pushCaps)
	if caps == nil {
		if caps, err = c.discover(ctx, session, endpoint, p.commands); err != nil {
			return err
		}
	}
	var said bytes.Buffer
	request, err := pushRequest(caps, p)
	if err != nil {
		return err
	}
	request.Progress = &said
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

// pushRequest words a push for a server with the given capabilities. One that
// takes no options refuses a push that has some: they may be what tells its
// hooks not to deploy.
func pushRequest(caps *capability.List, p push) (*packp.ReferenceUpdateRequest, error) {
	request := packp.NewReferenceUpdateRequestFromCapabilities(caps)
	wanted := []capability.Capability{capability.Sideband64k}
	if len(p.commands) > 1 {
		wanted = append(wanted, capability.Atomic)
	}
	for _, wish := range wanted {
		if caps.Supports(wish) {
			_ = request.Capabilities.Set(wish)
		}
	}
	if len(p.options) > 0 {
		if !caps.Supports(capability.PushOptions) {
			return nil, &remoteError{kind: ErrRejected, text: "it does not accept push options"}
		}
		_ = request.Capabilities.Set(capability.PushOptions)
		for _, key := range slices.Sorted(maps.Keys(p.options)) {
			request.Options = append(request.Options, &packp.Option{Key: key, Value: p.options[key]})
		}
	}
	request.Commands = p.commands
	request.Packfile = io.NopCloser(p.objects)
	return request, nil
}

// discover learns what the server can do, and on the way where the refs are.
func (c *connection) discover(
	ctx context.Context, session transport.ReceivePackSession, endpoint *transport.Endpoint, commands []*packp.Command,
) (*capability.List, error) {
	advertised, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	c.learn(endpoint, &c.pushCaps, advertised.Capabilities)
	for _, command := range commands {
		if at := advertised.References[command.Name.String()]; at != command.Old {
			return nil, ErrNonFastForward
		}
	}
	return advertised.Capabilities, nil
}
