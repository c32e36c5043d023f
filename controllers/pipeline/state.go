// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/git/credential"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/writeback"
)

// carrierOf is where the decisions about a pipeline are kept.
func carrierOf(p *sluicev1.Pipeline) sluicev1.StateCarrier {
	switch {
	case p.Spec.State != "":
		return p.Spec.State
	case p.Spec.SourceRef == nil:
		return sluicev1.StateNone
	}
	return sluicev1.StateBranch
}

// stateFolder follows the prefix in the names of branches that have states.
const stateFolder = "state/"

// stateBranch is the branch that has the state of a pipeline. It begins as the branches of its pull
// requests do, so that pipelines of the same name in two clusters, which share a repository, do not
// share a state.
func stateBranch(p *sluicev1.Pipeline) string {
	prefix := defaultPrefix
	for _, stage := range p.Spec.Stages {
		if pr := stage.Write.PullRequest; pr != nil && pr.BranchPrefix != "" {
			prefix = pr.BranchPrefix
			break
		}
	}
	return stateBranchAt(prefix, p)
}

// longestBranch is the longest last part of the name of a branch that servers keep in a file.
const longestBranch = 200

func stateBranchAt(prefix string, p *sluicev1.Pipeline) string {
	return prefix + stateFolder + branchName(p.Namespace+"."+p.Name, longestBranch)
}

// stateCache is the state as it is on its carrier, and the commit that has it.
type stateCache struct {
	state   promotion.State
	carrier sluicev1.StateCarrier
	branch  string
	commit  plumbing.Hash
	// lastPoll is when it was last asked whether somebody else wrote it.
	lastPoll poll
	// known is false before it was read. It is unsaved if another carrier had it, and lost
	// if there is none although there was one.
	known, unsaved, lost bool
}

// stateStore keeps what was decided about a pipeline on its carrier.
type stateStore struct {
	pipeline *sluicev1.Pipeline
	repo     *repository // nil without Git
	writer   *writeback.Writer
	live     client.Reader
	cache    *stateCache
	// heads lists the refs of the repository, for all pipelines on it, as of some seconds ago.
	heads func(context.Context) (map[string]plumbing.Hash, error)
	now   time.Time
	// told is the serial of the state whose events were told: that of the status as the run found it.
	told int64
}

// file is the state's file.
func (s stateStore) file() writeback.StateFile { return s.fileOn(stateBranch(s.pipeline)) }

func (s stateStore) fileOn(branch string) writeback.StateFile {
	return writeback.StateFile{
		Remote: s.repo.remote, Branch: branch,
		Path: "state.yaml", Author: s.repo.author, Signer: s.repo.signer,
	}
}

// read reads the state, unless it is remembered and nobody else wrote it since. What the other
// carrier has, or another branch, is taken over when this one has nothing.
func (s stateStore) read(ctx context.Context) error {
	was, branch, carrier := *s.cache, stateBranch(s.pipeline), carrierOf(s.pipeline)
	if was.known && was.carrier == carrier && was.branch == branch && !s.isMoved(ctx) {
		return nil
	}
	read := s.readBranch
	if carrier == sluicev1.StateNone {
		read = s.readStatus
	}
	*s.cache = stateCache{carrier: carrier, branch: branch, lastPoll: pollAt(s.pipeline, s.now)}
	text, from, err := read(ctx)
	if err != nil {
		if carrier != sluicev1.StateNone && s.repo != nil {
			err = fmt.Errorf("GitRepository %s: %w", client.ObjectKeyFromObject(s.repo.object), credential.Advise(s.repo.object, err))
		}
		return fmt.Errorf("reading the state: %w", err)
	}
	if text == nil {
		s.cache.follow(was)
	} else {
		if s.cache.state, err = promotion.ParseState(text); err != nil {
			return reconciler.WithReason(sluicev1.StateInvalidReason, fmt.Errorf("%s: %w", from, err))
		}
		s.cache.lost = s.cache.lost || s.cache.state.Serial < s.lastSerial(was)
	}
	s.cache.known = true
	return nil
}

// lastSerial is the serial of the state that was read or written last. A smaller one on the branch
// means that somebody forced it, or restored the repository from a backup, and that what was
// decided since is gone.
func (s stateStore) lastSerial(was stateCache) int64 {
	if s.cache.carrier != sluicev1.StateBranch {
		return 0
	}
	return max(was.state.Serial, s.pipeline.Status.StateSerial)
}

// follow is what becomes of a state that the branch does not have: it was on another one, which the
// pipeline had before, or it is lost.
func (m *stateCache) follow(was stateCache) {
	switch {
	case !was.known || m.carrier != sluicev1.StateBranch || was.carrier != m.carrier:
	case was.branch != m.branch:
		m.state, m.unsaved, m.lost = was.state, true, was.lost
	case m.commit.IsZero() && !was.commit.IsZero():
		m.lost = true
	}
}

// isMoved reports whether the branch of the state is not where it was left: people may edit it, or
// delete it. It is asked once in an interval, and when somebody asks for a reconcile; whatever is
// written in the meantime is refused if the branch moved. A server that is away tells nothing.
func (s stateStore) isMoved(ctx context.Context) bool {
	m, next := s.cache, pollAt(s.pipeline, s.now)
	if m.carrier != sluicev1.StateBranch || !next.isDue(m.lastPoll, s.pipeline) {
		return false
	}
	refs, err := s.heads(ctx)
	if err != nil {
		return false
	}
	m.lastPoll = next
	return refs[plumbing.NewBranchReferenceName(m.branch).String()] != m.commit
}

