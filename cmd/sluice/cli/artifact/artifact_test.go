// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/spf13/cobra"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/artifact"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/command"
)

// repository is one in a registry of the test's own.
func repository(t *testing.T) string {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://") + "/acme/app"
}

func root() *cobra.Command {
	cmd := &cobra.Command{Use: "sluice", SilenceUsage: true, SilenceErrors: true}
	cmd.AddCommand(artifact.PushCommand("test"), artifact.PullCommand("test"), artifact.TagCommand("test"),
		artifact.ListCommand("test"), artifact.Group("diff", "", artifact.DiffCommand("test")),
		artifact.Group("build", "", artifact.BuildCommand()))
	return cmd
}

// push pushes a directory as a tag, and returns what was pushed.
func push(t *testing.T, to, dir, input string, more ...string) report.PushedArtifact {
	t.Helper()
	args := append([]string{
		"push", "artifact", "oci://" + to, "-f", dir, "--source", "https://git.example.com/app", "--revision", "main@sha1:c0ffee",
		"--reproducible", "-o", "json",
	}, more...)
	var pushed report.PushedArtifact
	if err := json.Unmarshal([]byte(command.Must(t, root(), input, args...).Out), &pushed); err != nil {
		t.Fatal(err)
	}
	return pushed
}

func manifestOf(t *testing.T, of string) *v1.Manifest {
	t.Helper()
	ref, err := name.ParseReference(of)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return manifest
}

// folder has files of all sorts: one that is left out, one in a folder and a symbolic link.
func folder(t *testing.T) string {
	t.Helper()
	dir := command.Folder(t, map[string]string{"a.yaml": "a: 1\n", "b/c.yaml": "c: 1\n", "logo.png": "no", ".git/config": "no"})
	outside := command.Folder(t, map[string]string{"linked.yaml": "linked: 1\n"})
	for link, to := range map[string]string{"link.yaml": filepath.Join(outside, "linked.yaml"), "b/above": dir} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// filesIn are the files below a directory with their content.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		below, _ := filepath.Rel(dir, path)
		content, err := os.ReadFile(path)
		found[below] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestWhatIsPushedIsPulled(t *testing.T) {
	tests := map[string]struct {
		dir   func(t *testing.T) string
		input string
		flags []string
		want  map[string]string
	}{
		"a directory, without symbolic links and pictures": {
			dir: folder, want: map[string]string{"a.yaml": "a: 1\n", "b/c.yaml": "c: 1\n"},
		},
		"a directory, with what links lead to, once": {
			dir: folder, flags: []string{"--resolve-symlinks"},
			want: map[string]string{"a.yaml": "a: 1\n", "b/c.yaml": "c: 1\n", "link.yaml": "linked: 1\n"},
		},
		"a directory without what --ignore-paths names": {
			dir: folder, flags: []string{"--ignore-paths", "b/,.git/"}, want: map[string]string{"a.yaml": "a: 1\n", "logo.png": "no"},
		},
		"a directory without what --add-ignore-paths names, either": {
			dir: folder, flags: []string{"--add-ignore-paths", "b/"}, want: map[string]string{"a.yaml": "a: 1\n"},
		},
		"a file": {
			dir:  func(t *testing.T) string { t.Helper(); return filepath.Join(folder(t), "a.yaml") },
			want: map[string]string{"a.yaml": "a: 1\n"},
		},
		"standard input": {
			dir: func(*testing.T) string { return "-" }, input: "b: 2\n", want: map[string]string{"manifests.yaml": "b: 2\n"},
		},
	}
	to := repository(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := tc.dir(t)
			pushed := push(t, to+":1.0.0", dir, tc.input, tc.flags...)
			out := t.TempDir()
			r := command.Must(t, root(), "", "pull", "artifact", pushed.URL, "-o", out)
			if diff := cmp.Diff(tc.want, filesIn(t, out)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			at := strings.TrimPrefix(pushed.URL, "oci://")
			want := "source https://git.example.com/app\nrevision main@sha1:c0ffee\ndigest " + at + "\nartifact content extracted to " + out + "\n"
			if r.Errors != want {
				t.Errorf("said %q, want %q", r.Errors, want)
			}
			again := push(t, to+":1.0.1", dir, tc.input, tc.flags...)
			if again.Digest != pushed.Digest {
				t.Errorf("pushed again, the digest is %s, not %s", again.Digest, pushed.Digest)
			}
			args := append([]string{"diff", "artifact", "oci://" + to + ":1.0.1", "--path", dir}, tc.flags...)
			if r := command.Must(t, root(), tc.input, args...); r.Errors != "no changes detected\n" {
				t.Errorf("compared: %q", r.Errors)
			}
			if built, layer := buildOf(t, dir, tc.input, tc.flags...), manifestOf(t, to+":1.0.1").Layers[0].Digest.Hex; built != layer {
				t.Errorf("what is built has the digest %s, what is pushed %s", built, layer)
			}
		})
	}
}

