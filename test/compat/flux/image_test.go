// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"strings"
	"testing"
)

func TestImageAutomation(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-image")
	repo := s.clone(t)
	s.push(t, "1.0.0")
	s.push(t, "1.1.0")
	s.tell(t, append(source(), []step{
		{
			does: "create image repository waits for a scan",
			run:  "create image repository podinfo --image={image} --interval=1h --label=team=blue",
			err:  []string{"✔ ImageRepository created", "✔ ImageRepository reconciliation completed"},
		},
		{
			does: "create image policy waits for a choice",
			run:  "create image policy podinfo --image-ref=podinfo --select-semver=1.x",
			err:  []string{"✔ ImagePolicy created", "✔ ImagePolicy reconciliation completed"},
		},
		{
			does: "create image update waits for the commit",
			run: "create image update podinfo --git-repo-ref=repo --git-repo-path=./deploy --checkout-branch=main " +
				"--push-branch=main --author-name=flux --author-email=flux@example.com --interval=1h --commit-template={template}",
			before: func(*testing.T) { s.values["{template}"] = "Update {{ len .Changed.Changes }} image" },
			err:    []string{"✔ ImageUpdateAutomation created", "✔ ImageUpdateAutomation reconciliation completed"},
		},
		{
			does: "get image repository shows the scan",
			run:  "get image repository podinfo",
			out:  []string{"NAME LAST SCAN SUSPENDED READY MESSAGE podinfo 20", "False True successful scan: found 2 tags with checksum "},
		},
		{
			does: "get image policy shows the tag",
			run:  "get image policy podinfo",
			out:  []string{"podinfo {image} 1.1.0 True Latest image tag for {image} resolved to 1.1.0"},
		},
		{
			does: "get image update shows the run",
			run:  "get image update podinfo", eventually: true, // GitRepository first fetches the commit
			out: []string{"NAME LAST RUN SUSPENDED READY MESSAGE podinfo 20", "False True repository up-to-date"},
		},
		{
			does: "get images all shows the three kinds",
			run:  "get images all",
			out:  []string{"imagerepository/podinfo", "imagepolicy/podinfo", "imageupdateautomation/podinfo"},
		},
		{
			does: "get images all -A shows the namespace",
			run:  "get images all -A",
			out:  []string{"{ns} imagerepository/podinfo", "{ns} imagepolicy/podinfo", "{ns} imageupdateautomation/podinfo"},
		},
		{
			does: "get selects by label", run: "get image repository -l team=blue", out: []string{"podinfo"},
		},
		{
			does: "get by a label that nobody has finds nothing", run: "get image repository -l team=red", code: 1,
			err: []string{"no ImageRepository objects found"},
		},
		{
			does: "get selects by status",
			run:  "get image policy --status-selector=ready=true --no-header", out: []string{"podinfo"}, not: []string{"NAME"},
		},
		{
			does: "get by a status that nobody has finds nothing", run: "get image policy --status-selector=ready=false", not: []string{"podinfo"},
		},
		{
			does: "get of what is not there fails", run: "get image policy nope", code: 1, err: []string{"ImagePolicy object 'nope' not found"},
		},
		{
			does: "reconcile image repository scans",
			run:  "reconcile image repository podinfo", before: func(t *testing.T) { s.push(t, "1.2.0") },
			err: []string{"► annotating ImageRepository podinfo in {ns} namespace", "✔ scan fetched 3 tags"},
		},
		{
			does: "reconcile image policy names the choice",
			run:  "reconcile image policy podinfo", eventually: true,
			err: []string{"✔ selected ref {image}:1.2.0"},
		},
		{
			does: "reconcile image update commits",
			run:  "reconcile image update podinfo", err: []string{"✔ repository up-to-date"},
		},
		{
			does: "the second choice is in Git", run: "get image update podinfo", eventually: true,
			before: func(t *testing.T) {
				file, err := repo.File(t.Context(), "deploy/podinfo.yaml")
				if err != nil || !strings.Contains(file, "podinfo:1.2.0 #") {
					t.Errorf("Git has %s (%v)", file, err)
				}
				log, err := repo.Log(t.Context())
				if err != nil || len(log) != 3 || log[0] != "Update 1 image" {
					t.Errorf("the log is %q (%v), want two updates on one commit", log, err)
				}
			},
		},
		{
			does: "create again updates, and finds nothing to wait for",
			run:  "create image policy podinfo --image-ref=podinfo --select-semver=~1.1.0",
			err:  []string{"✔ ImagePolicy updated", "✔ ImagePolicy reconciliation completed"},
		},
		{
			does: "the policy that was updated chose anew",
			run:  "get image policy podinfo", out: []string{"1.1.0 True"}, eventually: true,
		},
		{
			does: "create --export prints what it would create",
			run:  "create image policy other --image-ref=podinfo --select-numeric=asc --filter-regex=main-(?P<n>.*) --filter-extract=$n --export",
			out:  []string{"kind: ImagePolicy", "pattern: main-(?P<n>.*)", "numerical: order: asc"},
		},
	}...))
	s.kubectl(t, `patch imgrepo podinfo --type=merge -p {"spec":{"maxTags":500}}`)
	s.tell(t, manage("image repository", "ImageRepository", "image repository", "✔ scan fetched 3 tags"))
	if got := s.kubectl(t, "get imgrepo podinfo -o jsonpath={.spec.maxTags}"); got != "500" {
		t.Errorf("a field that the CLI does not know is %q after suspending and resuming, want 500", got)
	}
	s.tell(t, manage("image policy", "ImagePolicy", "image policy", "✔ selected ref {image}:1.1.0"))
	s.tell(t, manage("image update", "ImageUpdateAutomation", "image update automation", "✔ repository up-to-date"))
	s.tell(t, []step{
		{
			does: "events tell the chain", run: "events",
			out: []string{
				"Normal Succeeded ImageRepository/podinfo successful scan: found 2 tags",
				"Normal Succeeded ImagePolicy/podinfo Latest image tag for {image} resolved to 1.1.0",
				"Normal Succeeded ImageUpdateAutomation/podinfo pushed commit '",
				"to branch 'main' Update 1 image",
			},
		},
		{
			does: "events of a policy are also those of its repository", run: "events --for ImagePolicy/podinfo",
			out: []string{"ImageRepository/podinfo", "ImagePolicy/podinfo"}, not: []string{"ImageUpdateAutomation/"},
		},
		{
			does: "and so does sluice say", run: "events --for ImagePolicy/podinfo -n {ns}", ours: true,
			out: []string{"ImageRepository/podinfo", "ImagePolicy/podinfo"}, not: []string{"ImageUpdateAutomation/"},
		},
		{
			does: "events of one object have no other", run: "events --for ImageRepository/podinfo",
			out: []string{"ImageRepository/podinfo"}, not: []string{"ImagePolicy/"},
		},
		{
			does: "events of one type have no other", run: "events --types=Warning",
			not: []string{"Normal"}, eventually: true,
		},
		{
			does: "stats counts the kinds", run: "stats",
			out: []string{"ImageUpdateAutomation 1 0 0", "ImagePolicy 1 0 0", "ImageRepository 1 0 0"},
		},
		{
			does: "deleting the automation", run: "delete image update podinfo -s",
			err: []string{"✔ image update automation deleted"},
		},
		{does: "deleting the policy", run: "delete image policy podinfo -s", err: []string{"✔ image policy deleted"}},
		{does: "deleting the repository", run: "delete image repository podinfo --silent", err: []string{"✔ image repository deleted"}},
		{does: "they are gone", run: "get images all", eventually: true, not: []string{"podinfo"}},
	})
}