// readBranch reads the state of the branch; if there is none, that of the status.
func (s stateStore) readBranch(ctx context.Context) (text []byte, from string, err error) {
	from = "branch " + s.file().Branch
	if text, s.cache.commit, err = s.writer.ReadState(ctx, s.file()); err != nil || !s.cache.commit.IsZero() {
		s.cache.lost = err == nil && text == nil // with the file of a branch that is still there
		return text, from, err
	}
	if was := s.pipeline.Status.State; was != "" {
		s.cache.unsaved = true
		return []byte(was), "status.state", nil
	}
	s.cache.lost = s.pipeline.Status.StateCommit != ""
	if first := stateBranchAt(defaultPrefix, s.pipeline); s.cache.lost && first != s.file().Branch {
		from = "branch " + first // from before its pull requests had a prefix of their own
		text, _, err = s.writer.ReadState(ctx, s.fileOn(first))
		s.cache.unsaved, s.cache.lost = text != nil, text == nil
	}
	return text, from, err
}

// readStatus reads the state of the status; if there is none, that of the branch which it
// was kept on before. The API server is asked: a cache may lack what a process before
// this one decided last.
func (s stateStore) readStatus(ctx context.Context) (text []byte, from string, err error) {
	var live sluicev1.Pipeline
	if err := s.live.Get(ctx, client.ObjectKeyFromObject(s.pipeline), &live); err != nil {
		return nil, "", err
	}
	if live.Status.State != "" {
		return []byte(live.Status.State), "status.state", nil
	}
	if live.Status.StateCommit == "" || s.pipeline.Spec.SourceRef == nil {
		return nil, "status.state", nil
	}
	from = "branch " + s.file().Branch
	text, _, err = s.writer.ReadState(ctx, s.file())
	s.cache.unsaved, s.cache.lost = text != nil, text == nil
	return text, from, err
}

// save writes the next state if it differs. It reports whether it did.
func (s stateStore) save(ctx context.Context, d promotion.Decision) (bool, error) {
	if !s.cache.unsaved && reflect.DeepEqual(s.cache.state, d.State) {
		return false, nil // as nearly always
	}
	before, err := s.cache.state.Marshal()
	if err != nil {
		return false, err
	}
	after, err := d.State.Marshal()
	if err != nil || bytes.Equal(before, after) && !s.cache.unsaved {
		return false, err
	}
	d.State.Serial = max(d.State.Serial, s.pipeline.Status.StateSerial) + 1
	d.State = d.State.WithEvents(d.Events, s.told, s.now)
	if after, err = d.State.Marshal(); err != nil {
		return false, err
	}
	made := plumbing.ZeroHash
	if s.cache.carrier == sluicev1.StateNone {
		err = s.saveInStatus(ctx, after)
	} else {
		made, err = s.writer.WriteState(ctx, s.file(), s.cache.commit, after, stateMessage(s.pipeline, d))
	}
	if err != nil {
		s.cache.known = false // somebody else wrote it: what they decided counts
		return false, err
	}
	s.cache.state, s.cache.commit, s.cache.lost, s.cache.unsaved = d.State, made, false, false
	return true, nil
}

// untold are the events that a process kept with the state, and ended before it told them; or the status
// could not be written, which says that they were. If the status says nothing, those of its predecessor, if it
// was made anew and the branch has the state still, are not told again: they are older than the Pipeline.
func (s stateStore) untold() []promotion.Event {
	if s.told == 0 && s.cache.carrier == sluicev1.StateBranch {
		return s.cache.state.EventsSince(s.pipeline.CreationTimestamp.Time)
	}
	return s.cache.state.EventsAfter(s.told)
}

// saveInStatus writes the state into the status. Another process that decides at the same time writes
// another one, and is refused.
func (s stateStore) saveInStatus(ctx context.Context, state []byte) error {
	before := s.pipeline.Status.State
	s.pipeline.Status.State = string(state)
	if err := reconciler.Checkpoint(ctx); err != nil {
		s.pipeline.Status.State = before
		return fmt.Errorf("writing the state to the status: %w", err)
	}
	return nil
}

// recordCarrier notes in the status where the state is.
func recordCarrier(p *sluicev1.Pipeline, kept stateCache, now time.Time) {
	p.Status.StateCommit, p.Status.StateSerial = "", kept.state.Serial
	if kept.carrier == sluicev1.StateNone {
		reconciler.SetCondition(p, now, metav1.Condition{
			Type: sluicev1.StateDurableCondition, Status: metav1.ConditionFalse, Reason: sluicev1.StateInStatusReason,
			Message: "verdicts, quarantine and approvals are lost with this object: spec.state is None",
		})
		return
	}
	p.Status.State = ""
	reconciler.RemoveCondition(p, sluicev1.StateDurableCondition)
	if !kept.commit.IsZero() {
		p.Status.StateCommit = kept.commit.String()
	}
}

// byPeople are the reasons of events that begin with somebody's name.
var byPeople = map[string]bool{"CommandCarriedOut": true, "CommandRefused": true, "Ignored": true}

// capitalized is an event as a subject, which begins with a capital letter, unless that is of
// somebody's name.
func capitalized(e promotion.Event) string {
	if byPeople[e.Reason] {
		return e.Message
	}
	return strings.ToUpper(e.Message[:1]) + e.Message[1:]
}

// stateMessage is the message of a commit of the state.
func stateMessage(p *sluicev1.Pipeline, d promotion.Decision) string {
	text := fmt.Sprintf("Note where pipeline %s/%s stands\n", p.Namespace, p.Name)
	if len(d.Events) > 0 {
		text = capitalized(d.Events[0]) + "\n"
	}
	if len(d.Events) > 1 {
		text += "\n"
		for _, e := range d.Events[1:] {
			text += "- " + e.Message + "\n"
		}
	}
	return text
}
