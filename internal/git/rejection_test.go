// SPDX-License-Identifier: Apache-2.0

package git

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/internal/git/protocol"
)

// TestACredentialInARejectionIsHiddenHoweverItIsWritten has one that ends in what
// frames of banners are drawn with, and so in what is taken from the end of a line.
func TestACredentialInARejectionIsHiddenHoweverItIsWritten(t *testing.T) {
	const password = `-s3cr3t"<&==`
	basic := base64.StdEncoding.EncodeToString([]byte("user:" + password))
	for name, said := range map[string]string{
		"at the end of a line":       "you said " + password,
		"at the beginning":           password + " is wrong",
		"in a frame":                 "== " + password + " ==",
		"in JSON":                    `{"password":"-s3cr3t\"\u003c\u0026=="}`,
		"in a URL":                   "https://user:-s3cr3t%22%3C%26%3D%3D@git.example.com",
		"as the header of a request": "Authorization: Basic " + basic,
		"as half of such a header":   base64.StdEncoding.EncodeToString([]byte(password)),
	} {
		t.Run(name, func(t *testing.T) {
			c := &connection{token: Token{Username: "user", Password: password}}
			got := c.rejection(&protocol.Report{Refused: map[string]string{"refs/heads/main": "declined"}, Said: said + "\n"})
			for _, part := range []string{"s3cr3t", basic[:12], "LXMzY3IzdCI8"} {
				if strings.Contains(got, part) {
					t.Errorf("%q is in: %s", part, got)
				}
			}
		})
	}
}

const corporateBanner = `
******************************************************************************
*                       WELCOME TO THE FORGE OF EXAMPLE                       *
*  Authorised users only. What you do here is recorded. Terms of use are at  *
*  https://intranet.example.com/terms                                        *
******************************************************************************
`

func TestAllReasonsOfARejectionAreTold(t *testing.T) {
	long := strings.Repeat("You are a guest here, and what you do is watched with care.\nEntry "+strings.Repeat("x", 80)+"\n", 30)
	tests := map[string]struct {
		reason, said string
		want         []string // parts, in order
		not          []string
	}{
		"a banner before the reason": {
			"pre-receive hook declined", corporateBanner + "remote rejected: CHANGE-MISSING: the message must name a change.\n",
			[]string{"pre-receive hook declined", "WELCOME", "CHANGE-MISSING: the message must name a change."}, []string{"**", "* "},
		},
		"a rule set with several rules": {
			"push declined due to repository rule violations",
			"error: GH013: Repository rule violations found for refs/heads/main.\n" +
				"Review all repository rules at https://github.com/o/r/rules?ref=refs%2Fheads%2Fmain\n\n" +
				"- Changes must be made through a pull request.\n\n- Required status check \"ci\" is expected.\n\n" +
				"- Commits must have verified signatures.\n",
			[]string{
				"GH013",
				"https://github.com/o/r/rules",
				"- Changes must be made",
				"- Required status check",
				"- Commits must have verified signatures.",
			}, nil,
		},
		"push protection": {
			"push declined due to repository rule violations",
			"error: GH013: Repository rule violations found for refs/heads/main.\n\n- GITHUB PUSH PROTECTION\n" +
				"  —————————————————————————————————————————\n" +
				"    Resolve the following violations before pushing again\n\n    - Push cannot contain secrets\n\n" +
				"      —— Some Token ————————————————\n       locations:\n         - commit: 0123456789\n           path: app/values.yaml:4\n",
			[]string{
				"GITHUB PUSH PROTECTION",
				"Push cannot contain secrets",
				"Some Token",
				"- commit: 0123456789",
				"app/values.yaml:4",
			}, []string{"——"},
		},
		"a reason at the end of a very long banner": {
			"pre-receive hook declined", long + "GL-HOOK-ERR: branch main is frozen\n",
			[]string{"pre-receive hook declined", "GL-HOOK-ERR: branch main is frozen"}, nil,
		},
		"a reason before a very long text": {
			"hook declined", "error: TF402455: Pushes to this branch are not permitted; use a pull request.\n" + long,
			[]string{"hook declined", "TF402455"}, nil,
		},
		"colours and progress": {
			"declined", "Resolving deltas: 100% (1/1)\rResolving deltas: 100% (1/1), done.\n\x1b[1;31mno\x1b[0m entry\n",
			[]string{"declined no entry"}, []string{"deltas", "\x1b", "[0m"},
		},
		"a credential": {"declined", "you are user:s3cr3t\n", []string{"you are user:***"}, []string{"s3cr3t"}},
		"the same line over and over": {
			"declined", strings.Repeat("no\n", 500), []string{"declined no"}, []string{"no no"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := &connection{token: Token{Username: "user", Password: "s3cr3t"}}
			got := c.rejection(&protocol.Report{Refused: map[string]string{"refs/heads/main": tc.reason}, Said: tc.said})
			if len(got) > maxReasons+20 {
				t.Errorf("%d bytes", len(got))
			}
			rest := got
			for _, part := range tc.want {
				_, after, ok := strings.Cut(rest, part)
				if !ok {
					t.Fatalf("%q is not in its place in: %s", part, got)
				}
				rest = after
			}
			for _, part := range tc.not {
				if strings.Contains(got, part) {
					t.Errorf("%q is in: %s", part, got)
				}
			}
		})
	}
}

func TestTheReasonsOfAllRefsOfAPush(t *testing.T) {
	got := (&connection{}).rejection(&protocol.Report{Refused: map[string]string{
		"refs/heads/a": "protected",
		"refs/heads/b": "protected",
		"refs/heads/c": "frozen",
	}})
	if diff := cmp.Diff("frozen protected", got); diff != "" {
		t.Error(diff)
	}
}
