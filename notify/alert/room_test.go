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
)

func TestSeverityDecidesWhoHears(t *testing.T) {
	const info, warn, bad = flaggerv1.SeverityInfo, flaggerv1.SeverityWarn, flaggerv1.SeverityError
	cases := map[string]struct {
		alert flaggerv1.AlertSeverity
		hears []flaggerv1.AlertSeverity
	}{
		"an alert without a severity hears all": {"", []flaggerv1.AlertSeverity{info, warn, bad}},
		"info hears all":                        {info, []flaggerv1.AlertSeverity{info, warn, bad}},
		"warn hears warnings and errors":        {warn, []flaggerv1.AlertSeverity{warn, bad}},
		"error hears errors":                    {bad, []flaggerv1.AlertSeverity{bad}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			service := open(t)
			d := newDesk(t, Options{}, provider(flaggerv1.AlertProviderSpec{Type: "rocket", Address: service.URL}))
			for _, severity := range []flaggerv1.AlertSeverity{info, warn, bad} {
				d.Send(Alert{Canary: podinfo(tc.alert), Severity: severity})
			}
			d.deliver(t)
			if len(service.got) != len(tc.hears) {
				t.Errorf("heard %d times, want %v", len(service.got), tc.hears)
			}
		})
	}
}

func TestSlack(t *testing.T) {
	const token = "xoxb-1234567890"
	cases := map[string]struct {
		says    string
		wantErr string
	}{
		"a bot's message is taken":                {says: `{"ok":true}`},
		"a bot that is refused hears it with 200": {says: `{"ok":false,"error":"channel_not_found"}`, wantErr: "slack refused the message: channel_not_found"},
		"what is no JSON is no refusal":           {says: "ok"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			service := open(t)
			service.says = tc.says
			d := newDesk(t, Options{}, secret(map[string]string{"address": service.URL, "token": token}),
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
	cases := map[string]struct {
		kind string
		room room
		want string
	}{
		"slack with a token only is its Web API":   {"slack", room{token: "x"}, "https://slack.com/api/chat.postMessage"},
		"slack with an address is there":           {"slack", room{token: "x", url: "https://proxy/api"}, "https://proxy/api"},
		"discord has an endpoint like slack's":     {"discord", room{url: "https://discord.com/api/webhooks/1/x"}, "https://discord.com/api/webhooks/1/x/slack"},
		"it is not added twice":                    {"discord", room{url: "https://discord.com/api/webhooks/1/x/slack"}, "https://discord.com/api/webhooks/1/x/slack"},
		"discord's parameters stay where they are": {"discord", room{url: "https://discord.com/api/webhooks/1/x/slack?thread_id=7"}, "https://discord.com/api/webhooks/1/x/slack?thread_id=7"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := kinds[tc.kind].address(tc.room); got != tc.want {
				t.Errorf("address %s, want %s", got, tc.want)
			}
		})
	}
}

func TestAWorkflowOfTeamsGetsAnAdaptiveCard(t *testing.T) {
	about := news{subject: "podinfo.default", text: "Failed", severity: flaggerv1.SeverityError, fields: []Field{{"Target", "Deployment/podinfo.default"}}}
	for address, adaptive := range map[string]bool{
		"https://prod-1.westeurope.logic.azure.com:443/workflows/1?sig=x":                true,
		"https://default1.2.environment.api.powerplatform.com:443/powerautomate/x?sig=x": true,
		"https://example.webhook.office.com/webhookb2/x":                                 false,
		"http://prometheus-msteams/alerts":                                               false,
	} {
		message, err := kinds["msteams"].message(room{url: address}, about)
		if err != nil {
			t.Fatal(err)
		}
		card, is := message.(adaptiveMessage)
		if is != adaptive {
			t.Errorf("%s gets %T", address, message)
		}
		if is && (card.Attachments[0].Content.Body[0].Color != "attention" || card.Attachments[0].Content.Body[2].Facts[0].Title != "Target") {
			t.Errorf("card: %+v", card)
		}
	}
}

func TestRoomsOfTheFlags(t *testing.T) {
	service := open(t)
	cases := map[string]struct {
		opts    Options
		path    string
		wantErr string
	}{
		"none":                     {},
		"slack":                    {opts: Options{Slack: Slack{URL: service.URL + "/slack", Channel: "releases"}}, path: "/slack"},
		"teams comes first":        {opts: Options{Slack: Slack{URL: service.URL + "/slack"}, Teams: Teams{URL: service.URL + "/teams"}}, path: "/teams"},
		"slack needs a channel":    {opts: Options{Slack: Slack{URL: service.URL}}, wantErr: "slack-channel: is needed with slack-url"},
		"a URL that is none":       {opts: Options{Teams: Teams{URL: "tellnobody"}}, wantErr: "msteams-url: it is no URL such as https://host/path"},
		"a proxy that is none":     {opts: Options{Teams: Teams{URL: service.URL, Proxy: "tellnobody"}}, wantErr: "msteams-proxy-url: it is no URL such as http://host:port"},
		"a slack URL that is none": {opts: Options{Slack: Slack{URL: "ftp://x", Channel: "x"}}, wantErr: "slack-url: it is no URL such as https://host/path"},
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
			d := newDesk(t, tc.opts, provider(flaggerv1.AlertProviderSpec{Type: "slack", Address: service.URL + "/own"}))
			d.Send(Alert{Canary: podinfo()})
			d.Send(Alert{Canary: &flaggerv1.Canary{}})
			d.Send(Alert{Canary: podinfo("info")}) // has a room of its own
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
	const where = "alert alert to AlertProvider default/on-call: "
	ref := &flaggerv1.SecretReference{Name: "room"}
	elsewhere := podinfo("info")
	elsewhere.Spec.Analysis.Alerts[0].ProviderRef.Namespace = "other"
	cases := map[string]struct {
		canary  *flaggerv1.Canary
		opts    Options
		objects []client.Object
		want    string
	}{
		"a provider that is missing":   {want: where + `alertproviders.flagger.app "on-call" not found`},
		"a type that is unknown":       {objects: []client.Object{provider(flaggerv1.AlertProviderSpec{Type: "irc", Address: "http://x"})}, want: where + `spec.type: "irc" is none of discord, gchat, msteams, rocket, slack`},
		"no address":                   {objects: []client.Object{provider(flaggerv1.AlertProviderSpec{Type: "slack"})}, want: where + "spec.address: one of address and secretRef is needed"},
		"two addresses":                {objects: []client.Object{provider(flaggerv1.AlertProviderSpec{Type: "slack", Address: "http://x", SecretRef: ref})}, want: where + "spec.address: it is of no use beside secretRef"},
		"a Secret without a name":      {objects: []client.Object{provider(flaggerv1.AlertProviderSpec{Type: "slack", SecretRef: &flaggerv1.SecretReference{}})}, want: where + "spec.secretRef.name: it is empty"},
		"an address that is none":      {objects: []client.Object{provider(flaggerv1.AlertProviderSpec{Type: "slack", Address: "tellnobody"})}, want: where + "spec.address: it is no URL such as https://host/path"},
		"a proxy that is none":         {objects: []client.Object{provider(flaggerv1.AlertProviderSpec{Type: "slack", Address: "http://x", Proxy: "gopher://x"})}, want: where + "spec.proxy: the scheme is none of http, https, socks5 and socks5h"},
		"a Secret that is missing":     {objects: []client.Object{provider(flaggerv1.AlertProviderSpec{Type: "slack", SecretRef: ref})}, want: where + `spec.secretRef: secrets "room" not found`},
		"a Secret without an address":  {objects: []client.Object{provider(flaggerv1.AlertProviderSpec{Type: "gchat", SecretRef: ref}), secret(map[string]string{"token": "x"})}, want: where + `spec.secretRef: Secret "room" has no address`},
		"a Secret with no URL":         {objects: []client.Object{provider(flaggerv1.AlertProviderSpec{Type: "gchat", SecretRef: ref}), secret(map[string]string{"address": "tellnobody"})}, want: where + `spec.secretRef: address of Secret "room": it is no URL such as https://host/path`},
		"another namespace, forbidden": {canary: elsewhere, opts: Options{NoCrossNamespaceRefs: true}, want: `alert alert to AlertProvider other/on-call: spec.analysis.alerts.providerRef.namespace: --no-cross-namespace-refs allows only "default"`},
		"another namespace, allowed":   {canary: elsewhere, want: `alert alert to AlertProvider other/on-call: alertproviders.flagger.app "on-call" not found`},
		"all is well":                  {objects: []client.Object{provider(flaggerv1.AlertProviderSpec{Type: "slack", SecretRef: ref}), secret(map[string]string{"token": "x"})}},
		"no alerts":                    {canary: podinfo()},
		"no analysis":                  {canary: &flaggerv1.Canary{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := tc.canary
			if c == nil {
				c = podinfo("info")
			}
			got := ""
			if err := newDesk(t, tc.opts, tc.objects...).Check(t.Context(), c); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAFailureIsReportedOnceUntilSomethingIsDelivered(t *testing.T) {
	service := open(t)
	service.status = []int{403, 403, 200, 403, 403, 403}
	d := newDesk(t, Options{}, provider(flaggerv1.AlertProviderSpec{Type: "rocket", Address: service.URL}))
	for range 5 {
		d.Send(Alert{Canary: podinfo("info")})
	}
	d.deliver(t)
	if len(d.failures) != 2 {
		t.Errorf("failures: %v", d.failures)
	}
	d.Forget("1")
	if len(d.failed) != 0 {
		t.Errorf("remembered: %v", d.failed)
	}
}

// away is an API server that comes back.
type away struct {
	client.Reader
	fails int
}

func (a *away) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if a.fails > 0 {
		a.fails--
		return errors.New("connection refused")
	}
	return a.Reader.Get(ctx, key, obj, opts...)
}

func TestAnAlertOutlivesARestartOfTheAPIServer(t *testing.T) {
	service := open(t)
	back := newDesk(t, Options{}, provider(flaggerv1.AlertProviderSpec{Type: "rocket", Address: service.URL}))
	d := newDesk(t, Options{Reader: &away{back.opts.Reader, 2}})
	d.Send(Alert{Canary: podinfo("info")})
	d.deliver(t)
	if len(d.failures) > 0 || len(service.got) != 1 {
		t.Errorf("%d messages, failures %v", len(service.got), d.failures)
	}
}

func TestAlertsThatDoNotFitAreLogged(t *testing.T) {
	d := newDesk(t, Options{})
	for range 65 {
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
		"by a step":     {&flaggerv1.CanaryAnalysis{StepWeight: 10, MaxWeight: 50}, "Weight step: 10 max: 50"},
		"by steps":      {&flaggerv1.CanaryAnalysis{StepWeights: []int{1, 2, 50}}, "Weight steps: 1,2,50 max: 0"},
		"by users":      {&flaggerv1.CanaryAnalysis{Iterations: 2, Match: []flaggerv1.HTTPMatchRequest{{}}}, "A/B Testing"},
		"all at once":   {&flaggerv1.CanaryAnalysis{Iterations: 2}, "Blue/Green"},
		"by nothing":    {&flaggerv1.CanaryAnalysis{}, ""},
		"not even that": {nil, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := routing(&flaggerv1.Canary{Spec: flaggerv1.CanarySpec{Analysis: tc.analysis}}); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestOnlyChatServicesAndTheOperatorsRoomAreQuoted(t *testing.T) {
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
		if got := ofService(address); got != want {
			t.Errorf("%s: got %t", address, got)
		}
	}
	service := open(t)
	service.status, service.says = []int{403}, "no such room"
	d := newDesk(t, Options{Slack: Slack{URL: service.URL, Channel: "releases"}, Guard: outbound.NewGuard(nil)})
	c := podinfo("info")
	c.Spec.Analysis.Alerts = nil
	d.Send(Alert{Canary: c, Message: "one"})
	d.deliver(t)
	if len(d.failures) != 1 || !strings.Contains(d.failures[0], "no such room") {
		t.Errorf("the operator's room: %v", d.failures)
	}
}

func TestProvidersPointNowhereThatTheGuardForbids(t *testing.T) {
	service := open(t)
	for name, spec := range map[string]flaggerv1.AlertProviderSpec{
		"its address": {Type: "discord", Address: service.URL},
		"its proxy":   {Type: "discord", Address: "http://chat.example/hook", Proxy: service.URL},
	} {
		d := newDesk(t, Options{Guard: outbound.NewGuard(nil)}, provider(spec))
		d.Send(Alert{Canary: podinfo("info"), Message: "one"})
		d.deliver(t)
		if len(service.got) > 0 || len(d.failures) != 1 || !strings.Contains(d.failures[0], "loopback") {
			t.Errorf("%s: %d attempts, failures %v", name, len(service.got), d.failures)
		}
	}
}

func TestWhatAServerCallsAnErrorIsNotRepeatedUnlessSlackWould(t *testing.T) {
	for said, want := range map[string]string{
		`{"ok":false,"error":"token_revoked"}`:                   "slack refused the message: token_revoked",
		`{"ok":false,"error":"AWS_SECRET_ACCESS_KEY=wJalrXUtn"}`: "slack refused the message",
	} {
		if err := (slack{}).judge(room{token: "xoxb"}, []byte(said)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v", said, err)
		}
	}
}
