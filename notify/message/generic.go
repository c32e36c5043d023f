// SPDX-License-Identifier: Apache-2.0

package message

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// Headers of generic webhooks.
const (
	headerComponent = "Gotk-Component"
	headerSignature = "X-Signature"
)

// generic posts the event as it is.
func generic(to Target, e Event) ([]Request, error) {
	body, err := encoded(e)
	if err != nil {
		return nil, err
	}
	header := map[string]string{"Content-Type": contentJSON, headerComponent: sendable(e.ReportingController)}
	addHeaders(header, to.Headers)
	return []Request{{Method: "POST", URL: to.Address, Header: header, Body: body}}, nil
}

// signed is generic with a signature of the body by the key:
// X-Signature: sha256=<hex of the HMAC>.
func signed(to Target, e Event) ([]Request, error) {
	requests, err := generic(to, e)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, []byte(to.Key))
	mac.Write(requests[0].Body)
	addHeaders(requests[0].Header, map[string]string{headerSignature: "sha256=" + hex.EncodeToString(mac.Sum(nil))})
	return requests, nil
}
