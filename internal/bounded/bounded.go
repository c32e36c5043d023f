// SPDX-License-Identifier: Apache-2.0

// Package bounded reads input of other systems, such as bodies of HTTP answers and archives, up to a limit of bytes, and
// returns an error beyond it. An [io.LimitReader] returns io.EOF there instead, so that the first part of an input may be
// taken for the whole.
package bounded

import "io"

// Reader returns the first limit bytes of r. If r has more, reading on returns the error
// beyond.
func Reader(r io.Reader, limit int64, beyond error) io.Reader {
	return &reader{from: r, left: max(limit, 0), beyond: beyond}
}

// ReadAll returns all of r. If r has more than limit bytes, the error is beyond, and nothing is
// returned.
func ReadAll(r io.Reader, limit int64, beyond error) ([]byte, error) {
	data, err := io.ReadAll(Reader(r, limit, beyond))
	if err != nil {
		return nil, err
	}
	return data, nil
}

// Body is a [Reader] that closes the body of an HTTP answer.
func Body(body io.ReadCloser, limit int64, beyond error) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{Reader(body, limit, beyond), body}
}

type reader struct {
	from   io.Reader
	left   int64
	beyond error
	err    error // with which reading has ended
}

// Read implements io.Reader. It asks for one byte more than it may return, to know whether
// there is one.
func (r *reader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if int64(len(p)) > r.left+1 {
		p = p[:r.left+1]
	}
	n, err := r.from.Read(p)
	if int64(n) > r.left {
		n, err = int(r.left), r.beyond
	}
	r.left -= int64(n)
	r.err = err
	return n, err
}
