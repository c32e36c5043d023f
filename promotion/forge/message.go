// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"encoding/json"
	"slices"
	"strings"
)

// maxMessage is how much of what a forge says is shown.
const maxMessage = 400

// messageKeys are where forges say in JSON what is wrong.
var messageKeys = []string{
	"message", "error", "errors", "error_description", "detail", "reason", "summaryMessage", "detailedMessage",
	"vetoes",
}

// messageOf is what a refusal says, in one line; a page for browsers says nothing.
func messageOf(body []byte) string {
	var parsed any
	if json.Unmarshal(body, &parsed) != nil {
		return ""
	}
	var found []string
	collect(parsed, &found)
	text := strings.Join(strings.Fields(strings.Join(found, "; ")), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "..."
	}
	return text
}

// collect gathers texts under the keys that hold messages, at any depth; the decoder
// bounds how deep that is.
func collect(value any, found *[]string) {
	switch value := value.(type) {
	case string:
		if text := strings.TrimSpace(value); text != "" && !slices.Contains(*found, text) {
			*found = append(*found, text)
		}
	case []any:
		for _, element := range value {
			collect(element, found)
		}
	case map[string]any:
		matched := false
		for _, key := range messageKeys {
			if inner, ok := value[key]; ok {
				matched = true
				collect(inner, found)
			}
		}
		// GitLab puts the messages below the names of fields.
		for _, key := range sortedKeys(value) {
			if inner, ok := value[key].([]any); ok && !matched {
				collect(inner, found)
			}
		}
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
