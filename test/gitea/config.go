// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"crypto/ed25519"
	"crypto/rand"
	"embed"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// settings of a server that listens on loopback, sends nothing out but webhooks to
// loopback, and does at once what others put off. Passwords are hashed ten times only:
// hashing them well takes longer than most tests.
var settings = template.Must(template.New("app.ini").Parse(`
APP_NAME = Forge
RUN_MODE = prod
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
WORK_PATH = {{.Dir}}

[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {{.HTTPPort}}
ROOT_URL = {{.URL}}/
STATIC_ROOT_PATH = {{.Static}}
OFFLINE_MODE = true
LFS_START_SERVER = false
START_SSH_SERVER = true
BUILTIN_SSH_SERVER_USER = git
SSH_USER = git
SSH_DOMAIN = 127.0.0.1
SSH_LISTEN_HOST = 127.0.0.1
SSH_PORT = {{.SSHPort}}
SSH_LISTEN_PORT = {{.SSHPort}}
SSH_SERVER_HOST_KEYS = {{.HostKey}}
ALLOW_GRACEFUL_RESTARTS = false

[database]
DB_TYPE = sqlite3
SQLITE_JOURNAL_MODE = WAL
SQLITE_TIMEOUT = 20000

[security]
INSTALL_LOCK = true
PASSWORD_COMPLEXITY = off
PASSWORD_HASH_ALGO = pbkdf2$10$50

[service]
DISABLE_REGISTRATION = true

[repository]
DEFAULT_BRANCH = main
DEFAULT_PRIVATE = private

[git.config]
core.hooksPath = {{.Hooks}}
core.fsync = none
gc.auto = 0

[webhook]
ALLOWED_HOST_LIST = loopback

[session]
PROVIDER = memory

[indexer]
ISSUE_INDEXER_TYPE = db

[log]
MODE = console
LEVEL = Info

[picture]
DISABLE_GRAVATAR = true

[actions]
ENABLED = false

[packages]
ENABLED = false

[oauth2]
ENABLED = true
JWT_SIGNING_ALGORITHM = ES256

[cron]
ENABLED = false
`))

// configure writes the server's settings.
func (s *Server) configure(dir, web string) error {
	var text strings.Builder
	if err := settings.Execute(&text, map[string]string{
		"Dir": dir, "URL": s.URL, "HTTPPort": port(web), "SSHPort": port(s.ssh), "HostKey": hostKeyFile(dir),
		"Static": filepath.Join(filepath.Dir(s.bin), "static"), "Hooks": hooks(dir),
	}); err != nil {
		return err
	}
	return os.WriteFile(s.config, []byte(text.String()), 0o600)
}

func hooks(dir string) string { return filepath.Join(dir, "hooks") }

// addHooks makes the hooks of all repositories: those in which Gitea decides about a push, and learns of it. The others
// that it puts into a repository start the whole program as well, to do nothing (update), or for pushes to refs/for, which
// nobody makes here.
func (s *Server) addHooks(dir string) error {
	if err := os.MkdirAll(hooks(dir), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"pre-receive", "post-receive"} {
		script := fmt.Sprintf("#!/bin/sh\nexec '%s' hook --config='%s' %s\n", s.bin, s.config, name)
		if err := os.WriteFile(filepath.Join(hooks(dir), name), []byte(script), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// web is what the module of Gitea lacks of its pages; see web/index.js.
//
//go:embed web
var web embed.FS

// addPages puts the scripts and styles of the pages where Gitea looks for what an
// installation adds.
func addPages(dir string) error {
	const style = `<link rel="stylesheet" href="{{AssetUrlPrefix}}/css/forge.css">` + "\n"
	for name, from := range map[string]string{
		"public/assets/js/index.js": "web/index.js", "public/assets/js/iife.js": "web/iife.js", "public/assets/css/forge.css": "web/forge.css",
		"public/assets/css/features/cropper.css": "",   // wants a style sheet of another package
		"public/assets/.vite/manifest.json":      "{}", // of its bundles: none
		"templates/custom/header.tmpl":           style,
	} {
		data := []byte(from)
		if strings.HasPrefix(from, "web/") {
			var err error
			if data, err = web.ReadFile(from); err != nil {
				return err
			}
		}
		path := filepath.Join(dir, "custom", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func hostKeyFile(dir string) string { return filepath.Join(dir, "ssh_host_key") }

// hostKey makes the key of the SSH server at addr, since the one that Gitea would make
// takes seconds, and returns the line of known_hosts that names it.
func hostKey(addr, dir string) (string, error) {
	public, private, err := newKey()
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(hostKeyFile(dir), private, 0o600); err != nil {
		return "", err
	}
	return knownhosts.Line([]string{knownhosts.Normalize(addr)}, public) + "\n", nil
}

// newKey makes a key pair; the private one is PEM, as OpenSSH writes it.
func newKey() (ssh.PublicKey, []byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, nil, fmt.Errorf("encoding an SSH key: %w", err)
	}
	key, err := ssh.NewPublicKey(public)
	return key, pem.EncodeToMemory(block), err
}
