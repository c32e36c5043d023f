// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// bucketSteps go from a file in a bucket to the cluster.
func (s *story) bucketSteps(t *testing.T) []step {
	t.Helper()
	backend := s3mem.New()
	put := func(name string) {
		t.Helper()
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n"
		at := map[string]string{"Last-Modified": "Mon, 02 Nov 2026 15:04:05 GMT"}
		if _, err := backend.PutObject("fleet", name+".yaml", at, strings.NewReader(text), int64(len(text)), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := backend.CreateBucket("fleet"); err != nil {
		t.Fatal(err)
	}
	put("bucketed")
	server := httptest.NewServer(gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(server.Close)
	s.values["{s3}"] = strings.TrimPrefix(server.URL, "http://")
	return []step{
		{
			does: "create source bucket waits for an artifact",
			run:  "create source bucket files --bucket-name=fleet --endpoint={s3} --insecure --access-key=ann --secret-key=hunter2 --interval=1h",
			err:  []string{"✔ authentication configured", "✔ Bucket source reconciliation completed", "✔ fetched revision: sha256:"},
		},
		{
			does: "get sources bucket shows the revision", run: "get sources bucket",
			out: []string{"NAME REVISION SUSPENDED READY MESSAGE files sha256:", "False True stored artifact: revision 'sha256:"},
		},
		{
			does: "a kustomization of a bucket", err: []string{"✔ applied revision sha256:"},
			run: "create kustomization files --source=Bucket/files --path=. --prune=true --interval=1h --target-namespace={ns}",
		},
		{
			does: "trace finds who has applied it, though it knows no buckets", run: "trace configmap bucketed",
			out: []string{"Kustomization: files", "Revision: sha256:"},
		},
		{
			does: "sluice trace goes to the bucket", run: "trace configmap bucketed -n {ns}", ours: true,
			out: []string{"Kustomization {ns}/files", "Bucket {ns}/files", "{s3}/fleet"},
		},
		{
			does: "reconcile kustomization --with-source reads another file", run: "reconcile kustomization files --with-source",
			before: func(t *testing.T) { t.Helper(); put("another") }, err: []string{"✔ fetched revision sha256:", "✔ applied revision sha256:"},
		},
		{does: "events tell of the bucket", run: "events --for Kustomization/files", out: []string{"NewArtifact Bucket/files stored artifact"}},
		{does: "the tree grew", run: "tree kustomization files", out: []string{"ConfigMap/{ns}/another"}},
		{
			does: "get all shows nothing odd", run: "get all -A", out: []string{"{ns} bucket/files", "{ns} kustomization/files"}, not: []string{"✗"},
		},
		{does: "suspend source bucket", run: "suspend source bucket files", err: []string{"✔ source bucket suspended"}},
		{does: "resume source bucket", run: "resume source bucket files", err: []string{"✔ fetched revision sha256:"}},
		{does: "export source bucket", run: "export source bucket files", out: []string{"kind: Bucket", "bucketName: fleet"}},
		{does: "delete what was made of it", run: "delete kustomization files -s", err: []string{"✔ kustomization deleted"}},
		{does: "delete source bucket", run: "delete source bucket files -s", err: []string{"✔ source bucket deleted"}},
	}
}
