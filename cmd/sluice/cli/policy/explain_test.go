// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/test/command"
)

// explain is `sluice explain`.
func explain() *cobra.Command {
	cmd := &cobra.Command{Use: "explain"}
	cmd.AddCommand(ExplainCommand(cluster.AddFlags(cmd, "test")))
	return cmd
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

const tagList = "# from a registry\n1.0.0\n1.1.0\nlatest\n\n2.0.0-rc.1\r\nv1.2.0\n1.1.0\n"

const policyFile = `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app}
---
apiVersion: v1
kind: List
items:
- apiVersion: image.toolkit.fluxcd.io/v1
  kind: ImagePolicy
  metadata: {name: app, namespace: apps}
  spec:
    imageRepositoryRef: {name: app}
    policy: {semver: {range: 1.x}}
    minAge: 24h
    reject:
    - {tag: v1.2.0, reason: it leaks}
  status:
    latestRef: {name: ghcr.io/acme/app, tag: 1.0.0}
    decision:
      rule: semver 1.x
      total: 4
      qualified: 2
      candidates:
      - {tag: 1.1.0, digest: "sha256:feed", firstSeen: "2026-01-02T03:04:05Z", dropped: "younger than 24h", gate: minAge}
      - {tag: 1.0.0}
- apiVersion: image.toolkit.fluxcd.io/v1
  kind: ImagePolicy
  metadata: {name: other, namespace: apps}
  spec:
    imageRepositoryRef: {name: app}
    policy: {alphabetical: {order: desc}}
`

func TestExplainPolicyOffline(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"flags alone are a policy": {[]string{"--range", "1.x"}, `
TAG          RANK   DROPPED BY   WHY
v1.2.0       1      -            first by semver 1.x
1.1.0        2      -            after v1.2.0 in the order
1.0.0        3      -            after v1.2.0 in the order
latest       -      policy       not a semantic version
2.0.0-rc.1   -      policy       outside the range
`},
		"a policy of a file, with what its status knows": {[]string{"app", "--file", "FILE"}, `
TAG          RANK   DROPPED BY   WHY
1.1.0        1      minAge       younger than 24h
1.0.0        2      -            chosen
latest       -      policy       not a semantic version
2.0.0-rc.1   -      policy       outside the range
v1.2.0       -      reject.tag   rejected by spec.reject: it leaks
`},
		"another range for it, and wide": {[]string{"app", "--file", "FILE", "--range", ">=1.1.0-0", "-o", "wide"}, `
TAG          RANK   DROPPED BY   WHY                                     COMPARED     FIRST SEEN             DIGEST
2.0.0-rc.1   1      -            first by semver >=1.1.0-0               2.0.0-rc.1   -                      -
1.1.0        2      minAge       younger than 24h                        1.1.0        2026-01-02T03:04:05Z   sha256:feed
1.0.0        -      policy       outside the range; the present choice   1.0.0        -                      -
latest       -      policy       not a semantic version                  latest       -                      -
v1.2.0       -      reject.tag   rejected by spec.reject: it leaks       v1.2.0       -                      -
`},
		"a filter, an order and a limit": {[]string{
			"--numerical",
			"--order",
			"desc",
			"--pattern",
			`^1\.(\d+)\.`,
			"--extract",
			"$1",
			"--limit",
			"1",
		}, `
TAG      RANK   DROPPED BY   WHY
1.0.0    1      -            first by numerical desc
latest   -      filterTags   not matching spec.filterTags.pattern
`},
		"a pin and a rejection": {[]string{"--pin", "1.0.0", "--reject", "1.1.0", "--limit", "2"}, ``},
		"the other policy of the file": {[]string{"other", "-f", "FILE", "--limit", "1"}, `
TAG     RANK   DROPPED BY   WHY
1.0.0   1      -            first by alphabetical desc
`},
		"a rule of the same kind keeps what no flag says": {[]string{"other", "-f", "FILE", "--alphabetical", "--limit", "1"}, `
TAG     RANK   DROPPED BY   WHY
1.0.0   1      -            first by alphabetical desc
`},
		"another order of the other policy": {[]string{"other", "-f", "FILE", "--order", "asc", "--limit", "1"}, `
TAG      RANK   DROPPED BY   WHY
v1.2.0   1      -            first by alphabetical asc
`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := command.Folder(t, map[string]string{"policies.yaml": policyFile})
			args := []string{"policy", "--tags", "-"}
			for _, arg := range tc.args {
				args = append(args, strings.Replace(arg, "FILE", filepath.Join(dir, "policies.yaml"), 1))
			}
			if tc.want == "" {
				r := command.Run(t, explain(), tagList, args...)
				if r.Err == nil || !strings.Contains(r.Err.Error(), "must set one of semver") {
					t.Errorf("got %v", r.Err)
				}
				return
			}
			r := command.Must(t, explain(), tagList, args...)
			same(t, "table", "\n"+r.Out, tc.want)
		})
	}
}

