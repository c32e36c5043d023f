// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// TestAUserWithoutTheVerbIsDeniedWhateverTheClient: it is the API server that denies, so
// that no client has to be trusted.
func TestAUserWithoutTheVerbIsDeniedWhateverTheClient(t *testing.T) {
	c := newCommands(t)
	sluice, err := harness.Binary()
	c.must(err)
	p := c.given(nil)
	before := p.DeepCopy()
	p.Spec.Suspend, p.Spec.Stages[1].Approval = false, &sluicev1.Approval{} // nobody serves it
	c.must(c.p.Client.Patch(t.Context(), p, client.MergeFrom(before)))
	kubeconfig := c.kubeconfigOf(mallory)
	for name, tc := range map[string]struct {
		program string
		args    []string
		stdin   string
		denied  string // part of what is said
	}{
		"kubectl annotate": {
			program: c.p.Kubectl, args: []string{"annotate", "pipeline", p.Name, approve + "=" + by(mallory)},
			denied: "takes the verb",
		},
		"kubectl annotate in the name of somebody who may": {
			program: c.p.Kubectl, args: []string{"annotate", "pipeline", p.Name, approve + "=" + by(alice)},
			denied: `has to begin with {"by":"mallory"`,
		},
		"kubectl apply --server-side": {
			program: c.p.Kubectl, args: []string{"apply", "--server-side", "--force-conflicts", "-f", "-"},
			stdin: applied(p, by(mallory)), denied: "takes the verb",
		},
		"kubectl apply": {program: c.p.Kubectl, args: []string{"apply", "-f", "-"}, stdin: applied(p, by(mallory)), denied: "takes the verb"},
		"sluice hold": {
			program: sluice, args: []string{"pipeline", "hold", p.Name, "production", "--wait=false", "--reason=mine"},
			denied: "takes the verb",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), tc.program, append(tc.args, "--namespace", c.namespace)...)
			cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
			cmd.Stdin = strings.NewReader(tc.stdin)
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Run(); err == nil || !strings.Contains(said.String(), tc.denied) {
				t.Errorf("%v: %s", err, &said)
			}
		})
	}
	t.Run("the page", func(t *testing.T) {
		for verb, reason := range map[string]string{"approve": "", "hold": "mine", "rollback": "mine"} {
			code, said := c.press(t, sluice, kubeconfig, map[string]string{
				"kind": sluicev1.PipelineKind, "namespace": c.namespace, "name": p.Name, "verb": verb, "stage": "production",
				"bundle": "0123456789ab", "reason": reason,
			})
			if code != http.StatusForbidden || !strings.Contains(said, "takes the verb") {
				t.Errorf("%s: answered %d: %s", verb, code, said)
			}
		}
	})
	c.must(c.p.Client.Get(t.Context(), client.ObjectKeyFromObject(p), p))
	for name := range p.Annotations {
		if _, _, isCommand := sluicev1.ParseCommandAnnotation(name); isCommand {
			t.Errorf("%s is there", name)
		}
	}
}

// applied is the manifest of a pipeline with an approval.
func applied(p *sluicev1.Pipeline, approval string) string {
	return `{"apiVersion":"sluice.dev/v1alpha1","kind":"Pipeline","metadata":{"name":"` + p.Name + `","annotations":{"` + approve + `":` +
		quote(approval) + `}},"spec":{"artifacts":[{"name":"app","imagePolicyRef":{"name":"app"}}],
"sourceRef":{"kind":"GitRepository","name":"fleet"},
"stages":[{"name":"staging","write":{"commit":{},"path":"staging"}},{"name":"production","write":{"commit":{},"path":"production"}}]}}`
}

// quote is a text as JSON.
func quote(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"` }

// kubeconfigOf is the file of a kubeconfig by which a program acts as a user.
func (c *commands) kubeconfigOf(user string) string {
	c.Helper()
	config, err := clientcmd.LoadFromFile(c.p.Kubeconfig)
	c.must(err)
	for _, auth := range config.AuthInfos {
		auth.Impersonate = user
	}
	path := filepath.Join(c.TempDir(), "kubeconfig")
	c.must(clientcmd.WriteToFile(*config, path))
	return path
}

// press opens the page that a user serves to himself, and presses a button. The program says what became of that.
func (c *commands) press(t *testing.T, sluice, kubeconfig string, button map[string]string) (code int, said string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, sluice, "ui", "--namespace", c.namespace)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	var logged bytes.Buffer
	cmd.Stderr = &logged
	out, err := cmd.StdoutPipe()
	c.must(err)
	c.must(cmd.Start())
	defer func() {
		stop()
		_ = cmd.Wait()
		if text := logged.String(); !strings.Contains(text, `msg="command failed"`) || !strings.Contains(text, "verb="+button["verb"]) ||
			strings.Contains(text, "SetLogger") {
			t.Errorf("%s: logged %s", button["verb"], text)
		}
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	c.must(err)
	address, token, _ := strings.Cut(strings.TrimSpace(line), "/login#token=")
	body, err := json.Marshal(button)
	c.must(err)
	_, err = harness.Eventually(ctx, "the page shows pipelines", harness.Patience, func(ctx context.Context) (bool, string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/api/v1/actions", bytes.NewReader(body))
		c.must(err)
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("X-Sluice-Request", "1")
		answer, err := http.DefaultClient.Do(r)
		c.must(err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		c.must(err)
		code, said = answer.StatusCode, string(text)
		return code != http.StatusNotFound, said
	})
	c.must(err)
	return code, said
}
