// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	notificationv1beta3 "github.com/sluice-cd/sluice/api/notification/v1beta3"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/ui/command"
)

// Action is what a button asks for.
type Action struct {
	// Kind, Namespace and Name of the object.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Verb: reconcile, suspend or resume of a kind that a controller of ours reconciles; approve, halt, pause, abort, promote or
	// retry of a Canary; with a stage: approve, hold, resume, promote, rollback, override or lift of a Pipeline.
	Verb string `json:"verb"`
	// Stage of a Pipeline.
	Stage string `json:"stage,omitempty"`
	// Bundle that a command to a stage is about; empty is the one that is meant as things stand.
	Bundle string `json:"bundle,omitempty"`
	// Reason is why, which log and event keep, and the history of a Pipeline.
	Reason string `json:"reason,omitempty"`
}

// maxField bounds what names something in an Action, in bytes: no name of Kubernetes is longer.
const maxField = 253

// check refuses what can name nothing, and would only fill the log.
func (a Action) check() error {
	for field, text := range map[string]string{
		"kind": a.Kind, "namespace": a.Namespace, "name": a.Name, "verb": a.Verb, "stage": a.Stage, "bundle": a.Bundle,
	} {
		if len(text) > maxField {
			return fmt.Errorf("%s has more than %d bytes", field, maxField)
		}
	}
	return nil
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
	var asked Action
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the request cannot be read: %v", err))
		return
	}
	if err := asked.check(); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if len(asked.Reason) > command.MaxReason {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the reason has more than %d bytes", command.MaxReason))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	v := viewOf(r)
	if v.readOnly { // who that is, nobody could say, and the log is not theirs to fill
		refuse(w, codeOf(errReadOnly), errReadOnly.Error())
		return
	}
	asked, err := v.give(ctx, asked, s.Clock)
	s.audit(ctx, v, asked, err)
	if err != nil {
		refuse(w, codeOf(err), err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// reconciled are the kinds that controllers of ours reconcile: what others write, as an ExternalArtifact or a Deployment, and what is
// only read, as a Freeze, can neither be asked to be reconciled nor suspended.
var reconciled = []string{
	imagev1.ImageRepositoryKind, imagev1.ImagePolicyKind, imagev1.ImageUpdateAutomationKind,
	sourcev1.GitRepositoryKind, sourcev1.OCIRepositoryKind, sourcev1.BucketKind, generatorv1.ArtifactGeneratorKind,
	kustomizev1.KustomizationKind, flaggerv1.CanaryKind, sluicev1.PipelineKind, notificationv1.ReceiverKind,
	notificationv1beta3.ProviderKind, notificationv1beta3.AlertKind,
}

// canaryVerbs are the commands to a Canary.
var canaryVerbs = []flaggerv1.CommandVerb{
	flaggerv1.CommandApprove, flaggerv1.CommandHalt, flaggerv1.CommandPause,
	flaggerv1.CommandAbort, flaggerv1.CommandPromote, flaggerv1.CommandRetry,
}

// errReadOnly is for users who did not say who they are.
var errReadOnly = errors.New("nothing can be changed without signing in: open /login")

// give gives a command to an object. The action that it returns says what was meant where the one that was asked for left
// that open: the stage, and the bundle.
func (v *view) give(ctx context.Context, asked Action, clk clock.WithTicker) (Action, error) {
	kind, ok := v.kindOf(asked.Kind)
	if !ok {
		return asked, &unknownKindError{asked.Kind}
	}
	who := command.Person{Client: v.client, Name: v.user, Clock: clk}
	key := client.ObjectKey{Namespace: asked.Namespace, Name: asked.Name}
	if asked.Kind == sluicev1.PipelineKind && (asked.Stage != "" || asked.Verb == string(sluicev1.CommandLift)) {
		return v.giveToStage(ctx, who, asked)
	}
	if asked.Stage != "" || asked.Bundle != "" {
		return asked, &badRequestError{errors.New("only a Pipeline has stages and bundles")}
	}
	switch verb := asked.Verb; {
	case !slices.Contains(reconciled, asked.Kind):
		return asked, fmt.Errorf("%w: no controller of ours reconciles a %s, or can be asked to %q", errUnknownVerb, asked.Kind, verb)
	case verb == "reconcile":
		return asked, who.Reconcile(ctx, kind.GroupVersionKind, key)
	case verb == "suspend":
		return asked, who.Suspend(ctx, kind.GroupVersionKind, key)
	case verb == "resume":
		return asked, who.Resume(ctx, kind.GroupVersionKind, key)
	}
	if verb := flaggerv1.CommandVerb(asked.Verb); asked.Kind == flaggerv1.CanaryKind && slices.Contains(canaryVerbs, verb) {
		var c flaggerv1.Canary
		c.Namespace, c.Name = asked.Namespace, asked.Name
		_, err := who.Canary(ctx, verb, &c)
		return asked, err
	}
	return asked, fmt.Errorf("%w: %q of %s", errUnknownVerb, asked.Verb, asked.Kind)
}

// stageVerbs are the commands to a stage.
var stageVerbs = map[string]struct {
	verb             sluicev1.CommandVerb
	end, needsReason bool
}{
	"approve": {verb: sluicev1.CommandApprove}, "promote": {verb: sluicev1.CommandPromote}, "lift": {verb: sluicev1.CommandLift},
	"hold": {verb: sluicev1.CommandHold, needsReason: true}, "resume": {verb: sluicev1.CommandHold, end: true},
	"rollback": {verb: sluicev1.CommandRollback, needsReason: true}, "override": {verb: sluicev1.CommandOverride, needsReason: true},
}

// giveToStage gives a command to a stage of a Pipeline.
func (v *view) giveToStage(ctx context.Context, who command.Person, asked Action) (Action, error) {
	verb, ok := stageVerbs[asked.Verb]
	switch {
	case !ok:
		return asked, fmt.Errorf("%w: %q of a stage", errUnknownVerb, asked.Verb)
	case verb.needsReason && asked.Reason == "":
		return asked, &badRequestError{errors.New("say why: whoever looks at the pipeline later wants to know")}
	}
	var p sluicev1.Pipeline
	if err := v.client.Get(ctx, client.ObjectKey{Namespace: asked.Namespace, Name: asked.Name}, &p); err != nil {
		return asked, err
	}
	given := report.GivenCommand{Verb: verb.verb, Command: sluicev1.Command{
		By: who.Name, Reason: asked.Reason, End: verb.end, Bundle: asked.Bundle,
	}}
	if asked.Stage == "" {
		stage, err := report.StageOf(&p, verb.verb, given.Command)
		if err != nil {
			return asked, &badRequestError{err}
		}
		asked.Stage = stage
	}
	if given.Bundle == "" {
		given.Bundle = command.BundleMeant(&p, asked.Stage, verb.verb)
		asked.Bundle = given.Bundle
	}
	_, err := who.Stage(ctx, &p, command.StageCommands{Stage: asked.Stage, Name: asked.Verb, Commands: []report.GivenCommand{given}})
	return asked, err
}
