// SPDX-License-Identifier: Apache-2.0

package router

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/internal/shorten"
)

// ErrNotAccepted means that a proxy has not taken up the route as it is written now,
// so that its weights say nothing about where users go.
var ErrNotAccepted = errors.New("route not accepted")

// NotAccepted is an [ErrNotAccepted] with what the proxy says.
type NotAccepted struct {
	// Why names the route, the proxy and its reason.
	Why string
	// Refused means that the proxy has seen the route and wants another one. Otherwise
	// it may not have got there yet.
	Refused bool
}

func (e *NotAccepted) Error() string { return e.Why }

// Is makes every NotAccepted an [ErrNotAccepted].
func (e *NotAccepted) Is(target error) bool { return target == ErrNotAccepted }

// statusFormat is a format whose proxy writes into the status what it makes of a route.
type statusFormat interface {
	// notAccepted is why it does not follow the route as it is; nil is that it does, or
	// says nothing.
	notAccepted(live *unstructured.Unstructured) *NotAccepted
}

// rejected is a route that its proxy has seen and does not follow.
func rejected(o *unstructured.Unstructured, by string, why ...string) *NotAccepted {
	return &NotAccepted{Why: fmt.Sprintf("%s %s/%s is not accepted by %s%s",
		o.GetKind(), o.GetNamespace(), o.GetName(), by, joinReasons(why...)), Refused: true}
}

// notYetAccepted is a route that its proxy has not seen as it is now.
func notYetAccepted(o *unstructured.Unstructured, by string) *NotAccepted {
	return &NotAccepted{Why: fmt.Sprintf("%s %s/%s is not yet taken up by %s", o.GetKind(), o.GetNamespace(), o.GetName(), by)}
}

// maxWhy bounds what is repeated of a status, in characters.
const maxWhy = 300

// joinReasons joins what is said of a reason and a message.
func joinReasons(why ...string) string {
	text := ""
	for _, part := range why {
		if part = strings.TrimSpace(part); part != "" {
			text += ": " + part
		}
	}
	return shorten.Runes(text, maxWhy, shorten.Dots)
}

// conditionNotAccepted reads a condition. What a proxy says that has seen an older
// route says nothing of this one; a generation that is missing or zero is not said.
func conditionNotAccepted(o *unstructured.Unstructured, conditions []entry, kind, by string) *NotAccepted {
	for _, condition := range conditions {
		if object.Text(condition, "type") != kind {
			continue
		}
		seen, _ := condition["observedGeneration"].(int64)
		switch status := object.Text(condition, "status"); {
		case seen > 0 && seen < o.GetGeneration():
			return notYetAccepted(o, by)
		case status == "False":
			return rejected(o, by, object.Text(condition, "reason"), object.Text(condition, "message"))
		case status != "True":
			return notYetAccepted(o, by)
		}
	}
	return nil
}
