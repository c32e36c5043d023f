// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// errPage means that an answer is not a page of tags.
var errPage = errors.New("the registry's answer is not a list of tags")

// tagPage is one page of a list.
type tagPage struct {
	same bool   // 304: what it was
	etag string // to ask whether it still is
	next string // URL of the next page, or empty
	size int    // tags on the page
}

// buffers hold the bodies of answers; a scan that finds nothing new leaves
// nothing behind.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxETag bounds what a page is remembered by.
const maxETag = 512

// maxPooled is the largest buffer that is kept for the next scan.
const maxPooled = 1 << 20

// fetch asks for the page at address, if it is not the one with the etag any
// more, and adds its tags to into.
func (l *lister) fetch(ctx context.Context, address, etag string, into *tagBuffer) (tagPage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return tagPage{}, err
	}
	req.Header.Set("Accept", "application/json")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return tagPage{}, err
	}
	defer resp.Body.Close()
	if etag != "" && resp.StatusCode == http.StatusNotModified {
		return tagPage{same: true, etag: etag}, nil
	}
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return tagPage{}, err
	}
	before := into.len()
	if err := l.read(ctx, resp.Body, into); err != nil {
		return tagPage{}, err
	}
	next, err := nextPage(resp, address)
	got := tagPage{next: next, size: into.len() - before}
	if etag := resp.Header.Get("ETag"); len(etag) <= maxETag {
		got.etag = etag
	}
	return got, err
}

// read decodes a body that is no longer than the budget allows.
func (l *lister) read(ctx context.Context, body io.Reader, into *tagBuffer) error {
	buffer := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= maxPooled {
			buffers.Put(buffer)
		}
	}()
	buffer.Reset()
	limit := l.maxBytes()
	for {
		n, err := io.CopyN(buffer, body, freeBytes)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("reading the list of tags: %w", err)
		case int64(buffer.Len()) > limit:
			return fmt.Errorf("%w: a page of more than %d bytes", ErrBudget, limit)
		case n < freeBytes:
			return decodePage(buffer.Bytes(), into)
		}
		if err := l.memory.hold(ctx, int64(buffer.Len()+freeBytes)); err != nil {
			return fmt.Errorf("reading the list of tags: %w", err)
		}
	}
}

// decodePage adds the tags of a page to into.
func decodePage(body []byte, into *tagBuffer) error {
	if scanPage(body, into) {
		return nil
	}
	decoded := struct {
		Name   *string           `json:"name"`
		Tags   tagList           `json:"tags"`
		Errors []json.RawMessage `json:"errors"`
	}{Tags: tagList{into: into}}
	if err := json.Unmarshal(body, &decoded); err != nil {
		return errPage // what is wrong would quote a server that may be any
	}
	if decoded.Name == nil && !decoded.Tags.found || len(decoded.Errors) > 0 {
		return errPage
	}
	return nil
}

// tagList adds tags while they are decoded, without keeping a list of them.
type tagList struct {
	into  *tagBuffer
	found bool
}

// UnmarshalJSON implements json.Unmarshaler; data is valid JSON.
func (t *tagList) UnmarshalJSON(data []byte) error {
	t.found = true
	var tags []string
	if err := json.Unmarshal(data, &tags); err != nil {
		return err
	}
	for _, tag := range tags {
		t.into.add([]byte(tag))
	}
	return nil
}
