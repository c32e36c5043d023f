// SPDX-License-Identifier: Apache-2.0

package message

import (
	"net/url"
	"slices"
	"strings"
)

// publicHosts are the hosts of services that everybody may ask; a leading dot matches
// every subdomain. Their answers may be repeated in errors. Any other server may be one
// that the author of a Provider cannot reach.
var publicHosts = []string{
	"hooks.slack.com", "slack.com", "hooks.slack-gov.com", "discord.com", "discordapp.com", "chat.googleapis.com",
	".webhook.office.com", "outlook.office.com", ".powerplatform.com",
	"api.telegram.org", "webexapis.com", "open.larksuite.com", "open.feishu.cn", ".sentry.io", "api.opsgenie.com", "api.eu.opsgenie.com",
	"events.pagerduty.com", "events.eu.pagerduty.com", "api.datadoghq.com", "api.datadoghq.eu", "pubsub.googleapis.com",
}

// IsPublic reports whether an address is that of a service that everybody may ask.
func IsPublic(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Port() != "" && u.Port() != "443" {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return slices.ContainsFunc(publicHosts, func(s string) bool { return host == s || s[0] == '.' && strings.HasSuffix(host, s) })
}