// buildOf is the digest of what a directory is built as.
func buildOf(t *testing.T, dir, input string, flags ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "artifact.tgz")
	r := command.Must(t, root(), input, append([]string{"build", "artifact", "-p", dir, "-o", file}, flags...)...)
	if r.Errors != "artifact created at "+file+"\n" || r.Out != "" {
		t.Errorf("said %q, printed %q", r.Errors, r.Out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func TestAnArtifactHasNoOlderOneOfItself(t *testing.T) {
	dir := command.Folder(t, map[string]string{"a.yaml": "a: 1\n"})
	t.Chdir(dir)
	var built [][]byte
	for range 2 {
		command.Must(t, root(), "", "build", "artifact", "--path", ".")
		data, err := os.ReadFile("artifact.tgz")
		if err != nil {
			t.Fatal(err)
		}
		built = append(built, data)
	}
	if !bytes.Equal(built[0], built[1]) {
		t.Errorf("built again, it has %d bytes, not %d", len(built[1]), len(built[0]))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("beside the artifact there are %v, %v", entries, err)
	}
	for _, args := range [][]string{{"--path", "nowhere"}, {"--path", ".", "-o", "nowhere/artifact.tgz"}, {"--path", ".", "-o", ""}, nil} {
		if r := command.Run(t, root(), "", append([]string{"build", "artifact"}, args...)...); r.Err == nil {
			t.Errorf("%q works", args)
		}
	}
}

func TestAnArtifactSaysWhatItIs(t *testing.T) {
	to := repository(t)
	pushed := push(t, to, folder(t), "", "-a", "org.opencontainers.image.documentation=https://acme.example/?a=b")
	manifest := manifestOf(t, to)
	want := map[string]string{
		"org.opencontainers.image.created": "1970-01-01T00:00:00Z", "org.opencontainers.image.source": "https://git.example.com/app",
		"org.opencontainers.image.revision":      "main@sha1:c0ffee",
		"org.opencontainers.image.documentation": "https://acme.example/?a=b",
	}
	if diff := cmp.Diff(want, manifest.Annotations); diff != "" {
		t.Errorf("annotations, -want +got:\n%s", diff)
	}
	for got, want := range map[types.MediaType]string{
		manifest.MediaType:           "application/vnd.oci.image.manifest.v1+json",
		manifest.Config.MediaType:    "application/vnd.cncf.flux.config.v1+json",
		manifest.Layers[0].MediaType: "application/vnd.cncf.flux.content.v1.tar+gzip",
	} {
		if string(got) != want {
			t.Errorf("media type %s, want %s", got, want)
		}
	}
	if pushed.Tag != "latest" || pushed.Repository != to || pushed.URL != "oci://"+to+"@"+pushed.Digest {
		t.Errorf("printed %+v", pushed)
	}
}

func TestTagsAreListedWithWhereTheyComeFrom(t *testing.T) {
	to := repository(t)
	pushed := push(t, to+":1.0.0", folder(t), "")
	for _, other := range []string{"v1.1.0", "main-1", "sha256-1.sig"} {
		command.Must(t, root(), "", "tag", "artifact", "oci://"+to+":1.0.0", "--tag", other)
	}
	line := func(tag string) string {
		return strings.Join([]string{to + ":" + tag, pushed.Digest[:15], "https://git.example.com/app", "main@sha1:c0ffee"}, "   ")
	}
	for flags, want := range map[string][]string{
		"":                                      {"v1.1.0", "main-1", "1.0.0"},
		"--filter-semver >1.0.0":                {"v1.1.0"},
		"--filter-regex ^main-":                 {"main-1"},
		"--filter-semver 1.x --filter-regex ^v": {"v1.1.0"},
	} {
		r := command.Must(t, root(), "", append([]string{"list", "artifacts", "oci://" + to}, strings.Fields(flags)...)...)
		lines := strings.Split(strings.TrimSpace(r.Out), "\n")
		var wanted []string
		for _, tag := range want {
			wanted = append(wanted, line(tag))
		}
		for i := range lines {
			lines[i] = strings.Join(strings.Fields(lines[i]), "   ")
		}
		if diff := cmp.Diff(wanted, lines[1:]); diff != "" || lines[0] != "ARTIFACT   DIGEST   SOURCE   REVISION" {
			t.Errorf("%s: %s, -want +got:\n%s", flags, lines[0], diff)
		}
	}
	r := command.Must(t, root(), "", "list", "artifacts", "oci://"+to, "-o", "name", "--filter-regex", "^1")
	if r.Out != "oci://"+to+":1.0.0\n" {
		t.Errorf("names: %q", r.Out)
	}
}

func TestDiffNamesTheFilesThatDiffer(t *testing.T) {
	to, dir := repository(t), command.Folder(t, map[string]string{"a.yaml": "a: 1\n", "b.yaml": "b: 1\n", "c.yaml": "c: 1\n"})
	push(t, to, dir, "")
	diff := func() command.Result {
		return command.Run(t, root(), "", "diff", "artifact", "oci://"+to, "--path", dir)
	}
	for file, text := range map[string]string{"b.yaml": "b: 2\n", "d.yaml": "d: 1\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "c.yaml")); err != nil {
		t.Fatal(err)
	}
	if r := diff(); !errors.Is(r.Err, artifact.ErrDifferent) || r.Out != "~ b.yaml\n- c.yaml\n+ d.yaml\n" {
		t.Errorf("got %v, printed %q", r.Err, r.Out)
	}
	push(t, to, dir, "")
	if err := os.Chmod(filepath.Join(dir, "d.yaml"), 0o640); err != nil {
		t.Fatal(err)
	}
	if r := diff(); !errors.Is(r.Err, artifact.ErrDifferent) || r.Out != "" || !strings.Contains(r.Errors, "other permissions") {
		t.Errorf("got %v, printed %q, said %q", r.Err, r.Out, r.Errors)
	}
}

func TestWhatIsNotPossibleIsRefusedWithTheRemedy(t *testing.T) {
	to, dir := repository(t), folder(t)
	image, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer([]byte("text"), "text/plain")})
	if err != nil {
		t.Fatal(err)
	}
	for tag, img := range map[string]v1.Image{"text": image, "empty": empty.Image} {
		ref, err := name.ParseReference(to + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
	}
	from := " -f " + dir + " --source x --revision y"
	for line, want := range map[string]string{
		"push artifact":                                                                 "needs one URL, not 0",
		"push artifact ghcr.io/acme/app" + from:                                         "it has to begin with oci://",
		"push artifact oci://ACME/app" + from:                                           "URL oci://ACME/app: ",
		"push artifact oci://" + to + " --source x -f .":                                "--revision is missing",
		"push artifact oci://" + to + " --revision x -f .":                              "--source is missing",
		"push artifact oci://" + to + " --source x --revision y":                        "--path is missing",
		"push artifact oci://" + to + " --source x --revision y -f /nonexistent":        "--path: stat /nonexistent",
		"push artifact oci://" + to + from + " -a nothing":                              "--annotations nothing: want KEY=VALUE",
		"push artifact oci://" + to + from + " -a org.opencontainers.image.created=now": "--annotations org.opencontainers.image.created: ",
		"push artifact oci://" + to + from + " -o table":                                `unknown format "table"; known: json, yaml`,
		"push artifact oci://" + to + from + " --provider oracle":                       `unknown "oracle"; known: generic, aws, azure, gcp`,
		"push artifact oci://" + to + from + " --provider aws --creds a:b":              "leave out one of them",
		"push artifact oci://" + to + from + " --provider aws":                          "--provider: ",
		"push artifact oci://" + to + from + " --provider gcp --insecure-registry":      "goes over https only",
		"pull artifact oci://" + to:                                                     "--output is missing",
		"pull artifact oci://" + to + " -o commands.go":                                 "--output: ",
		"pull artifact oci://" + to + ":none -o .":                                      "pulling " + to + ":none: ",
		"pull artifact oci://" + to + ":text -o .":                                      `of type "text/plain", is no tarball`,
		"pull artifact oci://" + to + ":empty -o .":                                     "has no layer",
		"diff artifact oci://" + to + ":empty --path .":                                 "has no layer",
		"tag artifact oci://" + to + ":text":                                            "--tag is missing",
		"tag artifact oci://" + to + ":text --tag a/b":                                  "--tag: ",
		"tag artifact oci://" + to + ":none --tag a":                                    "reading " + to + ":none: ",
		"list artifacts oci://" + to + ":text":                                          "leave out the tag",
		"list artifacts oci://" + to + " --filter-semver one":                           "--filter-semver: ",
		"list artifacts oci://" + to + " --filter-regex (":                              "--filter-regex: ",
		"list artifacts oci://" + to + " --timeout 1ns":                                 "--timeout 1ns is over",
	} {
		if r := command.Run(t, root(), "", strings.Fields(line)...); r.Err == nil || !strings.Contains(r.Err.Error(), want) {
			t.Errorf("sluice %s: %v, want %q", line, r.Err, want)
		}
	}
}

func TestADifferenceOfAnotherKindOfLayerIsOne(t *testing.T) {
	to := repository(t)
	image, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer([]byte("text"), "text/plain")})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	r := command.Run(t, root(), "", "diff", "artifact", "oci://"+to, "--path", folder(t))
	if !errors.Is(r.Err, artifact.ErrDifferent) || !strings.Contains(r.Errors, "which files differ cannot be said: ") {
		t.Errorf("got %v, said %q", r.Err, r.Errors)
	}
}

// withPassword lets in who has one, and keeps which.
func withPassword(got chan<- string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		username, password, has := r.BasicAuth()
		if !has {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		select {
		case got <- username + ":" + password:
		default:
		}
		next.ServeHTTP(w, r)
	})
}

func TestCredentialsAreThoseOfTheFlag(t *testing.T) {
	got := make(chan string, 1)
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(withPassword(got, inner))
	t.Cleanup(server.Close)
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	to := strings.TrimPrefix(server.URL, "http://") + "/acme/app"
	push(t, to, folder(t), "", "--creds", "me:pass:word")
	if r := command.Run(t, root(), "", "list", "artifacts", "oci://"+to); r.Err == nil {
		t.Error("nobody's credentials will do")
	}
	if first := <-got; first != "me:pass:word" {
		t.Errorf("got %q", first)
	}
}
