// SPDX-License-Identifier: Apache-2.0

package message

import (
	"fmt"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
)

// Type is how one spec.type of a Provider takes messages.
type Type struct {
	// Render is what is sent for an event; nothing, if the type takes none of that sort.
	Render func(Target, Event) ([]Request, error)
	// Needs are what a Target must have.
	Needs []Need
	// Check finds what else is wrong with a Target; nil finds nothing.
	Check func(Target) error
	// Updates means that events which only update a commit status are sent, too.
	Updates bool
	// Cloud is where a Target without a token authenticates as an identity, "" if
	// nowhere: azure or gcp.
	Cloud string
	// Scope is what the identity is asked for, and Host where it goes to.
	Scope string
}

// Need is a part of a Target.
type Need string

// The needs, in the words that a user reads.
const (
	NeedsURL     Need = "spec.address, or the key address of the Secret, has to be a URL such as https://host/path"
	NeedsAddress Need = "spec.address, or the key address of the Secret, is needed"
	NeedsChannel Need = "spec.channel is needed"
	NeedsToken   Need = "spec.secretRef: a Secret with the key token is needed"
)

// Error implements error.
func (n Need) Error() string { return string(n) }

// Types are the types whose messages are HTTP requests, by spec.type.
var Types = map[string]Type{
	"generic":      {Render: generic, Needs: []Need{NeedsURL}, Check: checkHeaders, Updates: true},
	"generic-hmac": {Render: signed, Needs: []Need{NeedsURL, NeedsToken}, Check: checkHeaders, Updates: true},
	"slack":        {Render: slack, Needs: []Need{NeedsURL}},
	"discord":      {Render: discord, Needs: []Need{NeedsURL}},
	"rocket":       {Render: rocket, Needs: []Need{NeedsURL}},
	"msteams":      {Render: msteams, Needs: []Need{NeedsURL}},
	"googlechat":   {Render: googleChat, Needs: []Need{NeedsURL}},
	"telegram":     {Render: telegram, Needs: []Need{NeedsChannel, NeedsToken}, Check: checkTelegram},
	"webex":        {Render: webex, Needs: []Need{NeedsURL}},
	"matrix":       {Render: matrix, Needs: []Need{NeedsURL, NeedsChannel, NeedsToken}},
	"lark":         {Render: lark, Needs: []Need{NeedsURL}},
	"zulip":        {Render: zulip, Needs: []Need{NeedsURL, NeedsChannel}, Check: checkZulip},
	"sentry":       {Render: sentry, Needs: []Need{NeedsAddress}, Check: checkSentry},
	"opsgenie":     {Render: opsgenie, Needs: []Need{NeedsURL, NeedsToken}},
	"pagerduty":    {Render: pagerduty, Needs: []Need{NeedsURL, NeedsChannel}},
	"datadog":      {Render: datadog, Needs: []Need{NeedsURL, NeedsToken}},
	"grafana":      {Render: grafana, Needs: []Need{NeedsURL}},
	"alertmanager": {Render: alertmanager, Needs: []Need{NeedsURL}},
	"otel":         {Render: otel, Needs: []Need{NeedsURL}, Check: checkHeaders},
	"googlepubsub": {Render: pubSub, Needs: []Need{NeedsAddress, NeedsChannel}, Check: checkPubSub, Cloud: "gcp", Scope: pubSubScope},
	"azureeventhub": {
		Render: eventHub, Needs: []Need{NeedsAddress}, Check: checkEventHub, Cloud: "azure", Scope: eventHubScope,
	},
}

// Validate says what a Target of a type lacks.
func (t Type) Validate(to Target) error {
	for _, need := range t.Needs {
		if err := need.check(to); err != nil {
			return err
		}
	}
	if t.Check != nil {
		return t.Check(to)
	}
	return nil
}

func (n Need) check(to Target) error {
	var met bool
	switch n {
	case NeedsURL:
		_, err := parse(to.Address)
		met = err == nil
	case NeedsAddress:
		met = to.Address != ""
	case NeedsChannel:
		met = to.Channel != ""
	case NeedsToken:
		met = to.Token != ""
	default:
		return fmt.Errorf("unknown need %q", string(n))
	}
	if !met {
		return n
	}
	return nil
}

// CommitStatus are the types that set statuses of commits.
var CommitStatus = map[string]bool{
	"github": true, "gitlab": true, "gitea": true, "bitbucket": true, "bitbucketserver": true, "azuredevops": true,
}

// CommentForge is at which forge a type comments on pull requests, by spec.type.
var CommentForge = map[string]string{
	"githubpullrequestcomment": "github", "gitlabmergerequestcomment": "gitlab", "giteapullrequestcomment": "gitea",
}

// Others are the types that neither [Types] nor those of forges are.
const (
	GitHubDispatch = "githubdispatch"
	NATS           = "nats"
)

// Known reports whether there is such a type.
func Known(name string) bool {
	_, renders := Types[name]
	return renders || CommitStatus[name] || CommentForge[name] != "" || name == GitHubDispatch || name == NATS
}

// severity is info for everything that is no error.
func severity(e Event) string {
	if failed(e) {
		return v1beta3.SeverityError
	}
	return v1beta3.SeverityInfo
}
