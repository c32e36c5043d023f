// SPDX-License-Identifier: Apache-2.0

package message

import (
	"crypto/sha1" // names a transaction, and protects nothing
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

type matrixMessage struct {
	Body    string `json:"body"`
	MsgType string `json:"msgtype"`
}

// matrix sends to a room. The transaction is named by the event, so that a message that
// is sent twice appears once.
// See https://spec.matrix.org/latest/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid.
func matrix(to Target, e Event) ([]Request, error) {
	content, err := encoded(e)
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(content)
	address := fmt.Sprintf("%s/_matrix/client/r0/rooms/%s/send/m.room.message/%s",
		strings.TrimSuffix(to.Address, "/"), url.PathEscape(to.Channel), hex.EncodeToString(sum[:]))
	emoji := "💫"
	if failed(e) {
		emoji = "🚨"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s\n%s\n", emoji, subject(e), e.Message)
	for _, f := range fields(e) {
		fmt.Fprintf(&text, "- %s: %s\n", f.key, f.value)
	}
	requests, err := post(address, matrixMessage{Body: text.String(), MsgType: "m.text"})
	if err == nil {
		requests[0].Method = "PUT"
	}
	return authorized(requests, err, "Bearer "+to.Token)
}
