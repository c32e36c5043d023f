// SPDX-License-Identifier: Apache-2.0

package kubeconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/test/fake/apiserver"
	builder "github.com/sluice-cd/sluice/test/make"
)

const execV1 = "client.authentication.k8s.io/v1"

// script writes a program for the shell, and returns its path.
func script(t *testing.T, lines string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+lines+"\n"), 0o700); err != nil { // it has to run
		t.Fatal(err)
	}
	return name
}

// printing is a script that prints an ExecCredential.
func printing(t *testing.T, status string) string {
	t.Helper()
	return script(t, "cat <<'END'\n"+`{"apiVersion": "`+execV1+`", "kind": "ExecCredential", "status": `+status+"}\nEND")
}

// withExec is a kubeconfig for a server whose user has a command.
func withExec(server, command, more string) []byte {
	exec := fmt.Sprintf("exec: {command: %s, apiVersion: %s, interactiveMode: Never%s}", command, execV1, more)
	return []byte(strings.Replace(string(apiserver.KubeConfig(server, "hunter2")), "token: hunter2", exec, 1))
}

// trusting is a kubeconfig with the certificate of its server.
func trusting(server *httptest.Server, text []byte) []byte {
	authority := "certificate-authority-data: " + base64.StdEncoding.EncodeToString(authorityOf(server)) + ", server:"
	return []byte(strings.Replace(string(text), "server:", authority, 1))
}

// connectByCommand is connect of a controller that runs commands.
func connectByCommand(t *testing.T, text []byte) (*Connection, *command, *clocktesting.FakePassiveClock) {
	t.Helper()
	clk := clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0))
	r := reader(builder.Secret("apps", "remote", map[string][]byte{"value": text}))
	r.Commands, r.Clock = NewCommands(), clk
	config, err := r.Read(t.Context(), "apps", reference("remote", ""))
	if err != nil {
		t.Fatal(err)
	}
	to, err := config.Connect(clk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Close)
	return to, config.command, clk
}

