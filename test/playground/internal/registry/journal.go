// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
)

// largest manifest that is accepted, as in other registries.
const largest = 4 << 20

// entry is one accepted push or deletion of a manifest.
type entry struct {
	Method      string `json:"method"`
	Path        string `json:"path"`
	ContentType string `json:"contentType,omitempty"`
	Body        []byte `json:"body,omitempty"`
}

func newEntry(req *http.Request) (entry, error) {
	body, err := io.ReadAll(io.LimitReader(req.Body, largest+1))
	if err != nil {
		return entry{}, fmt.Errorf("reading manifest: %w", err)
	}
	if len(body) > largest {
		return entry{}, fmt.Errorf("manifest is larger than %d bytes", largest)
	}
	return entry{Method: req.Method, Path: req.URL.Path, ContentType: req.Header.Get("Content-Type"), Body: body}, nil
}

func (e entry) request() *http.Request {
	req := httptest.NewRequest(e.Method, "/", bytes.NewReader(e.Body))
	req.URL.Path = e.Path // not parsed: it was a path already
	req.Header.Set("Content-Type", e.ContentType)
	return req
}

// journal is a file with one entry on each line, in the order of acceptance.
type journal struct {
	path string
}

func (j journal) append(e entry) (err error) {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(append(line, '\n'))
	return err
}

// replay hands over every entry. A last line without its end, as a crash
// leaves it, was never acknowledged and is dropped.
func (j journal) replay(do func(entry) *httptest.ResponseRecorder) (err error) {
	f, err := os.OpenFile(j.path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var read int64
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return f.Truncate(read)
		}
		if err != nil {
			return err
		}
		read += int64(len(line))
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("at byte %d: %w", read, err)
		}
		do(e)
	}
}
