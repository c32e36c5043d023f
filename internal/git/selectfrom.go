package git

import "github.com/go-git/go-git/v5/plumbing"

// SelectFrom is Select for those who have asked for the refs already.
func (m *Mirror) SelectFrom(refs map[string]plumbing.Hash, ref Reference) (Selected, error) {
	switch {
	case plumbing.IsHash(ref.Commit):
		return Selected{Commit: plumbing.NewHash(ref.Commit), Ref: ref.Commit, Label: ref.Branch}, nil
	case len(refs) == 0:
		return Selected{}, ErrEmptyRepository
	}
	return ref.among(refs, m.remote)
}
