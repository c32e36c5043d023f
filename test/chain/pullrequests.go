// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/gitea"
	"github.com/sluice-cd/sluice/test/harness"
)

// PullRequests is a [Promotion] whose production takes pull requests, at a forge of its own.
// Nothing merges them but a person.
type PullRequests struct {
	*Promotion
	// Forge has the repository, and Person may merge there.
	Forge  *gitea.Server
	Person *gitea.Person
	// Webhooks is the address, host:port, at which the controller has to take them in
	// (--receiverAddr).
	Webhooks string

	at     *gitea.Repo
	merged int64 // the number of the pull request that was merged last
}

// Merging says who merges the pull requests of a chain.
type Merging string

// Who merges.
const (
	// ByProgram means that the chain does, in the name of its person, as soon as nothing
	// else is waited for.
	ByProgram Merging = "by program"
	// ByHand means that somebody does, who may take a day for it.
	ByHand Merging = "by hand"
)

// aDay is how long people may take.
const aDay = 24 * time.Hour

// SetupPullRequests is [SetupPromotion] for [PullRequests]. It starts the forge, which
// [PullRequests.Close] ends, also after an error.
func SetupPullRequests(ctx context.Context, p *harness.Playground, work string, o Options, m Merging) (*PullRequests, error) {
	base, err := newPromotion(p, o)
	if err != nil {
		return nil, err
	}
	c := &PullRequests{Promotion: base}
	c.chain = append(c.chain, "pull-request.yaml")
	if c.act = c.press; m == ByHand {
		c.act, c.patience = nil, aDay
	}
	if c.Webhooks, err = harness.FreeAddr(); err != nil {
		return c, err
	}
	folder := filepath.Join(work, "forge")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return c, err
	}
	if c.Forge, err = gitea.Start(ctx, folder); err != nil {
		return c, err
	}
	return c, c.apply(ctx, o, c.seed)
}

// Close ends the forge.
func (c *PullRequests) Close() {
	if c != nil && c.Forge != nil {
		c.Forge.Stop()
	}
}

// seed makes the repository at the forge: a robot proposes to it, and a person merges. The
// forge tells the Receiver of both.
func (c *PullRequests) seed(ctx context.Context, files map[string][]byte) error {
	const owner, name = "acme", "shop"
	robot, err := c.Forge.NewPerson(ctx, "sluice")
	if err != nil {
		return err
	}
	if c.Person, err = c.Forge.NewPerson(ctx, "alice"); err != nil {
		return err
	}
	if err := c.Forge.Admin.NewOrganization(ctx, owner); err != nil {
		return err
	}
	texts := map[string]string{}
	for name, data := range files {
		texts[name] = string(data)
	}
	if c.at, err = c.Forge.NewRepo(ctx, owner, name, texts); err != nil {
		return err
	}
	c.Repo = c.at.Local()
	token := strings.ToLower(rand.Text())
	c.values = map[string]string{
		"SLUICE_FORGE_URL": c.Forge.URL, "SLUICE_FORGE_USERNAME": robot.Name, "SLUICE_FORGE_TOKEN": robot.Token, "SLUICE_WEBHOOK_TOKEN": token,
	}
	receiver := &notificationv1.Receiver{}
	receiver.Namespace, receiver.Name = c.Namespace, "pull-requests"
	return errors.Join(
		c.at.Invite(ctx, gitea.Write, robot, c.Person),
		c.at.AddWebhook(ctx, "http://"+c.Webhooks+receiver.GetWebhookPath(token), token, "pull_request", "pull_request_review", "status"),
	)
}

// Ended are the pull requests that were merged or closed, the newest first.
func (c *PullRequests) Ended(ctx context.Context) ([]gitea.Pull, error) {
	ended, err := c.at.Pulls(ctx, "closed")
	if err != nil {
		return nil, err
	}
	for i := range ended {
		one, err := c.at.Pull(ctx, ended[i].Number) // lists do not say who merged
		if err != nil {
			return nil, err
		}
		ended[i] = *one
	}
	return ended, nil
}

// press merges, as the person, the pull request that waits for nothing else.
func (c *PullRequests) press(ctx context.Context, p *sluicev1.Pipeline) error {
	for _, stage := range p.Status.Stages {
		pr := stage.PullRequest
		if pr == nil || pr.State != "open" || pr.Number == c.merged || !waitsForAPerson(stage) {
			continue
		}
		if err := c.Person.Merge(ctx, c.at, pr.Number, gitea.StyleMerge); err != nil {
			return err
		}
		c.merged = pr.Number
	}
	return nil
}

// waitsForAPerson reports whether all that a stage waits for is a merge.
func waitsForAPerson(stage sluicev1.StageStatus) bool {
	for _, gate := range stage.Waiting {
		if gate.Type != sluicev1.GateReview || !strings.HasPrefix(gate.Message, "a person has to merge") {
			return false
		}
	}
	return len(stage.Waiting) > 0
}
