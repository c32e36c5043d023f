// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"strings"
	"time"
	"unicode"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxMessage bounds a condition's message in bytes; the API server refuses more than
// 32,768, and nobody reads that much.
const maxMessage = 8192

// SetCondition sets a condition of an object in memory: of the generation that the
// object has, with the time of its last transition, and with a message that the API
// server keeps as it is. Every condition that a controller writes is set here.
func SetCondition(obj Object, now time.Time, condition metav1.Condition) {
	condition.Message = validMessage(condition.Message)
	condition.ObservedGeneration = obj.GetGeneration()
	condition.LastTransitionTime = metav1.NewTime(now)
	conditions := obj.GetConditions()
	apimeta.SetStatusCondition(&conditions, condition) //nolint:forbidigo // this is the one place
	obj.SetConditions(conditions)
}

// RemoveCondition removes a condition of an object in memory.
func RemoveCondition(obj Object, conditionType string) {
	conditions := obj.GetConditions()
	apimeta.RemoveStatusCondition(&conditions, conditionType) //nolint:forbidigo // this is the one place
	obj.SetConditions(conditions)
}

// ConditionMessage is the message of an error as the runner writes it into Ready: the
// same for every attempt that fails in the same way.
func ConditionMessage(err error) string { return normalise(plain(err.Error())) }

// validMessage is a message as the API server keeps it. Bytes that are not UTF-8, which
// a broken server may answer, would come back as other ones, and the condition would
// seem to change with every run.
func validMessage(message string) string {
	if len(message) > maxMessage {
		message = message[:maxMessage] + "..."
	}
	return harmless(message)
}

// harmless is a message without what does something to the terminal that shows it, or
// turns the order of what stands there: a server that an object names may answer such. It
// is also without the words of a server that are no answer at all.
func harmless(message string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return unicode.ReplacementChar
		}
		return r
	}, unquoted(plain(strings.ToValidUTF8(message, string(unicode.ReplacementChar)))))
}

// plain is a message without the words that controller-runtime puts before terminal
// errors, which mean nothing to a user. They are in the middle of it where what is terminal
// of one thing is tried again as a whole.
func plain(message string) string { return strings.ReplaceAll(message, "terminal error: ", "") }
