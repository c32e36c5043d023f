// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sluice-cd/sluice/internal/bounded"
	"github.com/sluice-cd/sluice/internal/git/protocol"
)

// sshSession runs git-upload-pack or git-receive-pack at the server once.
type sshSession struct {
	server  *sshServer
	service string
	path    string

	client  *ssh.Client
	session *ssh.Session
	in      io.WriteCloser
	out     *bufio.Reader
	said    limitedBuffer
	wait    func() error // the library's can be called once only
	stop    func() bool  // the watch of the context
}

// start runs the command. When the context ends, so does the connection: a server
// that has fallen silent would not answer to less.
func (s *sshSession) start(ctx context.Context) error {
	if s.session != nil {
		return nil
	}
	client, session, err := s.server.start(ctx)
	if err != nil {
		return err
	}
	s.client, s.session, s.wait = client, session, sync.OnceValue(session.Wait)
	s.stop = context.AfterFunc(ctx, func() { _ = client.Close() })
	session.Stderr = &s.said
	if s.in, err = session.StdinPipe(); err != nil {
		return err
	}
	out, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	s.out = bufio.NewReader(s.untilServerIsDone(ctx, bounded.Reader(out, maxData, ErrTooMuch)))
	return session.Start(s.service + " " + shellQuote(s.path))
}

// untilServerIsDone tells an end that the server meant from one that came upon it: a server
// that is done says how its command went.
func (s *sshSession) untilServerIsDone(ctx context.Context, out io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := out.Read(p)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		var missing *ssh.ExitMissingError
		switch ended := s.wait(); {
		case ctx.Err() != nil:
			return n, ctx.Err()
		case errors.As(ended, &missing):
			return n, io.ErrUnexpectedEOF
		}
		return n, err
	})
}

// readerFunc is an io.Reader.
type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// shellQuote makes one word of a path for the server's shell.
func shellQuote(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

// handshake implements session.
func (s *sshSession) handshake(ctx context.Context) (*bufio.Reader, error) {
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s.out, nil
}

// ask implements session.
func (s *sshSession) ask(ctx context.Context, request *bytes.Buffer) (*bufio.Reader, error) {
	if _, err := request.WriteTo(s.in); err != nil {
		return nil, s.failed(ctx, err)
	}
	return s.out, nil
}

// keepsCapabilities implements session: a server over SSH always begins with its advertisement.
func (*sshSession) keepsCapabilities() bool { return false }

// needsHandshake implements session: it has one anyway.
func (*sshSession) needsHandshake() bool { return false }

// failed finds out why the server broke off: it says so on standard error, if at
// all.
func (s *sshSession) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, ErrTooMuch) || errors.Is(err, ErrObjectFormat) {
		return err
	}
	_ = s.wait() // standard error is complete then
	said := s.said.String()
	var line *protocol.ServerError
	if errors.As(err, &line) {
		said = line.Text
	}
	text := strings.ToLower(said)
	switch {
	case said == "":
		return io.ErrUnexpectedEOF
	case strings.Contains(text, "not found"), strings.Contains(text, "does not exist"),
		strings.Contains(text, "not appear to be a git repository"):
		return &remoteError{kind: ErrRepositoryNotFound}
	case strings.Contains(text, "permission denied"), strings.Contains(text, "access denied"):
		return &remoteError{kind: ErrUnauthorized, text: strings.TrimSpace(said)}
	}
	return errors.New(strings.TrimSpace(said))
}

// Close implements io.Closer. A server that still waits for a request is told
// that there is none. The connection is kept if the server ends the session in
// good time, which one that was read to its end has done already.
func (s *sshSession) Close() error {
	if s.session == nil {
		return nil
	}
	if s.in != nil {
		_, _ = s.in.Write([]byte(protocol.Flush))
	}
	timer := time.AfterFunc(maxGoodbye, func() { _ = s.client.Close() })
	_ = s.session.Close()
	_ = s.wait()
	if timer.Stop() && s.stop() {
		s.server.releaseClient(s.client)
	}
	return nil
}

// maxGoodbye is how long a server may take to end a session.
const maxGoodbye = 2 * time.Second

// maxSaid bounds what is kept of a server's words.
const maxSaid = 4 << 10

// limitedBuffer keeps the beginning of what is written to it.
type limitedBuffer struct {
	mu   sync.Mutex
	kept []byte
}

// Write implements io.Writer.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, p[:min(len(p), maxSaid-len(b.kept))]...)
	return len(p), nil
}

// String is what was kept.
func (b *limitedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.kept)
}
