// SPDX-License-Identifier: Apache-2.0

// Package protocol is what Git's servers and clients say to each other, version 0,
// as gitprotocol-pack(5) and gitprotocol-capabilities(5) define it, for a client:
//
//	server  refs and capabilities            ReadAdvertisement
//	client  wants, shallows, depth, haves    Fetch.Encode
//	server  shallows, ACKs, pack             ReadPack
//
//	server  refs and capabilities            ReadAdvertisement
//	client  commands, options, pack          Push.Encode
//	server  what came of each command        ReadReport
//
// A conversation is the same over HTTP and SSH. Everything is read as it comes, in
// lines of 64 KiB at most, and nothing is kept that is not asked for: the other side
// may be anybody's, and say anything without end. An error that is [ErrProtocol]
// quotes nothing of it, since what does not speak Git may be a server that was never
// meant to be read from here.
//
// It is written by hand since go-git's client neither asks for thin packs nor bounds what it
// reads: docs/adr/0002-own-pack-code.md. What a conversation costs is part of
//
//	go test -run xxx -bench LargeRepository ./internal/git
package protocol

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

var (
	// ErrProtocol means that the other side does not speak Git.
	ErrProtocol = errors.New("it does not answer as a Git server does")
	// ErrObjectFormat means that the repository's objects have other ids than SHA-1.
	ErrObjectFormat = errors.New("unsupported object format")
	// ErrNoPack means that the server ended its answer before the pack, as it does
	// when it does not have what was wanted.
	ErrNoPack = errors.New("the answer ends before the pack")
	// ErrTooMuch means that the server says more than any would that is in order.
	ErrTooMuch = errors.New("the remote's answer is too long")
)

// ServerError is what a server says instead of an answer.
type ServerError struct{ Text string }

// Error implements error.
func (e *ServerError) Error() string { return e.Text }

const (
	lengthSize = 4
	maxLine    = 65520
)

// line is a pkt-line (gitprotocol-common(5)): a payload, or the end of a section.
type line struct {
	payload []byte // good until the next one is read
	flush   bool
}

// text is the payload without the newline that it may end in.
func (l line) text() string { return strings.TrimSuffix(string(l.payload), "\n") }

// lines reads pkt-lines.
type lines struct {
	from *bufio.Reader
	kept []byte
	left int64 // bytes that may still be read; what is beyond is ErrTooMuch
}

func newLines(from *bufio.Reader, limit int64) *lines { return &lines{from: from, left: limit} }

// next reads a line. An end of the stream between two lines is io.EOF. A line in which
// the server says that it fails is a [ServerError].
func (l *lines) next() (line, error) {
	var head [lengthSize]byte
	if _, err := io.ReadFull(l.from, head[:]); err != nil {
		return line{}, err
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 16)
	switch {
	case err != nil, n > maxLine, n == 3:
		return line{}, ErrProtocol
	case n < 3: // 1 and 2 are separators of version 2
		return line{flush: true}, l.count(lengthSize)
	}
	if err := l.count(int64(n)); err != nil {
		return line{}, err
	}
	if cap(l.kept) < maxLine {
		l.kept = make([]byte, maxLine)
	}
	payload := l.kept[:n-lengthSize]
	if _, err := io.ReadFull(l.from, payload); err != nil {
		return line{}, unexpected(err)
	}
	if text, failed := strings.CutPrefix(string(payload[:min(len(payload), len(errorPrefix))]), errorPrefix); failed && text == "" {
		return line{}, &ServerError{strings.TrimSpace(string(payload[len(errorPrefix):]))}
	}
	return line{payload: payload}, nil
}

const errorPrefix = "ERR "

func (l *lines) count(n int64) error {
	if l.left -= n; l.left < 0 {
		return ErrTooMuch
	}
	return nil
}

// unexpected is the error of a stream that ends where it must not.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// encode writes one pkt-line.
func encode(w io.Writer, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if len(text) > maxLine-lengthSize {
		return fmt.Errorf("a line of %d bytes, of which %d are allowed", len(text), maxLine-lengthSize)
	}
	_, err := fmt.Fprintf(w, "%04x%s", len(text)+lengthSize, text)
	return err
}

// Flush ends a section.
const Flush = "0000"

// Capabilities are what a side of a conversation can do, with the value of those that
// have one.
type Capabilities map[string]string

// Has reports whether a capability is among them.
func (c Capabilities) Has(name string) bool {
	_, ok := c[name]
	return ok
}

// parseCapabilities reads them as they stand behind the first ref. Of one that is
// there several times, the first counts.
func parseCapabilities(text string) Capabilities {
	c := Capabilities{}
	for word := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(word, "=")
		if !c.Has(name) {
			c[name] = value
		}
	}
	return c
}

// String is how they are sent.
func (c Capabilities) String() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if value := c[name]; value != "" {
			name += "=" + value
		}
		words = append(words, name)
	}
	return strings.Join(words, " ")
}

// Agent is what this client calls itself. Servers look for Git's own name in it, to
// tell its requests from those of browsers.
const Agent = "git/2.40.0-sluice"

// choose returns what to ask of a server: of alternatives, the first that it offers.
func (c Capabilities) choose(wishes ...[]string) Capabilities {
	chosen := Capabilities{}
	for _, alternatives := range wishes {
		for _, name := range alternatives {
			if c.Has(name) {
				chosen[name] = ""
				break
			}
		}
	}
	if c.Has("agent") {
		chosen["agent"] = Agent
	}
	return chosen
}
