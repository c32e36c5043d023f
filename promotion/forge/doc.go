// SPDX-License-Identifier: Apache-2.0

// Package forge opens, watches and merges pull requests, whoever hosts them: GitHub,
// GitLab (where they are merge requests), Gitea and Forgejo, Bitbucket Cloud and Data
// Center, Azure DevOps. Pipelines promote by them, and image automations propose by them.
//
//	Remote{URL, Provider, Secret} -> [Clients.For] -> Forge: Find, Get, Open, Update, Merge, ...
//	                                     |
//	providers: a table of what each forge takes and can do
//	checked:   refuses what the table does not allow, and says in errors what was tried
//	driver:    what takes several requests, over the pull requests, commits and rules of
//	           one forge by its own protocol
//	session:   one transport for all: guard, limits, ETags, bounded bodies, masked errors
//
// What a forge says is a hint that is a moment old, and forges differ in how they
// tell. The rules that all keep, whatever the protocol:
//
//   - A pull request is found by its two branches, in any state, and only if its
//     branch is in the repository itself: a fork can have a branch of any name.
//   - Unknown is not no: mergeability is computed in the background after each push.
//   - A merge names the commit that was judged. If the branch moved since, the forge
//     refuses ([ErrHeadMoved]), or the driver does after it looked once more.
//   - What is done already is done: merging what is merged, closing what is closed.
//     Nothing that writes is sent twice by itself.
//   - An error is final only if it says so ([Terminal]): a gateway that times out for
//     an hour changes nothing.
//
// GitHub, GitLab and Gitea are spoken with by their client libraries, to which the
// session is an [net/http.RoundTripper]; for GitHub it is the version that fluxcd/pkg
// brings into the binary anyway. The libraries for Bitbucket (ktrysmt/go-bitbucket:
// maps without types) and for Azure DevOps (microsoft/azure-devops-go-api: still since
// 2024, and it discovers each URL by a request of its own) do not fit; these forges are
// spoken with by clients of our own.
package forge
