// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"golang.org/x/oauth2"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// TestCloudWatchIsSigned computes the signature again, from what the server got.
func TestCloudWatchIsSigned(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "ambient")
	r := recordings(t)["cloudwatch"]
	r.spec.Type = "cloudwatch"
	for name, keys := range map[string][3]string{
		"by the Secret":      {"AKIAEXAMPLE", "aws-s3cret", "session-s3cret"},
		"by the environment": {"AKIAAMBIENT", "ambient", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, r)
			if keys[0] == "AKIAAMBIENT" {
				s.edit(t, func(m *flaggerv1.MetricTemplate) { m.Spec.Provider.SecretRef, m.Spec.Provider.Address = nil, "" })
				s.stands(t, "monitoring.eu-west-1.amazonaws.com:443")
			}
			var got, want string
			s.handle(func(w http.ResponseWriter, req *http.Request) {
				got = req.Header.Get("Authorization")
				again := req.Clone(req.Context())
				again.URL.Host = req.Host
				for header := range again.Header {
					if header != "Content-Type" {
						again.Header.Del(header)
					}
				}
				signer := credentials.NewStaticCredentialsProvider(keys[0], keys[1], keys[2])
				identity, _ := signer.Retrieve(req.Context())
				// The body was read by the stage; its digest is all that is signed.
				_ = v4.NewSigner().SignHTTP(req.Context(), identity, again, digestOf(t, s), "monitoring", "eu-west-1", now)
				want = again.Header.Get("Authorization")
				_, _ = io.WriteString(w, r.value)
			})
			if _, err := s.check(t); err != nil {
				t.Fatal(err)
			}
			if got != want || !strings.Contains(got, keys[0]+"/20231114/eu-west-1/monitoring/aws4_request") {
				t.Errorf("want %s, got %s", want, got)
			}
		})
	}
}

func TestCloudWatchIsAskedAgain(t *testing.T) {
	r := recordings(t)["cloudwatch"]
	r.spec.Type = "cloudwatch"
	cases := map[string]struct {
		status int
		body   string
		want   int
	}{
		"when it is asked too often": {
			http.StatusBadRequest,
			`<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>`,
			4,
		},
		"when it is not well": {http.StatusServiceUnavailable, ``, 4},
		"but not what is wrong": {
			http.StatusForbidden,
			`<ErrorResponse><Error><Message>not authorized</Message></Error></ErrorResponse>`,
			1,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, r)
			s.answer(tc.status, tc.body)
			if _, err := s.check(t); err == nil || len(s.asked) != tc.want {
				t.Errorf("asked %d times, %v", len(s.asked), err)
			}
			pauses := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}[:tc.want-1]
			if waits := s.checker.clock.(*hurriedClock).waits; !slices.Equal(waits, pauses) {
				t.Errorf("waited for %v between them, want %v", waits, pauses)
			}
			s.handle(func(w http.ResponseWriter, _ *http.Request) {
				if len(s.asked) == tc.want+1 {
					w.WriteHeader(tc.status)
					_, _ = io.WriteString(w, tc.body)
					return
				}
				_, _ = io.WriteString(w, r.value)
			})
			got, err := s.check(t)
			if recovers := tc.want > 1; recovers != (err == nil && got == 42.5) {
				t.Errorf("after one failure: %v, %v", got, err)
			}
		})
	}
}

// TestRegionsOfCloudWatch: without an address the region says where to ask.
func TestRegionsOfCloudWatch(t *testing.T) {
	cases := map[string]struct{ region, want, wantErr string }{
		"a region":           {"eu-west-1", "https://monitoring.eu-west-1.amazonaws.com", ""},
		"a region of China":  {"cn-north-1", "https://monitoring.cn-north-1.amazonaws.com.cn", ""},
		"none":               {"", "", "region: provider cloudwatch needs one"},
		"one that is a host": {"evil.example/", "", "region:"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := &connection{
				client:                 http.DefaultClient,
				MetricTemplateProvider: flaggerv1.MetricTemplateProvider{Type: "cloudwatch", Region: tc.region},
			}
			src, err := connectCloudWatch(c)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil || src.(*cloudwatch).base.String() != tc.want {
				t.Fatalf("got %v, %v", src, err)
			}
		})
	}
}

