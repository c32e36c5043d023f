// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// services are the programs behind the two services of smart HTTP.
var services = map[string]string{"git-upload-pack": "upload-pack", "git-receive-pack": "receive-pack"}

// direct serves the bare repositories below root: it speaks smart HTTP itself, and leaves to
// git what is Git's, upload-pack and receive-pack. That is half the programs of http-backend,
// of which the tests of whoever pushes would otherwise spend most of their time.
func direct(root string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repo, request := path.Split(path.Clean(r.URL.Path))
		dir, found := find(root, strings.TrimSuffix(repo, "/info/"))
		switch program, ok := services[request]; {
		case found && r.Method == http.MethodPost && ok:
			answer(w, r, program, dir)
		case found && r.Method == http.MethodGet && request == "refs":
			advertise(w, r, dir)
		default:
			http.NotFound(w, r)
		}
	})
}

// find returns where a repository lies, which may be asked for without its .git, as git has it.
func find(root, name string) (dir string, ok bool) {
	for _, suffix := range []string{"", ".git"} {
		dir = filepath.Join(root, filepath.Clean(name)+suffix)
		if _, err := os.Stat(filepath.Join(dir, "HEAD")); err == nil {
			return dir, true
		}
	}
	return "", false
}

// advertise lists the refs of a repository for a service.
func advertise(w http.ResponseWriter, r *http.Request, dir string) {
	service := r.URL.Query().Get("service")
	program, ok := services[service]
	if !ok {
		http.Error(w, "only smart HTTP", http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/x-"+service+"-advertisement")
	line := "# service=" + service + "\n"
	fmt.Fprintf(w, "%04x%s0000", len(line)+4, line)
	serve(w, r, nil, program, "--http-backend-info-refs", dir)
}

// answer has a service answer a request.
func answer(w http.ResponseWriter, r *http.Request, program, dir string) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	w.Header().Set("Content-Type", "application/x-git-"+program+"-result")
	serve(w, r, body, program, "--stateless-rpc", dir)
}

// serve answers with what git prints.
func serve(w http.ResponseWriter, r *http.Request, body io.Reader, args ...string) {
	// Nothing here lives long enough to be worth collecting or syncing.
	cmd := exec.CommandContext(r.Context(), "git", append([]string{"-c", "receive.autogc=false", "-c", "core.fsync=none"}, args...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_PROTOCOL=" + strings.ReplaceAll(r.Header.Get("Git-Protocol"), "\n", ""),
	}
	cmd.Stdin = body
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	// The client sees from what is there how it ended. A writer that a test put in between
	// may panic.
	defer func() { _, _ = out.Close(), cmd.Wait() }()
	_, _ = io.Copy(w, out)
}
