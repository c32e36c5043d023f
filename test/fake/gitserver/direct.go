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

// WithoutBackend lets the server speak smart HTTP itself and leave to git what is
// Git's: upload-pack and receive-pack. It does not look at a repository's
// configuration, and starts half as many processes, for tests of many pushes.
func WithoutBackend() Option {
	return func(c *config) { c.direct = true }
}

// services are the programs behind the two services of smart HTTP.
var services = map[string]string{"git-upload-pack": "upload-pack", "git-receive-pack": "receive-pack"}

// direct serves the bare repositories below root.
func direct(root string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repo, request := path.Split(path.Clean(r.URL.Path))
		switch program, ok := services[request]; {
		case r.Method == http.MethodPost && ok:
			answer(w, r, program, filepath.Join(root, repo))
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/info/refs"):
			advertise(w, r, filepath.Join(root, strings.TrimSuffix(repo, "/info/")))
		default:
			http.NotFound(w, r)
		}
	})
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
	cmd.Stdin, cmd.Stdout = body, w
	_ = cmd.Run() // the client sees it from what is there
}