func TestGoogleWithoutASecretIsTheEnvironment(t *testing.T) {
	issued := 0
	google := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		issued++
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"ambient-token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(google.Close)
	var file map[string]string
	if err := json.Unmarshal([]byte(serviceAccount(t)), &file); err != nil {
		t.Fatal(err)
	}
	file["token_uri"], file["project_id"] = google.URL, "ambient-project"
	text, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
	all := &ambientCredentials{}
	for range 3 {
		token, project, err := all.google.get(t.Context(), func(ctx context.Context) (*oauth2.Token, string, error) { return ambientGoogle(ctx) })
		if err != nil || token != "ambient-token" || project != "ambient-project" {
			t.Fatalf("got %s, %s, %v", token, project, err)
		}
	}
	if issued != 1 {
		t.Errorf("asked for %d tokens", issued)
	}
}

// stands has the server of a stage stand for another one, without encryption.
func (s *testServer) stands(t *testing.T, address string) {
	t.Helper()
	transport, err := s.checker.transports.For(outbound.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	transport.Proxy = nil
	transport.DialTLSContext = func(ctx context.Context, network, to string) (net.Conn, error) {
		if to != address {
			t.Errorf("connected to %s", to)
		}
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}
}

// TestTheControllersIdentityGoesToItsProviderAlone, and the way that the operator
// wants it to go.
func TestTheControllersIdentityGoesToItsProviderAlone(t *testing.T) {
	google := func(edit func(*flaggerv1.MetricTemplateProvider)) flaggerv1.MetricTemplateProvider {
		p := flaggerv1.MetricTemplateProvider{Type: "stackdriver"}
		edit(&p)
		return p
	}
	amazon := func(edit func(*flaggerv1.MetricTemplateProvider)) flaggerv1.MetricTemplateProvider {
		p := flaggerv1.MetricTemplateProvider{Type: "cloudwatch", Region: "eu-west-1"}
		edit(&p)
		return p
	}
	at := func(address string) func(*flaggerv1.MetricTemplateProvider) {
		return func(p *flaggerv1.MetricTemplateProvider) { p.Address = address }
	}
	insecure := func(p *flaggerv1.MetricTemplateProvider) { p.InsecureSkipVerify = true }
	host := func(p *flaggerv1.MetricTemplateProvider) { p.Headers = http.Header{"host": {"attacker.example"}} }
	own := map[string][]byte{"ca.crt": []byte("x"), "project": []byte("p")}
	for name, tc := range map[string]struct {
		spec   flaggerv1.MetricTemplateProvider
		secret map[string][]byte
		want   string
	}{
		"Google":                         {google(at("")), nil, ""},
		"another host of Google":         {google(at("https://monitoring.mtls.googleapis.com")), nil, ""},
		"somebody else":                  {google(at("https://attacker.example")), nil, "is none"},
		"one with a name like it":        {google(at("https://evilgoogleapis.com")), nil, "is none"},
		"what Google lends to others":    {google(at("https://attacker.storage.googleapis.com")), nil, "is none"},
		"Google without encryption":      {google(at("http://monitoring.googleapis.com")), nil, "https only"},
		"Google without a good look":     {google(insecure), nil, "insecureSkipVerify"},
		"Google, past another authority": {google(at("")), own, "ca.crt"},
		"Google by another name":         {google(host), nil, "headers.Host"},
		"Amazon":                         {amazon(at("")), nil, ""},
		"Amazon within a VPC":            {amazon(at("https://vpce-0a1b-2c3d.monitoring.eu-west-1.vpce.amazonaws.com")), nil, ""},
		"not Amazon":                     {amazon(at("https://attacker.example")), nil, "is none"},
		"what Amazon lends to others":    {amazon(at("https://attacker.eu-west-1.elb.amazonaws.com")), nil, "is none"},
		"Amazon without encryption":      {amazon(at("http://monitoring.eu-west-1.amazonaws.com")), nil, "https only"},
		"Amazon without a good look":     {amazon(insecure), nil, "insecureSkipVerify"},
		"Amazon by another name":         {amazon(host), nil, "headers.Host"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &connection{
				checker:                testChecker(t),
				client:                 newClient(http.DefaultTransport, queryTimeout),
				MetricTemplateProvider: tc.spec,
				secret:                 tc.secret,
			}
			if tc.secret != nil {
				c.SecretRef = &flaggerv1.SecretReference{Name: "login"}
			}
			_, err := serverTypes[tc.spec.Type].connect(c)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("want %q, got %v", tc.want, err)
			}
		})
	}
}

