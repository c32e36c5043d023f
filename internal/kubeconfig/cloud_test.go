// SPDX-License-Identifier: Apache-2.0

package kubeconfig

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/auth"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/internal/keysize"
	"github.com/sluice-cd/sluice/internal/keysize/keysizetest"
	builder "github.com/sluice-cd/sluice/test/make"
)

const eks = "arn:aws:eks:eu-west-1:123456789012:cluster/shop"

func configMap(data map[string]string) *corev1.ConfigMap {
	return builder.ConfigMap("apps", "cloud", data)
}

var cloud = &meta.KubeConfigReference{ConfigMapRef: &meta.LocalObjectReference{Name: "cloud"}}

// asked is what a cloud was asked for.
type asked struct {
	provider string
	auth.Options
}

// fakeCloud answers with what a cluster is reached by.
func fakeCloud(answer auth.RESTConfig, seen *[]asked) clouds {
	return func(_ context.Context, provider string, options ...auth.Option) (*auth.RESTConfig, error) {
		a := asked{provider: provider}
		a.Apply(options...)
		*seen = append(*seen, a)
		return &answer, nil
	}
}

func TestWhereAnIdentityGoes(t *testing.T) {
	auth.EnableObjectLevelWorkloadIdentity()
	t.Cleanup(auth.DisableObjectLevelWorkloadIdentity)
	for name, tc := range map[string]struct {
		data map[string]string
		want string // "" is no error
	}{
		"to the cluster that the cloud knows": {data: map[string]string{"provider": "aws", "cluster": eks}},
		"to the address that the cloud says it has": {
			data: map[string]string{"provider": "aws", "cluster": eks, "address": "https://CLUSTER.example.com:443"},
		},
		"not to another one": {
			data: map[string]string{"provider": "gcp", "cluster": "c", "address": "https://other.example.com"},
			want: "goes to the cluster's own address https://cluster.example.com only, not to https://other.example.com: " +
				"remove address, or set serviceAccountName",
		},
		"not past an authority of the object": {
			data: map[string]string{"provider": "azure", "cluster": "c", "ca.crt": "x"}, want: "remove ca.crt, or set serviceAccountName",
		},
		"not where no cloud says whose it is": {
			data: map[string]string{"provider": "generic", "address": "https://other.example.com"}, want: "set serviceAccountName",
		},
		"that of an account goes where it is sent": {
			data: map[string]string{"provider": "generic", "address": "https://other.example.com", "serviceAccountName": "deployer"},
		},
		"an ARN whose region is another host": {
			data: map[string]string{"provider": "aws", "cluster": "arn:aws:eks:evil.example.com/:1:cluster/a"}, want: "cluster has to be an ARN",
		},
		"no provider":          {data: map[string]string{"cluster": eks}, want: "provider has to be aws, azure, gcp or generic"},
		"an unknown one":       {data: map[string]string{"provider": "ibm"}, want: `not "ibm"`},
		"generic without host": {data: map[string]string{"provider": "generic", "serviceAccountName": "a"}, want: "address has to be"},
		"no cluster":           {data: map[string]string{"provider": "gcp", "address": "https://a"}, want: "cluster has to name the cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []asked
			r := reader(configMap(tc.data))
			answer := auth.RESTConfig{Host: "https://cluster.example.com", BearerToken: "t", ExpiresAt: r.Clock.Now().Add(time.Hour)}
			r.clouds = fakeCloud(answer, &seen)
			_, err := r.Read(t.Context(), "apps", cloud)
			switch {
			case tc.want == "" && err != nil, tc.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want)):
				t.Fatalf("got %v", err)
			}
			for _, a := range seen {
				if a.ServiceAccountName == "" && a.provider != "azure" && (a.ClusterAddress != "" || a.CAData != "") {
					t.Errorf("asked with %q and %q of the object", a.ClusterAddress, a.CAData)
				}
			}
		})
	}
}

func TestTheIdentityOfAnAccountNeedsTheGate(t *testing.T) {
	who := configMap(map[string]string{"provider": "aws", "cluster": eks, "serviceAccountName": "deployer"})
	_, err := reader(who).Read(t.Context(), "apps", cloud)
	if !errors.Is(err, ErrGate) {
		t.Errorf("got %v", err)
	}
}

func TestTheDefaultAccountStandsForAllThatNameNone(t *testing.T) {
	auth.EnableObjectLevelWorkloadIdentity()
	t.Cleanup(auth.DisableObjectLevelWorkloadIdentity)
	var seen []asked
	r := reader(configMap(map[string]string{"provider": "aws", "cluster": eks, "audiences": "a\n\n b \n"}))
	r.DefaultAccount = "tenant"
	r.clouds = fakeCloud(auth.RESTConfig{Host: "https://a", ExpiresAt: r.Clock.Now().Add(time.Hour)}, &seen)
	if _, err := r.Read(t.Context(), "apps", cloud); err != nil {
		t.Fatal(err)
	}
	a := seen[0]
	if a.ServiceAccountName != "tenant" || a.ServiceAccountNamespace != "apps" ||
		strings.Join(a.Audiences, ",") != "a,b" || a.ClusterResource != eks {
		t.Errorf("asked with %+v", a)
	}
}

