package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"

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

	session *ssh.Session
	in      io.WriteCloser
	out     io.Reader
	said    limitedBuffer
	release func()
	stop    func() bool // the watch of the context
	refs    *packp.AdvRefs
}

var (
	_ transport.UploadPackSession  = (*sshSession)(nil)
	_ transport.ReceivePackSession = (*sshSession)(nil)
)

// start runs the command. It ends with the context.
func (s *sshSession) start(ctx context.Context) (err error) {
	if s.session != nil {
		return nil
	}
	if s.session, s.release, err = s.transport.open(ctx); err != nil {
		return err
	}
	s.session.Stderr = &s.said
	if s.in, err = s.session.StdinPipe(); err != nil {
		return err
	}
	if s.out, err = s.session.StdoutPipe(); err != nil {
		return err
	}
	session := s.session
	s.stop = context.AfterFunc(ctx, func() { _ = session.Close() })
	return s.session.Start(s.service + " " + shellQuote(s.path))
}

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
	err := refs.Decode(s.out)
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
	_ = s.session.Wait() // standard error is complete then
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
// that there is none.
func (s *sshSession) Close() error {
	if s.session == nil {
		return nil
	}
	_, _ = s.in.Write(pktline.FlushPkt)
	if s.stop != nil {
		s.stop()
	}
	s.release()
	return nil
}

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
