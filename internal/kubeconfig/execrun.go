// SPDX-License-Identifier: Apache-2.0

package kubeconfig

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/pkg/apis/clientauthentication"
	"k8s.io/client-go/pkg/apis/clientauthentication/install"
	clientauthv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluice-cd/sluice/internal/keysize"
)

const (
	// maxPrinted is how many bytes of credentials a command may print, and maxComplaint how many of
	// standard error are kept for the log.
	maxPrinted   = 256 << 10
	maxComplaint = 4 << 10
	// pipeWait is how long child processes that a command left behind may hold its output open.
	pipeWait = time.Second
)

// execVersions are the versions of client.authentication.k8s.io that commands speak.
var execVersions = []string{"client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"}

// execInfo is what a command is told of its task, in the variable KUBERNETES_EXEC_INFO.
func execInfo(with *clientcmdapi.ExecConfig, config *rest.Config) ([]byte, error) {
	if !slices.Contains(execVersions, with.APIVersion) {
		return nil, fmt.Errorf("the apiVersion of its `exec` is none of %s", strings.Join(execVersions, ", "))
	}
	told := &clientauthentication.ExecCredential{}
	if with.ProvideClusterInfo {
		asked := rest.CopyConfig(config)
		asked.ExecProvider = with
		cluster, err := rest.ConfigToExecCluster(asked)
		if err != nil {
			return nil, errors.New("its cluster cannot be told to its `exec`")
		}
		told.Spec.Cluster = cluster
	}
	version, err := schema.ParseGroupVersion(with.APIVersion)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	return runtime.Encode(serializer.NewCodecFactory(scheme).LegacyCodec(version), told)
}

// parseCredentials reads what a command printed. Both versions have the same status. Errors quote nothing.
func parseCredentials(printed []byte, version string) (*credentials, error) {
	var told clientauthv1.ExecCredential
	if json.Unmarshal(printed, &told) != nil || told.Kind != "ExecCredential" {
		return nil, errors.New("the command of its `exec` printed no ExecCredential in JSON")
	}
	status := told.Status
	switch {
	case told.APIVersion != version:
		return nil, fmt.Errorf("the command of its `exec` printed another version than %s", version)
	case status == nil, status.Token == "" && status.ClientCertificateData == "" && status.ClientKeyData == "":
		return nil, errors.New("the command of its `exec` printed neither a token nor a certificate")
	case (status.ClientCertificateData == "") != (status.ClientKeyData == ""):
		return nil, errors.New("the command of its `exec` printed a certificate without its key, or a key without its certificate")
	}
	made := &credentials{token: status.Token}
	if status.ExpirationTimestamp != nil {
		made.expires = status.ExpirationTimestamp.Time
	}
	if status.ClientCertificateData == "" {
		return made, nil
	}
	certificate, key := []byte(status.ClientCertificateData), []byte(status.ClientKeyData)
	if err := keysize.CheckPEM(certificate, key); err != nil {
		return nil, fmt.Errorf("what the command of its `exec` printed: %w", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, errors.New("the command of its `exec` printed a certificate and a key that do not belong together")
	}
	made.cert = &pair
	return made, nil
}

// runCommand runs the command of a kubeconfig and returns what it printed. It is ended, with all that it has started,
// when ctx is, or when it prints too much.
func runCommand(ctx context.Context, with *clientcmdapi.ExecConfig, info []byte) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	printed := &boundedBuffer{limit: maxPrinted, exceeded: func() {
		cancel(fmt.Errorf("it printed more than %d bytes", maxPrinted))
	}}
	complaint := &boundedBuffer{limit: maxComplaint}
	cmd := exec.CommandContext(ctx, with.Command, with.Args...) // the operator allows it by --insecure-kubeconfig-exec
	cmd.Env = append(commandEnvironment(os.Environ()), "KUBERNETES_EXEC_INFO="+string(info))
	for _, variable := range with.Env {
		cmd.Env = append(cmd.Env, variable.Name+"="+variable.Value)
	}
	cmd.Stdout, cmd.Stderr = printed, complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeWait
	err := cmd.Run()
	if err == nil {
		return printed.kept.Bytes(), nil
	}
	// What it complains of may be secret, and who wrote the kubeconfig may not be who may know.
	log.FromContext(ctx).Info("the command of a kubeconfig failed",
		"command", with.Command, "reason", err.Error(), "stderr", complaint.kept.String())
	var exit *exec.ExitError
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.DeadlineExceeded):
		return nil, fmt.Errorf("the command of its `exec` took longer than %s", commandTimeout)
	case cause != nil:
		return nil, fmt.Errorf("the command of its `exec` was ended: %w", cause)
	case errors.As(err, &exit):
		return nil, fmt.Errorf("the command of its `exec` failed with exit code %d; the log of the controller has what it said", exit.ExitCode())
	case errors.Is(err, exec.ErrWaitDelay):
		return nil, errors.New("the command of its `exec` left something running that holds its output open")
	}
	return nil, fmt.Errorf("the controller has no command %q, or may not run it", with.Command)
}

// inherited are the variables of the controller's environment that commands get: what programs need to run, and the
// identity of the pod in a cloud, which such commands are for. Names that end in an underscore are beginnings.
var inherited = []string{
	"PATH", "HOME", "USER", "TMPDIR", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "GCE_", "XDG_",
}

// commandEnvironment is what commands get of an environment.
func commandEnvironment(environment []string) []string {
	return slices.DeleteFunc(slices.Clone(environment), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return !slices.ContainsFunc(inherited, func(known string) bool {
			return name == known || strings.HasSuffix(known, "_") && strings.HasPrefix(name, known)
		})
	})
}

// boundedBuffer keeps the beginning of what is written.
type boundedBuffer struct {
	limit    int
	exceeded func() // nil is nobody
	kept     bytes.Buffer
}

// Write implements io.Writer.
func (b *boundedBuffer) Write(data []byte) (int, error) {
	room := min(len(data), b.limit-b.kept.Len())
	b.kept.Write(data[:room])
	if room < len(data) && b.exceeded != nil {
		b.exceeded()
	}
	return len(data), nil
}
