// SPDX-License-Identifier: Apache-2.0

package message_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/notify/message"
)

const (
	kustomizeGroup = "kustomize.toolkit.fluxcd.io/"
	commit         = "0123456789abcdef0123456789abcdef01234567"
)

// with is an event whose metadata is this, in pairs.
func with(pairs ...string) message.Event {
	e := event(eventv1.EventSeverityInfo)
	e.Metadata = map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		e.Metadata[pairs[i]] = pairs[i+1]
	}
	return e
}

func TestAnAlertSelectsObjects(t *testing.T) {
	for name, tc := range map[string]struct {
		source v1beta3.EventSource
		alert  string // its namespace
		want   bool
	}{
		"by name":                          {v1beta3.EventSource{Kind: "Kustomization", Name: "shop"}, "apps", true},
		"all of a kind":                    {v1beta3.EventSource{Kind: "Kustomization", Name: "*"}, "apps", true},
		"not another":                      {v1beta3.EventSource{Kind: "Kustomization", Name: "web"}, "apps", false},
		"not of another kind":              {v1beta3.EventSource{Kind: "Canary", Name: "*"}, "apps", false},
		"not of another namespace":         {v1beta3.EventSource{Kind: "Kustomization", Name: "*"}, "team", false},
		"of a namespace that it names":     {v1beta3.EventSource{Kind: "Kustomization", Name: "*", Namespace: "apps"}, "team", true},
		"not of its own beside one it has": {v1beta3.EventSource{Kind: "Kustomization", Name: "*", Namespace: "team"}, "apps", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := message.Selects(tc.source, tc.alert, event("info")); got != tc.want {
				t.Errorf("selected: %v, want %v", got, tc.want)
			}
		})
	}
	for wanted, want := range map[string][2]bool{"": {true, true}, "info": {true, true}, "error": {false, true}} {
		if got := [2]bool{message.Severe(wanted, event("info")), message.Severe(wanted, event("error"))}; got != want {
			t.Errorf("severity %q: info and error are %v, want %v", wanted, got, want)
		}
	}
}

func TestWhatAProviderIsNotToldOf(t *testing.T) {
	change, of := eventv1.Group+"/"+eventv1.MetaChangeRequestKey, eventv1.Group+"/"+eventv1.MetaCommitKey
	update := []string{kustomizeGroup + eventv1.MetaCommitStatusKey, eventv1.MetaCommitStatusUpdateValue}
	failed := event(eventv1.EventSeverityError)
	for name, tc := range map[string]struct {
		provider string
		event    message.Event
		want     string
	}{
		"a room is told of everything":     {"slack", with(), ""},
		"but not of what updates a status": {"slack", with(update...), "it only updates a commit status"},
		"a commit status is":               {"github", with(update...), ""},
		"a commit status is of a commit":   {"github", with(), "it is about no commit"},
		"one that the event names":         {"github", with(of, commit), ""},
		"or one that failed":               {"github", failed, ""},
		"a warning says nothing of a commit": {
			"github", with(v1beta3.WarningKey, "true", of, commit), "it says nothing about whether the commit works",
		},
		"a comment is about a pull request":       {"githubpullrequestcomment", with(change, "7"), ""},
		"without one there is nowhere to comment": {"githubpullrequestcomment", with(), "it is about no pull request"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := message.Skip(tc.provider, tc.event); got != tc.want {
				t.Errorf("skipped: %q, want %q", got, tc.want)
			}
		})
	}
}

