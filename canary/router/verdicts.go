package router

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/canary/object"
)

// verdict implements [reporting]: Contour says in words how an HTTPProxy stands, and
// in a condition which one it has seen. One that no other includes, an orphan, is
// followed once it is included.
func (contour) verdict(live *unstructured.Unstructured) *NotAccepted {
	valid := judged(live, object.List(live.Object, "status", "conditions"), "Valid", "Contour")
	if valid != nil && !valid.Refused {
		return valid
	}
	if object.Text(live.Object, "status", "currentStatus") == "invalid" {
		return refusal(live, "Contour", object.Text(live.Object, "status", "description"))
	}
	return nil
}

// verdict implements [reporting]: the condition has another name in each major
// version of the controller.
func (apisix) verdict(live *unstructured.Unstructured) *NotAccepted {
	conditions := object.List(live.Object, "status", "conditions")
	for _, kind := range []string{"ResourcesAvailable", "Accepted"} {
		if verdict := judged(live, conditions, kind, "APISIX"); verdict != nil {
			return verdict
		}
	}
	return nil
}

// glooStates are those that Gloo once wrote as numbers.
var glooStates = map[string]string{"0": "Pending", "1": "Accepted", "2": "Rejected", "3": "Warning"}

// verdict implements [reporting]: each installation of Gloo has a status of its own
// in the object, older ones the only one.
func (glooShape) verdict(live *unstructured.Unstructured) *NotAccepted {
	statuses, _ := object.At(live.Object, "status", "statuses").(entry)
	all := []entry{{"": object.At(live.Object, "status")}, statuses}
	for _, of := range all {
		for _, name := range slices.Sorted(maps.Keys(of)) {
			status, _ := of[name].(entry)
			state := fmt.Sprint(status["state"])
			if known, ok := glooStates[state]; ok {
				state = known
			}
			if state == "Rejected" {
				return refusal(live, "Gloo", object.Text(status, "reason"))
			}
		}
	}
	return nil
}
