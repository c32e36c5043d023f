// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/internal/outbound"
)

func TestWhereABucketIs(t *testing.T) {
	for name, tc := range map[string]struct {
		settings Settings
		want     string // empty is an error
	}{
		"a host":                        {Settings{Provider: Generic, Endpoint: "s3.example.com"}, "https://s3.example.com"},
		"a host and a port, insecurely": {Settings{Provider: Generic, Endpoint: "minio:9000", Insecure: true}, "http://minio:9000"},
		"a URL of Azure": {
			Settings{Provider: Azure, Endpoint: "https://a.blob.core.windows.net/"}, "https://a.blob.core.windows.net"},
		"an emulator of Azure": {
			Settings{Provider: Azure, Endpoint: "http://azurite:10000/acc", Insecure: true}, "http://azurite:10000/acc"},
		"a URL of Google":            {Settings{Provider: GCP, Endpoint: "https://storage.googleapis.com"}, "https://storage.googleapis.com"},
		"a URL of S3":                {Settings{Provider: Generic, Endpoint: "https://s3.example.com"}, ""},
		"HTTP that nobody asked for": {Settings{Provider: Azure, Endpoint: "http://a.blob.core.windows.net"}, ""},
		"a path":                     {Settings{Provider: AWS, Endpoint: "s3.amazonaws.com/fleet"}, ""},
		"a password":                 {Settings{Provider: Generic, Endpoint: "user:pass@s3.example.com"}, ""},
		"a query":                    {Settings{Provider: Azure, Endpoint: "https://a.blob.core.windows.net?sig=x"}, ""},
		"nothing":                    {Settings{Provider: Generic}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := tc.settings.Address()
			switch {
			case tc.want == "" && (!errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "pass@")):
				t.Errorf("got %v, %v", at, err)
			case tc.want != "" && (err != nil || at.String() != tc.want):
				t.Errorf("got %v, %v", at, err)
			}
		})
	}
}

func TestErrorsShowNoSecrets(t *testing.T) {
	s := Settings{Secret: map[string][]byte{"sasKey": []byte("sv=1&sig=top-secret")}, STS: &STS{Password: "ldap-secret"}}
	err := s.hide(errors.Join(ErrChanged, errors.New("said:\n sv=1&sig=top-secret and ldap-secret"+strings.Repeat(" x", 1000))))
	if text := err.Error(); strings.Contains(text, "secret") || strings.Contains(text, "\n") || len(text) > maxText+10 {
		t.Errorf("it says %q", text)
	}
	if !errors.Is(err, ErrChanged) || s.hide(nil) != nil {
		t.Error("its kind is lost")
	}
}

func TestAnObjectIsReadToItsSizeAndNoFurther(t *testing.T) {
	for size, want := range map[int64]error{3: nil, 2: ErrChanged, 4: ErrChanged} {
		data, err := read(strings.NewReader("abc"), Object{Key: "a", Size: size})
		if !errors.Is(err, want) || (err == nil) != (string(data) == "abc") {
			t.Errorf("of %d bytes: %q, %v", size, data, err)
		}
	}
}

func TestWhatAuthenticatesAtABucketGoesNowhereElse(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			t.Error("a redirect was followed")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := newClient(http.DefaultTransport, 0).Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, outbound.ErrRedirect) {
		t.Errorf("got %v", err)
	}
}

// An object of a bucket may be larger than a list may, and is read no further than its size.
func TestAListIsBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 1<<20)
		for range maxAnswer>>20 + 1 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	for name, ctx := range map[string]context.Context{"a list": t.Context(), "an object": forContent(t.Context())} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := newClient(http.DefaultTransport, 0).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if errors.Is(err, outbound.ErrTooLarge) != (name == "a list") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
