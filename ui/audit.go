// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/reference"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// maxSaidReason is how much of a reason stands in an event.
const maxSaidReason = 500

// auditTimeout bounds the writing of an event of a command that was given.
const auditTimeout = 5 * time.Second

// Sentence says what a user did, for an event.
func (a Action) Sentence(user string) string {
	message := a.Verb
	if a.Stage != "" {
		message += " stage " + a.Stage
	}
	if a.Bundle != "" {
		message += ", bundle " + a.Bundle
	}
	message += ", by " + user + " at the web page"
	if a.Reason != "" {
		message += fmt.Sprintf(": %.*s", maxSaidReason, a.Reason)
	}
	return message
}

// audit says who asked for what, of which version, why, and what became of it: in the log, and of what was done in an event of the object.
func (s *Server) audit(ctx context.Context, v *view, asked Action, err error) {
	about := []any{
		"verb", asked.Verb, "kind", asked.Kind, "namespace", asked.Namespace, "name", asked.Name,
		"stage", asked.Stage, "bundle", asked.Bundle, "by", v.user, "reason", asked.Reason,
	}
	if err != nil {
		s.Log.Info("command failed", append(about, "error", err.Error())...)
		return
	}
	s.Log.Info("command given", about...)
	// Whoever asked may be gone by now, and what they asked for is done all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	of, err := v.fromCache(ctx, asked)
	switch {
	case err != nil:
	case s.Record != nil:
		s.Record(of, v.user, asked)
	default:
		err = v.recordEvent(ctx, of, asked, s.Clock)
	}
	if err != nil {
		s.Log.Info("event of a command not written", append(about, "error", err.Error())...)
	}
}

// fromCache reads the object that a button was about.
func (v *view) fromCache(ctx context.Context, asked Action) (client.Object, error) {
	kind, ok := v.kindOf(asked.Kind)
	if !ok {
		return nil, &unknownKindError{asked.Kind}
	}
	made, err := v.scheme.New(kind.GroupVersionKind)
	if err != nil {
		return nil, err
	}
	of, ok := made.(client.Object)
	if !ok {
		return nil, &unknownKindError{asked.Kind}
	}
	err = v.cache.Get(ctx, client.ObjectKey{Namespace: asked.Namespace, Name: asked.Name}, of)
	of.GetObjectKind().SetGroupVersionKind(kind.GroupVersionKind)
	return of, err
}

// recordEvent tells of a command in an event of the object, with the rights of the user.
func (v *view) recordEvent(ctx context.Context, of client.Object, asked Action, clk clock.PassiveClock) error {
	about, err := reference.GetReference(v.scheme, of)
	if err != nil {
		return err
	}
	now := clk.Now()
	at := metav1.NewTime(now)
	return v.client.Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: about.Namespace, Name: fmt.Sprintf("%s.%x", about.Name, now.UnixNano())},
		InvolvedObject: *about, Type: corev1.EventTypeNormal, Reason: sluicev1.CommandGivenReason, Message: asked.Sentence(v.user),
		Source: corev1.EventSource{Component: "sluice"}, FirstTimestamp: at, LastTimestamp: at, Count: 1,
	})
}
