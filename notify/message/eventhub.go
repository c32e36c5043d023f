// SPDX-License-Identifier: Apache-2.0

package message

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
)

const (
	eventHubScope = "https://eventhubs.azure.net//.default"
	// sasLife is how long a signature is good for, from the time of the event: longer
	// than a message is tried again.
	sasLife = 24 * time.Hour
)

// eventHubName is a name of a hub, and eventHubHost one of a namespace with its domain.
var (
	eventHubName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$`)
	eventHubHost = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,62}\.servicebus\.(?:windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)$`)
)

// eventHub sends the event to a hub. The address is the name of a hub, and the channel its
// namespace; it is authorized by a token. Or the address is a connection string, whose key
// signs.
// See https://learn.microsoft.com/en-us/rest/api/eventhub/send-event.
func eventHub(to Target, e Event) ([]Request, error) {
	content, err := encoded(e)
	if err != nil {
		return nil, err
	}
	hub, err := parseHub(to)
	if err != nil {
		return nil, err
	}
	authorization := "Bearer " + to.Token
	if hub.keyName != "" {
		authorization = hub.signature(e)
	}
	header := map[string]string{"Content-Type": contentJSON, "Authorization": authorization}
	return []Request{{Method: "POST", URL: hub.url() + "/messages", Header: header, Body: content}}, nil
}

type hub struct{ host, name, keyName, key string }

func (h hub) url() string { return "https://" + h.host + "/" + h.name }

// signature is a shared access signature for the hub.
// See https://learn.microsoft.com/en-us/rest/api/eventhub/generate-sas-token.
func (h hub) signature(e eventv1.Event) string {
	resource := url.QueryEscape(h.url())
	expiry := strconv.FormatInt(e.Timestamp.Add(sasLife).Unix(), 10)
	mac := hmac.New(sha256.New, []byte(h.key))
	mac.Write([]byte(resource + "\n" + expiry))
	return fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%s&skn=%s",
		resource, url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil))), expiry, url.QueryEscape(h.keyName))
}

var errConnectionString = errors.New("the address is no connection string such as " +
	"Endpoint=sb://<namespace>.servicebus.windows.net/;SharedAccessKeyName=<name>;SharedAccessKey=<key>;EntityPath=<hub>")

func parseHub(to Target) (hub, error) {
	if !SignsItself(to) {
		host := to.Channel
		if !strings.Contains(host, ".servicebus.") {
			host += ".servicebus." + eventHubDomain(to.Authority)
		}
		switch {
		case !eventHubHost.MatchString(host):
			return hub{}, errors.New("spec.channel has to be the namespace of the hub, such as my-namespace")
		case !eventHubName.MatchString(to.Address):
			return hub{}, errors.New("spec.address has to be the name of a hub, or a connection string")
		}
		return hub{host: host, name: to.Address}, nil
	}
	found := map[string]string{}
	for part := range strings.SplitSeq(to.Address, ";") {
		key, value, _ := strings.Cut(part, "=")
		found[strings.ToLower(key)] = value
	}
	is := hub{name: found["entitypath"], keyName: found["sharedaccesskeyname"], key: found["sharedaccesskey"]}
	u, err := url.Parse(found["endpoint"])
	if err != nil || !eventHubHost.MatchString(u.Host) || !eventHubName.MatchString(is.name) || is.keyName == "" || is.key == "" {
		return hub{}, errConnectionString
	}
	is.host = u.Host
	return is, nil
}

// eventHubDomain is the domain of the hubs of the cloud that an authority belongs to.
func eventHubDomain(authority string) string {
	switch {
	case strings.Contains(authority, "chinacloudapi.cn"):
		return "chinacloudapi.cn"
	case strings.Contains(authority, "microsoftonline.us"):
		return "usgovcloudapi.net"
	}
	return "windows.net"
}

func checkEventHub(to Target) error {
	found, err := parseHub(to)
	if err == nil && found.keyName != "" && to.Token != "" {
		return errors.New("a token is of no use beside a connection string")
	}
	return err
}

// SignsItself reports whether a target is a connection string, whose key signs.
func SignsItself(to Target) bool { return strings.Contains(to.Address, "SharedAccessKey") }