// An empty --pattern asked for one if the policy had an extract: there is nothing to extract without a pattern.
func TestAPolicyIsTriedWithoutItsPattern(t *testing.T) {
	dir := command.Folder(t, map[string]string{"p.yaml": strings.Replace(policyFile, "    policy: {alphabetical: {order: desc}}\n",
		"    policy: {alphabetical: {order: desc}}\n    filterTags: {pattern: '^v(.*)$', extract: $1}\n", 1)})
	args := []string{"policy", "other", "--tags", "-", "--file", filepath.Join(dir, "p.yaml")}
	if r := command.Must(t, explain(), tagList, args...); !strings.Contains(r.Out, "not matching") {
		t.Errorf("the pattern drops nothing: %s", r.Out)
	}
	if r := command.Must(t, explain(), tagList, append(args, "--pattern", "")...); strings.Contains(r.Out, "not matching") {
		t.Errorf("without a pattern: %s", r.Out)
	}
	r := command.Run(t, explain(), tagList, append(args, "--pattern", "", "--extract", "$1")...)
	if r.Err == nil || !strings.Contains(r.Err.Error(), "no pattern to extract from") {
		t.Errorf("an extract of nothing: %v", r.Err)
	}
}

func TestExplainPolicySaysWhatItDoesNotJudge(t *testing.T) {
	dir := command.Folder(t, map[string]string{"p.yaml": policyFile})
	r := command.Must(t, explain(), tagList, "policy", "app", "--tags", "-", "--file", filepath.Join(dir, "p.yaml"))
	const want = "minAge: not judged here; of the best tags the last verdict is shown, where the status has it\n"
	if !strings.Contains(r.Errors, want) {
		t.Errorf("said %q", r.Errors)
	}
}

func TestExplainPolicySaysThatTheControllerRefusesIt(t *testing.T) {
	dir := command.Folder(t, map[string]string{"p.yaml": strings.Replace(policyFile, "  status:\n", `  status:
    conditions:
    - {type: Ready, status: "False", reason: AccessDenied, message: not for this namespace}
    - {type: Stalled, status: "True", reason: AccessDenied, message: not for this namespace}
`, 1)})
	r := command.Must(t, explain(), tagList, "policy", "app", "--tags", "-", "--file", filepath.Join(dir, "p.yaml"))
	if want := "ImagePolicy app: the controller refuses it: AccessDenied: not for this namespace\n"; !strings.Contains(r.Errors, want) {
		t.Errorf("said %q", r.Errors)
	}
}

func TestExplainPolicyForMachines(t *testing.T) {
	r := command.Must(t, explain(), tagList, "policy", "--tags", "-", "--range", "1.x", "-o", "json")
	var got struct {
		Rule             string
		Total, Qualified int
		Tags             []struct {
			Tag, Gate, Why string
			Rank           int
		}
	}
	if err := json.Unmarshal([]byte(r.Out), &got); err != nil {
		t.Fatal(err)
	}
	if got.Rule != "semver 1.x" || got.Total != 6 || len(got.Tags) != 5 || got.Tags[0].Tag != "v1.2.0" || got.Tags[0].Rank != 1 ||
		got.Tags[3].Gate != "policy" {
		t.Errorf("got %+v", got)
	}
	yaml := command.Must(t, explain(), tagList, "policy", "--tags", "-", "--range", "1.x", "-o", "yaml")
	if !strings.Contains(yaml.Out, "\nrule: semver 1.x\n") {
		t.Errorf("got %s", yaml.Out)
	}
}

