// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/notify/message"
)

func TestAnAlertTakesItsSeverityAndWorse(t *testing.T) {
	const info, warn, bad = flaggerv1.SeverityInfo, flaggerv1.SeverityWarn, flaggerv1.SeverityError
	cases := map[string]struct {
		alert flaggerv1.AlertSeverity
		want  []flaggerv1.AlertSeverity
	}{
		"an alert without a severity takes all": {"", []flaggerv1.AlertSeverity{info, warn, bad}},
		"info takes all":                        {info, []flaggerv1.AlertSeverity{info, warn, bad}},
		"warn takes warnings and errors":        {warn, []flaggerv1.AlertSeverity{warn, bad}},
		"error takes errors":                    {bad, []flaggerv1.AlertSeverity{bad}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			service := newChatServer(t)
			d := newTestNotifier(t, Options{}, provider(flaggerv1.AlertProviderSpec{Type: "rocket", Address: service.URL}))
			for _, severity := range []flaggerv1.AlertSeverity{info, warn, bad} {
				d.Send(Alert{Canary: podinfo(tc.alert), Severity: severity})
			}
			d.deliver(t)
			if len(service.got) != len(tc.want) {
				t.Errorf("sent %d times, want %v", len(service.got), tc.want)
			}
		})
	}
}

