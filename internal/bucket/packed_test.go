// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"
)

// newPackedServer has one object, which it keeps packed: uploaded by gsutil cp -Z, or by aws s3 cp
// --content-encoding gzip. It is sent so to those who take that, as servers do that do not unpack.
func newPackedServer(t *testing.T, kept []byte) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.Header().Set("Content-Length", fmt.Sprint(len(kept)))
		_, _ = w.Write(kept)
	}))
	t.Cleanup(server.Close)
	return server
}

func openPacked(t *testing.T, provider string, server *httptest.Server) Bucket {
	t.Helper()
	s := Settings{Provider: provider, Name: "fleet", Insecure: true, Transport: http.DefaultTransport.(*http.Transport).Clone()}
	switch provider {
	case GCP:
		service, err := storage.NewService(t.Context(),
			option.WithHTTPClient(newClient(s.Transport, 0)), option.WithEndpoint(server.URL+"/storage/v1/"))
		if err != nil {
			t.Fatal(err)
		}
		return maskedBucket{&gcs{service: service, name: s.Name}, s}
	case Azure:
		s.Endpoint, s.Secret = server.URL, map[string][]byte{"sasKey": []byte("sv=1&sig=x")}
	default:
		s.Endpoint, s.Region = strings.TrimPrefix(server.URL, "http://"), "us-east-1"
		s.Secret = map[string][]byte{"accesskey": []byte("a"), "secretkey": []byte("s")}
	}
	opened, err := Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// The size in the list is that of what is kept, and what came was unpacked on the way: the object was
// taken for one that keeps changing, and the whole bucket failed at each look.
func TestAnObjectWithContentEncodingGzipIsReadAsFluxDoes(t *testing.T) {
	text := []byte(strings.Repeat("kind: ConfigMap\n", 100_000))
	var kept bytes.Buffer
	writer := gzip.NewWriter(&kept)
	if _, err := writer.Write(text); err != nil || writer.Close() != nil {
		t.Fatal(err)
	}
	noRoom := errors.New("no room")
	for provider, want := range map[string][]byte{Generic: kept.Bytes(), GCP: text, Azure: text} {
		t.Run(provider, func(t *testing.T) {
			opened := openPacked(t, provider, newPackedServer(t, kept.Bytes()))
			object, asked := Object{Key: "app.yaml", ETag: "x", Size: int64(kept.Len())}, int64(0)
			data, err := opened.Get(t.Context(), object, func(n int64) error { asked += n; return nil })
			if err != nil || !bytes.Equal(data, want) || asked != int64(len(want)-kept.Len()) {
				t.Errorf("read %d bytes, want %d, with room for %d more: %v", len(data), len(want), asked, err)
			}
			_, err = opened.Get(t.Context(), object, func(int64) error { return noRoom })
			if errors.Is(err, noRoom) != (provider != Generic) {
				t.Errorf("without room: %v", err)
			}
		})
	}
}
