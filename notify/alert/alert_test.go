// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/notify/outbox"
	"github.com/sluice-cd/sluice/test/golden"
	"github.com/sluice-cd/sluice/test/make"
)

// chatServer is a chat service, or a proxy, that keeps the requests it was sent. What a
// client sends to a port that another server had before is not for it.
type chatServer struct {
	*httptest.Server
	path   string // that requests to it begin with; they are kept without it
	mu     sync.Mutex
	got    []*http.Request
	bodies []string
	status []int // of the answers in order; the last is repeated
	answer string
}

func newChatServer(t *testing.T) *chatServer {
	t.Helper()
	c := &chatServer{status: []int{200}, path: "/" + rand.Text()}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, ours := strings.CutPrefix(r.URL.Path, c.path)
		if !ours && !r.URL.IsAbs() {
			http.NotFound(w, r)
			return
		}
		r.URL.Path = rest
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got, c.bodies = append(c.got, r), append(c.bodies, string(body))
		w.WriteHeader(c.status[0])
		if len(c.status) > 1 {
			c.status = c.status[1:]
		}
		_, _ = io.WriteString(w, c.answer)
	}))
	t.Cleanup(c.Close)
	c.URL += c.path
	return c
}

// testNotifier is a Notifier with the failures that it reported and what it logged.
type testNotifier struct {
	*Notifier
	outbox   *outbox.Outbox
	failures []string
	log      []string
}

func newTestNotifier(t *testing.T, opts Options, objects ...client.Object) *testNotifier {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{flaggerv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	d := &testNotifier{}
	if opts.Reader == nil {
		opts.Reader = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	}
	opts.Clock = clock.RealClock{}
	box, err := outbox.Open(t.TempDir(), clock.RealClock{}, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	d.outbox, opts.Outbox = box, box
	opts.Log = funcr.New(func(_, args string) { d.log = append(d.log, args) }, funcr.Options{})
	opts.Failed = func(_ *flaggerv1.Canary, err error) { d.failures = append(d.failures, err.Error()) }
	if d.Notifier, err = New(opts); err != nil {
		t.Fatal(err)
	}
	return d
}

// deliver sends all alerts that are queued.
func (d *testNotifier) deliver(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := d.outbox.Start(ctx); err != nil {
			t.Error(err)
		}
	})
	for look := time.Tick(time.Millisecond); d.outbox.Waiting() > 0; {
		<-look
	}
	cancel()
	ended.Wait()
}

func provider(spec flaggerv1.AlertProviderSpec) *flaggerv1.AlertProvider {
	return &flaggerv1.AlertProvider{ObjectMeta: metav1.ObjectMeta{Name: "on-call", Namespace: "default"}, Spec: spec}
}

func secret(data map[string]string) *corev1.Secret {
	return make.Secret("default", "room", data)
}

// podinfo is a canary with an alert for each severity that is given.
func podinfo(severities ...flaggerv1.AlertSeverity) *flaggerv1.Canary {
	value := 97.5
	c := make.Canary("default", "podinfo", func(c *flaggerv1.Canary) {
		c.UID, c.Spec.Analysis.Threshold, c.Spec.Analysis.MaxWeight = "1", 5, 50
		c.Status = flaggerv1.CanaryStatus{CanaryWeight: 20, History: []flaggerv1.CanaryRelease{{
			Images: []string{"ghcr.io/stefanprodan/podinfo:6.0.1"},
			Steps: []flaggerv1.CanaryStep{{Weight: 10}, {Weight: 20, Measured: []flaggerv1.CanaryMeasurement{
				{Name: "request-success-rate", Value: &value}, {Name: "request-duration", Failure: "no values found"},
			}}},
		}}}
	})
	for _, severity := range severities {
		c.Spec.Analysis.Alerts = append(c.Spec.Analysis.Alerts, flaggerv1.CanaryAlert{
			Name: "alert", Severity: severity, ProviderRef: flaggerv1.CrossNamespaceObjectReference{Name: "on-call"},
		})
	}
	return c
}

