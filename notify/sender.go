// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" // Nexus and old GitHub servers sign with it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
)

// message is one webhook request.
type message struct {
	header   http.Header
	body     []byte
	receiver *notificationv1.Receiver
	secret   map[string][]byte // of spec.secretRef, empty without one
	claims   map[string]any    // of the token that admitted it, nil without one
}

// token is the secret that sender and receiver share.
func (m message) token() []byte { return m.secret[tokenKey] }

// tokenKey is where the Secret of a Receiver has the token.
const tokenKey = "token"

// payload is what is read from a verified message.
type payload struct {
	// event is the sender's name of what happened, for spec.events.
	event string
	// images are the repositories that were pushed to, if the message names them.
	images []string
	// tags are those that were pushed to each of them, as far as the message names them.
	tags map[string][]string
	// git is what a message of a forge is about.
	git gitEvent
	// claims are those of the OIDC token that verified the message.
	claims map[string]any
	// body is the JSON that filters read, nil if it is that of the request.
	body []byte
}

// sender verifies the messages of one type of Receiver.
type sender struct {
	// admit verifies a message by its header, before its body is read; nil for types
	// whose header proves nothing. It returns the claims of the token in the header, if
	// there is one. Its error may be shown to the sender.
	admit func(context.Context, *Hooks, message) (map[string]any, error)
	// verify verifies the body of a message that was admitted, and reads it. Its error
	// may be shown to the sender.
	verify func(context.Context, *Hooks, message) (payload, error)
	// limit is the longest body in bytes; zero is [maxBody].
	limit int64
	// tokenless senders have no Secret.
	tokenless bool
	// events of the type are named and can be selected by spec.events.
	events bool
}

// senders are the types of Receivers.
var senders = map[string]sender{
	notificationv1.GenericReceiver:     {verify: acceptAny},
	notificationv1.GenericHMACReceiver: {verify: signedBody("X-Signature")},
	notificationv1.GenericOIDCReceiver: {admit: oidcToken, verify: withTokenClaims, tokenless: true},
	notificationv1.GitHubReceiver:      {verify: gitHub, events: true},
	notificationv1.GitLabReceiver:      {admit: gitLabToken, verify: gitLab, events: true},
	notificationv1.BitbucketReceiver:   {verify: bitbucket, events: true},
	notificationv1.HarborReceiver:      {admit: harborToken, verify: harbor, limit: maxEvent},
	notificationv1.DockerHubReceiver:   {verify: dockerHub, limit: maxEvent},
	notificationv1.QuayReceiver:        {verify: quay, limit: maxEvent},
	notificationv1.GCRReceiver:         {admit: googleToken, verify: gcr, limit: maxEvent},
	notificationv1.NexusReceiver:       {verify: nexus, limit: maxEvent},
	notificationv1.ACRReceiver:         {verify: acr, limit: maxEvent},
	notificationv1.CDEventsReceiver:    {verify: cdEvent, events: true, limit: maxEvent},
}

// errRefused is the kind of every error of a sender.
var errRefused = errors.New("request refused")

func refuse(format string, args ...any) (payload, error) {
	return payload{}, refusal(format, args...)
}

func refusal(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errRefused, fmt.Sprintf(format, args...))
}

// allowed reports whether spec.events lets the event in. All are, if it is empty.
func allowed(receiver *notificationv1.Receiver, event string) bool {
	for _, wanted := range receiver.Spec.Events {
		if strings.EqualFold(wanted, event) {
			return true
		}
	}
	return len(receiver.Spec.Events) == 0
}

// equalSecrets compares secrets in constant time.
func equalSecrets(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// hashes are the functions of signatures, by the prefix that names them.
var hashes = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// verifySignature checks a signature such as sha256=<hex>, an HMAC of the body.
func verifySignature(signature string, m message) error {
	name, digits, found := strings.Cut(signature, "=")
	function, known := hashes[name]
	if !found || !known {
		return errors.New("the signature is missing, or is none of sha1=, sha256=, sha512=")
	}
	return verifyHMAC(function, digits, m)
}

func verifyHMAC(function func() hash.Hash, digits string, m message) error {
	got, err := hex.DecodeString(digits)
	if err != nil {
		return errors.New("the signature is not hexadecimal")
	}
	mac := hmac.New(function, m.token())
	mac.Write(m.body)
	if !hmac.Equal(got, mac.Sum(nil)) {
		return errors.New("the signature does not fit the body and the token")
	}
	return nil
}

// decode reads a JSON body. The decoder's error would repeat what was sent.
func decode(m message, into any) error {
	if json.Unmarshal(m.body, into) != nil {
		return errors.New("the body is not the JSON that this type of receiver takes")
	}
	return nil
}
