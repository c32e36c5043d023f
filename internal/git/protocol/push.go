// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Command moves one ref from Old to New. A zero Old makes it.
type Command struct {
	Ref      string
	Old, New plumbing.Hash
}

// Push asks to move refs.
type Push struct {
	// Offered is what the server can do.
	Offered  Capabilities
	Commands []Command
	Options  map[string]string
	// Pack holds the objects that the server lacks.
	Pack io.Reader
}

// CanTakeOptions reports whether the server takes push options.
func (p Push) CanTakeOptions() bool { return p.Offered.Has("push-options") }

func (p Push) chosen() Capabilities {
	wishes := [][]string{{"report-status"}, {"side-band-64k", "side-band"}, {"ofs-delta"}}
	if len(p.Commands) > 1 {
		wishes = append(wishes, []string{"atomic"})
	}
	if len(p.Options) > 0 {
		wishes = append(wishes, []string{"push-options"})
	}
	return p.Offered.choose(wishes...)
}

// Encode writes the request.
func (p Push) Encode(w io.Writer) error {
	var said []error
	for i, c := range p.Commands {
		text := c.Old.String() + " " + c.New.String() + " " + c.Ref
		if i == 0 {
			text += "\x00 " + p.chosen().String()
		}
		said = append(said, encode(w, "%s", text))
	}
	end := func() {
		_, err := io.WriteString(w, Flush)
		said = append(said, err)
	}
	end()
	if len(p.Options) > 0 && p.CanTakeOptions() {
		for _, key := range slices.Sorted(maps.Keys(p.Options)) {
			said = append(said, encode(w, "%s=%s", key, p.Options[key]))
		}
		end()
	}
	if p.Pack != nil {
		_, err := io.Copy(w, p.Pack)
		said = append(said, err)
	}
	return errors.Join(said...)
}

// Report is what came of a [Push].
type Report struct {
	// Refused are the server's reasons, by ref; "" is the push as a whole.
	Refused map[string]string
	// Said is what the server said besides, such as the words of its hooks.
	Said string
}

// maxReport bounds a report, maxAnswer that with the words besides, and maxSaid what is
// kept of them.
const (
	maxReport = 1 << 20
	maxAnswer = 16 << 20
	maxSaid   = 32 << 10
)

// ReadReport reads the answer to a push. A server that does not report, because it
// cannot or because it broke off, gives [ErrNoReport].
func (p Push) ReadReport(from *bufio.Reader) (*Report, error) {
	chosen := p.chosen()
	if !chosen.Has("report-status") {
		return nil, ErrNoReport
	}
	var said prefixBuffer
	if chosen.Has("side-band-64k") || chosen.Has("side-band") {
		from = bufio.NewReader(newSideband(from, &said, maxAnswer))
	}
	report, err := readReport(newLines(from, maxReport))
	var refusal *ServerError
	if errors.As(err, &refusal) && len(said) > 0 {
		return nil, &ServerError{refusal.Text + " " + string(said)}
	}
	if err != nil {
		return nil, err
	}
	report.Said = string(said)
	return report, nil
}

// ErrNoReport means that the server does not say what came of a push.
var ErrNoReport = errors.New("it did not confirm the push")

func readReport(in *lines) (*Report, error) {
	report := &Report{Refused: map[string]string{}}
	l, err := in.next()
	if errors.Is(err, io.EOF) || err == nil && l.flush {
		return nil, ErrNoReport
	}
	if err != nil {
		return nil, err
	}
	status, ok := strings.CutPrefix(l.text(), "unpack ")
	if !ok {
		return nil, ErrProtocol
	}
	if status != "ok" {
		report.Refused[""] = "unpack error: " + status
	}
	for {
		l, err := in.next()
		if err != nil {
			return nil, unexpected(err)
		}
		if l.flush {
			return report, nil
		}
		word, rest, _ := strings.Cut(l.text(), " ")
		switch ref, reason, _ := strings.Cut(rest, " "); word {
		case "ok", "option": // options belong to version 2 of the report
		case "ng":
			report.Refused[ref] = reason
		default:
			return nil, ErrProtocol
		}
	}
}

// prefixBuffer keeps the beginning of what is written to it.
type prefixBuffer []byte

// Write implements io.Writer.
func (b *prefixBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), maxSaid-len(*b))]...)
	return len(p), nil
}
