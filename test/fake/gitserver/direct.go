// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
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
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{repo}/info/refs", func(w http.ResponseWriter, r *http.Request) {
		service := r.URL.Query().Get("service")
		program, ok := services[service]
		if !ok {
			http.Error(w, "only smart HTTP", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/x-"+service+"-advertisement")
		line := "# service=" + service + "\n"
		fmt.Fprintf(w, "%04x%s0000", len(line)+4, line)
		serve(w, r, nil, program, "--http-backend-info-refs", filepath.Join(root, r.PathValue("repo")))
	})
	mux.HandleFunc("POST /{repo}/{service}", func(w http.ResponseWriter, r *http.Request) {
		program, ok := services[r.PathValue("service")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			body = unzipped
		}
		w.Header().Set("Content-Type", "application/x-"+r.PathValue("service")+"-result")
		serve(w, r, body, program, "--stateless-rpc", filepath.Join(root, r.PathValue("repo")))
	})
	return mux
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
