// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git/pack"
	"github.com/sluice-cd/sluice/internal/git/protocol"
)

// RefUpdate moves one ref of a remote from Old to New. A zero Old makes the
// ref. New is a commit that Write made or one that the remote has. A short Ref
// is that of a branch.
type RefUpdate struct {
	Ref      string
	Old, New plumbing.Hash
}

// command is the update as it goes over the wire.
func (u RefUpdate) command() protocol.Command {
	ref := u.Ref
	if !strings.HasPrefix(ref, "refs/") {
		ref = branchPrefix + ref
	}
	return protocol.Command{Ref: ref, Old: u.Old, New: u.New}
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
	p := outgoingPush{options: options}
	var chain []localCommit
	var s *store
	for _, u := range updates {
		if u.Old == u.New {
			continue
		}
		if s = m.storeOf(u.New); s == nil {
			return fmt.Errorf("pushing to %s: %w: commit %s", m.remote, ErrMissing, u.New)
		}
		commits, err := s.unpushed(u.New)
		if err != nil {
			return fmt.Errorf("pushing to %s: %w", m.remote, err)
		}
		if len(commits) > len(chain) {
			chain = commits // updates of one push share their commits
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
	if err := m.conn.push(ctx, m.memoryShare(), p); err != nil {
		if err = m.confirmPush(ctx, p.commands, err); err != nil {
			return fmt.Errorf("pushing to %s of %s: %w", p.names(), m.remote, err)
		}
	}
	return s.addTip(p.commands[0].New)
}

// outgoingPush is what one push sends.
type outgoingPush struct {
	commands []protocol.Command
	options  map[string]string
	objects  io.Reader
}

func (p outgoingPush) names() string {
	var names []string
	for _, c := range p.commands {
		names = append(names, c.Ref)
	}
	return strings.Join(names, ", ")
}

// confirmPush finds out what a push that did not go through came to, by looking at
// the refs: servers word their refusals as they like, and answers get lost.
func (m *Mirror) confirmPush(ctx context.Context, commands []protocol.Command, cause error) error {
	if errors.Is(cause, ErrUnauthorized) || errors.Is(cause, ErrRepositoryNotFound) || ctx.Err() != nil {
		return cause
	}
	refs, err := m.Refs(ctx)
	if err != nil {
		return cause
	}
	return pushResult(commands, refs, cause)
}

// pushResult is what became of the commands of a push that failed with cause, given where
// the refs are now: nil if all of them were carried out after all, [ErrNonFastForward]
// if a ref is somewhere else, and the cause if some were not carried out.
func pushResult(commands []protocol.Command, refs map[string]plumbing.Hash, cause error) error {
	done := 0
	for _, command := range commands {
		switch refs[command.Ref] {
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

// packOf is the pack that carries a chain of local commits.
func packOf(chain []localCommit) (io.Reader, error) {
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
func (c *connection) push(ctx context.Context, share memoryShare, p outgoingPush) error {
	s, err := c.open(ctx, receivePack)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	caps := c.knownTo(s, &c.pushCaps)
	if caps == nil {
		if caps, err = c.discover(ctx, s, share, p.commands); err != nil {
			return err
		}
	}
	report, err := c.send(ctx, s, protocol.Push{Offered: caps, Commands: p.commands, Options: p.options, Pack: p.objects})
	switch {
	case errors.Is(err, protocol.ErrNoReport):
		return &remoteError{kind: ErrUnreachable, text: err.Error()}
	case err != nil:
		c.forget(&c.pushCaps) // they may be the reason
		return err
	case len(report.Refused) > 0:
		return &remoteError{kind: ErrRejected, text: c.rejection(report)}
	}
	return nil
}

// send sends a push and returns what came of it. A server that takes no options is not
// sent a push that has some: they may be what tells its hooks not to deploy.
func (c *connection) send(ctx context.Context, s session, p protocol.Push) (*protocol.Report, error) {
	if len(p.Options) > 0 && !p.CanTakeOptions() {
		return nil, &remoteError{kind: ErrRejected, text: "it does not accept push options"}
	}
	var request bytes.Buffer
	if err := p.Encode(&request); err != nil {
		return nil, err
	}
	answer, err := s.ask(ctx, &request)
	if err != nil {
		return nil, c.explain(err)
	}
	report, err := p.ReadReport(answer)
	switch {
	case errors.Is(err, protocol.ErrNoReport):
		return nil, err
	case err != nil:
		return nil, c.explain(s.failed(ctx, err))
	}
	return report, nil
}

// discover learns what the server can do, and on the way where the refs are.
func (c *connection) discover(
	ctx context.Context, s session, share memoryShare, commands []protocol.Command,
) (protocol.Capabilities, error) {
	advertised, err := c.handshake(ctx, s, &c.pushCaps, share)
	if err != nil {
		return nil, err
	}
	for _, command := range commands {
		if advertised.Refs[command.Ref] != command.Old {
			return nil, ErrNonFastForward
		}
	}
	return advertised.Capabilities, nil
}
