package writeback

import (
	"context"
	"errors"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/sluice-cd/sluice/internal/git"
)

// heads remembers where runs left the branches that they check out and push to.
type heads struct {
	known *cache[plumbing.Hash]
}

// maxHeads bounds what heads remember: some ten thousand branches.
const maxHeads = 4 << 20

func newHeads() *heads {
	return &heads{newCache(maxHeads, func(plumbing.Hash) int64 { return int64(len(plumbing.ZeroHash)) })}
}

// homeOf is false for a run that looks at more than one branch.
func homeOf(req Request) (string, bool) {
	alone := req.Checkout.BranchName() == req.Push && req.Refspec == Refspec{}
	return req.Remote.ID() + " " + req.Push, alone
}

func (h *heads) of(req Request) plumbing.Hash {
	at, alone := homeOf(req)
	if !alone {
		return plumbing.ZeroHash
	}
	head, _ := h.known.get(at)
	return head
}

// note remembers what a run saw last, or nothing after one that failed.
func (h *heads) note(req Request, result Result, err error) {
	at, alone := homeOf(req)
	if err != nil || !alone {
		h.known.remove(at)
		return
	}
	h.known.put(at, result.Source)
}

// guess is an attempt that takes the branch to be where the run before left it, as it
// nearly always is, and pushes without asking: one request instead of two between an
// image and its commit. The remote compares the branch with the guess, so that a wrong
// one loses a race and nothing else.
type guess struct {
	*survey
	// idle says that there is nothing to write if the branch is there.
	idle bool
}

// try is known to have ended the run, unless the guess was wrong, or there is nothing
// to write on top of it: then the remote must be asked after all.
func (g *guess) try(ctx context.Context, visit *visit) (result Result, known bool, err error) {
	head := g.heads.of(g.req)
	if !g.mirror.Has(head) {
		return Result{}, false, nil
	}
	g.refs = map[string]plumbing.Hash{refOf(g.req.Push): head}
	if err := g.run(ctx); err != nil {
		return Result{}, false, nil
	}
	if g.idle = len(g.planned.Contents) == 0; g.idle {
		return Result{}, false, nil
	}
	result, err = g.publish(ctx, visit)
	return result, !errors.Is(err, git.ErrNonFastForward), err
}

// holds reports whether the refs are where an idle guess took them to be.
func (g *guess) holds(refs map[string]plumbing.Hash) bool {
	return g.idle && refs[refOf(g.req.Push)] == g.source.Commit
}
