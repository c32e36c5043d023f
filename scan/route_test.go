package scan

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

// through reads the access of an object whose proxy is at an address.
func through(t *testing.T, address string) Access {
	t.Helper()
	access, err := ReadAccess(context.Background(), withSecrets(secret("proxy", map[string]string{"address": "http://" + address})),
		repository(imagev1.ImageRepositorySpec{ProxySecretRef: ref("proxy")}))
	if err != nil {
		t.Fatal(err)
	}
	return access
}

func TestNobodysProxySpeaksForTheRegistry(t *testing.T) {
	limits := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	small := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	for name, proxy := range map[string]http.Handler{"one that limits requests": limits, "one that refuses pages": small, "one that hangs": nil} {
		t.Run(name, func(t *testing.T) {
			hang := make(chan struct{})
			host, theirs := serve(t, newRegistry(t, "1")), through(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if proxy == nil {
					<-hang
					return
				}
				proxy.ServeHTTP(w, r)
			})))
			t.Cleanup(func() { close(hang) })
			s := patient(t, NewStore())
			s.SetPatience(0)
			for i := range 2 * hostSlots {
				to := target(t, imagev1.ImageRepositorySpec{Image: fmt.Sprintf("%s/app-%d", host, i), Insecure: true})
				to.Timeout = time.Second
				_, _ = s.Scan(context.Background(), Ask{Key: types.NamespacedName{Namespace: "theirs", Name: fmt.Sprint(i)}, Target: to, Access: theirs})
			}
			s.SetPatience(soon)
			to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image, Insecure: true})
			if _, err := s.Scan(context.Background(), Ask{Key: object("app"), Target: to}); err != nil {
				t.Error(err)
			}
		})
	}
}

// One that has little patience must not make it everybody's.
func TestATimeoutIsEachObjectsOwn(t *testing.T) {
	release := make(chan struct{})
	registry := newRegistry(t, "1")
	host := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			select {
			case <-release:
			case <-r.Context().Done():
				return
			}
		}
		registry.ServeHTTP(w, r)
	}))
	s := NewScanner(newClient(t), NewStore())
	done := waketest.Objects(t, s.Done())
	to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image})
	hasty := to
	hasty.Timeout = 300 * time.Millisecond
	for key, to := range map[string]Target{"hasty": hasty, "patient": to} {
		if key == "hasty" {
			continue
		}
		if _, err := s.Scan(context.Background(), Ask{Key: object("hasty"), Target: hasty, Within: time.Hour}); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
		if _, err := s.Scan(context.Background(), Ask{Key: object(key), Target: to, Within: time.Hour}); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
	}
	if key := waketest.Next(t, done); key != object("hasty") {
		t.Fatalf("%s is told first", key)
	}
	if _, err := s.Scan(context.Background(), Ask{Key: object("hasty"), Target: hasty, Within: time.Hour}); !errors.Is(err, ErrTimeout) {
		t.Errorf("got %v", err)
	}
	close(release)
	if key := waketest.Next(t, done); key != object("patient") {
		t.Fatalf("%s is told", key)
	}
	if _, err := s.Scan(context.Background(), Ask{Key: object("patient"), Target: to, Within: time.Hour}); err != nil {
		t.Error(err)
	}
}

// What one credential has used up is no reason to keep another waiting.
func TestAPauseIsOneCredentials(t *testing.T) {
	h := new(hosts).of(endpoint{host: "registry.example.com"}, start)
	h.pause(start, start.Add(time.Hour), caller{namespace: "theirs", credential: "theirs"})
	if err := h.limited(start, caller{namespace: "apps"}); err != nil {
		t.Errorf("an anonymous one: %v", err)
	}
	if err := h.limited(start, caller{namespace: "other", credential: "theirs"}); err == nil {
		t.Error("the same credential is not left alone")
	}
	for range namespaceBurst + namespaceRate*3 {
		_, _ = h.turn(start, caller{namespace: "theirs"})
	}
	if wait, err := h.turn(start, caller{namespace: "apps"}); wait != 0 || err != nil {
		t.Errorf("another namespace waits %s: %v", wait, err)
	}
}

// Servers name hosts without end, in redirects and as token servers.
func TestHostsThatNobodyAsksAreForgotten(t *testing.T) {
	all := new(hosts)
	for i := range 100 {
		all.of(endpoint{host: fmt.Sprint(i)}, start)
	}
	paused := all.of(endpoint{host: "paused"}, start)
	paused.pause(start, start.Add(3*time.Hour), caller{})
	all.of(endpoint{host: "now"}, start.Add(2*time.Hour))
	if n := len(all.list); n != 2 {
		t.Errorf("%d are left", n)
	}
	metrics := newClient(t).metrics
	for i := range 2 * maxHosts {
		metrics.host(fmt.Sprint(i))
	}
	if got := metrics.host("one more"); got != "other" {
		t.Errorf("got a series of its own: %s", got)
	}
}

// A panic in the background would end the process.
func TestAPanicOfAScanIsAnError(t *testing.T) {
	s := patient(t, NewStore())
	to := target(t, imagev1.ImageRepositorySpec{Image: serve(t, newRegistry(t, "1")) + "/" + image})
	s.client.heaps.New = func() any { panic("no memory") }
	if _, err := s.Scan(context.Background(), Ask{Key: object("app"), Target: to}); err == nil {
		t.Error("no error")
	}
}
