// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/source"
)

// consume reads an artifact as tofu-controller does, and others that know nothing but the
// status: the host of the URL may be replaced, the answer must say how long it is, and be as
// long as the status says. That rules out chunks, and compression on the way. What
// tofu-controller does not check, the digest, is checked here, too.
func consume(server string, artifact *meta.Artifact) ([]byte, error) {
	at, err := url.Parse(artifact.URL)
	if err != nil {
		return nil, err
	}
	here, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	at.Host = here.Host
	request, err := http.NewRequest(http.MethodGet, at.String(), nil) // it is in this process
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	switch {
	case response.StatusCode != http.StatusOK:
		return nil, errors.New(response.Status)
	case artifact.Size == nil || response.ContentLength != *artifact.Size:
		return nil, fmt.Errorf("the answer says %d bytes, the status %v", response.ContentLength, artifact.Size)
	case response.Uncompressed || response.Header.Get("Content-Encoding") != "" || len(response.TransferEncoding) > 0:
		return nil, fmt.Errorf("encoded on the way: %v %v", response.Header, response.TransferEncoding)
	}
	data, err := io.ReadAll(response.Body)
	if err == nil && digest.FromBytes(data).String() != artifact.Digest {
		err = errors.New("it is not what the digest says")
	}
	return data, err
}

// unpack reads all files of a tar.gz.
func unpack(data []byte) (map[string]string, error) {
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for in := tar.NewReader(zip); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		files[header.Name] = string(content)
	}
}

func TestWhoKnowsTheStatusAloneCanReadArtifacts(t *testing.T) {
	many := map[string]string{}
	for i := range 300 {
		many[fmt.Sprintf("dir-%d/main-%d.tf", i%7, i)] = fmt.Sprintf("# %d\n", i)
	}
	copied := []byte("\x1f\x8b as it was pushed")
	for name, tc := range map[string]struct {
		kind  string
		files map[string]string
		bytes []byte
	}{
		"a GitRepository":               {"GitRepository", many, nil},
		"an OCIRepository":              {"OCIRepository", many, nil},
		"an OCIRepository that copies":  {"OCIRepository", nil, copied},
		"a Bucket":                      {"Bucket", many, nil},
		"a GitRepository without files": {"GitRepository", map[string]string{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			store := source.NewStore(t.TempDir(), "source-controller.flux-system.svc.cluster.local.", clocktesting.NewFakePassiveClock(now))
			server := httptest.NewServer(store)
			t.Cleanup(server.Close)
			snapshot := source.Snapshot{Key: source.Key{Kind: tc.kind, Namespace: "apps", Name: "app"}, Name: "abc", Revision: "main@sha1:abc"}
			snapshot.Open = func(*budget.Grant) (source.Files, error) { return source.All(filesOf(t, tc.files)), nil }
			if tc.bytes != nil {
				snapshot.Bytes = func(*budget.Grant) ([]byte, error) { return tc.bytes, nil }
			}
			publisher := source.Publisher{Store: store}
			artifact, err := publisher.Publish(t.Context(), snapshot, source.Recorded{})
			if err != nil {
				t.Fatal(err)
			}
			data, err := consume(server.URL, artifact)
			if err != nil {
				t.Fatal(err)
			}
			if tc.bytes != nil {
				if !bytes.Equal(data, tc.bytes) {
					t.Errorf("got %q", data)
				}
				return
			}
			got, err := unpack(data)
			if diff := cmp.Diff(tc.files, got); diff != "" || err != nil {
				t.Error(err, diff)
			}
		})
	}
}
