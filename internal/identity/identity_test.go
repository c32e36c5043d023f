// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnIdentityGoesToTheProvidersOwnHostsOnly(t *testing.T) {
	tests := map[string]struct {
		provider string
		service  Service
		host     string
		want     bool
	}{
		"a registry of AWS":                         {"aws", Registry, "123456789012.dkr.ecr.eu-west-1.amazonaws.com", true},
		"one in upper case, with the port of https": {"aws", Registry, "123456789012.DKR.ecr.eu-west-1.amazonaws.com:443", true},
		"one of FIPS":                               {"aws", Registry, "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", true},
		"one of China":                              {"aws", Registry, "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", true},
		"one of the sovereign cloud of Europe":      {"aws", Registry, "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", true},
		"a dual-stack one":                          {"aws", Registry, "123456789012.dkr-ecr.us-west-2.on.aws", true},
		"the public registry of AWS":                {"aws", Registry, "public.ecr.aws", true},
		"a host that only begins like one of AWS": {
			"aws",
			Registry,
			"123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
			false,
		},
		"a host that only ends like one of AWS": {
			"aws",
			Registry,
			"evil.example.123456789012.dkr.ecr.eu-west-1.amazonaws.com",
			false,
		},
		"one of AWS at a port of somebody's":          {"aws", Registry, "123456789012.dkr.ecr.eu-west-1.amazonaws.com:8443", false},
		"a function of a customer of AWS":             {"aws", Registry, "abc.lambda-url.us-west-2.on.aws", false},
		"a load balancer of a customer of AWS":        {"aws", Registry, "mine.us-west-2.elb.amazonaws.com", false},
		"an address":                                  {"aws", Registry, "169.254.169.254", false},
		"a registry of Azure":                         {"azure", Registry, "one.azurecr.io", true},
		"one of Azure in China":                       {"azure", Registry, "one.azurecr.cn", true},
		"one of Azure for governments":                {"azure", Registry, "one.azurecr.us", true},
		"the domain of registries of Azure itself":    {"azure", Registry, "azurecr.io", false},
		"a host with a name like it":                  {"azure", Registry, "evilazurecr.io", false},
		"a registry of Azure does for nobody else":    {"gcp", Registry, "one.azurecr.io", false},
		"a registry of Google":                        {"gcp", Registry, "europe-docker.pkg.dev", true},
		"the older one":                               {"gcp", Registry, "eu.gcr.io", true},
		"the oldest one":                              {"gcp", Registry, "gcr.io", true},
		"a repository of packages that are no images": {"gcp", Registry, "europe-npm.pkg.dev", false},
		"a host that ends like one of Google":         {"gcp", Registry, "evilgcr.io", false},
		"S3":                                          {"aws", Storage, "s3.eu-west-1.amazonaws.com", true},
		"S3 without a region":                         {"aws", Storage, "s3.amazonaws.com", true},
		"a bucket of S3, whose name has dots":         {"aws", Storage, "my.fleet.s3.dualstack.eu-west-1.amazonaws.com", true},
		"S3 with FIPS in China":                       {"aws", Storage, "s3-fips.cn-north-1.amazonaws.com.cn", true},
		"S3 by its older name":                        {"aws", Storage, "s3-us-west-2.amazonaws.com", true},
		"a VPC endpoint of S3":                        {"aws", Storage, "bucket.vpce-1a2b-3c4d.s3.us-east-1.vpce.amazonaws.com", true},
		"an endpoint of a customer's service, named like it": {
			"aws",
			Storage,
			"bucket.vpce-1a2b-3c4d.s3.vpce-svc-1.us-east-1.vpce.amazonaws.com",
			false,
		},
		"the web site of a bucket":                          {"aws", Storage, "fleet.s3-website-us-east-1.amazonaws.com", false},
		"a load balancer named like S3":                     {"aws", Storage, "s3.us-west-2.elb.amazonaws.com", false},
		"a host that only ends like S3":                     {"aws", Storage, "evils3.amazonaws.com", false},
		"a server of S3 at home":                            {"aws", Storage, "s3.example.com", false},
		"tokens of AWS":                                     {"aws", Tokens, "sts.eu-west-1.amazonaws.com", true},
		"tokens of AWS without a region":                    {"aws", Tokens, "sts.amazonaws.com", true},
		"a bucket for tokens":                               {"aws", Tokens, "sts.s3.amazonaws.com", false},
		"blobs of Azure":                                    {"azure", Storage, "account.blob.core.windows.net", true},
		"blobs of Azure in a zone":                          {"azure", Storage, "account.z6.blob.storage.azure.net", true},
		"a host named like blobs of Azure":                  {"azure", Storage, "a.account.blob.core.windows.net", false},
		"a web site of Azure":                               {"azure", Storage, "account.z6.web.core.windows.net", false},
		"buckets of Google":                                 {"gcp", Storage, "storage.googleapis.com", true},
		"buckets of Google in a region":                     {"gcp", Storage, "storage.europe-west3.rep.googleapis.com", true},
		"a bucket of Google by its own host":                {"gcp", Storage, "fleet.storage.googleapis.com", false},
		"Git of AWS":                                        {"aws", Git, "git-codecommit.eu-west-1.amazonaws.com", true},
		"Git of AWS with FIPS in China":                     {"aws", Git, "git-codecommit-fips.cn-north-1.amazonaws.com.cn", true},
		"a bucket with a name like Git of AWS":              {"aws", Git, "git-codecommit.s3.amazonaws.com", false},
		"a load balancer with a name like it":               {"aws", Git, "git-codecommit.eu-west-1.elb.amazonaws.com", false},
		"Git of Azure":                                      {"azure", Git, "dev.azure.com", true},
		"the older name of Git of Azure":                    {"azure", Git, "contoso.visualstudio.com", true},
		"a tunnel to somebody's machine":                    {"azure", Git, "x-8080.euw.rel.tunnels.api.visualstudio.com", false},
		"a web app of a customer of Azure":                  {"azure", Git, "dev.azurewebsites.net", false},
		"a registry is not Git":                             {"azure", Git, "one.azurecr.io", false},
		"Git of Google":                                     {"gcp", Git, "source.developers.google.com", true},
		"the newer one":                                     {"gcp", Git, "mine-123456-git.europe-west1.sourcemanager.dev", true},
		"the metrics of AWS":                                {"aws", Metrics, "monitoring.eu-west-1.amazonaws.com", true},
		"the dual-stack ones":                               {"aws", Metrics, "monitoring.eu-west-1.api.aws", true},
		"an endpoint for them in a network":                 {"aws", Metrics, "vpce-0a1b2c3d-4e5f.monitoring.eu-west-1.vpce.amazonaws.com", true},
		"an endpoint for a customer's service in a network": {"aws", Metrics, "vpce-0a1b.vpce-svc-0c2d.eu-west-1.vpce.amazonaws.com", false},
		"an API of a customer of AWS":                       {"aws", Metrics, "monitoring.execute-api.eu-west-1.amazonaws.com", false},
		"the metrics of Google":                             {"gcp", Metrics, "monitoring.googleapis.com", true},
		"other services of Google":                          {"gcp", Metrics, "storage.googleapis.com", false},
		"there are no metrics of Azure":                     {"azure", Metrics, "one.azurecr.io", false},
		"nobody's provider":                                 {"generic", Registry, "one.azurecr.io", false},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			if got := Owns(tc.provider, tc.service, &url.URL{Scheme: "https", Host: tc.host}); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestWhatAnIdentityIsNotUsedFor(t *testing.T) {
	tests := map[string]struct {
		url     string
		account string
		route   []string
		want    string // empty: nothing is wrong
	}{
		"https to the provider":                   {"https://one.azurecr.io/v2/", "", nil, ""},
		"without encryption":                      {"http://one.azurecr.io/v2/", "", nil, "over https only"},
		"without encryption for an account":       {"http://one.azurecr.io/v2/", "apps/app", nil, "ServiceAccount apps/app"},
		"to somebody else":                        {"https://registry.example.com/v2/", "", nil, "*.azurecr.io"},
		"to somebody else for an account":         {"https://registry.example.com/v2/", "apps/app", nil, "registry.example.com is none"},
		"through a proxy of the object's own":     {"https://one.azurecr.io/v2/", "", []string{"spec.proxySecretRef"}, "spec.proxySecretRef"},
		"an account's, through that proxy":        {"https://one.azurecr.io/v2/", "apps/app", []string{"spec.proxySecretRef"}, ""},
		"past an authority of the object's own":   {"https://one.azurecr.io/v2/", "", []string{"spec.certSecretRef"}, "spec.certSecretRef"},
		"through the proxy, without encryption":   {"http://one.azurecr.io/v2/", "", []string{"spec.proxySecretRef"}, "over https only"},
		"a scheme that nobody knows":              {"ftp://one.azurecr.io/v2/", "", nil, "over https only"},
		"an address with the provider's as user":  {"https://one.azurecr.io@evil.example/v2/", "", nil, "evil.example is none"},
		"an address with the provider's as query": {"https://evil.example/?one.azurecr.io", "", nil, "evil.example is none"},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			address, err := url.Parse(tc.url)
			if err != nil {
				t.Fatal(err)
			}
			err = Use{Provider: "azure", Service: Registry, URL: address, Account: tc.account, Route: tc.route}.Check()
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

type answers int

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	*a++
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// A server of the provider's may name another as the one that gives tokens, or send
// a client elsewhere.
func TestWhatAuthenticatesStaysWithTheProvider(t *testing.T) {
	tests := map[string]struct {
		url, authorization string
		want               bool
	}{
		"to the provider":                   {"https://gcr.io/v2/token", "Basic x", true},
		"elsewhere":                         {"https://evil.example/token", "Basic x", false},
		"to the provider, unencrypted":      {"http://gcr.io/v2/token", "Basic x", false},
		"elsewhere with nothing to lose":    {"https://storage.example/blob", "", true},
		"elsewhere with a name in the URL":  {"https://user:token@evil.example/", "", false},
		"to the provider at another's port": {"https://gcr.io:8443/v2/token", "Bearer x", false},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			var sent answers
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tc.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tc.authorization != "" {
				req.Header.Set("Authorization", tc.authorization)
			}
			resp, err := Bind(&sent, "gcp", Registry).RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			if (sent == 1) != tc.want || (err == nil) != tc.want || err != nil && !errors.Is(err, ErrRefused) {
				t.Errorf("sent %d times: %v", sent, err)
			}
		})
	}
}

func TestAnAzureOfTheOperatorsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "environment.json")
	if err := os.WriteFile(path, []byte(`{"containerRegistryDNSSuffix": "azurecr.example"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(azureStackVariable, path)
	for host, want := range map[string]bool{"one.azurecr.example": true, "evilazurecr.example": false, "one.azurecr.io": true} {
		if got := Owns("azure", Registry, &url.URL{Scheme: "https", Host: host}); got != want {
			t.Errorf("%s: got %t", host, got)
		}
	}
}
