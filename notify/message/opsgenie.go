// SPDX-License-Identifier: Apache-2.0

package message

import "maps"

type opsgenieAlert struct {
	Message     string            `json:"message"`
	Description string            `json:"description"`
	Details     map[string]string `json:"details"`
}

// opsgenie makes an alert of each event.
// See https://docs.opsgenie.com/docs/alert-api#create-alert.
func opsgenie(to Target, e Event) ([]Request, error) {
	details := map[string]string{}
	maps.Copy(details, e.Metadata)
	details["severity"] = e.Severity
	requests, err := post(to.Address, opsgenieAlert{
		Message: e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name, Description: e.Message, Details: details,
	})
	return authorized(requests, err, "GenieKey "+to.Token)
}
