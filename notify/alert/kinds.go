// SPDX-License-Identifier: Apache-2.0

package alert

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// kind is a chat service.
type kind interface {
	// message is what to post.
	message(r room, n news) (any, error)
	// address of the room, which may not be the one that is configured.
	address(r room) string
	// judge reads the answer to a message that was taken; an error means that it
	// was not delivered after all.
	judge(r room, answer []byte) error
}

// kinds are the services that are known, by spec.type.
var kinds = map[string]kind{
	"slack":   slack{},
	"msteams": msteams{},
	"discord": discord{},
	"rocket":  rocket{},
	"gchat":   gchat{},
}

// kindOf returns a service by its name.
func kindOf(name string) (kind, error) {
	if k, ok := kinds[name]; ok {
		return k, nil
	}
	return nil, fmt.Errorf("spec.type: %q is none of %s", name, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
}

// room is where a message goes, and as whom.
type room struct {
	url, token, proxy string
	channel, username string
	// operators are those of the flags.
	operators bool
}

// services are the hosts of chat services themselves; a dot in front stands for any
// name below. What they answer is about the message; any other server may be one that
// the author of an AlertProvider cannot reach.
var services = []string{
	"hooks.slack.com", "slack.com", "hooks.slack-gov.com", "discord.com", "discordapp.com", "chat.googleapis.com",
	".webhook.office.com", "outlook.office.com", ".powerplatform.com",
}

// ofService reports whether an address is that of a chat service.
func ofService(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Port() != "" && u.Port() != "443" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return slices.ContainsFunc(services, func(s string) bool { return host == s || s[0] == '.' && strings.HasSuffix(host, s) })
}

// news is a message to a room.
type news struct {
	// subject is `<name>.<namespace>` of the canary.
	subject  string
	text     string
	severity flaggerv1.AlertSeverity
	fields   []Field
}

// bad reports whether rooms should see red.
func (n news) bad() bool { return n.severity == flaggerv1.SeverityError }

// plain is a service that takes messages at the configured address, and whose
// status says it all.
type plain struct{}

func (plain) address(r room) string    { return r.url }
func (plain) judge(room, []byte) error { return nil }
