// SPDX-License-Identifier: Apache-2.0

package message_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/google/go-cmp/cmp"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/notify/message"
)

var update = flag.Bool("update", false, "write the golden files")

// targets are what a Provider of each type says.
var targets = map[string]message.Target{
	"generic":       {Address: "https://hooks.example.com/events", Headers: map[string]string{"X-Team": "a"}},
	"generic-hmac":  {Address: "https://hooks.example.com/events", Token: "key"},
	"slack":         {Address: message.PostMessageURL, Channel: "releases", Token: "xoxb-1"},
	"discord":       {Address: "https://discord.com/api/webhooks/1/x", Username: "flux"},
	"rocket":        {Address: "https://rocket.example.com/hooks/1", Channel: "releases", Username: "flux"},
	"msteams":       {Address: "https://prod-1.westeurope.logic.azure.com/workflows/1"},
	"googlechat":    {Address: "https://chat.googleapis.com/v1/spaces/1/messages?key=k"},
	"telegram":      {Channel: "-100123:7", Token: "1:abc"},
	"webex":         {Address: "https://webexapis.com/v1/messages", Channel: "room", Token: "t"},
	"matrix":        {Address: "https://matrix.example.com", Channel: "!room:example.com", Token: "t"},
	"lark":          {Address: "https://open.larksuite.com/open-apis/bot/v2/hook/1"},
	"zulip":         {Address: "https://chat.example.com", Channel: "releases/shop", Username: "bot@example.com", Password: "p"},
	"sentry":        {Address: "https://key@o1.ingest.sentry.io/prefix/42", Channel: "production"},
	"opsgenie":      {Address: "https://api.opsgenie.com/v2/alerts", Token: "t"},
	"pagerduty":     {Address: "https://events.pagerduty.com/ignored", Channel: "routing-key"},
	"datadog":       {Address: "https://api.datadoghq.eu", Token: "t"},
	"grafana":       {Address: "https://grafana.example.com/api/annotations/graphite", Username: "u", Password: "p"},
	"alertmanager":  {Address: "https://alertmanager.example.com/api/v2/alerts/", Token: "t"},
	"otel":          {Address: "https://collector.example.com", Token: "t", Alert: message.Alert{Namespace: "apps", Name: "all", UID: "1-2"}},
	"googlepubsub":  {Address: "my-project", Channel: "flux", Token: "t", Headers: map[string]string{"team": "a"}},
	"azureeventhub": {Address: "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=a2V5;EntityPath=flux"},
}

func event(severity string) message.Event {
	e := message.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization", Namespace: "apps", Name: "shop", UID: "6f1f8f0a-1",
		},
		Severity: eventv1.EventSeverityInfo, Timestamp: metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
		Message: "Reconciliation finished in 1.5s", Reason: "ReconciliationSucceeded",
		Metadata:            map[string]string{"revision": "main@sha1:4d2ee62e1a1b2c3d4e5f60718293a4b5c6d7e8f9", "summary": "shop: eu"},
		ReportingController: "kustomize-controller", ReportingInstance: "sluice-0",
	}
	if severity == eventv1.EventSeverityError {
		e.Severity, e.Reason = severity, "HealthCheckFailed"
		e.Message = "health check failed after 5m0s:\ntimeout waiting for: [Deployment/apps/shop status: 'InProgress']"
	}
	return e
}

