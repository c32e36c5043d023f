// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// tick is how often imaginary requests arrive.
const tick = 100 * time.Millisecond

// users do what the load tester's commands say.
type users struct {
	client client.Client
	visits *visits
	url    string

	listener net.Listener
	mu       sync.Mutex
	stories  map[string]*story // by namespace
	loads    map[*load]bool
}

// load is one run of hey.
type load struct {
	host, path string
	insider    bool // its header is that of an A/B test
	rate       float64
	lasts      time.Duration
	owed       float64 // requests that are due, with fractions
	toCanary   float64 // those of them that are the canary's
}

func newUsers(c client.Client) (*users, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	return &users{
		client: c, visits: newVisits(), url: "http://" + listener.Addr().String(), listener: listener,
		stories: map[string]*story{}, loads: map[*load]bool{},
	}, err
}

func (u *users) join(s *story) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stories[s.ns] = s
}

func (u *users) leave(s *story) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.stories, s.ns)
}

// serve listens to stand-ins, sends requests, and has them counted by the
// Prometheus that reads target files from the folder, until ctx ends.
func (u *users) serve(ctx context.Context, targets string) error {
	file := filepath.Join(targets, "flagger.json")
	target := fmt.Sprintf(`[{"targets": [%q]}]`, u.listener.Addr())
	if err := os.WriteFile(file, []byte(target), 0o644); err != nil {
		return err
	}
	defer os.Remove(file)
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(u.visits.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/hey", u.hey)
	mux.HandleFunc("/curl", u.curl)
	mux.HandleFunc("/grpc_health_probe", u.grpcHealthProbe)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	var walking sync.WaitGroup
	walking.Go(func() { u.walk(ctx) })
	err := server.Serve(u.listener)
	walking.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (u *users) walk(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			u.step(now.Sub(last).Seconds())
			last = now
		}
	}
}

// step sends the requests of some seconds.
func (u *users) step(seconds float64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for l := range u.loads {
		s := u.story(l.host)
		if s == nil {
			continue
		}
		share := s.share(l)
		for l.owed += l.rate * seconds; l.owed >= 1; l.owed-- {
			if l.toCanary += share; l.toCanary >= 1 {
				l.toCanary--
				u.visits.count(s.visit(true, l))
			} else {
				u.visits.count(s.visit(false, l))
			}
		}
	}
}

// story is the one whose namespace is the second part of a host: names of Services
// and of sites are made so.
func (u *users) story(host string) *story {
	parts := strings.Split(host, ".")
	if len(parts) < 2 {
		return nil
	}
	return u.stories[parts[1]]
}

func arguments(r *http.Request) ([]string, error) {
	var args []string
	return args, json.NewDecoder(r.Body).Decode(&args)
}

// target is the URL and the site that a command line names.
func target(args []string) (host, path string, header string, err error) {
	if len(args) == 0 {
		return "", "", "", errors.New("no arguments")
	}
	u, err := url.Parse(args[len(args)-1])
	if err != nil {
		return "", "", "", err
	}
	host, path = u.Hostname(), u.Path
	for i, arg := range args[:len(args)-1] {
		value := args[i+1]
		switch arg {
		case "-host":
			host = value
		case "-H", "-sH":
			if site, ok := strings.CutPrefix(value, "Host: "); ok {
				host = site
			} else {
				header = value
			}
		}
	}
	return host, path, header, nil
}

// hey sends requests for the time that it is told to.
func (u *users) hey(w http.ResponseWriter, r *http.Request) {
	args, err := arguments(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l, err := newLoad(args)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	u.mu.Lock()
	u.loads[l] = true
	u.mu.Unlock()
	defer func() { u.mu.Lock(); delete(u.loads, l); u.mu.Unlock() }()
	select {
	case <-time.After(l.lasts):
		fmt.Fprintf(w, "%s for %s\n", l.path, l.lasts)
	case <-r.Context().Done():
	}
}

func newLoad(args []string) (*load, error) {
	l := &load{rate: 1}
	var header string
	var err error
	if l.host, l.path, header, err = target(args); err != nil {
		return nil, err
	}
	l.insider = strings.Contains(header, "insider")
	for i, arg := range args[:len(args)-1] {
		switch arg {
		case "-z":
			l.lasts, err = time.ParseDuration(args[i+1])
		case "-q", "-c": // requests per second of each worker, and workers
			var n float64
			n, err = strconv.ParseFloat(args[i+1], 64)
			l.rate *= n
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// curl is answered as podinfo does, if somebody is there to answer.
func (u *users) curl(w http.ResponseWriter, r *http.Request) {
	args, err := arguments(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	host, path, _, err := target(args)
	if err == nil {
		err = u.answers(r.Context(), host, 0)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprintf(w, "{%q: %q}\n", strings.Trim(path, "/"), "of "+host)
}

func (u *users) grpcHealthProbe(w http.ResponseWriter, r *http.Request) {
	args, err := arguments(r)
	var host, port string
	for _, arg := range args {
		if address, ok := strings.CutPrefix(arg, "-addr="); ok {
			host, port, err = net.SplitHostPort(address)
		}
	}
	number, parseErr := strconv.Atoi(port)
	if err = errors.Join(err, parseErr); err == nil {
		err = u.answers(r.Context(), host, int32(number))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

// answers reports why nobody would answer at a Service, or at a site. A port of
// zero is any.
func (u *users) answers(ctx context.Context, host string, port int32) error {
	u.mu.Lock()
	s := u.story(host)
	u.mu.Unlock()
	if s == nil {
		return fmt.Errorf("no such host: %s", host)
	}
	name, _, _ := strings.Cut(host, ".")
	if strings.HasSuffix(host, ".example.com") {
		name = s.service // where the site's users arrive
	}
	service := &corev1.Service{}
	if err := u.client.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: name}, service); err != nil {
		return err
	}
	found := port == 0
	for _, p := range service.Spec.Ports {
		found = found || p.Port == port
	}
	if !found {
		return fmt.Errorf("Service %s has no port %d", name, port)
	}
	var slices discoveryv1.EndpointSliceList
	if err := u.client.List(ctx, &slices, client.InNamespace(s.ns), client.MatchingLabels{discoveryv1.LabelServiceName: name}); err != nil {
		return err
	}
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
				return nil
			}
		}
	}
	return fmt.Errorf("Service %s has no ready endpoints", name)
}
