// SPDX-License-Identifier: Apache-2.0

package update

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/command"
)

const (
	fleetFile = `containers:
  - image: ghcr.io/acme/app:1.0.0 # {"$imagepolicy": "apps:app"}
  - image: "infra/proxy:1"   # {"$imagepolicy": "infra:proxy"}
  - image: x:1 # {"$imagepolicy": "apps:failing"}
  - image: x:1 # {'$imagepolicy': 'apps:app'}
  - image: x:1 # {"$imagepolicy": "nowhere:app"}
last: line`
	wantFleet = `containers:
  - image: ghcr.io/acme/app:2.0.0 # {"$imagepolicy": "apps:app"}
  - image: "infra/proxy:2"   # {"$imagepolicy": "infra:proxy"}
  - image: x:1 # {"$imagepolicy": "apps:failing"}
  - image: x:1 # {'$imagepolicy': 'apps:app'}
  - image: x:1 # {"$imagepolicy": "nowhere:app"}
last: line`
	chosenMap       = "apps:app: ghcr.io/acme/app:2.0.0\ninfra:proxy: infra/proxy:2\n"
	chosenManifests = `apiVersion: v1
kind: List
items:
- apiVersion: image.toolkit.fluxcd.io/v1
  kind: ImagePolicy
  metadata: {name: app, namespace: apps}
  status:
    latestRef: {name: ghcr.io/acme/app, tag: 2.0.0}
    conditions: [{type: Ready, status: "True", reason: Succeeded, message: "", lastTransitionTime: null}]
- apiVersion: image.toolkit.fluxcd.io/v1
  kind: ImagePolicy
  metadata: {name: failing, namespace: apps}
  status:
    latestRef: {name: x, tag: "9"}
    conditions: [{type: Ready, status: "False", reason: Failure, message: "", lastTransitionTime: null}]
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: proxy, namespace: infra}
status:
  latestRef: {name: infra/proxy, tag: "2"}
---
kind: ConfigMap
`
)

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestUpdateWritesWhatPoliciesChose(t *testing.T) {
	for name, policies := range map[string]string{"a map": chosenMap, "manifests": chosenManifests} {
		t.Run(name, func(t *testing.T) {
			dir := command.Folder(t, map[string]string{"apps/a.yaml": fleetFile, "apps/b.txt": fleetFile})
			file := filepath.Join(dir, "apps/a.yaml")
			if err := os.Chmod(file, 0o640); err != nil {
				t.Fatal(err)
			}

			r := command.Must(t, Command(), policies, "--dir", dir, "--policies", "-")

			same(t, "file", command.Read(t, file), wantFleet)
			same(t, "another file", command.Read(t, filepath.Join(dir, "apps/b.txt")), fleetFile)
			info, err := os.Stat(file)
			if err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("mode is %v, error %v", info.Mode(), err)
			}
			if entries, _ := os.ReadDir(filepath.Join(dir, "apps")); len(entries) != 2 {
				t.Errorf("something is left beside the files: %v", entries)
			}
			same(t, "standard output", r.Out, ""+
				"WHERE           MARKER        OLD                      NEW                      STATE     WHY\n"+
				"apps/a.yaml:2   apps:app      ghcr.io/acme/app:1.0.0   ghcr.io/acme/app:2.0.0   updated   -\n"+
				"apps/a.yaml:3   infra:proxy   infra/proxy:1            infra/proxy:2            updated   -\n")
			for _, want := range []string{
				"apps/a.yaml:5: skipped: the marker is not JSON", "apps/a.yaml:6: skipped: the file has no policies of this namespace",
				"apps/a.yaml:4: skipped: ", "in namespace '", "updated 2 of 5 markers in 1 files",
			} {
				if !strings.Contains(r.Errors, want) {
					t.Errorf("standard error lacks %q:\n%s", want, r.Errors)
				}
			}
			again := command.Must(t, Command(), policies, "--dir", dir, "--policies", "-", "--exit-code")
			same(t, "standard output of a second run", again.Out, "")
		})
	}
}

