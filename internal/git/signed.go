// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git/pack"
)

// ErrTag means that the object of a tag is not what its ref says.
var ErrTag = errors.New("not the tag that was asked for")

// Signed is a commit or a tag as it was signed.
type Signed struct {
	// Payload is what was signed: the object without its signature.
	Payload []byte
	// Signature is armored, as OpenPGP or OpenSSH have it; empty if there is none.
	Signature []byte
}

// SignedCommit reads the signature of a commit that the mirror has.
func (m *Mirror) SignedCommit(commit plumbing.Hash) (Signed, error) {
	s := m.storeOf(commit)
	if s == nil {
		return Signed{}, fmt.Errorf("%w: commit %s of %s", ErrMissing, commit, m.remote)
	}
	data, err := m.reader(s).small(commit, plumbing.CommitObject)
	if err != nil {
		return Signed{}, fmt.Errorf("reading commit %s: %w", commit, err)
	}
	return splitCommit(data), nil
}

// SignedTag fetches the object of the tag that was selected, once the mirror has its
// commit, and reads its signature. ErrTag means that the object names another tag, or
// another object than the selected commit: a signed tag counts under its own name only.
func (m *Mirror) SignedTag(ctx context.Context, selected Selected) (Signed, error) {
	s := m.storeOf(selected.Commit)
	if s == nil {
		return Signed{}, fmt.Errorf("%w: commit %s of %s", ErrMissing, selected.Commit, m.remote)
	}
	data, err := m.reader(s).small(selected.Tag, plumbing.TagObject)
	if errors.Is(err, ErrMissing) {
		if err := m.fetchTag(ctx, s, selected); err != nil {
			return Signed{}, err
		}
		data, err = m.reader(s).small(selected.Tag, plumbing.TagObject)
	}
	if err != nil {
		return Signed{}, fmt.Errorf("reading tag %s: %w", selected.Label, err)
	}
	if err := checkTag(data, selected); err != nil {
		return Signed{}, err
	}
	return splitTag(data), nil
}

// fetchTag adds the object of a tag to a store that has its commit.
func (m *Mirror) fetchTag(ctx context.Context, s *store, selected Selected) error {
	return m.withMemory(ctx, func(share memoryShare) error {
		defer m.account()
		if err := m.receive(ctx, share, s, selected.Tag); err != nil {
			return m.fetchError(selected.Ref, selected.Tag, err)
		}
		return nil
	})
}

// small reads an object of a kind that is held several times over while it is looked at.
func (s reader) small(h plumbing.Hash, kind plumbing.ObjectType) ([]byte, error) {
	size, err := s.size(h)
	switch {
	case err != nil:
		return nil, err
	case size > maxCommit:
		return nil, fmt.Errorf("%w: it has %d bytes, of which %d are allowed", pack.ErrTooLarge, size, maxCommit)
	}
	raw, err := s.read(h)
	switch {
	case err != nil:
		return nil, err
	case raw.Type != kind:
		return nil, fmt.Errorf("%w: %s is a %s", ErrTag, h, raw.Type)
	}
	return raw.Data, nil
}

// signatureHeaders hold signatures: none of them is part of what was signed.
var signatureHeaders = map[string]bool{"gpgsig": true, "gpgsig-sha256": true}

// splitCommit takes the signature out of a commit: the header gpgsig, whose further
// lines begin with a space.
func splitCommit(data []byte) Signed {
	var s Signed
	rest := data
	header := ""
	for len(rest) > 0 && rest[0] != '\n' {
		line := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			line = rest[:end+1]
		}
		rest = rest[len(line):]
		value, continued := bytes.CutPrefix(line, []byte(" "))
		if !continued {
			header, _, _ = strings.Cut(string(line), " ")
			value = line[min(len(line), len(header)+1):]
		}
		switch {
		case header == "gpgsig":
			s.Signature = append(s.Signature, value...)
		case !signatureHeaders[header]:
			s.Payload = append(s.Payload, line...)
		}
	}
	s.Payload = append(s.Payload, rest...)
	return s
}

// armors begin the signatures at the end of tags.
var armors = []string{"-----BEGIN PGP SIGNATURE-----", "-----BEGIN PGP MESSAGE-----", "-----BEGIN SSH SIGNATURE-----"}

// splitTag takes the signature off a tag: all from the last line that begins one.
func splitTag(data []byte) Signed {
	at := -1
	for offset := 0; offset < len(data); {
		line := data[offset:]
		for _, armor := range armors {
			if bytes.HasPrefix(line, []byte(armor)) {
				at = offset
			}
		}
		end := bytes.IndexByte(line, '\n')
		if end < 0 {
			break
		}
		offset += end + 1
	}
	if at < 0 {
		return Signed{Payload: data}
	}
	return Signed{Payload: data[:at], Signature: data[at:]}
}

// checkTag compares what a tag says with what was selected.
func checkTag(data []byte, selected Selected) error {
	said := map[string]string{}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok {
			break
		}
		if _, twice := said[key]; twice {
			return fmt.Errorf("%w: it says %s twice", ErrTag, shortened(key))
		}
		said[key] = value
	}
	name := strings.TrimPrefix(selected.Ref, tagPrefix)
	switch {
	case said["tag"] != name:
		return fmt.Errorf("%w: the object of tag %s was made for tag %q", ErrTag, shortened(name), shortened(said["tag"]))
	case said["type"] != "commit" || said["object"] != selected.Commit.String():
		return fmt.Errorf("%w: tag %s names %s %s instead of commit %s",
			ErrTag, shortened(name), shortened(said["type"]), shortened(said["object"]), selected.Commit)
	}
	return nil
}
