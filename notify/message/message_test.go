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
	"strings"
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
	"generic":      {Address: "https://hooks.example.com/events", Headers: map[string]string{"X-Team": "a"}},
	"generic-hmac": {Address: "https://hooks.example.com/events", Token: "key", Key: "key"},
	"slack":        {Address: message.PostMessageURL, Channel: "releases", Token: "xoxb-1"},
	"discord":      {Address: "https://discord.com/api/webhooks/1/x", Username: "flux"},
	"rocket":       {Address: "https://rocket.example.com/hooks/1", Channel: "releases", Username: "flux"},
	"msteams":      {Address: "https://prod-1.westeurope.logic.azure.com/workflows/1"},
	"googlechat":   {Address: "https://chat.googleapis.com/v1/spaces/1/messages?key=k"},
	"telegram":     {Channel: "-100123:7", Token: "1:abc"},
	"webex":        {Address: "https://webexapis.com/v1/messages", Channel: "room", Token: "t"},
	"matrix":       {Address: "https://matrix.example.com", Channel: "!room:example.com", Token: "t"},
	"lark":         {Address: "https://open.larksuite.com/open-apis/bot/v2/hook/1"},
	"zulip":        {Address: "https://chat.example.com", Channel: "releases/shop", Username: "bot@example.com", Password: "p"},
	"sentry":       {Address: "https://key@o1.ingest.sentry.io/prefix/42", Channel: "production"},
	"opsgenie":     {Address: "https://api.opsgenie.com/v2/alerts", Token: "t"},
	"pagerduty":    {Address: "https://events.pagerduty.com/ignored", Channel: "routing-key"},
	"datadog":      {Address: "https://api.datadoghq.eu", Token: "t"},
	"grafana":      {Address: "https://grafana.example.com/api/annotations/graphite", Username: "u", Password: "p"},
	"alertmanager": {Address: "https://alertmanager.example.com/api/v2/alerts/", Token: "t"},
	"otel": {Address: "https://collector.example.com", Token: "t",
		Alert: message.AlertRef{Namespace: "apps", Name: "all", UID: "1-2"}},
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
		"a header that cannot be sent": {"generic", message.Target{Address: "https://a", Headers: map[string]string{"X-A": "a\nb"}},
			`key headers of the Secret: "X-A", or its value, cannot be a header`},
		"a name that is none of a header": {"otel", message.Target{Address: "https://a", Headers: map[string]string{"X A": "a"}},
			`key headers of the Secret: "X A", or its value, cannot be a header`},
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

func TestWhereAMessageGoes(t *testing.T) {
	const connection = "endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=a2V5;EntityPath=flux"
	hub := message.Target{Address: "flux", Channel: "ns", Token: "t"}
	in := func(authority string) message.Target {
		to := hub
		to.Authority = authority
		return to
	}
	at := func(address, channel string) message.Target {
		return message.Target{Address: address, Channel: channel, Token: "1:a"}
	}
	for name, tc := range map[string]struct {
		kind string
		to   message.Target
		want string // without https://
	}{
		"a hub":                       {"azureeventhub", hub, "ns.servicebus.windows.net/flux/messages"},
		"a hub in Azure China":        {"azureeventhub", in("https://login.chinacloudapi.cn/"), "ns.servicebus.chinacloudapi.cn/flux/messages"},
		"a hub in Azure Government":   {"azureeventhub", in("https://login.microsoftonline.us"), "ns.servicebus.usgovcloudapi.net/flux/messages"},
		"a hub elsewhere":             {"azureeventhub", in("https://login.microsoftonline.com/"), "ns.servicebus.windows.net/flux/messages"},
		"small letters":               {"azureeventhub", message.Target{Address: connection}, "ns.servicebus.windows.net/flux/messages"},
		"a numbered project":          {"googlepubsub", at("12345", "flux"), "pubsub.googleapis.com/v1/projects/12345/topics/flux:publish"},
		"a collector":                 {"otel", at("https://otel:4318", ""), "otel:4318/v1/traces"},
		"a collector below a path":    {"otel", at("https://otel/tempo/v1/traces", ""), "otel/tempo/v1/traces"},
		"a site of Datadog":           {"datadog", at("https://api.datadoghq.eu/x", ""), "api.datadoghq.eu/api/v1/events"},
		"a server of Zulip":           {"zulip", at("https://chat.example.com/x", "a/b"), "chat.example.com/api/v1/messages"},
		"a home server":               {"matrix", at("https://matrix/", "!a:b"), "matrix/_matrix/client/r0/rooms/%21a:b/send/m.room.message/"},
		"a room of a bot":             {"telegram", at("", "1"), "api.telegram.org/bot1:a/sendMessage"},
		"a bot's server of one's own": {"telegram", at("https://bots/", "1"), "bots/bot1:a/sendMessage"},
		"a project of Sentry":         {"sentry", at("https://k:s@sentry.example.com/a/7", ""), "sentry.example.com/a/api/7/envelope/"},
		"PagerDuty in Europe":         {"pagerduty", at("https://events.eu.pagerduty.com/x", "k"), "events.eu.pagerduty.com/v2/enqueue"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := message.Types[tc.kind].Validate(tc.to); err != nil {
				t.Fatal(err)
			}
			requests, err := message.Types[tc.kind].Render(tc.to, event("error"))
			if err != nil || len(requests) != 1 {
				t.Fatalf("%d requests, %v", len(requests), err)
			}
			got := strings.TrimPrefix(requests[0].URL, "https://")
			if tc.kind == "matrix" {
				got = got[:len(got)-40] // the name of the transaction
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// Whoever takes an event apart finds an object where Flux has one, and no null.
func TestAnIncidentWithoutMetadata(t *testing.T) {
	e := event("error")
	e.Metadata = nil
	requests, err := message.Types["pagerduty"].Render(targets["pagerduty"], e)
	if err != nil || len(requests) != 1 || !strings.Contains(string(requests[0].Body), `"metadata":{}`) {
		t.Errorf("sent %+v, %v", requests, err)
	}
}

// What is told as trace is of no change: it resolves an incident, and is seen nowhere else.
func TestATraceIsNoChange(t *testing.T) {
	for severity, want := range map[string]int{eventv1.EventSeverityTrace: 1, eventv1.EventSeverityInfo: 2, eventv1.EventSeverityError: 1} {
		e := event("info")
		e.Severity = severity
		if requests, err := message.Types["pagerduty"].Render(targets["pagerduty"], e); err != nil || len(requests) != want {
			t.Errorf("%s: %d requests, %v", severity, len(requests), err)
		}
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