// asks asks the API server for its version, and returns the status.
func asks(t *testing.T, to *Connection) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to.REST.Host+"/version", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := to.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestACommandPrintsTheToken(t *testing.T) {
	var told []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told = append(told, r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") == "Bearer 2" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	runs := filepath.Join(t.TempDir(), "runs")
	expires := time.Unix(1_700_000_000, 0).Add(time.Hour).UTC().Format(time.RFC3339)
	name := script(t, `echo >> `+runs+`
cat <<END
{"apiVersion": "`+execV1+`", "kind": "ExecCredential",
"status": {"token": "$(($(wc -l < `+runs+`)))", "expirationTimestamp": "`+expires+`"}}
END`)
	to, _, clk := connectByCommand(t, trusting(server, withExec(server.URL, name, "")))
	for range 2 {
		asks(t, to)
	}
	// The second token has expired when it is printed, and is not used.
	clk.SetTime(clk.Now().Add(2 * time.Hour))
	if err := to.ask(t.Context()); err == nil || !strings.Contains(err.Error(), "credentials that have expired") {
		t.Errorf("got %v", err)
	}
	if len(told) != 2 || told[0] != "Bearer 1" || told[1] != told[0] {
		t.Errorf("sent %q", told)
	}
}

// A token that the server does not accept any more was used until it expired, which it may never.
func TestACommandIsRunAgainWhenItsTokenIsRejected(t *testing.T) {
	var accepted string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != accepted {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	runs := filepath.Join(t.TempDir(), "runs")
	name := script(t, `echo >> `+runs+`
cat <<END
{"apiVersion": "`+execV1+`", "kind": "ExecCredential", "status": {"token": "$(($(wc -l < `+runs+`)))"}}
END`)
	to, _, clk := connectByCommand(t, trusting(server, withExec(server.URL, name, "")))
	accepted = "Bearer 2"
	for range 2 { // at once, the next token would be no better
		if got := asks(t, to); got != http.StatusUnauthorized {
			t.Errorf("status %d", got)
		}
	}
	clk.SetTime(clk.Now().Add(fresh))
	asks(t, to)
	if got := asks(t, to); got != http.StatusOK {
		t.Errorf("status %d with a new token", got)
	}
}

func TestACommandPrintsACertificate(t *testing.T) {
	var told []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for _, cert := range r.TLS.PeerCertificates {
			told = append(told, cert.Subject.CommonName)
		}
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	name := script(t, "cat "+dir+"/now")
	store := func(user, expires string) {
		cert, key := clientCertificate(t, user)
		status, err := json.Marshal(map[string]any{"apiVersion": execV1, "kind": "ExecCredential", "status": map[string]string{
			"clientCertificateData": string(cert), "clientKeyData": string(key), "expirationTimestamp": expires,
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "now"), status, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Replace(string(withExec(server.URL, name, "")), "server:", "insecure-skip-tls-verify: true, server:", 1)
	clk := clocktesting.NewFakePassiveClock(time.Unix(1_700_000_000, 0))
	store("first", clk.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	r := reader(builder.Secret("apps", "remote", map[string][]byte{"value": []byte(text)}))
	r.Commands, r.Clock, r.InsecureTLS = NewCommands(), clk, true
	config, err := r.Read(t.Context(), "apps", reference("remote", ""))
	if err != nil {
		t.Fatal(err)
	}
	to, err := config.Connect(clk)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	asks(t, to)
	store("second", clk.Now().Add(3*time.Hour).UTC().Format(time.RFC3339))
	clk.SetTime(clk.Now().Add(2 * time.Hour))
	asks(t, to) // over another connection: that of the first certificate has ended
	if len(told) != 2 || told[0] != "first" || told[1] != "second" {
		t.Errorf("presented %q", told)
	}
}

// clientCertificate is one of a user, who signed it.
func clientCertificate(t *testing.T, user string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: user},
		NotBefore: time.Unix(1_600_000_000, 0), NotAfter: time.Unix(4_000_000_000, 0),
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})
}

func TestACommandGetsItsTaskAndLittleOfTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"VAULT_TOKEN": "hunter2", "SLUICE_SECRET": "hunter2", "AWS_ROLE_ARN": "arn:role", "HOME": "/home/sluice", "PATH": os.Getenv("PATH"),
	} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	name := script(t, `env > `+dir+"/env\n"+`echo '{"apiVersion": "`+execV1+`", "kind": "ExecCredential", "status": {"token": "a"}}'`)
	_, by, _ := connectByCommand(t, withExec("https://example.com", name, ", provideClusterInfo: true, env: [{name: REGION, value: eu}]"))
	if _, err := by.get(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"AWS_ROLE_ARN=arn:role", "HOME=/home/sluice", "REGION=eu", "KUBERNETES_EXEC_INFO={", `"server":"https://example.com"`,
	} {
		if !strings.Contains(string(seen), want) {
			t.Errorf("the environment lacks %s: %s", want, seen)
		}
	}
	if strings.Contains(string(seen), "hunter2") {
		t.Errorf("the environment has what is none of its business: %s", seen)
	}
}

func TestACommandThatPrintsNoCredentialsIsToldOf(t *testing.T) {
	cert, key := clientCertificate(t, "a")
	other, _ := clientCertificate(t, "b")
	quoted := func(text []byte) string { data, _ := json.Marshal(string(text)); return string(data) }
	for name, tc := range map[string]struct{ command, want string }{
		"it fails":      {script(t, "echo hunter2 >&2; exit 3"), "failed with exit code 3; the log of the controller has what it said"},
		"there is none": {"/nonexistent/aws", `the controller has no command "/nonexistent/aws"`},
		"no JSON":       {script(t, "echo hunter2"), "printed no ExecCredential in JSON"},
		"another kind":  {script(t, `echo '{"kind": "Secret"}'`), "printed no ExecCredential in JSON"},
		"another version": {
			script(t, `echo '{"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential"}'`),
			"printed another version than " + execV1,
		},
		"nothing":   {printing(t, "{}"), "printed neither a token nor a certificate"},
		"no status": {printing(t, "null"), "printed neither a token nor a certificate"},
		"no key":    {printing(t, `{"clientCertificateData": `+quoted(cert)+"}"), "printed a certificate without its key"},
		"no pair": {
			printing(t, `{"clientCertificateData": `+quoted(other)+`, "clientKeyData": `+quoted(key)+"}"), "do not belong together",
		},
		"too much": {script(t, "cat /dev/zero"), "was ended: it printed more than 262144 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, by, _ := connectByCommand(t, withExec("https://example.com", tc.command, ""))
			for range 2 { // a failure counts for a moment
				_, err := by.get(t.Context())
				if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

// Whatever a command has started ends with it.
func TestACommandThatHangsIsEnded(t *testing.T) {
	_, by, _ := connectByCommand(t, withExec("https://example.com", script(t, "sleep 1000 & sleep 1000"), ""))
	by.running.Timeout = 100 * time.Millisecond
	if _, err := by.get(t.Context()); err == nil || !strings.Contains(err.Error(), "the command of its `exec` took longer than") {
		t.Errorf("got %v", err)
	}
}

func TestWhichCommandsAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ from, to, want string }{
		"an unknown version": {execV1, "client.authentication.k8s.io/v2", "the apiVersion of its `exec` is none of"},
		"a terminal":         {"interactiveMode: Never", "interactiveMode: Always", "asks somebody at a terminal"},
		"no mode":            {"interactiveMode: Never", "args: []", "has an `exec` without a command or an interactiveMode"},
		"no command":         {"command: aws", `command: ""`, "has an `exec` without a command or an interactiveMode"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(string(withExec("https://example.com", "aws", "")), tc.from, tc.to, 1)
			r := reader(builder.Secret("apps", "remote", map[string][]byte{"value": []byte(text)}))
			r.Commands = NewCommands()
			_, err := r.Read(t.Context(), "apps", reference("remote", ""))
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestATokenOfAKubeConfigCountsBeforeItsCommand(t *testing.T) {
	text := strings.Replace(string(withExec("https://example.com", "/nonexistent", "")), "{exec:", "{token: hunter2, exec:", 1)
	_, by, _ := connectByCommand(t, []byte(text))
	if by != nil {
		t.Error("the command would be run")
	}
}

func TestAnotherCommandIsAnotherCluster(t *testing.T) {
	id := func(text []byte) string {
		r := reader(builder.Secret("apps", "remote", map[string][]byte{"value": text}))
		r.Commands = NewCommands()
		config, err := r.Read(t.Context(), "apps", reference("remote", ""))
		if err != nil {
			t.Fatal(err)
		}
		return config.ID
	}
	one := withExec("https://example.com", "aws", "")
	other := withExec("https://example.com", "aws", ", args: [eu]")
	if same := id(one); same == id(other) || same != id(append([]byte("# a comment"), one...)) {
		t.Error("arguments make no other cluster")
	}
}

func TestCredentialsGoToTheirServerOnly(t *testing.T) {
	_, by, _ := connectByCommand(t, withExec("https://example.com", printing(t, `{"token": "hunter2"}`), ""))
	address, _, err := rest.DefaultServerUrlFor(&rest.Config{Host: "https://example.com"})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodGet, "https://example.org/version", http.NoBody)
	_, err = (executing{command: by, to: address}).credentialsFor(req)
	if err == nil || !strings.Contains(err.Error(), "are for example.com only") {
		t.Errorf("got %v", err)
	}
}