func TestWhatIsSent(t *testing.T) {
	if diff := cmp.Diff(slices.Sorted(maps.Keys(message.Types)), slices.Sorted(maps.Keys(targets))); diff != "" {
		t.Fatalf("types without a target here:\n%s", diff)
	}
	for name, to := range targets {
		for _, severity := range []string{eventv1.EventSeverityInfo, eventv1.EventSeverityError} {
			t.Run(name+"/"+severity, func(t *testing.T) {
				kind := message.Types[name]
				if err := kind.Validate(to); err != nil {
					t.Fatal(err)
				}
				e := event(severity)
				requests, err := kind.Render(to, e)
				if err != nil {
					t.Fatal(err)
				}
				got := show(t, requests)
				again, err := kind.Render(to, e)
				if err != nil || show(t, again) != got {
					t.Errorf("rendering it again makes something else: %v", err)
				}
				if diff := cmp.Diff(event(severity), e); diff != "" {
					t.Errorf("rendering changed the event:\n%s", diff)
				}
				path := filepath.Join("testdata", name+"."+severity+".txt")
				if *update {
					if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// show is what goes over the wire, with headers in order.
func show(t *testing.T, requests []message.Request) string {
	t.Helper()
	var b bytes.Buffer
	for _, r := range requests {
		fmt.Fprintf(&b, "%s %s\n", r.Method, r.URL)
		for _, key := range slices.Sorted(maps.Keys(r.Header)) {
			fmt.Fprintf(&b, "%s: %s\n", key, r.Header[key])
		}
		body := string(r.Body)
		if r.Header["Content-Type"] == "application/x-protobuf" {
			var spans tracev1.TracesData
			if err := proto.Unmarshal(r.Body, &spans); err != nil {
				t.Fatal(err)
			}
			body = stable(prototext.MarshalOptions{Multiline: true}.Format(&spans))
		}
		fmt.Fprintf(&b, "\n%s\n", body)
	}
	return b.String()
}

// stable removes the blanks that the text format of protobuf varies, so that nobody
// depends on them.
func stable(text string) string {
	var out []byte
	for line := range bytes.Lines([]byte(text)) {
		out = append(out, bytes.Join(bytes.Fields(line), []byte(" "))...)
		out = append(out, '\n')
	}
	return string(out)
}

func TestWhatATargetLacks(t *testing.T) {
	for name, tc := range map[string]struct {
		kind string
		to   message.Target
		want string
	}{
		"no URL":                  {"slack", message.Target{Address: "hooks.slack.com"}, string(message.NeedsURL)},
		"a URL of another scheme": {"generic", message.Target{Address: "file:///etc/passwd"}, string(message.NeedsURL)},
		"no token":                {"opsgenie", message.Target{Address: "https://a"}, string(message.NeedsToken)},
		"no channel":              {"telegram", message.Target{Token: "1"}, string(message.NeedsChannel)},
		"a server that is no URL": {"telegram", message.Target{Address: "api.telegram.org", Channel: "1", Token: "1"}, string(message.NeedsURL)},
		"a channel without a topic": {"zulip", message.Target{Address: "https://a", Channel: "releases"},
			"spec.channel has to be <channel>/<topic>"},
		"no DSN": {"sentry", message.Target{Address: "https://sentry.io/1"},
			"spec.address, or the key address of the Secret, has to be a DSN such as https://<key>@<host>/<project>"},
		"a topic that leads elsewhere": {"googlepubsub", message.Target{Address: "my-project", Channel: "../../x"},
			"spec.channel has to be the ID of a topic"},
		"a hub that is elsewhere": {"azureeventhub", message.Target{Address: "hub", Channel: "evil.servicebus.example.com"},
			"spec.channel has to be the namespace of the hub, such as my-namespace"},
		"a hub of another name": {"azureeventhub", message.Target{Address: "../hub", Channel: "ns"},
			"spec.address has to be the name of a hub, or a connection string"},
		"a connection string without a key": {"azureeventhub",
			message.Target{Address: "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;EntityPath=flux"},
			"the address is no connection string such as Endpoint=sb://<namespace>.servicebus.windows.net/;SharedAccessKeyName=<name>;" +
				"SharedAccessKey=<key>;EntityPath=<hub>"},
		"a connection string that leads elsewhere": {"azureeventhub",
			message.Target{Address: "Endpoint=sb://10.0.0.1/;SharedAccessKeyName=send;SharedAccessKey=a2V5;EntityPath=flux"},
			"the address is no connection string such as Endpoint=sb://<namespace>.servicebus.windows.net/;SharedAccessKeyName=<name>;" +
				"SharedAccessKey=<key>;EntityPath=<hub>"},
		"a project that leads elsewhere": {"googlepubsub", message.Target{Address: "../x", Channel: "flux"},
			"spec.address has to be the ID of a project of Google Cloud, such as my-project"},
		"a token beside a connection string": {"azureeventhub", message.Target{Address: targets["azureeventhub"].Address, Token: "t"},
			"a token is of no use beside a connection string"},
	} {
		t.Run(name, func(t *testing.T) {
			err := message.Types[tc.kind].Validate(tc.to)
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestAnswersThatRefuseWithSuccess(t *testing.T) {
	for name, tc := range map[string]struct{ kind, answer, want string }{
		"slack takes it":      {"slack", `{"ok":true}`, ""},
		"slack refuses":       {"slack", `{"ok":false,"error":"channel_not_found"}`, "slack refused the message: channel_not_found"},
		"slack says a secret": {"slack", `{"ok":false,"error":"token xoxb-1"}`, "slack refused the message"},
		"lark takes it":       {"lark", `{"code":0,"msg":"success"}`, ""},
		"lark refuses":        {"lark", `{"code":19021,"msg":"sign match fail"}`, "lark refused the message: code 19021"},
	} {
		t.Run(name, func(t *testing.T) {
			requests, err := message.Types[tc.kind].Render(targets[tc.kind], event("info"))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := requests[0].Refused([]byte(tc.answer)); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestReasonsInWords(t *testing.T) {
	for reason, want := range map[string]string{
		"ReconciliationSucceeded": "reconciliation succeeded", "GitOperationFailed": "git operation failed",
		"OCIArtifactFailed": "oci artifact failed", "Succeeded": "succeeded", "HTTP2Failed": "http 2 failed", "": "",
	} {
		if got := message.Describe(message.Event{Reason: reason}); got != want {
			t.Errorf("%s is %q, want %q", reason, got, want)
		}
	}
}