func TestATokenIsReplacedBeforeItExpires(t *testing.T) {
	var headers []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		headers = append(headers, r.Header.Get("Authorization"))
	}))
	defer server.Close()
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0))
	answer := auth.RESTConfig{Host: server.URL, CAData: authorityOf(server), BearerToken: "first"}
	answer.ExpiresAt = clock.Now().Add(15 * time.Minute)
	fetches := 0
	r := reader(configMap(map[string]string{"provider": "aws", "cluster": eks}))
	r.Clock = clock
	r.clouds = func(context.Context, string, ...auth.Option) (*auth.RESTConfig, error) {
		fetches++
		made := answer
		return &made, nil
	}
	config, err := r.Read(t.Context(), "apps", cloud)
	if err != nil {
		t.Fatal(err)
	}
	to, err := config.Connect(clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Close)
	check := func() error {
		clock.SetTime(clock.Now().Add(fresh))
		return to.Check(t.Context())
	}
	if err := errors.Join(check(), check()); err != nil || fetches != 1 {
		t.Fatalf("%d tokens, %v", fetches, err)
	}
	answer.BearerToken, answer.ExpiresAt = "second", clock.Now().Add(30*time.Minute)
	clock.SetTime(clock.Now().Add(14 * time.Minute))
	if err := check(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(headers, ", "); got != "Bearer first, Bearer first, Bearer second" {
		t.Errorf("sent %s", got)
	}
	// A cluster that was made anew is elsewhere: the token is not for the old place.
	answer.Host = "https://elsewhere.example.com"
	clock.SetTime(clock.Now().Add(time.Hour))
	if err := check(); !errors.Is(err, errMoved) || !to.Moved() || len(headers) != 3 {
		t.Errorf("got %v after %d requests", err, len(headers))
	}
}

func TestATokenGoesToNoOtherServer(t *testing.T) {
	of := newToken(func(context.Context) (*auth.RESTConfig, error) {
		t.Error("a token was asked for")
		return nil, errMoved
	}, clocktesting.NewFakePassiveClock(time.Unix(0, 0)))
	adds := authenticating{token: of, to: &url.URL{Scheme: "https", Host: "cluster.example.com"}, next: roundTripFunc(
		func(*http.Request) (*http.Response, error) {
			t.Error("the request was sent")
			return nil, errMoved
		})}
	for _, to := range []string{"https://other.example.com", "http://cluster.example.com", "https://cluster.example.com:8443"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		//nolint:bodyclose // there is no answer
		if _, err := adds.RoundTrip(req); err == nil || !strings.Contains(err.Error(), "the token is for cluster.example.com only") {
			t.Errorf("%s: got %v", to, err)
		}
	}
}

func TestTheAuthorityOfACloudHasAKeyOfAUsualSize(t *testing.T) {
	var seen []asked
	r := reader(configMap(map[string]string{"provider": "aws", "cluster": eks}))
	r.clouds = fakeCloud(auth.RESTConfig{
		Host: "https://cluster.example.com", CAData: keysizetest.PEM(t, keysizetest.Key(1<<17)), ExpiresAt: r.Clock.Now().Add(time.Hour),
	}, &seen)
	if _, err := r.Read(t.Context(), "apps", cloud); !errors.Is(err, ErrInvalid) || !errors.Is(err, keysize.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// Who needed a token waited for the question of somebody else without an end of its own, and
// then asked a cloud that does not answer once more.
func TestACloudThatDoesNotAnswerIsAskedOnceForAll(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0))
	asked, answer, questions := make(chan struct{}), make(chan struct{}), 0
	of := newToken(func(context.Context) (*auth.RESTConfig, error) {
		questions++
		close(asked)
		<-answer
		return nil, errors.New("no answer")
	}, clock)
	first := make(chan error, 1)
	go func() {
		_, err := of.get(t.Context())
		first <- err
	}()
	<-asked
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := of.get(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("waited: %v", err)
	}
	close(answer)
	if err := <-first; err == nil {
		t.Error("no error")
	}
	if _, err := of.get(t.Context()); err == nil || questions != 1 {
		t.Errorf("%d questions, %v", questions, err)
	}
	asked = make(chan struct{})
	clock.SetTime(clock.Now().Add(fresh))
	if _, err := of.get(t.Context()); err == nil || questions != 2 {
		t.Errorf("later: %d questions, %v", questions, err)
	}
}

// A cluster whose authority was replaced at the same address was taken for the one before, whose
// connection trusts it no more.
func TestAnotherAuthorityAtTheSameAddressIsAnotherConnection(t *testing.T) {
	ids := map[string]bool{}
	for range 2 {
		var seen []asked
		r := reader(configMap(map[string]string{"provider": "aws", "cluster": eks}))
		r.clouds = fakeCloud(auth.RESTConfig{
			Host: "https://cluster.example.com", CAData: keysizetest.PEM(t, keysizetest.Key(2048)), ExpiresAt: r.Clock.Now().Add(time.Hour),
		}, &seen)
		config, err := r.Read(t.Context(), "apps", cloud)
		if err != nil {
			t.Fatal(err)
		}
		ids[config.ID] = true
	}
	if len(ids) != 2 {
		t.Errorf("both are %v", ids)
	}
}
