// SPDX-License-Identifier: Apache-2.0

package flux

import "testing"

func TestTheInstallation(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-install")
	the.serveLogs(t)
	s.tell(t, []step{
		{
			does: "check finds the controllers and the CRDs",
			run:  "check -n flux-system", eventually: true,
			err: []string{
				"✔ distribution: flux-dev",
				"► checking controllers ✔ sluice: deployment ready ► sluice:dev ► checking crds",
				"✔ gitrepositories.source.toolkit.fluxcd.io/v1",
				"✔ imageupdateautomations.image.toolkit.fluxcd.io/v1",
				"✔ kustomizations.kustomize.toolkit.fluxcd.io/v1",
				"✔ all checks passed",
			},
			not: []string{"✗ Kubernetes"},
		},
		{
			does: "check --pre accepts the cluster",
			run:  "check --pre", err: []string{"✔ prerequisites checks passed"},
		},
		{
			does: "version names client, distribution and controller",
			run:  "version -n flux-system", out: []string{"flux: v2.9.5", "distribution: flux-dev", "sluice: dev"},
		},
		{
			does: "version prints JSON, as the VS Code extension asks for it",
			run:  "version -n flux-system -o json", out: []string{`"flux": "v2.9.5"`, `"sluice": "dev"`},
		},
		{
			does: "version of the client alone needs no installation",
			run:  "version --client", out: []string{"flux: v2.9.5"},
		},
		{
			does: "an image repository that has no tags",
			run:  "create image repository logged --image={registry}/none/logged --interval=1h --timeout=4s", code: 1,
			err: []string{"✔ ImageRepository created"},
		},
		{
			does: "a policy that cannot work",
			run:  "create image policy logged --image-ref=logged --select-semver=nonsense", code: 1,
			err: []string{"✔ ImagePolicy created"},
		},
		{
			does: "logs tells of what failed and is tried again",
			run:  "logs -A --kind=ImageRepository --name=logged", eventually: true,
			out: []string{"error ImageRepository/logged.{ns} - scan failed: listing tags of "},
		},
		{
			does: "logs tells of what failed for good",
			run:  "logs -A --kind=ImagePolicy --name=logged", eventually: true,
			out: []string{"error ImagePolicy/logged.{ns} - Reconciler error terminal error: invalid policy"},
		},
		{
			does: "logs of one level have no other",
			run:  "logs -A --level=info", out: []string{" info "}, not: []string{" error "},
		},
		{
			does: "logs of one namespace have no other",
			run:  "logs", not: []string{".flux-image"}, out: []string{"ImageRepository/logged.{ns} - "},
		},
		{
			does: "sluice logs tells of the same", ours: true, run: "logs -A --kind ImageRepository --name logged", eventually: true,
			out: []string{"error ImageRepository/logged.{ns} - scan failed: listing tags of "}, not: []string{"ImagePolicy/"},
		},
		{
			does: "of one namespace, as JSON and as far as asked for", ours: true,
			run: "logs -n {ns} --level error --json --since 1h", out: []string{`"controllerKind":"ImagePolicy"`, `"namespace":"{ns}"`},
			not: []string{`"level":"info"`, "flux-image"},
		},
		{
			does: "stats counts kinds, also those that nobody serves",
			run:  "stats", out: []string{"ImageRepository 1 1 0", "HelmRelease 0 0 0"},
		},
	})
}