// The tags that another tool lists are also those that the controller never sees.
func TestExplainPolicyLeavesOutWhatIsExcluded(t *testing.T) {
	const tags = "main-1\nmain-2\nsha256-aa.sig\nsha256-aa.att\nsha256-aa.sig\n"
	const repository = `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app, namespace: apps}
spec: {image: registry.example.com/app, interval: 5m, exclusionList: ["^sha256-", "-1$"]}
---
`
	const policy = `apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: app, namespace: apps}
spec: {imageRepositoryRef: {name: app}, policy: {alphabetical: {order: asc}}}
`
	tests := map[string]struct{ file, want, says string }{
		"by the repository of the file": {repository + policy, `
TAG             RANK   DROPPED BY      WHY
main-2          1      -               first by alphabetical asc
main-1          -      exclusionList   left out by -1$
sha256-aa.sig   -      exclusionList   left out by ^sha256-
sha256-aa.att   -      exclusionList   left out by ^sha256-
`, ""},
		"by default": {policy, `
TAG             RANK   DROPPED BY      WHY
sha256-aa.att   1      -               first by alphabetical asc
main-2          2      -               after sha256-aa.att in the order
main-1          3      -               after sha256-aa.att in the order
sha256-aa.sig   -      exclusionList   left out by ^.*\.sig$
`, "exclusions are taken for the default"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := command.Folder(t, map[string]string{"p.yaml": tc.file})
			r := command.Must(t, explain(), tags, "policy", "--tags", "-", "--file", filepath.Join(dir, "p.yaml"))
			same(t, "table", "\n"+r.Out, tc.want)
			if !strings.Contains(r.Errors, tc.says) {
				t.Errorf("said %q", r.Errors)
			}
		})
	}
}

func TestExplainPolicyReadsOnlyWhatItUnderstands(t *testing.T) {
	tests := map[string]struct{ file, want string }{
		"several policies and no name": {policyFile, "has several ImagePolicies: name one of them"},
		"no policy":                    {"kind: Pod\n", "has no ImagePolicy of that name"},
		"a field that does not exist":  {"kind: ImagePolicy\nspec: {polizy: {}}\n", `unknown field "polizy"`},
		"no YAML":                      {"{", "--file: reading"},
		"a version of before": {
			"apiVersion: image.toolkit.fluxcd.io/v1beta2\nkind: ImagePolicy\nmetadata: {name: app}\n",
			"version image.toolkit.fluxcd.io/v1beta2, which is not read",
		},
		"a kind of somebody else": {"apiVersion: config.openshift.io/v1\nkind: ImagePolicy\n", "has no ImagePolicy of that name"},
		"a repository of before": {
			"apiVersion: image.toolkit.fluxcd.io/v1beta1\nkind: ImageRepository\nmetadata: {name: app}\n---\nkind: ImagePolicy\n",
			"ImageRepository app is of version",
		},
		"an exclusion that is none": {
			"kind: ImageRepository\nmetadata: {name: app}\nspec: {exclusionList: ['[']}\n---\nkind: ImagePolicy\n" +
				"spec: {imageRepositoryRef: {name: app}, policy: {semver: {range: 1.x}}}\n",
			"spec.exclusionList",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := command.Folder(t, map[string]string{"p.yaml": tc.file})
			r := command.Run(t, explain(), tagList, "policy", "--tags", "-", "--file", filepath.Join(dir, "p.yaml"))
			if r.Err == nil || !strings.Contains(r.Err.Error(), tc.want) {
				t.Errorf("got %v, want %q", r.Err, tc.want)
			}
		})
	}
}
