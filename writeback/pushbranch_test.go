// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"errors"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/git"
)

func TestWhatBecomesOfAPushBranch(t *testing.T) {
	const bot, person = "bot@example.com", "person@example.com"
	root, source, tip, other := hashOf(1), hashOf(2), hashOf(3), hashOf(4)
	by := func(email string, parents ...plumbing.Hash) commitFacts {
		return commitFacts{hash: tip, parents: parents, author: email, committer: email}
	}
	tests := map[string]struct {
		tip         commitFacts
		last        Last
		wantOurs    bool // it may be built anew
		wantCurrent bool // it was built on what is checked out now
	}{
		"what we pushed on the checkout":                     {by(bot, source), Last{Push: tip, Base: source}, true, true},
		"what we pushed on an older checkout":                {by(bot, root), Last{Push: tip, Base: root}, true, false},
		"several commits that we pushed":                     {by(bot, other), Last{Push: tip, Base: source}, true, true},
		"a commit of a person on top of ours":                {by(person, other), Last{Push: other, Base: source}, false, true},
		"our commit on a person's, which has no base":        {by(bot, other), Last{Push: tip}, false, false},
		"our commit on the checkout, after a lost status":    {by(bot, source), Last{}, true, true},
		"our commit on an older checkout, after lost status": {by(bot, root), Last{}, false, false},
		"a person's commit on the checkout":                  {by(person, source), Last{}, false, true},
		"a person's commit with our committer": {
			commitFacts{hash: tip, parents: []plumbing.Hash{source}, author: person, committer: bot}, Last{}, false, true},
		"our commit that a person amended": {
			commitFacts{hash: tip, parents: []plumbing.Hash{source}, author: bot, committer: person}, Last{}, false, true},
		"a merge of the checkout by us": {by(bot, source, other), Last{}, false, false},
		"the checkout itself":           {commitFacts{hash: source, parents: []plumbing.Hash{root}, author: person}, Last{}, true, false},
		"the parent of the checkout":    {commitFacts{hash: root, author: person}, Last{}, true, false},
	}
	for name, tc := range tests {
		b := pushBranch{
			source: commitFacts{hash: source, parents: []plumbing.Hash{root}}, tip: tc.tip, bottom: tc.tip, last: tc.last, author: bot,
		}
		if got := b.isOurs(); got != tc.wantOurs {
			t.Errorf("%s: isOurs %v, want %v", name, got, tc.wantOurs)
		}
		if got := b.isBuiltOnSource(); got != tc.wantCurrent {
			t.Errorf("%s: isBuiltOnSource %v, want %v", name, got, tc.wantCurrent)
		}
	}
}

func TestABranchThatWasSetBack(t *testing.T) {
	older, newer := time.Unix(1, 0), time.Unix(2, 0)
	tests := map[string]struct {
		from, to commitFacts
		want     bool
	}{
		"a newer commit":            {commitFacts{hash: hashOf(1), committed: older}, commitFacts{hash: hashOf(2), committed: newer}, false},
		"an older commit":           {commitFacts{hash: hashOf(1), committed: newer}, commitFacts{hash: hashOf(2), committed: older}, true},
		"a commit of the same time": {commitFacts{hash: hashOf(1), committed: older}, commitFacts{hash: hashOf(2), committed: older}, false},
		"a child from a clock that lags": {
			commitFacts{hash: hashOf(1), committed: newer},
			commitFacts{hash: hashOf(2), parents: []plumbing.Hash{hashOf(1)}, committed: older},
			false,
		},
		"a merge from a clock that lags": {
			commitFacts{hash: hashOf(1), committed: newer},
			commitFacts{hash: hashOf(2), parents: []plumbing.Hash{hashOf(9), hashOf(1)}, committed: older},
			false,
		},
	}
	for name, tc := range tests {
		if got := isSetBack(tc.from, tc.to); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestARefspecLosesNoCommits(t *testing.T) {
	made, known, other := hashOf(1), hashOf(2), hashOf(3)
	tests := map[string]struct {
		at      plumbing.Hash
		wantErr error
	}{
		"a target that is not there":               {at: plumbing.ZeroHash},
		"a target at what is pushed":               {at: made},
		"a target at a known commit":               {at: known},
		"a target with commits that are not known": {at: other, wantErr: ErrDiverged},
	}
	for name, tc := range tests {
		got, err := Refspec{Target: "refs/heads/copy"}.update(made, refspecTarget{head: tc.at, known: []plumbing.Hash{known}})
		if !errors.Is(err, tc.wantErr) {
			t.Errorf("%s: error %v, want %v", name, err, tc.wantErr)
		}
		if tc.wantErr == nil {
			if diff := cmp.Diff(git.RefUpdate{Ref: "refs/heads/copy", Old: tc.at, New: made}, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}
