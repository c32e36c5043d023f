// SPDX-License-Identifier: Apache-2.0

//go:build realnode

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hostTraces are commands that show what a node leaves on its host, apart from
// the playground's folder.
var hostTraces = map[string]string{
	"network devices":  "ls /sys/class/net | grep '^slc' || true",
	"iptables chains":  "iptables-save | grep KUBE- || true",
	"cgroups":          "ls -d /sys/fs/cgroup/kubepods /sys/fs/cgroup/*/kubepods 2>/dev/null || true",
	"sockets":          "ls -d /run/slc* /run/containerd/s/* 2>/dev/null || true",
	"state of runc":    "ls -d /run/containerd/runc/k8s.io/* 2>/dev/null || true",
	"results of CNI":   "ls -d /var/lib/cni/results/* 2>/dev/null || true",
	"links to logs":    "ls -d /var/log/containers/* 2>/dev/null || true",
	"IP forwarding":    "cat /proc/sys/net/ipv4/ip_forward",
	"overcommitment":   "cat /proc/sys/vm/overcommit_memory",
	"panic on an oops": "cat /proc/sys/kernel/panic_on_oops",
}

func traces(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, script := range hostTraces {
		out, err := exec.Command("sh", "-c", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		found[name] = string(out)
	}
	return found
}

func TestARealNodeRunsPodsAndLeavesNothing(t *testing.T) {
	before := traces(t)
	l := newLab(t)
	wantWords(t, l.up("--node", "real"), "containerd", "kubelet", "kube-proxy", "is ready after")

	// A real pod: the image of the playground's own sandboxes, by way of its registry.
	pushPause(t, l)
	l.env("$SLUICE_KUBECTL create deployment pause --image=$SLUICE_REGISTRY/pause:1 --replicas=2")
	l.env("$SLUICE_KUBECTL rollout status deployment pause --timeout=120s")
	ip := l.env("$SLUICE_KUBECTL get pods -l app=pause -o 'jsonpath={.items[0].status.podIP}'")
	if !strings.HasPrefix(ip, "10.213.") {
		t.Errorf("the pod's address is %s", ip)
	}
	l.env("curl --silent --insecure --max-time 10 https://$($SLUICE_KUBECTL get service kubernetes -o 'jsonpath={.spec.clusterIP}')/readyz")

	wantWords(t, l.up("--node", "real"), "already up and healthy")
	l.kill("containerd")
	wantWords(t, l.up("--node", "real"), "containerd", "restarted")

	// The worst case for down: whoever could tell it about the containers is dead.
	l.kill("containerd")
	l.kill("kubelet")
	l.down()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), l.dir) {
		t.Errorf("down leaves mounts:\n%s", mounts)
	}
	for name, after := range traces(t) {
		if after != before[name] {
			t.Errorf("down leaves %s: before %q, after %q", name, before[name], after)
		}
	}
}

// pushPause pushes the archive that the node was given, with curl: an image is
// a manifest and blobs.
func pushPause(t *testing.T, l lab) {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(dir, "push.sh")
	if err := os.WriteFile(script, []byte(pushScript), 0o644); err != nil {
		t.Fatal(err)
	}
	l.env("sh -eu " + script + " " + dir + " '" + filepath.Join(l.dir, "config", "pause.tar") + "' $SLUICE_REGISTRY")
}

const pushScript = `
cd "$1"; tar -xf "$2"; url="http://$3/v2/pause"
digest() { sha256sum "$1" | cut -d' ' -f1; }
push() { curl --silent --show-error --fail -o /dev/null --data-binary "@$1" -H 'Content-Type: application/octet-stream' "$url/blobs/uploads/?digest=sha256:$(digest "$1")"; }
config=$(ls sha256:*); layer=$(ls *.tar.gz)
cp "$config" config; push config; push "$layer"
cat > manifest <<END
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":$(wc -c < config),"digest":"sha256:$(digest config)"},
"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":$(wc -c < "$layer"),"digest":"sha256:$(digest "$layer")"}]}
END
curl --silent --show-error --fail -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary @manifest "$url/manifests/1"
`