func TestEveryKindKeepsTheContract(t *testing.T) {
	for name := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("it writes what the service reads", func(t *testing.T) { testPayload(t, name) })
			t.Run("it tries again when the service is down", func(t *testing.T) { testRetry(t, name) })
			t.Run("it reports a refusal without secrets", func(t *testing.T) { testRefusal(t, name) })
			t.Run("it goes through a proxy", func(t *testing.T) { testProxy(t, name) })
		})
	}
}

func testPayload(t *testing.T, name string) {
	for severity, answer := range map[flaggerv1.AlertSeverity]string{
		flaggerv1.SeverityInfo:  "Canary analysis completed successfully, promotion finished.",
		flaggerv1.SeverityError: "Failed checks threshold reached: 97.5 < 99",
	} {
		service := newChatServer(t)
		d := newTestNotifier(t, Options{ClusterName: "prod"}, provider(flaggerv1.AlertProviderSpec{
			Type: name, Channel: "releases", Username: "bot", Address: service.URL + "/room",
		}))
		d.Send(Alert{Canary: podinfo(""), Severity: severity, Message: answer, Fields: []Field{{"Gate", "closed"}}})
		d.deliver(t)
		if len(d.failures) > 0 || len(service.bodies) != 1 {
			t.Fatalf("%d messages, failures %v", len(service.bodies), d.failures)
		}
		compare(t, filepath.Join("testdata", name, string(severity)+".json"), service.bodies[0])
		if got := service.got[0].Header.Get("Content-Type"); got != "application/json" {
			t.Errorf("content type %q", got)
		}
	}
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(got), "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	golden.Compare(t, path, pretty.Bytes())
}

func testRetry(t *testing.T, name string) {
	service := newChatServer(t)
	service.status = []int{503, 429, 200}
	d := newTestNotifier(t, Options{}, provider(flaggerv1.AlertProviderSpec{Type: name, Address: service.URL}))
	d.Send(Alert{Canary: podinfo("info"), Message: "one"})
	d.deliver(t)
	if len(d.failures) > 0 || len(service.got) != 3 {
		t.Errorf("%d attempts, failures %v", len(service.got), d.failures)
	}
}

func testRefusal(t *testing.T, name string) {
	service := newChatServer(t)
	service.status, service.answer = []int{403}, "no one may post to /services/T0000/tellnobody"
	d := newTestNotifier(t, Options{}, secret(map[string]string{"address": service.URL + "/services/T0000/tellnobody\n"}),
		provider(flaggerv1.AlertProviderSpec{Type: name, SecretRef: &flaggerv1.SecretReference{Name: "room"}}))
	d.Send(Alert{Canary: podinfo("info"), Message: "one"})
	d.Send(Alert{Canary: podinfo("info"), Message: "two"})
	d.deliver(t)
	const want = "sending an alert to AlertProvider default/on-call: answered 403 Forbidden"
	if len(service.got) != 2 || len(d.failures) != 1 || !strings.Contains(d.failures[0], want) {
		t.Errorf("%d attempts, failures %v", len(service.got), d.failures)
	}
	if all := strings.Join(append(d.failures, d.log...), "\n"); strings.Contains(all, "tellnobody") || strings.Contains(all, "T0000") {
		t.Errorf("a secret in %s", all)
	}
}

func testProxy(t *testing.T, name string) {
	proxy := newChatServer(t)
	d := newTestNotifier(t, Options{}, provider(flaggerv1.AlertProviderSpec{
		Type: name, Address: "http://chat.example/room", Proxy: proxy.URL,
	}))
	d.Send(Alert{Canary: podinfo("info"), Message: "one"})
	d.deliver(t)
	if len(proxy.got) != 1 || !strings.HasPrefix(proxy.got[0].URL.String(), "http://chat.example/room") {
		t.Errorf("the proxy was asked %d times, failures %v", len(proxy.got), d.failures)
	}
}
