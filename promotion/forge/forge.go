// SPDX-License-Identifier: Apache-2.0

package forge

import "context"

// Forge is one repository at a forge, as one identity. Errors are described in
// errors.go; every call may return a [RateLimited], an [Unauthorized] or an error of
// the connection.
type Forge interface {
	// CurrentUser is who the credential is: the author of what is opened with it.
	CurrentUser(ctx context.Context) (User, error)
	// Find returns the pull request of a branch into base: the open one if there is
	// one, else the newest, or [ErrNotFound]. All is filled as by Get.
	Find(ctx context.Context, base, branch string) (*PullRequest, error)
	// Get returns a pull request, or [ErrNotFound].
	Get(ctx context.Context, number int64) (*PullRequest, error)
	// Recent returns a page of the pull requests that changed last, newest first, in all
	// states: one request that tells whether anything happened in the repository. What a
	// list does not say is unknown in it: Mergeable, Blocked, Approvals, Queued, ClosedBy;
	// HeadSHA and Landed may be abbreviated to 12 characters.
	Recent(ctx context.Context) ([]PullRequest, error)

	// Open opens a pull request. It returns [ErrExists] if there is one, and
	// [ErrNothingToMerge] if the branch has nothing that base has not.
	Open(ctx context.Context, p NewPullRequest) (*PullRequest, error)
	// Update makes title, body and draft what they should be, and writes only if they
	// are not.
	Update(ctx context.Context, number int64, text Text) (*PullRequest, error)
	// Comment adds a comment.
	Comment(ctx context.Context, number int64, body string) error
	// Close closes a pull request without merging it.
	Close(ctx context.Context, number int64) error
	// Reopen opens a closed one again. It returns [NotReopened] where that cannot be,
	// such as when the branch was deleted or pushed by force since.
	Reopen(ctx context.Context, number int64) error

	// Merge merges, if the head is still the one that is named, and returns the pull
	// request as it is afterwards. Some forges merge in the background: it may still be
	// open then. One that is merged already is returned as it is. Otherwise the error is
	// [ErrHeadMoved], [NotMergeable] or [ErrNotFound].
	Merge(ctx context.Context, number int64, m Merge) (*PullRequest, error)
	// EnableAutoMerge lets the forge merge as soon as its own rules are met. It returns
	// [ErrMergeableNow] if they are, since then there is nothing to wait for and some
	// forges would merge at once, others refuse.
	EnableAutoMerge(ctx context.Context, number int64, m Merge) error
	// DisableAutoMerge takes that back; it is no error if there is nothing to take back.
	DisableAutoMerge(ctx context.Context, number int64) error
	// Enqueue puts a pull request into the merge queue of its base. The queue has its own
	// merge method. Nothing may be pushed to the branch while it is queued.
	Enqueue(ctx context.Context, number int64, headSHA string) error

	// Checks says how a commit fares: statuses and, where the forge has them, check runs.
	Checks(ctx context.Context, sha string) (Checks, error)
	// Rules says what a base branch demands, as far as the credential may know.
	Rules(ctx context.Context, branch string) (Rules, error)
	// SetStatus sets a commit status.
	SetStatus(ctx context.Context, sha string, s Status) error
	// EnsureStatus is SetStatus unless the commit has the same.
	EnsureStatus(ctx context.Context, sha string, s Status) error
	// UpsertComment changes the comment of a pull request that has the marker and is our
	// own, among the first thousand, or writes one. The body contains the marker.
	UpsertComment(ctx context.Context, number int64, marker, body string) error
	// Dispatch starts what a repository has for a kind of events from outside, at GitHub the
	// workflows that are triggered by repository_dispatch. The payload is sent as JSON.
	Dispatch(ctx context.Context, kind string, payload any) error
}

// User is a user of a forge.
type User struct {
	// Login is what Author, MergedBy and ClosedBy of a pull request hold for it.
	Login string
}

// PullRequestState is what became of a pull request.
type PullRequestState string

// The states.
const (
	Open   PullRequestState = "open"
	Merged PullRequestState = "merged"
	Closed PullRequestState = "closed" // without being merged; declined, abandoned
)

// Tristate is yes, no, or not known, which is neither.
type Tristate string

// The answers to a question about a forge. The zero Tristate is unknown, too.
const (
	Yes     Tristate = "yes"
	No      Tristate = "no"
	Unknown Tristate = "unknown"
)

// tristate is what a forge says with a bool.
func tristate(yes bool) Tristate {
	if yes {
		return Yes
	}
	return No
}