func TestMetadataOfAMessage(t *testing.T) {
	e := with(eventv1.Group+"/team", "annotation", eventv1.Group+"/site", "annotation", kustomizeGroup+"revision", "main@sha1:1",
		kustomizeGroup+"checksum", "sum", kustomizeGroup+"digest", "sha256:1", "plain", "value")
	before := maps.Clone(e.Metadata)
	clean := message.Clean(e)
	want := map[string]string{
		eventv1.Group + "/team": "annotation", eventv1.Group + "/site": "annotation", kustomizeGroup + "revision": "main@sha1:1",
	}
	if diff := cmp.Diff(want, clean.Metadata); diff != "" {
		t.Errorf("clean (-want +got):\n%s", diff)
	}
	clean.Metadata[kustomizeGroup+eventv1.MetaTokenKey] = "token"
	alert := v1beta3.AlertSpec{
		EventMetadata: map[string]string{"team": "alert", "revision": "alert", "summary": "alert"}, Summary: "the summary",
	}
	combined, conflicts := message.Combine(clean, alert)
	want = map[string]string{"team": "alert", "site": "annotation", "revision": "main@sha1:1", "summary": "the summary"}
	if diff := cmp.Diff(want, combined.Metadata); diff != "" {
		t.Errorf("combined (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"revision", "summary", "team"}, conflicts); diff != "" {
		t.Errorf("conflicts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, e.Metadata); diff != "" {
		t.Errorf("the event was changed (-want +got):\n%s", diff)
	}
	if none, conflicts := message.Combine(with(), v1beta3.AlertSpec{}); none.Metadata != nil || conflicts != nil {
		t.Errorf("without metadata there is %v, and conflicts %v", none.Metadata, conflicts)
	}
}

func TestTheGenreOfAStatus(t *testing.T) {
	for want, e := range map[string]message.Event{"fluxcd": with(), "fluxcd:eu": with("summary", "eu")} {
		if got := message.Genre(e); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// An answer of a server that the author of a Provider cannot reach is not repeated to them.
func TestOnlyServicesForEverybodyArePublic(t *testing.T) {
	for address, want := range map[string]bool{
		"https://hooks.slack.com/services/1":        true,
		"https://HOOKS.slack.com:443/services/1":    true,
		"https://acme.webhook.office.com/1":         true,
		"http://hooks.slack.com/services/1":         false,
		"https://hooks.slack.com:8443/services/1":   false,
		"https://hooks.slack.com.example.com/":      false,
		"https://evil-hooks.slack.com/":             false,
		"https://webhook.office.com.apps.svc/":      false,
		"https://10.0.0.1/hooks.slack.com":          false,
		"https://sub.hooks.slack.com/":              false,
		"https://%zz":                               false,
		"https://prometheus.monitoring.svc:9090/":   false,
		"https://user:pass@api.telegram.org/bot1:a": true,
	} {
		if got := message.IsPublic(address); got != want {
			t.Errorf("%s is public: %v, want %v", address, got, want)
		}
	}
}

func TestTheStatusOfACommit(t *testing.T) {
	const revision = "revision" // as Combine leaves it
	failed, progressing := with(revision, "main@sha1:"+commit), with(revision, "main@sha1:"+commit)
	failed.Severity, progressing.Reason = eventv1.EventSeverityError, "Progressing"
	for name, tc := range map[string]struct {
		event       message.Event
		state, want string // want is the error
	}{
		"it works":                       {with(revision, "main@sha1:"+commit), message.StateSuccess, ""},
		"as revisions were written once": {with(revision, "main/"+commit), message.StateSuccess, ""},
		"it failed":                      {failed, message.StateFailure, ""},
		"it goes on":                     {progressing, message.StatePending, ""},
		"a Canary says how it stands":    {with(revision, "main@sha1:"+commit, message.StateKey, "pending"), message.StatePending, ""},
		"in words that there are":        {with(revision, "main@sha1:"+commit, message.StateKey, "great"), message.StateSuccess, ""},
		"there is no revision":           {with(), "", "the event has no revision in its metadata"},
		"a tag is no commit":             {with(revision, "v1@sha256:1"), "", `revision "v1@sha256:1" is no commit of Git`},
		"nor is a part of one":           {with(revision, "sha1:"+commit[:39]), "", `revision "sha1:` + commit[:39] + `" is no commit of Git`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := message.StatusOf(tc.event)
			if err != nil {
				if err.Error() != tc.want {
					t.Errorf("got %v, want %s", err, tc.want)
				}
				return
			}
			if got.State != tc.state || got.Commit != commit || got.Name != "kustomization/shop" || tc.want != "" {
				t.Errorf("got %+v, want state %s", got, tc.state)
			}
		})
	}
}

func TestWhereAStatusLeads(t *testing.T) {
	for name, tc := range map[string]struct {
		event            message.Event
		repository, want string
	}{
		"the repository":          {with(), "https://git.example.com/acme/shop.git", "https://git.example.com/acme/shop"},
		"without who reads it":    {with(), "https://u:p@git.example.com/acme/shop", "https://git.example.com/acme/shop"},
		"nowhere that is no page": {with(), "ssh://git@git.example.com/acme/shop", ""},
		"where the metadata says": {
			with("url", "https://ui/{kind}/{namespace}/{name}?at={commit}"), "https://git", "https://ui/Kustomization/apps/shop?at=" + commit,
		},
		"as it is, without a place": {with("url", "https://ui"), "https://git", "https://ui"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := message.Link(tc.event, commit, tc.repository); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestWithWhichCredentialsAServerIsAsked(t *testing.T) {
	const address, basic = "https://a.example.com", "Basic dTpw" // u:p
	user := message.Target{Address: address, Channel: "a/b", Username: "u", Password: "p"}
	token, both, half := message.Target{Address: address, Token: "t"}, user, user
	both.Token, half.Password = "t", ""
	named := message.Target{Address: address, Username: "u", Token: "p"}
	asked := token
	asked.Headers = map[string]string{"authorization": "ApiKey k"} // a header in any spelling
	room := message.Target{Address: address, Channel: "room"}
	for name, tc := range map[string]struct {
		kind string
		to   message.Target
		want string
	}{
		"alertmanager: a token":             {"alertmanager", token, "Bearer t"},
		"alertmanager: a user":              {"alertmanager", user, basic},
		"alertmanager: the user of both":    {"alertmanager", both, basic},
		"alertmanager: nobody":              {"alertmanager", half, ""},
		"grafana: the token of both":        {"grafana", both, "Bearer t"},
		"grafana: a user":                   {"grafana", user, basic},
		"grafana: nobody":                   {"grafana", half, ""},
		"otel: a token":                     {"otel", token, "Bearer t"},
		"otel: a token of a user":           {"otel", named, basic},
		"otel: a user":                      {"otel", user, basic},
		"otel: what headers say":            {"otel", asked, "ApiKey k"},
		"webex: a token":                    {"webex", token, "Bearer t"},
		"webex: nobody":                     {"webex", room, ""},
		"zulip: a user":                     {"zulip", user, basic},
		"zulip: nobody":                     {"zulip", message.Target{Address: address, Channel: "a/b"}, ""},
		"azureeventhub: the token of a hub": {"azureeventhub", message.Target{Address: "hub", Channel: "ns", Token: "t"}, "Bearer t"},
		"azureeventhub: in a cloud of its own": {
			"azureeventhub", message.Target{Address: "hub", Channel: "ns.servicebus.chinacloudapi.cn", Token: "t"}, "Bearer t",
		},
	} {
		t.Run(name, func(t *testing.T) {
			requests, err := message.Types[tc.kind].Render(tc.to, event("info"))
			if err != nil || len(requests) != 1 {
				t.Fatalf("%d requests, %v", len(requests), err)
			}
			var got []string
			for header, value := range requests[0].Header {
				if strings.EqualFold(header, "Authorization") {
					got = append(got, value)
				}
			}
			if strings.Join(got, "|") != tc.want || len(got) > 1 || tc.want == "" && len(got) > 0 {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTextsByWhichThingsAreFoundAgain(t *testing.T) {
	const discord = "https://discord.com/api/webhooks/1/x"
	e := with()
	for name, tc := range map[string][2]string{
		"a comment":              {message.CommentMarker("github", "1-2", e), "<!-- flux-pr-comment-key:1-2/Kustomization/apps/shop -->"},
		"a comment at GitLab":    {message.CommentMarker("gitlab", "1-2", e), "<!-- flux-mr-comment-key:1-2/Kustomization/apps/shop -->"},
		"a commit status":        {message.DefaultContext(e, "1a-2"), "kustomization/shop/1a"},
		"Slack's form":           {message.DiscordURL(discord), discord + "/slack"},
		"which was asked for":    {message.DiscordURL(discord + "/slack"), discord + "/slack"},
		"an address that is not": {message.DiscordURL("https://%zz"), "https://%zz"},
	} {
		if tc[0] != tc[1] {
			t.Errorf("%s: %q, want %q", name, tc[0], tc[1])
		}
	}
	revisions := [2]string{message.Identity(with(kustomizeGroup+"revision", "1")), message.Identity(with(kustomizeGroup+"revision", "2"))}
	if revisions[0] == revisions[1] || revisions[0] == "" {
		t.Errorf("events about two revisions are one: %q", revisions[0])
	}
	for name, want := range map[string]bool{
		"slack": true, "github": true, "githubpullrequestcomment": true, "githubdispatch": true, "nats": true, "pigeon": false,
	} {
		if got := message.Known(name); got != want {
			t.Errorf("%s is known: %v", name, got)
		}
	}
}

func TestEachTypeIsComparedWithFluxInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/kinds/provider.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rows, ok := strings.Cut(string(page), "\n## Each type beside Flux\n")
	if !ok {
		t.Fatal("there is no section about it")
	}
	names := slices.Collect(maps.Keys(message.Types))
	names = slices.AppendSeq(names, maps.Keys(message.CommitStatus))
	names = slices.AppendSeq(names, maps.Keys(message.CommentForge))
	first := ""
	for row := range strings.Lines(rows) {
		if cells := strings.Split(row, "|"); len(cells) > 1 {
			first += cells[1]
		}
	}
	for _, name := range append(names, message.GitHubDispatch, message.NATS) {
		if !strings.Contains(first, "`"+name+"`") {
			t.Errorf("%s is not in the table", name)
		}
	}
}
