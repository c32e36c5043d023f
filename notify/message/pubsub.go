// SPDX-License-Identifier: Apache-2.0

package message

import (
	"errors"
	"fmt"
	"regexp"
)

const (
	pubSubAPI   = "https://pubsub.googleapis.com/v1/"
	pubSubScope = "https://www.googleapis.com/auth/pubsub"
)

// Names of projects, which may be their numbers, and of topics of Google Cloud.
var (
	pubSubProject = regexp.MustCompile(`^(?:(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]|[0-9]{1,19})$`)
	pubSubTopic   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)
)

type pubSubMessages struct {
	Messages []pubSubMessage `json:"messages"`
}

type pubSubMessage struct {
	Data       []byte            `json:"data"` // in base64
	Attributes map[string]string `json:"attributes,omitempty"`
}

// pubSub publishes the event to a topic; the address is the project, the channel the
// topic, and the headers are attributes. It is authorized with the token of an identity.
// See https://docs.cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish.
func pubSub(to Target, e Event) ([]Request, error) {
	if err := checkPubSub(to); err != nil {
		return nil, err
	}
	content, err := encoded(e)
	if err != nil {
		return nil, err
	}
	requests, err := post(fmt.Sprintf("%sprojects/%s/topics/%s:publish", pubSubAPI, to.Address, to.Channel),
		pubSubMessages{Messages: []pubSubMessage{{Data: content, Attributes: to.Headers}}})
	return authorized(requests, err, "Bearer "+to.Token)
}

func checkPubSub(to Target) error {
	switch {
	case !pubSubProject.MatchString(to.Address):
		return errors.New("spec.address has to be the ID of a project of Google Cloud, such as my-project")
	case !pubSubTopic.MatchString(to.Channel):
		return errors.New("spec.channel has to be the ID of a topic")
	}
	return nil
}