// manage are the steps that every kind has in common, on an object named
// podinfo (a source is named repo).
func manage(command, kind, human, done string) []step {
	name, suspended := "podinfo", "True True"
	switch command {
	case "source git":
		name = "repo"
	case "image policy":
		suspended = "True" // its table has no column for that
	}
	return []step{
		{
			does: "suspend " + command, run: "suspend " + command + " " + name,
			err: []string{"✔ " + human + " suspended"},
		},
		{does: "get a suspended " + command, run: "get " + command + " " + name, out: []string{" " + suspended + " "}},
		{
			does: "reconcile a suspended " + command, run: "reconcile " + command + " " + name, code: 1,
			err: []string{"✗ resource is suspended"},
		},
		{
			does: "resume " + command, run: "resume " + command + " " + name,
			err: []string{"✔ " + human + " resumed", "◎ waiting for " + kind + " reconciliation", done},
		},
		{does: "suspend every " + command, run: "suspend " + command + " --all", err: []string{"✔ " + human + " suspended"}},
		{does: "resume every " + command, run: "resume " + command + " --all", err: []string{"✔ " + human + " resumed"}},
		{does: "reconcile a resumed " + command, run: "reconcile " + command + " " + name, err: []string{done}},
		{
			does: "export " + command, run: "export " + command + " " + name,
			out: []string{"kind: " + kind, "namespace: {ns}", "spec:"}, not: []string{"status:", "suspend: true"},
		},
		{does: "export every " + command, run: "export " + command + " --all", out: []string{"--- apiVersion: ", "kind: " + kind}},
	}
}