func TestUpdateOnlyShowsTheDiff(t *testing.T) {
	dir := command.Folder(t, map[string]string{"a.yaml": fleetFile})
	r := command.Must(t, Command(), chosenMap, "--dir", dir, "--policies", "-", "--diff")
	same(t, "file", command.Read(t, filepath.Join(dir, "a.yaml")), fleetFile)
	same(t, "diff", r.Out, `--- a/a.yaml
+++ b/a.yaml
@@ -1,6 +1,6 @@
 containers:
-  - image: ghcr.io/acme/app:1.0.0 # {"$imagepolicy": "apps:app"}
-  - image: "infra/proxy:1"   # {"$imagepolicy": "infra:proxy"}
+  - image: ghcr.io/acme/app:2.0.0 # {"$imagepolicy": "apps:app"}
+  - image: "infra/proxy:2"   # {"$imagepolicy": "infra:proxy"}
   - image: x:1 # {"$imagepolicy": "apps:failing"}
   - image: x:1 # {'$imagepolicy': 'apps:app'}
   - image: x:1 # {"$imagepolicy": "nowhere:app"}
`)
}

func TestUpdateForCI(t *testing.T) {
	dir := command.Folder(t, map[string]string{"in/a.yaml": fleetFile, "out/a.yaml": fleetFile})
	r := command.Run(t, Command(), chosenMap, "--dir", dir, "--path", "in", "--policies", "-", "--dry-run", "--exit-code", "-o", "json")
	if !errors.Is(r.Err, ErrOutdated) {
		t.Errorf("got %v", r.Err)
	}
	same(t, "file", command.Read(t, filepath.Join(dir, "in/a.yaml")), fleetFile)
	var got struct{ Markers []report.Marker }
	if err := json.Unmarshal([]byte(r.Out), &got); err != nil || len(got.Markers) != 5 {
		t.Fatalf("%v: %s", err, r.Out)
	}
	if first := got.Markers[0]; first.File != "in/a.yaml" || first.Line != 2 || first.State != report.MarkerOutdated ||
		first.Wanted != "ghcr.io/acme/app:2.0.0" {
		t.Errorf("got %+v", first)
	}
}

func TestUpdateWritesTheRestAndFailsForAPartThatIsMissing(t *testing.T) {
	dir := command.Folder(t, map[string]string{
		"a.yaml": "a: 1 # {\"$imagepolicy\": \"apps:app:tag\"}\nd: x # {\"$imagepolicy\": \"infra:proxy:digest\"}\n",
	})
	r := command.Run(t, Command(), chosenMap, "--dir", dir, "--policies", "-")
	if r.Err == nil || !strings.Contains(r.Err.Error(), "a.yaml:2: infra:proxy:digest") {
		t.Errorf("got %v", r.Err)
	}
	same(t, "file", command.Read(t, filepath.Join(dir, "a.yaml")),
		"a: 2.0.0 # {\"$imagepolicy\": \"apps:app:tag\"}\nd: x # {\"$imagepolicy\": \"infra:proxy:digest\"}\n")
}

func TestUpdateStaysInItsDirectory(t *testing.T) {
	outside := command.Folder(t, map[string]string{"a.yaml": fleetFile})
	dir := command.Folder(t, map[string]string{"b.yaml": "a: b\n"})
	for name, target := range map[string]string{"link.yaml": filepath.Join(outside, "a.yaml"), "linked": outside} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	command.Must(t, Command(), chosenMap, "--dir", dir, "--policies", "-")
	if r := command.Run(t, Command(), chosenMap, "--dir", dir, "--path", "../"+filepath.Base(outside), "--policies", "-"); r.Err == nil {
		t.Error("a path outside of the directory was accepted")
	}
	same(t, "file outside", command.Read(t, filepath.Join(outside, "a.yaml")), fleetFile)
}
