// SPDX-License-Identifier: Apache-2.0

package bounded_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sluice-cd/sluice/internal/bounded"
)

var errBeyond = errors.New("more than is accepted")

func TestReader(t *testing.T) {
	tests := map[string]struct {
		limit   int64
		want    string
		wantErr error
	}{
		"what is shorter is read as it is":                {limit: 6, want: "12345"},
		"what is as long as the limit is no more than it": {limit: 5, want: "12345"},
		"one byte more is an error":                       {limit: 4, want: "1234", wantErr: errBeyond},
		"nothing is accepted":                             {limit: 0, wantErr: errBeyond},
		"less than nothing is nothing":                    {limit: -1, wantErr: errBeyond},
	}
	for name, tc := range tests {
		for how, from := range map[string]io.Reader{
			"at once":               strings.NewReader("12345"),
			"byte by byte":          iotest.OneByteReader(strings.NewReader("12345")),
			"the end with the data": iotest.DataErrReader(strings.NewReader("12345")),
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				r := bounded.Reader(from, tc.limit, errBeyond)
				got, err := io.ReadAll(r)
				if string(got) != tc.want || !errors.Is(err, tc.wantErr) {
					t.Errorf("read %q, %v, want %q, %v", got, err, tc.want, tc.wantErr)
				}
				if n, again := r.Read(make([]byte, 1)); n != 0 || again == nil || tc.wantErr != nil && !errors.Is(again, tc.wantErr) {
					t.Errorf("after the end: %d, %v", n, again)
				}
			})
		}
	}
}

// A read that fails is not taken for one that is too long.
func TestReaderPassesErrorsOn(t *testing.T) {
	broken := errors.New("connection reset")
	if _, err := io.ReadAll(bounded.Reader(iotest.ErrReader(broken), 10, errBeyond)); !errors.Is(err, broken) {
		t.Errorf("read: %v", err)
	}
}

type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

func TestBodyClosesTheBody(t *testing.T) {
	of := &body{Reader: strings.NewReader("12345")}
	b := bounded.Body(of, 4, errBeyond)
	if _, err := io.ReadAll(b); !errors.Is(err, errBeyond) {
		t.Errorf("read: %v", err)
	}
	if err := b.Close(); err != nil || !of.closed {
		t.Errorf("closed: %v, %v", of.closed, err)
	}
}

func TestReadAllReturnsNothingOfWhatIsTooLong(t *testing.T) {
	for limit, want := range map[int64]string{5: "12345", 6: "12345", 4: "", 0: ""} {
		got, err := bounded.ReadAll(strings.NewReader("12345"), limit, errBeyond)
		if string(got) != want || errors.Is(err, errBeyond) != (want == "") || err != nil && got != nil {
			t.Errorf("of %d bytes: got %q, %v", limit, got, err)
		}
	}
	if got, err := bounded.ReadAll(iotest.ErrReader(io.ErrUnexpectedEOF), 5, errBeyond); got != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v", got, err)
	}
}
