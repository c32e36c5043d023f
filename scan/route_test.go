// SPDX-License-Identifier: Apache-2.0

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
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

// through reads the access of an object whose proxy is at an address.
func through(t *testing.T, address string) registry.Access {
	t.Helper()
	proxy := registrytest.Reader(registrytest.Secret("proxy", map[string]string{"address": "http://" + address}))
	access, err := registry.ReadAccess(context.Background(), proxy, registry.Spec{Namespace: registrytest.Namespace, ProxySecretRef: "proxy"})
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
	for name, proxy := range map[string]http.Handler{
		"one that limits requests": limits,
		"one that refuses pages":   small,
		"one that hangs":           nil,
	} {
		t.Run(name, func(t *testing.T) {
			hang := make(chan struct{})
			host, theirs := registrytest.Serve(t, registrytest.New(t, "1")), through(t,
				registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if proxy == nil {
						registrytest.Hold(r, hang)
						return
					}
					proxy.ServeHTTP(w, r)
				})))
			t.Cleanup(func() { close(hang) })
			s := patient(t, NewStore())
			s.SetPatience(0)
			for i := range 2 * 32 {
				to := target(t, imagev1.ImageRepositorySpec{Image: fmt.Sprintf("%s/app-%d", host, i), Insecure: true})
				to.Timeout = time.Second
				_, _ = s.Scan(context.Background(), Request{
					Key:    types.NamespacedName{Namespace: "theirs", Name: fmt.Sprint(i)},
					Target: to,
					Access: theirs,
				})
			}
			s.SetPatience(soon)
			to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image, Insecure: true})
			if _, err := s.Scan(context.Background(), Request{Key: object("app"), Target: to}); err != nil {
				t.Error(err)
			}
		})
	}
}

// One that has little patience must not make it everybody's.
func TestATimeoutIsEachObjectsOwn(t *testing.T) {
	release := make(chan struct{})
	open := registrytest.New(t, "1")
	host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			registrytest.Hold(r, release)
		}
		open.ServeHTTP(w, r)
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
		if _, err := s.Scan(context.Background(), Request{Key: object("hasty"), Target: hasty, Within: time.Hour}); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
		if _, err := s.Scan(context.Background(), Request{Key: object(key), Target: to, Within: time.Hour}); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
	}
	if key := waketest.Next(t, done); key != object("hasty") {
		t.Fatalf("%s is told first", key)
	}
	again := Request{Key: object("hasty"), Target: hasty, Within: time.Hour}
	if _, err := s.Scan(context.Background(), again); !errors.Is(err, registry.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	close(release)
	if key := waketest.Next(t, done); key != object("patient") {
		t.Fatalf("%s is told", key)
	}
	if _, err := s.Scan(context.Background(), Request{Key: object("patient"), Target: to, Within: time.Hour}); err != nil {
		t.Error(err)
	}
}

// A panic in the background would end the process.
func TestAPanicOfAScanIsAnError(t *testing.T) {
	s := patient(t, NewStore())
	to := target(t, imagev1.ImageRepositorySpec{Image: registrytest.Serve(t, registrytest.New(t, "1")) + "/" + image})
	s.client.tagBuffers.New = func() any { panic("no memory") }
	if _, err := s.Scan(context.Background(), Request{Key: object("app"), Target: to}); err == nil {
		t.Error("no error")
	}
}
