// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// built is what `make ui` makes; only a stand-in is committed.
//
//go:embed all:dist
var built embed.FS

// assets are files whose names hold a hash of what is in them.
const assets = "/assets/"

// page serves the files of the page. Any other path is one of its screens, which the page finds by itself.
type page struct {
	files fs.FS
	index []byte
}

func newPage(files fs.FS) (*page, error) {
	index, err := fs.ReadFile(files, "index.html")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return &page{files: files, index: index}, nil
}

// unbuilt is what is there instead of the page after a plain `go build`.
const unbuilt = "This sluice was built without its web page: build it with make build, which needs Node.js and npm.\n" +
	"What the page reads is here all the same: /api/v1/lanes\n"

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, http.StatusMethodNotAllowed, "the page is only read")
		return
	}
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	info, err := fs.Stat(p.files, name)
	isFile := err == nil && info.Mode().IsRegular()
	if strings.HasPrefix(r.URL.Path, assets) {
		if !isFile { // a name that is none, such as one that is not UTF-8, would be our own error
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		http.ServeFileFS(w, r, p.files, name)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	if isFile && name != "index.html" {
		http.ServeFileFS(w, r, p.files, name)
		return
	}
	if p.index == nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(unbuilt))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(p.index)
}
