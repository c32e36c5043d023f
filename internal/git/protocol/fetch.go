// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Fetch asks for one commit with its files and without its ancestors.
type Fetch struct {
	// Offered is what the server can do.
	Offered Capabilities
	Want    plumbing.Hash
	// Tips are the commits that are here, likewise without their ancestors.
	Tips []plumbing.Hash
}

// Encode writes the request. Everything is said at once, "done" included: there is no
// second round, since what both sides have is among the few tips or is nothing.
//
// Some servers (Azure DevOps, CodeCommit) refuse a client that does not follow their
// answer through all of its ACKs, as multi_ack has it, so that is asked for wherever
// it is offered. Thin packs are: without them the answer to a shallow client is the
// whole tree, however much of it is here.
func (f Fetch) Encode(w io.Writer) error {
	chosen := f.Offered.choose(
		[]string{"multi_ack_detailed", "multi_ack"}, []string{"side-band-64k", "side-band"},
		[]string{"thin-pack"}, []string{"ofs-delta"}, []string{"no-progress"},
	)
	said := []error{encode(w, "%s\n", strings.TrimSpace("want "+f.Want.String()+" "+chosen.String()))}
	if f.Offered.Has("shallow") {
		for _, tip := range f.Tips {
			said = append(said, encode(w, "shallow %s\n", tip))
		}
		said = append(said, encode(w, "deepen 1\n"))
	}
	_, err := io.WriteString(w, Flush)
	said = append(said, err)
	for _, tip := range f.Tips {
		said = append(said, encode(w, "have %s\n", tip))
	}
	return errors.Join(append(said, encode(w, "done\n"))...)
}

// maxBeforePack bounds what a server says before the pack: a line for each commit
// that is shallow, or that both have.
const maxBeforePack = 1 << 20

// ReadPack reads the answer to a [Fetch] up to the pack, and returns the pack. With
// "done" said, the lines before it end nothing: NAK says that nothing is common, ACKs
// with "common", "continue" or "ready" come one for each commit that is, and one
// without a word is the last, whichever multi_ack was agreed on. So the pack begins
// where such lines end.
func ReadPack(from *bufio.Reader) (io.Reader, error) {
	in := newLines(from, maxBeforePack)
	for {
		start, err := from.Peek(lengthSize + 1)
		switch {
		case errors.Is(err, io.EOF) && len(start) == 0:
			return nil, ErrNoPack
		case err != nil && (!errors.Is(err, io.EOF) || len(start) != lengthSize):
			return nil, unexpected(err)
		case string(start[:lengthSize]) == "PACK":
			return from, nil
		case len(start) > lengthSize && isBand(start[lengthSize]):
			return newSideband(from, nil, maxStream), nil
		}
		l, err := in.next()
		if err != nil {
			return nil, unexpected(err)
		}
		if word, _, _ := strings.Cut(l.text(), " "); !l.flush && !beforePack[word] {
			return nil, ErrProtocol
		}
	}
}

var beforePack = map[string]bool{"shallow": true, "unshallow": true, "ACK": true, "NAK": true}

// sideband is a stream that has the server's own words in it, as lines of another band.
type sideband struct {
	in   *lines
	rest []byte
	said io.Writer
	end  error
}

// Bands of a stream.
const (
	bandData = 1 + iota
	bandProgress
	bandError
)

func isBand(b byte) bool { return b >= bandData && b <= bandError }

// maxStream is the end of every stream; packs have limits of their own.
const maxStream = 4 << 30

// newSideband reads a stream in bands. What the server says besides is written to said,
// which may be nil.
func newSideband(from *bufio.Reader, said io.Writer, limit int64) *sideband {
	return &sideband{in: newLines(from, limit), said: said}
}

// Read implements io.Reader.
func (s *sideband) Read(p []byte) (int, error) {
	for len(s.rest) == 0 && s.end == nil {
		s.end = s.line()
	}
	if len(s.rest) == 0 {
		return 0, s.end
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// line reads one line of any band.
func (s *sideband) line() error {
	l, err := s.in.next()
	switch {
	case err != nil:
		return unexpected(err)
	case l.flush:
		return io.EOF
	case len(l.payload) == 0:
		return nil
	}
	switch content := l.payload[1:]; l.payload[0] {
	case bandData:
		s.rest = content
	case bandProgress:
		if s.said != nil {
			_, err = s.said.Write(content)
		}
		return err
	case bandError:
		return &ServerError{strings.TrimSpace(string(content))}
	default:
		return ErrProtocol
	}
	return nil
}
