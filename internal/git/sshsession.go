package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
)

// sshSession runs git-upload-pack or git-receive-pack at the server once.
type sshSession struct {
	transport *sshTransport
	service   string
	path      string

	client  *ssh.Client
	session *ssh.Session
	in      io.WriteCloser
	out     io.Reader
	said    limitedBuffer
	wait    func() error // the library's can be called once only
	stop    func() bool  // the watch of the context
	refs    *packp.AdvRefs
}

var (
	_ transport.UploadPackSession  = (*sshSession)(nil)
	_ transport.ReceivePackSession = (*sshSession)(nil)
)

// start runs the command. When the context ends, so does the connection: a server
// that has fallen silent would not answer to less.
func (s *sshSession) start(ctx context.Context) error {
	if s.session != nil {
		return nil
	}
	client, session, err := s.transport.open(ctx)
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
	s.out = s.whole(ctx, &atMost{from: out, left: maxData})
	return session.Start(s.service + " " + shellQuote(s.path))
}

// whole tells an end that the server meant from one that came upon it: a server
// that is done says how its command went.
func (s *sshSession) whole(ctx context.Context, out io.Reader) io.Reader {
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

// AdvertisedReferences is part of the interface; nothing here calls it.
func (s *sshSession) AdvertisedReferences() (*packp.AdvRefs, error) {
	return nil, errors.New("a context is needed")
}

// AdvertisedReferencesContext implements transport.Session.
func (s *sshSession) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	if s.refs != nil {
		return s.refs, nil
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	refs := packp.NewAdvRefs()
	err := refs.Decode(&atMost{from: s.out, left: maxRefs})
	writing := s.service == transport.ReceivePackServiceName
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs) && writing:
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && !writing && refs.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case err != nil:
		return nil, s.failed(ctx, err)
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	s.refs = refs
	return refs, nil
}

// failed finds out why the server broke off: it says so on standard error, if at
// all.
func (s *sshSession) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var line *pktline.ErrorLine
	_ = s.wait() // standard error is complete then
	said := s.said.String()
	if errors.As(err, &line) {
		said = line.Text
	}
	text := strings.ToLower(said)
	switch {
	case said == "":
		return io.ErrUnexpectedEOF
	case strings.Contains(text, "not found"), strings.Contains(text, "does not exist"), strings.Contains(text, "not appear to be a git repository"):
		return &remoteError{kind: ErrRepositoryNotFound}
	case strings.Contains(text, "permission denied"), strings.Contains(text, "access denied"):
		return &remoteError{kind: ErrUnauthorized, text: strings.TrimSpace(said)}
	}
	return errors.New(strings.TrimSpace(said))
}

// UploadPack implements transport.UploadPackSession.
func (s *sshSession) UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	if _, err := s.AdvertisedReferencesContext(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(req.UploadRequest.Encode(s.in), req.UploadHaves.Encode(s.in, false),
		pktline.NewEncoder(s.in).Encodef("done\n")); err != nil {
		return nil, s.failed(ctx, err)
	}
	response := packp.NewUploadPackResponse(req)
	if err := response.Decode(io.NopCloser(s.out)); err != nil {
		return nil, s.failed(ctx, err)
	}
	return response, nil
}

// ReceivePack implements transport.ReceivePackSession.
func (s *sshSession) ReceivePack(ctx context.Context, req *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	if _, err := s.AdvertisedReferencesContext(ctx); err != nil {
		return nil, err
	}
	if err := req.Encode(s.in); err != nil {
		return nil, s.failed(ctx, err)
	}
	if !req.Capabilities.Supports(capability.ReportStatus) {
		return nil, nil
	}
	progress, _ := req.Progress.(*bytes.Buffer)
	report := packp.NewReportStatus()
	if err := report.Decode(demultiplex(req.Capabilities, s.out, progress)); err != nil {
		return nil, s.failed(ctx, err)
	}
	return report, report.Error()
}

// Close implements io.Closer. A server that still waits for a request is told
// that there is none. The connection is kept if the server ends the session in
// good time, which one that was read to its end has done already.
func (s *sshSession) Close() error {
	if s.session == nil {
		return nil
	}
	if s.in != nil {
		_, _ = s.in.Write(pktline.FlushPkt)
	}
	timer := time.AfterFunc(maxGoodbye, func() { _ = s.client.Close() })
	_ = s.session.Close()
	_ = s.wait()
	if timer.Stop() && s.stop() {
		s.transport.keep(s.client)
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
