// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
)

// What another server answers must not be read in a condition.
func TestNoForeignAnswerIsQuoted(t *testing.T) {
	const hidden = "the password is hunter2"
	foreign := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%q}]}`, hidden)
	}))
	to := func(location string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				http.Redirect(w, r, location, http.StatusFound)
			}
		})
	}
	says := func(body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, body)
			}
		})
	}
	tests := map[string]struct {
		registry http.Handler
		want     string
	}{
		"a redirect to somebody's path":        {to("http://" + foreign + "/admin"), "something else than was asked for"},
		"a redirect to somebody's list":        {to("http://" + foreign + "/v2/x/tags/list"), "403"},
		"a token server that is somebody else": {asksFor("http://" + strings.Replace(foreign, "127.0.0.1", "localhost", 1) + "/token"), "403"},
		"a page of the registry's":             {says("<html>" + hidden), "403"},
		"text of the registry's":               {says(hidden), "403"},
		"the registry's own errors":            {says(`{"errors":[{"code":"DENIED","message":"not for you"}]}`), "not for you"},
		"redirects without an end":             {to("/v2/team/app/tags/list?again"), "redirects"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			host := registrytest.Serve(t, tc.registry)
			err := listTags(newClient(t), imageOf(t, Spec{Image: host + "/" + image}, Access{}))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
			asked := imageOf(t, Spec{Image: host + "/" + image}, Access{})
			_, err = newClient(t).Platforms(context.Background(), asked, "sha256:"+strings.Repeat("0", 64))
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a manifest: %v", err)
			}
		})
	}
}

// asksFor is a registry that wants a token of the given server.
func asksFor(realm string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="test"`, realm))
		w.WriteHeader(http.StatusUnauthorized)
	})
}

func TestNoRegistryLeadsToAForbiddenAddress(t *testing.T) {
	host := registrytest.Serve(t, registrytest.New(t, "1"))
	front := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			http.Redirect(w, r, "http://127.0.0.2:1/v2/x/tags/list", http.StatusFound)
		}
	}))
	proxied := registrytest.Secret("proxy", map[string]string{"address": "http://127.0.0.2:1"})
	plain, through := Spec{}, Spec{ProxySecretRef: "proxy"}
	only := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	tests := map[string]struct {
		host  string
		spec  Spec
		allow []netip.Prefix
		want  error
	}{
		"what is allowed":         {host, plain, only, nil},
		"the registry itself":     {host, plain, nil, outbound.ErrForbiddenAddress},
		"a redirect":              {front, plain, only, outbound.ErrForbiddenAddress},
		"a proxy":                 {host, through, only, outbound.ErrForbiddenAddress},
		"the metadata of a cloud": {"169.254.169.254", plain, only, outbound.ErrForbiddenAddress},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			client := newClient(t)
			client.guard = outbound.NewGuard(tc.allow)
			tc.spec.Image, tc.spec.Insecure = tc.host+"/"+image, true
			access, err := client.Access(context.Background(), registrytest.Reader(proxied), named(tc.spec))
			if err == nil {
				err = listTags(client, imageOf(t, tc.spec, access))
			}
			if !errors.Is(err, tc.want) || tc.want != nil && err == nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestARegistryThatRepeatsCredentialsIsNotQuoted(t *testing.T) {
	repeats := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, password, _ := r.BasicAuth()
		_, _ = fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"you said %s, %s"}]}`, r.Header.Get("Authorization"), password)
	}
	for name, tc := range map[string]struct{ challenge, want string }{
		"a password": {`Basic realm="test"`, "you said Basic ***, ***"},
		"a token":    {`Bearer realm="http://%s/token",service="test"`, "you said Bearer ***, "},
	} {
		t.Run(name, func(t *testing.T) {
			host := ""
			host = registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/token":
					_, _ = io.WriteString(w, `{"token":"t0ken-of-the-registry"}`)
				case r.URL.Path == "/v2/" && r.Header.Get("Authorization") == "":
					w.Header().Set("WWW-Authenticate", strings.Replace(tc.challenge, "%s", host, 1))
					w.WriteHeader(http.StatusUnauthorized)
				case r.URL.Path != "/v2/":
					repeats(w, r)
				}
			}))
			spec := Spec{Image: host + "/" + image, Insecure: true, SecretRef: "login"}
			client := newClient(t)
			access, err := client.Access(context.Background(),
				registrytest.Reader(registrytest.DockerConfig("login", host, "user", "hunter2-of-the-user")), named(spec))
			if err != nil {
				t.Fatal(err)
			}
			err = listTags(client, imageOf(t, spec, access))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
