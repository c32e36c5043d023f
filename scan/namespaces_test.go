// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/registry/registrytest"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

// pushes lists the tags 1 to n for the nth request, and holds the first one up until it is
// released.
type pushes struct {
	n       atomic.Int32
	arrived chan struct{}
	release chan struct{}
}

func (p *pushes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/tags/list") {
		return
	}
	n := int(p.n.Add(1))
	if n == 1 {
		close(p.arrived)
		registrytest.Hold(r, p.release)
	}
	_, _ = io.WriteString(w, `{"name":"app","tags":["`+strings.Join([]string{"1", "2", "3"}[:n], `","`)+`"]}`)
}

func in(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func TestASlowScanOfANamespaceDelaysNoOtherNorReplacesItsList(t *testing.T) {
	server := &pushes{arrived: make(chan struct{}), release: make(chan struct{})}
	s := NewScanner(newClient(t), NewStore())
	s.SetPatience(0)
	done := waketest.Objects(t, s.Done())
	to := target(t, imagev1.ImageRepositorySpec{Image: registrytest.Serve(t, server) + "/" + image})
	scan := func(namespace string) (*Snapshot, error) {
		request := Request{Key: in(namespace, "app"), Target: to, Access: registry.In(namespace), Within: time.Minute}
		return s.Scan(context.Background(), request)
	}
	if _, err := scan("slow"); !errors.Is(err, ErrPending) {
		t.Fatal(err)
	}
	<-server.arrived
	if _, err := scan("other"); !errors.Is(err, ErrPending) {
		t.Fatal(err)
	}
	for i, namespace := range []string{"other", "slow"} {
		if key := waketest.Next(t, done); key.Namespace != namespace {
			t.Fatalf("%s is woken", key)
		}
		if got, err := scan(namespace); err != nil || !slices.Equal(slices.Collect(got.All()), []string{"1", "2"}) {
			t.Errorf("%s: %v, %v", namespace, got, err)
		}
		if i == 0 {
			close(server.release)
		}
	}
}

func TestANamespaceThatWaitsForItsSlotsDelaysNoOther(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 64)
	open := registrytest.New(t, "1")
	var lists atomic.Int64
	host := registrytest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "hangs") {
			arrived <- struct{}{}
			registrytest.Hold(r, release)
		}
		counted(&lists, open).ServeHTTP(w, r)
	}))
	s := NewScanner(newClient(t), NewStore())
	s.SetPatience(0)
	done := waketest.Objects(t, s.Done())
	request := func(namespace, name string) Request {
		to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + name})
		return Request{Key: in(namespace, name), Target: to, Access: registry.In(namespace), Within: time.Minute}
	}
	for i := range 8 {
		if _, err := s.Scan(context.Background(), request("full", fmt.Sprint("hangs-", i))); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
		<-arrived // each has a slot before the next asks for one
	}
	for _, namespace := range []string{"full", "other"} {
		if _, err := s.Scan(context.Background(), request(namespace, image)); !errors.Is(err, ErrPending) {
			t.Fatal(err)
		}
	}
	if key := waketest.Next(t, done); key.Namespace != "other" {
		t.Fatalf("%s is woken", key)
	}
	before := lists.Load()
	close(release)
	for range 9 {
		waketest.Next(t, done)
	}
	if got, err := s.Scan(context.Background(), request("full", image)); err != nil || got.Len() != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if n := lists.Load() - before; n != 8 {
		t.Errorf("the registry was asked %d times: what another had listed meanwhile was listed again", n)
	}
}

func TestAFailureOfANamespaceIsNoOthers(t *testing.T) {
	server := &pushes{arrived: make(chan struct{}), release: make(chan struct{})}
	host := registrytest.Serve(t, server)
	for name, scan := range map[string]func(*Scanner, Request) (*Snapshot, error){
		"of who is woken": func(s *Scanner, request Request) (*Snapshot, error) { return s.Scan(context.Background(), request) },
		"of who waits":    func(s *Scanner, request Request) (*Snapshot, error) { return s.List(context.Background(), request) },
	} {
		t.Run(name, func(t *testing.T) {
			server.n.Store(0)
			server.arrived, server.release = make(chan struct{}), make(chan struct{})
			store := NewStore(WithTagMemory(1 << 10))
			store.memory.count("full", 1<<9)
			s := patient(t, store)
			request := func(namespace string) Request {
				to := target(t, imagev1.ImageRepositorySpec{Image: host + "/" + image})
				return Request{Key: in(namespace, "app"), Target: to, Access: registry.In(namespace), Within: time.Minute}
			}
			full := make(chan error, 1)
			go func() {
				_, err := scan(s, request("full"))
				full <- err
			}()
			<-server.arrived
			other := make(chan error, 1)
			go func() {
				_, err := scan(s, request("other"))
				other <- err
			}()
			close(server.release)
			if err := <-full; !errors.Is(err, ErrMemory) {
				t.Errorf("the full namespace: %v", err)
			}
			if err := <-other; err != nil {
				t.Errorf("the other: %v", err)
			}
		})
	}
}

func TestNamespacesThatShareAListPayEqualParts(t *testing.T) {
	store := NewStore(WithTagMemory(1 << 20))
	size := packed("1", "2").bytes()
	shared := newListing(registry.ID{Image: "app"}, packed("1", "2"), start)
	used := func(when string, a, b int64) {
		t.Helper()
		if got := store.memory.reserved; got["a"] != a || got["b"] != b || store.memory.used != a+b {
			t.Errorf("%s: %v", when, got)
		}
	}
	list := store.replaceListing(shared, "a")
	used("listed for one", size, 0)
	store.Put(in("a", "app"), &Snapshot{list: list})
	store.Put(in("b", "app"), &Snapshot{list: list})
	used("used by two", size/2, size-size/2)
	store.Delete(in("b", "app"))
	used("used by one again", size, 0)
	store.Delete(in("a", "app"))
	store.collect()
	used("used by nobody", 0, 0)
}
