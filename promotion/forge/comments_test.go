// SPDX-License-Identifier: Apache-2.0

package forge

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// thread is the comments of a pull request.
type thread struct {
	pullRequests
	all []string // author: body
	ids []comment
	// pages is how many were read.
	pages int
}

// after are comments that come after many of others.
func after(many int, last comment) (all []comment) {
	for i := range many {
		all = append(all, comment{int64(i), "alice", "hello"})
	}
	last.id = int64(many)
	return append(all, last)
}

func (t *thread) listComments(_ context.Context, _ int64, page int) ([]comment, bool, error) {
	t.pages = max(t.pages, page)
	from := min((page-1)*commentsPerPage, len(t.ids))
	to := min(from+commentsPerPage, len(t.ids))
	return t.ids[from:to], to < len(t.ids), nil
}

func (t *thread) editComment(_ context.Context, _, id int64, body string) error {
	t.all = append(t.all, "edit")
	t.ids[id].body = body
	return nil
}

func (t *thread) comment(_ context.Context, _ int64, body string) error {
	t.all = append(t.all, "write "+body)
	return nil
}

func TestACommentIsKeptUpToDate(t *testing.T) {
	const marker, body = "<!-- key -->", "<!-- key -->\n\nnow"
	for name, tc := range map[string]struct {
		there []comment
		want  []string
	}{
		"none is there":                        {nil, []string{"write " + body}},
		"ours says something else":             {[]comment{{0, "robot", marker + " before"}}, []string{"edit"}},
		"ours says the same":                   {[]comment{{0, "robot", body}}, nil},
		"somebody quoted it":                   {[]comment{{0, "alice", marker + " before"}}, []string{"write " + body}},
		"ours is about another object":         {[]comment{{0, "robot", "<!-- other -->"}}, []string{"write " + body}},
		"ours is after those of somebody else": {[]comment{{0, "alice", "hello"}, {1, "Robot", marker}}, []string{"edit"}},
		// Only the first hundred were read: each event became one more comment.
		"ours is after a hundred of others":     {after(commentsPerPage, comment{0, "robot", marker}), []string{"edit"}},
		"ours is the same after a hundred":      {after(commentsPerPage+50, comment{0, "robot", body}), nil},
		"ours is after more than are looked at": {after(commentsPerPage*maxCommentPages, comment{0, "robot", body}), []string{"write " + body}},
	} {
		t.Run(name, func(t *testing.T) {
			pr := &thread{ids: tc.there}
			c := &checkedForge{session: &session{table: providers[Gitea]}, driver: driver{
				identity: func(context.Context) (User, error) { return User{Login: "robot"}, nil }, pulls: pr, comments: pr,
			}}
			if err := c.UpsertComment(t.Context(), 7, marker, body); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, pr.all); diff != "" || pr.pages > maxCommentPages {
				t.Errorf("read %d pages: %s", pr.pages, diff)
			}
		})
	}
}

func TestAForgeWithoutCommentsOrWorkflowsSaysSo(t *testing.T) {
	c := &checkedForge{session: &session{provider: Bitbucket, table: providers[Bitbucket]}}
	var unsupported *Unsupported
	if err := c.UpsertComment(t.Context(), 7, "m", "b"); !errors.As(err, &unsupported) {
		t.Errorf("comments: %v", err)
	}
	if err := c.Dispatch(t.Context(), "k", nil); !errors.As(err, &unsupported) {
		t.Errorf("workflows: %v", err)
	}
}
