// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	_ "embed"
	"strconv"
)

// Stages is kwok's configuration: how simulated nodes and pods live.
//
//go:embed stages.yaml
var Stages []byte

// Etcd is the arguments of etcd.
func (l Layout) Etcd() []string {
	return []string{
		"etcd",
		"--name=playground",
		"--data-dir=" + l.Dir + "/data/etcd",
		"--listen-client-urls=" + l.etcdURL(),
		"--advertise-client-urls=" + l.etcdURL(),
		"--listen-peer-urls=" + l.etcdPeerURL(),
		"--initial-advertise-peer-urls=" + l.etcdPeerURL(),
		"--initial-cluster=playground=" + l.etcdPeerURL(),
		"--unsafe-no-fsync",
		"--log-level=warn",
		"--logger=zap",
	}
}

// APIServer is the arguments of kube-apiserver.
func (l Layout) APIServer() []string {
	return []string{
		"kube-apiserver",
		"--etcd-servers=" + l.etcdURL(),
		"--bind-address=" + Host,
		"--secure-port=" + strconv.Itoa(l.Ports.APIServer),
		"--tls-cert-file=" + l.pki("server.crt"),
		"--tls-private-key-file=" + l.pki("server.key"),
		"--client-ca-file=" + l.pki("ca.crt"),
		"--anonymous-auth=true", // probes; RBAC allows them nothing else
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + l.pki("tokens.key"),
		"--service-account-signing-key-file=" + l.pki("tokens.key"),
		"--service-cluster-ip-range=" + ServiceCIDR,
		"--kubelet-client-certificate=" + l.pki("kubelet-client.crt"),
		"--kubelet-client-key=" + l.pki("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP,Hostname",
		// It would publish its loopback address as the endpoint of the
		// Service "kubernetes", which the API refuses, again and again.
		"--endpoint-reconciler-type=none",
		"--allow-privileged=true",
		"--profiling=false",
		"--shutdown-delay-duration=0s",
	}
}

// ControllerManager is the arguments of kube-controller-manager.
func (l Layout) ControllerManager() []string {
	return []string{
		"kube-controller-manager",
		"--kubeconfig=" + l.config("controller-manager.kubeconfig"),
		"--bind-address=" + Host,
		"--secure-port=" + strconv.Itoa(l.Ports.ControllerManager),
		"--tls-cert-file=" + l.pki("server.crt"),
		"--tls-private-key-file=" + l.pki("server.key"),
		"--root-ca-file=" + l.pki("ca.crt"),
		"--cluster-signing-cert-file=" + l.pki("ca.crt"),
		"--cluster-signing-key-file=" + l.pki("ca.key"),
		"--service-account-private-key-file=" + l.pki("tokens.key"),
		"--use-service-account-credentials=true",
		"--kube-api-qps=200", "--kube-api-burst=400", // one user, who waits
		"--leader-elect=false",
		"--profiling=false",
	}
}

// Scheduler is the arguments of kube-scheduler.
func (l Layout) Scheduler() []string {
	return []string{
		"kube-scheduler",
		"--kubeconfig=" + l.config("scheduler.kubeconfig"),
		"--bind-address=" + Host,
		"--secure-port=" + strconv.Itoa(l.Ports.Scheduler),
		"--tls-cert-file=" + l.pki("server.crt"),
		"--tls-private-key-file=" + l.pki("server.key"),
		"--kube-api-qps=200", "--kube-api-burst=400",
		"--leader-elect=false",
		"--profiling=false",
	}
}

// Kwok is the arguments of kwok, which plays the kubelet of the nodes that
// CreateSimulatedNodes makes. It reads Stages from the config folder.
func (l Layout) Kwok() []string {
	return []string{
		"--config=" + l.config("kwok.yaml"),
		"--kubeconfig=" + l.config("kwok.kubeconfig"),
		"--manage-nodes-with-annotation-selector=" + simulated + "=fake",
		"--node-lease-duration-seconds=40",
		"--cidr=10.244.0.0/16",
		"--node-ip=" + Host,
		"--server-address=" + Host + ":" + strconv.Itoa(l.Ports.Kwok),
	}
}