func TestSlack(t *testing.T) {
	const token = "xoxb-1234567890"
	cases := map[string]struct {
		answer  string
		wantErr string
	}{
		"a bot's message is taken": {
			answer: `{"ok":true}`,
		},
		"a bot is refused with status 200": {
			answer:  `{"ok":false,"error":"channel_not_found"}`,
			wantErr: "slack refused the message: channel_not_found",
		},
		"an answer that is not JSON is no refusal": {
			answer: "ok",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			service := newChatServer(t)
			service.answer = tc.answer
			d := newTestNotifier(t, Options{}, secret(map[string]string{"address": service.URL, "token": token}),
				provider(flaggerv1.AlertProviderSpec{Type: "slack", SecretRef: &flaggerv1.SecretReference{Name: "room"}}))
			d.Send(Alert{Canary: podinfo("info")})
			d.deliver(t)
			if got := strings.Join(d.failures, "\n"); !strings.HasSuffix(got, tc.wantErr) || (got == "") != (tc.wantErr == "") {
				t.Errorf("failures %q, want %q", got, tc.wantErr)
			}
			if got := service.got[0].Header.Get("Authorization"); got != "Bearer "+token {
				t.Errorf("authorization %q", got)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	const discordURL = "https://discord.com/api/webhooks/1/x"
	cases := map[string]struct {
		service  string
		endpoint endpoint
		want     string
	}{
		"slack with a token and no address is its Web API": {
			"slack", endpoint{token: "x"}, "https://slack.com/api/chat.postMessage",
		},
		"slack with an address is there": {
			"slack", endpoint{token: "x", url: "https://proxy/api"}, "https://proxy/api",
		},
		"discord has an endpoint like slack's": {
			"discord", endpoint{url: discordURL}, discordURL + "/slack",
		},
		"discord's endpoint is not added twice": {
			"discord", endpoint{url: discordURL + "/slack"}, discordURL + "/slack",
		},
		"discord's parameters stay where they are": {
			"discord", endpoint{url: discordURL + "/slack?thread_id=7"}, discordURL + "/slack?thread_id=7",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := services[tc.service].address(tc.endpoint); got != tc.want {
				t.Errorf("address %s, want %s", got, tc.want)
			}
		})
	}
}

func TestAWorkflowOfTeamsGetsAnAdaptiveCard(t *testing.T) {
	failed := notification{
		subject:  "podinfo.default",
		text:     "Failed",
		severity: flaggerv1.SeverityError,
		fields:   []Field{{"Target", "Deployment/podinfo.default"}},
	}
	for address, adaptive := range map[string]bool{
		"https://prod-1.westeurope.logic.azure.com:443/workflows/1?sig=x":                true,
		"https://default1.2.environment.api.powerplatform.com:443/powerautomate/x?sig=x": true,
		"https://example.webhook.office.com/webhookb2/x":                                 false,
		"http://prometheus-msteams/alerts":                                               false,
	} {
		body, err := services["msteams"].message(endpoint{url: address}, failed)
		if err != nil {
			t.Fatal(err)
		}
		card, is := body.(message.AdaptiveMessage)
		if is != adaptive {
			t.Errorf("%s gets %T", address, body)
		}
		if is && (card.Attachments[0].Content.Body[0].Color != "attention" || card.Attachments[0].Content.Body[2].Facts[0].Title != "Target") {
			t.Errorf("card: %+v", card)
		}
	}
}

func TestTheWebhookOfTheFlags(t *testing.T) {
	service := newChatServer(t)
	cases := map[string]struct {
		opts    Options
		path    string
		wantErr string
	}{
		"no webhook": {},
		"slack": {
			opts: Options{Slack: SlackFlags{URL: service.URL + "/slack", Channel: "releases"}},
			path: "/slack",
		},
		"teams wins over slack": {
			opts: Options{Slack: SlackFlags{URL: service.URL + "/slack"}, Teams: Teams{URL: service.URL + "/teams"}},
			path: "/teams",
		},
		"slack needs a channel": {
			opts:    Options{Slack: SlackFlags{URL: service.URL}},
			wantErr: "slack-channel: is needed with slack-url",
		},
		"an address that is not a URL": {
			opts:    Options{Teams: Teams{URL: "tellnobody"}},
			wantErr: "msteams-url: it is no URL such as https://host/path",
		},
		"a proxy that is not a URL": {
			opts:    Options{Teams: Teams{URL: service.URL, Proxy: "tellnobody"}},
			wantErr: "msteams-proxy-url: it is no URL such as http://host:port",
		},
		"a slack URL of another scheme": {
			opts:    Options{Slack: SlackFlags{URL: "ftp://x", Channel: "x"}},
			wantErr: "slack-url: it is no URL such as https://host/path",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.wantErr != "" {
				if _, err := New(tc.opts); err == nil || err.Error() != tc.wantErr {
					t.Errorf("error %v, want %s", err, tc.wantErr)
				}
				return
			}
			service.got = nil
			d := newTestNotifier(t, tc.opts, provider(flaggerv1.AlertProviderSpec{Type: "slack", Address: service.URL + "/own"}))
			d.Send(Alert{Canary: podinfo()})
			d.Send(Alert{Canary: &flaggerv1.Canary{}})
			d.Send(Alert{Canary: podinfo("info")}) // has an alert of its own
			d.deliver(t)
			var paths []string
			for _, got := range service.got {
				if got.URL.Path != "/own" {
					paths = append(paths, got.URL.Path)
				}
			}
			want := []string{tc.path, tc.path}
			if tc.path == "" {
				want = nil
			}
			if diff := cmp.Diff(want, paths); diff != "" || len(service.got) != len(want)+1 {
				t.Errorf("%d messages\n%s", len(service.got), diff)
			}
		})
	}
}

func TestProvidersThatCannotBeUsed(t *testing.T) {
	const where = "spec.analysis.alerts[0].providerRef: alert alert is not sent: AlertProvider default/on-call: "
	ref := &flaggerv1.SecretReference{Name: "room"}
	gchat := flaggerv1.AlertProviderSpec{Type: "gchat", SecretRef: ref}
	using := func(spec flaggerv1.AlertProviderSpec, others ...client.Object) []client.Object {
		return append(others, provider(spec))
	}
	elsewhere := podinfo("info")
	elsewhere.Spec.Analysis.Alerts[0].ProviderRef.Namespace = "other"
	fluxes := podinfo("info")
	fluxes.Spec.Analysis.Alerts[0].ProviderRef.Kind = "Provider"
	cases := map[string]struct {
		canary  *flaggerv1.Canary
		opts    Options
		objects []client.Object
		want    string
	}{
		"a provider that is missing": {
			want: where + "it does not exist; create it, or correct the reference",
		},
		"a type that is unknown": {
			objects: using(flaggerv1.AlertProviderSpec{Type: "irc", Address: "http://x"}),
			want:    where + `spec.type: "irc" is none of discord, gchat, msteams, rocket, slack`,
		},
		"no address": {
			objects: using(flaggerv1.AlertProviderSpec{Type: "slack"}),
			want:    where + "spec.address: one of address and secretRef is needed",
		},
		"two addresses": {
			objects: using(flaggerv1.AlertProviderSpec{Type: "slack", Address: "http://x", SecretRef: ref}),
			want:    where + "spec.address: it is of no use beside secretRef",
		},
		"a Secret without a name": {
			objects: using(flaggerv1.AlertProviderSpec{Type: "slack", SecretRef: &flaggerv1.SecretReference{}}),
			want:    where + "spec.secretRef.name: it is empty",
		},
		"an address that is not a URL": {
			objects: using(flaggerv1.AlertProviderSpec{Type: "slack", Address: "tellnobody"}),
			want:    where + "spec.address: it is no URL such as https://host/path",
		},
		"a proxy of an unknown scheme": {
			objects: using(flaggerv1.AlertProviderSpec{Type: "slack", Address: "http://x", Proxy: "gopher://x"}),
			want:    where + "spec.proxy: the scheme is none of http, https, socks5 and socks5h",
		},
		"a Secret that is missing": {
			objects: using(flaggerv1.AlertProviderSpec{Type: "slack", SecretRef: ref}),
			want:    where + "spec.secretRef: Secret default/room does not exist; create it with the key address",
		},
		"a Secret without an address": {
			objects: using(gchat, secret(map[string]string{"token": "x"})),
			want:    where + "spec.secretRef: Secret default/room has no key address; add it",
		},
		"a Secret whose address is not a URL": {
			objects: using(gchat, secret(map[string]string{"address": "tellnobody"})),
			want:    where + "spec.secretRef: address of Secret default/room: it is no URL such as https://host/path",
		},
		"another namespace, forbidden": {
			canary: elsewhere,
			opts:   Options{NoCrossNamespaceRefs: true},
			want: "spec.analysis.alerts[0].providerRef: alert alert is not sent: AlertProvider other/on-call: " +
				`spec.analysis.alerts.providerRef.namespace: --no-cross-namespace-refs allows only "default"`,
		},
		"another namespace, allowed": {
			canary: elsewhere,
			want: "spec.analysis.alerts[0].providerRef: alert alert is not sent: AlertProvider other/on-call: " +
				"it does not exist; create it, or correct the reference",
		},
		"a provider that can be used": {
			objects: using(flaggerv1.AlertProviderSpec{Type: "slack", SecretRef: ref}, secret(map[string]string{"token": "x"})),
		},
		"a provider of Flux, whose kind is another": {
			canary: fluxes,
			want: where + "it does not exist; " +
				"create it, or correct the reference (only objects of this kind are looked for, whatever providerRef.kind is: Provider)",
		},
		"two of them": {
			canary: podinfo("info", "error"),
			want: where + "it does not exist; create it, or correct the reference; " +
				strings.ReplaceAll(where, "[0]", "[1]") + "it does not exist; create it, or correct the reference",
		},
		"a canary without alerts":   {canary: podinfo()},
		"a canary without analysis": {canary: &flaggerv1.Canary{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := tc.canary
			if c == nil {
				c = podinfo("info")
			}
			got := ""
			found := newTestNotifier(t, tc.opts, tc.objects...).Check(t.Context(), c)
			if found.Unheard != nil {
				got = found.Unheard.Error()
			}
			if found.Unknown != nil {
				t.Errorf("unknown: %v", found.Unknown)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAFailureIsReportedOnceUntilSomethingIsDelivered(t *testing.T) {
	service := newChatServer(t)
	service.status = []int{403, 403, 200, 403, 403, 403}
	d := newTestNotifier(t, Options{}, provider(flaggerv1.AlertProviderSpec{Type: "rocket", Address: service.URL}))
	for range 5 {
		d.Send(Alert{Canary: podinfo("info")})
	}
	d.deliver(t)
	if len(d.failures) != 2 {
		t.Errorf("failures: %v", d.failures)
	}
	d.Forget("1")
	if len(d.failed) != 0 {
		t.Errorf("kept: %v", d.failed)
	}
}

// flakyReader is an API server whose first answers are failures.
type flakyReader struct {
	client.Reader
	fails int
}

func (a *flakyReader) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if a.fails > 0 {
		a.fails--
		return errors.New("connection refused")
	}
	return a.Reader.Get(ctx, key, obj, opts...)
}

func TestAnAlertOutlivesARestartOfTheAPIServer(t *testing.T) {
	service := newChatServer(t)
	back := newTestNotifier(t, Options{}, provider(flaggerv1.AlertProviderSpec{Type: "rocket", Address: service.URL}))
	d := newTestNotifier(t, Options{Reader: &flakyReader{back.opts.Reader, 2}})
	d.Send(Alert{Canary: podinfo("info")})
	d.deliver(t)
	if len(d.failures) > 0 || len(service.got) != 1 {
		t.Errorf("%d messages, failures %v", len(service.got), d.failures)
	}
}

func TestAlertsThatDoNotFitAreLogged(t *testing.T) {
	d := newTestNotifier(t, Options{})
	for range 1025 {
		d.Send(Alert{Canary: podinfo("info")})
	}
	if len(d.log) != 1 || !strings.Contains(d.log[0], "dropped an alert") {
		t.Errorf("log: %q", d.log)
	}
}

func TestRouting(t *testing.T) {
	cases := map[string]struct {
		analysis *flaggerv1.CanaryAnalysis
		want     string
	}{
		"a step":      {&flaggerv1.CanaryAnalysis{StepWeight: 10, MaxWeight: 50}, "Weight step: 10 max: 50"},
		"steps":       {&flaggerv1.CanaryAnalysis{StepWeights: []int{1, 2, 50}}, "Weight steps: 1,2,50 max: 0"},
		"by headers":  {&flaggerv1.CanaryAnalysis{Iterations: 2, Match: []flaggerv1.HTTPMatchRequest{{}}}, "A/B Testing"},
		"all at once": {&flaggerv1.CanaryAnalysis{Iterations: 2}, "Blue/Green"},
		"no strategy": {&flaggerv1.CanaryAnalysis{}, ""},
		"no analysis": {nil, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := routing(&flaggerv1.Canary{Spec: flaggerv1.CanarySpec{Analysis: tc.analysis}}); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestOnlyAnswersOfChatServicesAndTheOperatorsWebhookAreQuoted(t *testing.T) {
	for address, want := range map[string]bool{
		"https://hooks.slack.com/services/T/B/x":      true,
		"https://slack.com/api/chat.postMessage":      true,
		"https://team.webhook.office.com/webhookb2/x": true,
		"https://discord.com/api/webhooks/x":          true,
		"https://chat.googleapis.com/v1/spaces/x":     true,
		"http://hooks.slack.com/services/T/B/x":       false,
		"https://hooks.slack.com:8443/":               false,
		"https://hooks.slack.com.evil.example/":       false,
		"https://evilslack.com/":                      false,
		"https://webhook.office.com.evil.example/":    false,
		"http://vault.vault:8200/v1/sys/health":       false,
		"https://hooks.slack.com@10.0.0.1/":           false,
	} {
		if got := isChatService(address); got != want {
			t.Errorf("%s: got %t", address, got)
		}
	}
	service := newChatServer(t)
	service.status, service.answer = []int{403}, "no such channel"
	d := newTestNotifier(t, Options{Slack: SlackFlags{URL: service.URL, Channel: "releases"}, Guard: outbound.NewGuard(nil)})
	c := podinfo("info")
	c.Spec.Analysis.Alerts = nil
	d.Send(Alert{Canary: c, Message: "one"})
	d.deliver(t)
	if len(d.failures) != 1 || !strings.Contains(d.failures[0], "no such channel") {
		t.Errorf("the operator's webhook: %v", d.failures)
	}
}

func TestAnAlertProviderIsNotAskedWhereTheGuardForbids(t *testing.T) {
	service := newChatServer(t)
	for name, spec := range map[string]flaggerv1.AlertProviderSpec{
		"its address": {Type: "discord", Address: service.URL},
		"its proxy":   {Type: "discord", Address: "http://chat.example/hook", Proxy: service.URL},
	} {
		d := newTestNotifier(t, Options{Guard: outbound.NewGuard(nil)}, provider(spec))
		d.Send(Alert{Canary: podinfo("info"), Message: "one"})
		d.deliver(t)
		if len(service.got) > 0 || len(d.failures) != 1 || !strings.Contains(d.failures[0], "loopback") {
			t.Errorf("%s: %d attempts, failures %v", name, len(service.got), d.failures)
		}
	}
}

func TestOnlyErrorCodesOfSlackAreRepeated(t *testing.T) {
	for answer, want := range map[string]string{
		`{"ok":false,"error":"token_revoked"}`:                   "slack refused the message: token_revoked",
		`{"ok":false,"error":"AWS_SECRET_ACCESS_KEY=wJalrXUtn"}`: "slack refused the message",
	} {
		if err := (slack{}).checkResponse(endpoint{token: "xoxb"}, []byte(answer)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v", answer, err)
		}
	}
}
