// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/ui/command"
)

// request is what a button asks for.
type request struct {
	// Kind, Namespace and Name of the object.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Verb: reconcile, suspend or resume of any kind; approve, halt, pause, abort, promote or retry of a Canary.
	Verb string `json:"verb"`
}

// requestHeader has to be there, whatever it says: no page of another site can send it without being allowed to.
const requestHeader = "X-Sluice-Request"

// errUnknownVerb means that a button asks for nothing that there is.
var errUnknownVerb = errors.New("there is no such command")

// act does what a button asks for, with the rights of the user.
func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(requestHeader) == "" {
		refuse(w, http.StatusForbidden, "the header "+requestHeader+" is missing")
		return
	}
	var asked request
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the request cannot be read: %v", err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if err := s.carryOut(ctx, asked); err != nil {
		refuse(w, codeOf(err), err.Error())
		return
	}
	s.Log.Info("carried out", "verb", asked.Verb, "kind", asked.Kind, "namespace", asked.Namespace, "name", asked.Name, "by", s.Cluster.User)
	w.WriteHeader(http.StatusNoContent)
}

// canaryVerbs are the commands to a Canary.
var canaryVerbs = []flaggerv1.CommandVerb{
	flaggerv1.CommandApprove, flaggerv1.CommandHalt, flaggerv1.CommandPause,
	flaggerv1.CommandAbort, flaggerv1.CommandPromote, flaggerv1.CommandRetry,
}

func (s *Server) carryOut(ctx context.Context, asked request) error {
	kind, ok := s.Cluster.kindOf(asked.Kind)
	if !ok {
		return &unknownKindError{asked.Kind}
	}
	who := command.Person{Client: s.Cluster.client, Name: s.Cluster.User, Clock: s.Clock}
	key := client.ObjectKey{Namespace: asked.Namespace, Name: asked.Name}
	switch asked.Verb {
	case "reconcile":
		return who.Reconcile(ctx, kind, key)
	case "suspend", "resume":
		return who.Suspend(ctx, kind, key, asked.Verb == "suspend")
	}
	if verb := flaggerv1.CommandVerb(asked.Verb); asked.Kind == flaggerv1.CanaryKind && slices.Contains(canaryVerbs, verb) {
		var c flaggerv1.Canary
		c.Namespace, c.Name = asked.Namespace, asked.Name
		_, err := who.Canary(ctx, verb, &c)
		return err
	}
	return fmt.Errorf("%w: %q of %s", errUnknownVerb, asked.Verb, asked.Kind)
}
