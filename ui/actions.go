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
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/ui/command"
)

// request is what a button asks for.
type request struct {
	// Kind, Namespace and Name of the object.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Verb: reconcile, suspend or resume of any kind; approve, halt, pause, abort, promote or retry of a Canary; with a
	// stage: approve, hold, resume, promote, rollback or lift of a Pipeline.
	Verb string `json:"verb"`
	// Stage of a Pipeline.
	Stage string `json:"stage"`
	// Bundle that a command to a stage is about; empty is the one that is meant as things stand.
	Bundle string `json:"bundle"`
	// Reason is why, which the history of the Pipeline keeps.
	Reason string `json:"reason"`
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
	if asked.Kind == sluicev1.PipelineKind && (asked.Stage != "" || asked.Verb == string(sluicev1.CommandLift)) {
		return s.carryOutStage(ctx, who, asked)
	}
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

// stageVerbs are the commands to a stage.
var stageVerbs = map[string]struct {
	verb             sluicev1.CommandVerb
	end, needsReason bool
}{
	"approve": {verb: sluicev1.CommandApprove}, "promote": {verb: sluicev1.CommandPromote}, "lift": {verb: sluicev1.CommandLift},
	"hold": {verb: sluicev1.CommandHold, needsReason: true}, "resume": {verb: sluicev1.CommandHold, end: true},
	"rollback": {verb: sluicev1.CommandRollback, needsReason: true},
}

// carryOutStage gives a command to a stage of a Pipeline.
func (s *Server) carryOutStage(ctx context.Context, who command.Person, asked request) error {
	verb, ok := stageVerbs[asked.Verb]
	switch {
	case !ok:
		return fmt.Errorf("%w: %q of a stage", errUnknownVerb, asked.Verb)
	case verb.needsReason && asked.Reason == "":
		return &badRequestError{errors.New("say why: whoever looks at the pipeline later wants to know")}
	case len(asked.Reason) > command.MaxReason:
		return &badRequestError{fmt.Errorf("the reason has more than %d bytes", command.MaxReason)}
	}
	var p sluicev1.Pipeline
	if err := s.Cluster.client.Get(ctx, client.ObjectKey{Namespace: asked.Namespace, Name: asked.Name}, &p); err != nil {
		return err
	}
	given := report.GivenCommand{Verb: verb.verb, Command: sluicev1.Command{
		By: who.Name, Reason: asked.Reason, End: verb.end, Bundle: asked.Bundle,
	}}
	stage, err := asked.Stage, error(nil)
	if stage == "" {
		if stage, err = report.StageOf(&p, verb.verb, given.Command); err != nil {
			return &badRequestError{err}
		}
	}
	if given.Bundle == "" {
		given.Bundle = command.BundleMeant(&p, stage, verb.verb)
	}
	_, err = who.Stage(ctx, &p, command.StageCommands{Stage: stage, Name: asked.Verb, Commands: []report.GivenCommand{given}})
	return err
}
