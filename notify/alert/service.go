// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// service is a chat service: how a notification is encoded, and where it is posted.
type service interface {
	// message is the body to post, which is encoded as JSON.
	message(e endpoint, n notification) (any, error)
	// address is the URL to post to, which may differ from the one that is configured.
	address(e endpoint) string
	// checkResponse reads the body of an answer with a success status. An error means
	// that the message was not delivered all the same.
	checkResponse(e endpoint, answer []byte) error
}

// services are the known chat services, by spec.type.
var services = map[string]service{
	"slack":   slack{},
	"msteams": msteams{},
	"discord": discord{},
	"rocket":  rocket{},
	"gchat":   gchat{},
}

// serviceOf returns a service by its spec.type.
func serviceOf(name string) (service, error) {
	if s, ok := services[name]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("spec.type: %q is none of %s", name, strings.Join(slices.Sorted(maps.Keys(services)), ", "))
}

// endpoint is where a notification is posted, and the channel and user name it has there.
type endpoint struct {
	url, token, proxy string
	channel, username string
	// secret names what url and token are read from, if it is one.
	secret client.ObjectKey
	// fromFlags is true for the webhook that the operator configured by flags.
	fromFlags bool
}

// serviceHosts are the hosts of the chat services; a leading dot matches every subdomain.
// Their answers may be repeated in errors. Any other server may be one that the author
// of an AlertProvider cannot reach.
var serviceHosts = []string{
	"hooks.slack.com", "slack.com", "hooks.slack-gov.com", "discord.com", "discordapp.com", "chat.googleapis.com",
	".webhook.office.com", "outlook.office.com", ".powerplatform.com",
}

// isChatService reports whether an address is that of one of serviceHosts.
func isChatService(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Port() != "" && u.Port() != "443" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return slices.ContainsFunc(serviceHosts, func(s string) bool { return host == s || s[0] == '.' && strings.HasSuffix(host, s) })
}

// notification is what a message says, whatever the service.
type notification struct {
	// subject is `<name>.<namespace>` of the canary.
	subject  string
	text     string
	severity flaggerv1.AlertSeverity
	fields   []Field
}

// isError reports whether the message is shown in red.
func (n notification) isError() bool { return n.severity == flaggerv1.SeverityError }

// plainWebhook is embedded by services that take messages at the configured URL and
// whose HTTP status tells whether one was delivered.
type plainWebhook struct{}

func (plainWebhook) address(e endpoint) string            { return e.url }
func (plainWebhook) checkResponse(endpoint, []byte) error { return nil }
