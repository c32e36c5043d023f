// SPDX-License-Identifier: Apache-2.0

package message

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"golang.org/x/net/http/httpguts"
)

// Event is what happened to an object, as Flux's controllers tell it.
type Event = eventv1.Event

// Target is where a message goes, as its Provider and the Secrets of it say.
type Target struct {
	// Address is a URL, or what the type takes in its place. It may be a secret.
	Address string
	// Channel is a room, a topic, a routing key, by the type.
	Channel string
	// Username and Password authenticate, where the type knows both; Username is also
	// the name that a chat shows.
	Username, Password string
	// Token authenticates. Key is the token as the Secret has it, with every space and line break,
	// which is what signatures are made with.
	Token, Key string
	// Headers are the headers of the Secret.
	Headers map[string]string
	// Authority is the URL at which identities of Azure are asked for, which tells one of its
	// clouds from another; "" is the one for everybody.
	Authority string
	// Alert is on whose behalf.
	Alert AlertRef
}

// AlertRef is the object that selected the event.
type AlertRef struct{ Namespace, Name, UID string }

// Request is one HTTP request.
type Request struct {
	Method, URL string
	Header      map[string]string
	Body        []byte
	// Refused reads an answer with a status of success; an error means that the message
	// was refused all the same. It does not repeat more of the answer than a word. Nil is
	// a service whose status tells.
	Refused func(answer []byte) error
}

// contentJSON is the type of most bodies.
const contentJSON = "application/json"

// post is a POST of a value as JSON.
func post(address string, payload any) ([]Request, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("encoding the message: %w", err)
	}
	return []Request{{Method: "POST", URL: address, Header: map[string]string{"Content-Type": contentJSON}, Body: body}}, nil
}

// authorized adds an Authorization header to all requests; "" adds none.
func authorized(requests []Request, err error, authorization string) ([]Request, error) {
	for i := range requests {
		if authorization != "" {
			requests[i].Header["Authorization"] = authorization
		}
	}
	return requests, err
}

// bearer is the Authorization of a token; "" is none.
func bearer(token string) string {
	if token == "" {
		return ""
	}
	return "Bearer " + token
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// addHeaders adds headers, which take the place of those of the same name: of one in two spellings,
// now the one and now the other would be sent.
func addHeaders(into, from map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(from)) {
		maps.DeleteFunc(into, func(known, _ string) bool { return strings.EqualFold(known, key) })
		into[key] = from[key]
	}
}

// checkHeaders refuses what HTTP cannot send. It does not repeat a value.
func checkHeaders(to Target) error {
	for _, key := range slices.Sorted(maps.Keys(to.Headers)) {
		if !httpguts.ValidHeaderFieldName(key) || !httpguts.ValidHeaderFieldValue(to.Headers[key]) {
			return fmt.Errorf("key headers of the Secret: %.100q, or its value, cannot be a header", key)
		}
	}
	return nil
}

// sendable is a text of an event, which may be anybody's, as a header may be: what HTTP refuses
// would be tried again for an hour.
func sendable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
}

// subject is kind/name.namespace, as most types show an object.
func subject(e Event) string {
	return fmt.Sprintf("%s/%s.%s", strings.ToLower(e.InvolvedObject.Kind), e.InvolvedObject.Name, e.InvolvedObject.Namespace)
}

func failed(e Event) bool { return e.Severity == eventv1.EventSeverityError }

// field is a key of the metadata and its value.
type field struct{ key, value string }

// fields is the metadata in the order of its keys.
func fields(e Event) []field {
	all := make([]field, 0, len(e.Metadata))
	for _, key := range slices.Sorted(maps.Keys(e.Metadata)) {
		all = append(all, field{key, e.Metadata[key]})
	}
	return all
}

// encoded is the event as JSON.
func encoded(e Event) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding the event: %w", err)
	}
	return body, nil
}

// errNoURL means that an address has to be a URL, and is none. It does not repeat it.
var errNoURL = errors.New("the address is no URL such as https://host/path")

func parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errNoURL
	}
	return u, nil
}
