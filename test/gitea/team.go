// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"errors"
	"fmt"
	"testing"
)

// Team is a server with an organization: a robot proposes to its repositories, and Alice
// reviews and merges.
type Team struct {
	*Server
	Robot, Alice *Person
	repos        int
}

// teamName is the organization.
const teamName = "acme"

// RequireTeam is [Require] and a team on the server.
func RequireTeam(tb testing.TB) *Team {
	tb.Helper()
	t := &Team{Server: Require(tb)}
	var first, second error
	t.Robot, first = t.NewPerson(tb.Context(), "robot")
	t.Alice, second = t.NewPerson(tb.Context(), "alice")
	if err := errors.Join(first, second, t.Admin.NewOrganization(tb.Context(), teamName)); err != nil {
		tb.Fatal(err)
	}
	return t
}

// TeamRepo makes a repository of the organization, that both may write to.
func (t *Team) TeamRepo(tb testing.TB, files map[string]string) *Repo {
	tb.Helper()
	t.repos++
	repo, err := t.NewRepo(tb.Context(), teamName, fmt.Sprintf("fleet-%d", t.repos), files)
	if err == nil {
		err = repo.Invite(tb.Context(), Write, t.Robot, t.Alice)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return repo
}