// Blocker is why a pull request cannot be merged now.
type Blocker string

// The blockers. Forges name more of them, or fewer; ByRules is for those that say only
// that their rules are not met.
const (
	ByConflict  Blocker = "conflict"
	ByDraft     Blocker = "draft"
	ByChecks    Blocker = "checks"
	ByApprovals Blocker = "approvals"
	ByChanges   Blocker = "changes requested"
	ByThreads   Blocker = "discussions"
	ByBehind    Blocker = "behind base"
	ByRules     Blocker = "rules"
)

// PullRequest is what a forge says of one.
type PullRequest struct {
	Number int64
	URL    string // for people
	State  PullRequestState
	Title  string
	Body   string
	Draft  bool
	Author string // login; so are the others below, "" where the forge does not say

	Base, Branch string // names of branches, without refs/heads/
	HeadSHA      string
	// HeadRepo is owner/name of where the branch is; it is another one for a fork, and ""
	// if that was deleted.
	HeadRepo string

	// Mergeable is yes if a merge would be accepted now, and no if it is known that it
	// would not; Blocked then says why.
	Mergeable Tristate
	Blocked   []Blocker
	Approvals int
	// Queued means that it is in a merge queue, and Auto that the forge merges it by
	// itself. Auto is unknown on a forge that does not tell.
	Queued bool
	Auto   Tristate
	// QueueOnly means that its base takes pull requests through a merge queue alone, as far as the
	// forge says so of the pull request: some queues are not among the rules that a credential may read.
	QueueOnly bool
	Labels    []string

	// Landed is the commit on base by which it was merged: of a squash the one commit, of
	// a rebase or a fast-forward the last. "" until then, and where the forge does not say.
	Landed             string
	MergedBy, ClosedBy string
	// ClosedAsStale means that a program closed it that had let it be open before: nobody decided
	// about what it proposes. Only GitHub and GitLab tell programs from people.
	ClosedAsStale bool

	// Warnings say which of the labels, reviewers and assignees could not be set by Open.
	Warnings []string
}

// Text is what people read of a pull request. Title and body are shortened to what
// the forge takes.
type Text struct {
	Title, Body string
	Draft       bool
}

// NewPullRequest is a pull request to open. Labels, reviewers and assignees are set when it
// is opened, and belong to people afterwards.
type NewPullRequest struct {
	Text
	Base, Branch string
	Labels       []string
	// Reviewers and Assignees are logins.
	Reviewers, Assignees []string
}

// Method is how commits get from a branch to its base.
type Method string

// The methods.
const (
	MergeCommit Method = "merge"
	Squash      Method = "squash"
	Rebase      Method = "rebase"
	FastForward Method = "fast-forward"
)

// Merge says what to merge, and how.
type Merge struct {
	// HeadSHA is the commit that was judged; the full hash.
	HeadSHA string
	Method  Method
	// Title and Body are the message of the commit that the forge makes, if it makes one.
	// Without a title the forge writes its own.
	Title, Body string
}

// CheckState is how a check went.
type CheckState string

// The states of checks, and of a commit as a whole.
const (
	CheckPending CheckState = "pending"
	CheckSuccess CheckState = "success"
	CheckFailure CheckState = "failure"
	// CheckNone is a commit without checks.
	CheckNone CheckState = "none"
)

// Status is one check of a commit.
type Status struct {
	// Context is the name, by which rules require it.
	Context     string
	State       CheckState
	Description string
	URL         string
	// Genre is before the context at Azure DevOps, and Key is by which Bitbucket tells builds apart; empty is none, and one
	// that is made of the context. Statuses that are read have neither.
	Genre, Key string
}

// Checks are all checks of a commit, the latest of each context.
type Checks struct {
	State    CheckState
	Statuses []Status
	// Incomplete means that not all could be read; State may be too good then.
	Incomplete bool
}

// Rules are what a branch demands of pull requests into it.
type Rules struct {
	// Complete means that all rules could be read. If not, there may be more.
	Complete bool
	// Protected means that the forge has rules for the branch at all.
	Protected      bool
	RequiredChecks []string
	// AllChecks means that every check has to succeed, whatever its name.
	AllChecks bool
	Approvals int
	// Queue means that pull requests are merged by a merge queue only.
	Queue bool
	// UpToDate means that a branch has to contain its base.
	UpToDate bool
	// Methods are the methods that are allowed; the first is the one to choose without a wish.
	Methods []Method
}