func TestARedirectTakesTheControllersIdentityNowhere(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAAMBIENT")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "ambient")
	r := recordings(t)["cloudwatch"]
	r.spec.Type = "cloudwatch"
	s := newTestServer(t, r)
	s.edit(t, func(m *flaggerv1.MetricTemplate) { m.Spec.Provider.SecretRef, m.Spec.Provider.Address = nil, "" })
	s.stands(t, "monitoring.eu-west-1.amazonaws.com:443")
	s.handle(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "https://attacker.example/", http.StatusTemporaryRedirect)
	})
	if _, err := s.check(t); err == nil || !strings.Contains(err.Error(), "redirects to another server") {
		t.Errorf("got %v", err)
	}
	// What reads would be led on, if the transport let it.
	c := &connection{
		checker: testChecker(t), client: newClient(http.DefaultTransport, queryTimeout),
		MetricTemplateProvider: flaggerv1.MetricTemplateProvider{Type: "cloudwatch", Region: "eu-west-1"},
	}
	if _, err := serverTypes["cloudwatch"].connect(c); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://attacker.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 signed")
	if _, err := ask(c.client, req); err == nil || !strings.Contains(err.Error(), "which is no host of AWS") {
		t.Errorf("what reads: got %v", err)
	}
}

func TestGoogleRefusesToken(t *testing.T) {
	r := recordings(t)["stackdriver"]
	r.spec.Type = "stackdriver"
	r.secret["serviceAccountKey"] = strings.Replace(r.secret["serviceAccountKey"], "/token", "/refuse", 1)
	s := newTestServer(t, r)
	s.answer(http.StatusBadRequest, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`)
	if _, err := s.check(t); err == nil ||
		!strings.Contains(err.Error(), "getting a token from Google: the server answered 400: invalid_grant") {
		t.Errorf("got %v", err)
	}
}

// TestAKeyThatNamesAFileIsRefused: other kinds of Google's credentials name a file
// or a URL to read a token from, which would be the controller's to give away.
func TestAKeyThatNamesAFileIsRefused(t *testing.T) {
	r := recordings(t)["stackdriver"]
	r.spec.Type = "stackdriver"
	r.secret["serviceAccountKey"] = `{"type":"external_account",` +
		`"credential_source":{"file":"/var/run/secrets/kubernetes.io/serviceaccount/token"}}`
	if _, err := newTestServer(t, r).check(t); err == nil || !strings.Contains(err.Error(), "not the JSON key of a service account") {
		t.Errorf("got %v", err)
	}
}

// TestTheControllersTokenGoesToNoAddress: Flagger sends the token of its own
// service account to whatever address a MetricTemplate names.
func TestTheControllersTokenGoesToNoAddress(t *testing.T) {
	r := recordings(t)["externalmetrics"]
	r.spec.Type, r.secret = "externalmetrics", nil
	s := newTestServer(t, r, "Authorization")
	WithAPIServer(&rest.Config{Host: "https://kubernetes.example", BearerToken: "controller-token"})(s.checker)
	if _, err := s.check(t); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(s.asked[0], "controller-token") {
		t.Errorf("asked with the controller's token: %s", s.asked[0])
	}
}

func TestExternalMetricsOfTheAPIServer(t *testing.T) {
	r := recordings(t)["externalmetrics"]
	r.spec.Type = "externalmetrics"
	atServer := func(m *flaggerv1.MetricTemplate) { m.Spec.Provider.Address = "" }
	t.Run("as the controller", func(t *testing.T) {
		r := r
		r.secret = nil
		s := newTestServer(t, r, "Authorization")
		s.edit(t, atServer)
		WithAPIServer(&rest.Config{Host: s.URL, BearerToken: "controller-token"})(s.checker)
		if got, err := s.check(t); err != nil || got != 42.5 || !strings.Contains(s.asked[0], "Bearer controller-token") {
			t.Errorf("got %v, %v, asked %v", got, err, s.asked)
		}
	})
	t.Run("as whoever the Secret is", func(t *testing.T) {
		s := newTestServer(t, r, "Authorization")
		s.edit(t, atServer)
		WithAPIServer(&rest.Config{Host: s.URL, BearerToken: "controller-token", BearerTokenFile: "/does/not/exist"})(s.checker)
		if got, err := s.check(t); err != nil || got != 42.5 || !strings.Contains(s.asked[0], "Bearer s3cret-token") {
			t.Errorf("got %v, %v, asked %v", got, err, s.asked)
		}
	})
	t.Run("of its own namespace alone, if told so", func(t *testing.T) {
		r := r
		r.secret = nil
		for query, forbidden := range map[string]bool{"staging/queue": false, "queue": true, "kube-system/queue": true} {
			r.query = query
			s := newTestServer(t, r)
			s.edit(t, atServer)
			WithAPIServer(&rest.Config{Host: s.URL})(s.checker)
			WithoutCrossNamespaceRefs()(s.checker)
			_, err := s.check(t)
			if got := errors.Is(err, reconcile.TerminalError(nil)); got != forbidden || forbidden && len(s.asked) > 0 {
				t.Errorf("%s: %v", query, err)
			}
		}
	})
	t.Run("a redirect is not followed with a token", func(t *testing.T) {
		s := newTestServer(t, r)
		s.edit(t, atServer)
		WithAPIServer(&rest.Config{Host: s.URL})(s.checker)
		s.handle(func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "http://127.0.0.1:1/", http.StatusFound)
		})
		if _, err := s.check(t); err == nil || !strings.Contains(err.Error(), "answered 302") {
			t.Errorf("got %v", err)
		}
	})
	for name, tc := range map[string]struct {
		edit func(*flaggerv1.MetricTemplate)
		cfg  *rest.Config
		want string
	}{
		"without an API server": {atServer, nil, "spec.provider.address:"},
		"the API server is always verified": {
			func(m *flaggerv1.MetricTemplate) { atServer(m); m.Spec.Provider.InsecureSkipVerify = true },
			&rest.Config{},
			"insecureSkipVerify:",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestServer(t, r)
			s.edit(t, tc.edit)
			WithAPIServer(tc.cfg)(s.checker)
			if _, err := s.check(t); !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhereSignalFlowStreams(t *testing.T) {
	for address, want := range map[string]string{
		"https://api.us1.signalfx.com":    "https://stream.us1.signalfx.com",
		"wss://stream.us1.signalfx.com":   "https://stream.us1.signalfx.com",
		"ws://localhost:8080":             "http://localhost:8080",
		"https://stream.capi.example":     "https://stream.capi.example",
		"https://proxy.example/api/flows": "https://proxy.example/api/flows",
	} {
		src, err := connectSplunk(&connection{secret: map[string][]byte{
			"sf_token_key": []byte("x"),
		}, MetricTemplateProvider: flaggerv1.MetricTemplateProvider{
			Type: "splunk", Address: address, SecretRef: &flaggerv1.SecretReference{Name: "x"},
		}})
		if err != nil || src.(*splunk).base.String() != want {
			t.Errorf("%s: got %v, %v", address, src, err)
		}
	}
}

// digestOf is that of the body that a stage was sent last, which is a form.
func digestOf(t *testing.T, s *testServer) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	form := url.Values{}
	for _, line := range strings.Split(s.asked[len(s.asked)-1], "\n") {
		if name, value, ok := strings.Cut(strings.TrimPrefix(line, "  "), "="); ok {
			form.Add(name, value)
		}
	}
	digest := sha256.Sum256([]byte(form.Encode()))
	return hex.EncodeToString(digest[:])
}
