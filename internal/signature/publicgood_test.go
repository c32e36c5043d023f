// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
)

// mirror is a TUF repository with one target, served over HTTP.
type mirror struct {
	t     *testing.T
	url   string
	root  []byte
	files map[string][]byte
	down  atomic.Bool
	asked atomic.Int32
}

func newMirror(t *testing.T, trusted []byte) *mirror {
	t.Helper()
	m := &mirror{t: t, files: map[string][]byte{}}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err := signature.LoadSigner(private, crypto.Hash(0))
	must(t, err)
	key, err := metadata.KeyFromPublicKey(private.Public())
	must(t, err)
	expires := time.Now().Add(30 * 24 * time.Hour)

	root := metadata.Root(expires)
	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		must(t, root.Signed.AddKey(key, role))
	}
	targets := metadata.Targets(expires)
	target, err := metadata.TargetFile().FromBytes("trusted_root.json", trusted, "sha256")
	must(t, err)
	targets.Signed.Targets["trusted_root.json"] = target

	m.root = publish(t, root, signer)
	m.files["/1.targets.json"] = publish(t, targets, signer)
	m.files["/1.snapshot.json"] = publish(t, metadata.Snapshot(expires), signer)
	m.files["/timestamp.json"] = publish(t, metadata.Timestamp(expires), signer)
	sum := sha256.Sum256(trusted)
	m.files["/targets/"+hex.EncodeToString(sum[:])+".trusted_root.json"] = trusted
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	m.url = server.URL
	return m
}

func publish[T metadata.Roles](t *testing.T, doc *metadata.Metadata[T], by signature.Signer) []byte {
	t.Helper()
	_, err := doc.Sign(by)
	must(t, err)
	data, err := doc.ToBytes(false)
	must(t, err)
	return data
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.asked.Add(1)
	data, ok := m.files[r.URL.Path]
	switch {
	case m.down.Load():
		http.Error(w, "down", http.StatusServiceUnavailable)
	case !ok:
		http.NotFound(w, r)
	default:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

// client fetches from the mirror instead of the public one.
func (m *mirror) client(dir string, clk *clocktesting.FakePassiveClock) *PublicGood {
	p := NewPublicGood(dir, clk)
	p.options.Root, p.options.RepositoryBaseURL = m.root, m.url
	return p
}

func TestKeylessSignaturesOfThePublicSigstore(t *testing.T) {
	s := signaturetest.NewSigstore(t)
	m := newMirror(t, s.Trusted(signaturetest.Whole))
	h := newHost(t, true)
	image := h.image()
	h.store(image, s.Bundle(signaturetest.Statement(t, image, cosignSign), identity))
	v, err := New(t.Context(), reader(), namespace, Spec{Provider: "cosign", Identities: []CertificateIdentity{release}},
		Options{PublicGood: m.client(t.TempDir(), clocktesting.NewFakePassiveClock(time.Now()))})
	must(t, err)
	accept(t.Context(), t, v, image)
}

func TestThePublicRootIsFetchedOnceADayAndServesAWeekWithoutItsMirror(t *testing.T) {
	m := newMirror(t, signaturetest.NewSigstore(t).Trusted(signaturetest.Whole))
	clk := clocktesting.NewFakePassiveClock(time.Now())
	dir := filepath.Join(t.TempDir(), "made", "if need be")
	p := m.client(dir, clk)
	step := func(title string, after time.Duration, wantAsked bool, wantErr string) {
		t.Helper()
		clk.SetTime(clk.Now().Add(after))
		before := m.asked.Load()
		_, err := p.Root(t.Context())
		if text := fmt.Sprint(err); wantErr == "" && err != nil || !strings.Contains(text, wantErr) {
			t.Errorf("%s: got %v, want %q", title, err, wantErr)
		}
		if asked := m.asked.Load() > before; asked != wantAsked {
			t.Errorf("%s: asked the mirror: %v", title, asked)
		}
	}
	step("at first", 0, true, "")
	step("later that day", 23*time.Hour, false, "")
	p.options.CacheValidity = 0 // TUF's client looks at the clock of the machine
	m.down.Store(true)
	step("the next day, the mirror is down", 2*time.Hour, true, "")
	step("at once again", time.Second, false, "")
	step("a minute later", time.Minute, true, "")
	step("a week later", 7*24*time.Hour, true, "fetching the public Sigstore root")
	step("at once again, still", time.Second, false, "fetching the public Sigstore root")
	m.down.Store(false)
	step("when it is back", time.Minute, true, "")

	m.down.Store(true)
	p = m.client(dir, clk)
	step("after a restart, from the directory", 0, false, "")
}

// hanging is a transport that says when it is asked, and does not send anything until it is told.
type hanging struct {
	next        http.RoundTripper
	asked, told chan struct{}
}

func (h hanging) RoundTrip(req *http.Request) (*http.Response, error) {
	select {
	case h.asked <- struct{}{}:
	default:
	}
	select {
	case <-h.told:
		return h.next.RoundTrip(req)
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// Whoever gave up while the root was fetched ended the fetch of all others, who were told so for
// a minute.
func TestWhoGivesUpOnThePublicRootLeavesTheFetchToOthers(t *testing.T) {
	m := newMirror(t, signaturetest.NewSigstore(t).Trusted(signaturetest.Whole))
	p := m.client(t.TempDir(), clocktesting.NewFakePassiveClock(time.Now()))
	slow := hanging{next: p.transport, asked: make(chan struct{}, 1), told: make(chan struct{})}
	p.transport = slow
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := p.Root(ctx)
		first <- err
	}()
	<-slow.asked
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "waiting for the public Sigstore root") {
		t.Errorf("the one who gave up got %v", err)
	}
	close(slow.told)
	if _, err := p.Root(t.Context()); err != nil {
		t.Errorf("the next one: %v", err)
	}
}
