package workload

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

// meshProxies are containers that meshes put beside an application. Their ports are
// the mesh's own.
var meshProxies = []string{"istio-proxy", "istio-init", "envoy", "envoy-sidecar", "linkerd-proxy", "linkerd-init",
	"kuma-sidecar", "consul-dataplane", "aws-appmesh-proxy"}

// portKey is what may be there once in a Service.
func portKey(port corev1.ServicePort) string {
	return fmt.Sprintf("%s/%d", cmp.Or(port.Protocol, corev1.ProtocolTCP), port.Port)
}

func byPort(ports []corev1.ServicePort) []corev1.ServicePort {
	return slices.SortedFunc(slices.Values(ports), func(a, b corev1.ServicePort) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
	})
}

// mainPort is the port that the canary names.
func (p *Pair) mainPort() corev1.ServicePort {
	s := p.canary.Spec.Service
	main := corev1.ServicePort{Name: cmp.Or(s.PortName, "http"), Protocol: corev1.ProtocolTCP, Port: s.Port, TargetPort: intstr.FromInt32(s.Port)}
	if s.TargetPort != (intstr.IntOrString{}) {
		main.TargetPort = s.TargetPort
	}
	if s.AppProtocol != "" {
		main.AppProtocol = &s.AppProtocol
	}
	return main
}

// ports are the canary's port and, if asked for, all others of the containers.
func (p *Pair) ports() []corev1.ServicePort {
	ports := []corev1.ServicePort{p.mainPort()}
	for _, port := range p.discovered() {
		if !slices.ContainsFunc(ports, func(had corev1.ServicePort) bool { return portKey(had) == portKey(port) }) {
			ports = append(ports, distinct(port, ports))
		}
	}
	return ports
}

// distinct gives a port a name that none of the others has.
func distinct(port corev1.ServicePort, others []corev1.ServicePort) corev1.ServicePort {
	base := cmp.Or(port.Name, "port")
	taken := func() bool {
		return port.Name == "" || slices.ContainsFunc(others, func(other corev1.ServicePort) bool { return other.Name == port.Name })
	}
	for _, suffix := range []string{fmt.Sprint(port.Port), fmt.Sprintf("%s-%d", strings.ToLower(string(port.Protocol)), port.Port)} {
		if !taken() {
			break
		}
		port.Name = base[:min(len(base), validation.DNS1123LabelMaxLength-len(suffix)-1)] + "-" + suffix
	}
	return port
}

// discovered are the ports of the target's containers but that of the canary. Two
// containers may name the same one.
func (p *Pair) discovered() []corev1.ServicePort {
	if !p.canary.Spec.Service.PortDiscovery {
		return nil
	}
	main := p.containerPort(p.mainPort())
	var found []corev1.ServicePort
	for _, container := range p.containers {
		if slices.Contains(meshProxies, container.Name) {
			continue
		}
		for i, port := range container.Ports {
			protocol := cmp.Or(port.Protocol, corev1.ProtocolTCP)
			if fmt.Sprintf("%s/%d", protocol, port.ContainerPort) == main {
				continue
			}
			name := port.Name
			if name == "" {
				name = fmt.Sprintf("%s-%.40s-%d", strings.ToLower(string(protocol)), container.Name, i)
			}
			found = append(found, corev1.ServicePort{Name: name, Protocol: protocol,
				Port: port.ContainerPort, TargetPort: intstr.FromInt32(port.ContainerPort)})
		}
	}
	slices.SortStableFunc(found, func(a, b corev1.ServicePort) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Port, b.Port))
	})
	return found
}

// containerPort is where a port leads, by number if the containers know its name.
func (p *Pair) containerPort(port corev1.ServicePort) string {
	protocol, target := cmp.Or(port.Protocol, corev1.ProtocolTCP), port.TargetPort
	if target == (intstr.IntOrString{}) {
		target = intstr.FromInt32(port.Port)
	}
	for _, container := range p.containers {
		for _, has := range container.Ports {
			if target.Type == intstr.String && has.Name == target.StrVal && cmp.Or(has.Protocol, corev1.ProtocolTCP) == protocol {
				return fmt.Sprintf("%s/%d", protocol, has.ContainerPort)
			}
		}
	}
	return fmt.Sprintf("%s/%s", protocol, target.String())
}

// mergePorts adds the canary's ports to those of a Service's owner, and notes which
// were not his. Where both have one, the canary says where its own leads.
func (p *Pair) mergePorts(o *original, live []corev1.ServicePort) []corev1.ServicePort {
	main, added, before := p.mainPort(), o.Added, o.Main
	o.Main, o.Added = portKey(main), []string{portKey(main)}
	var ports []corev1.ServicePort
	for _, port := range live {
		switch key := portKey(port); {
		case key == o.Main:
			main = p.asBefore(main, port)
			if !slices.Contains(added, key) {
				o.Added = nil
			}
		case slices.Contains(added, key):
		case key == before:
			ports = append(ports, o.was(port))
		default:
			ports = append(ports, port)
		}
	}
	ports = slices.Insert(ports, 0, distinct(main, ports))
	for _, port := range p.discovered() {
		same := func(had corev1.ServicePort) bool {
			return portKey(had) == portKey(port) || had.Name == port.Name || p.containerPort(had) == p.containerPort(port)
		}
		if !slices.ContainsFunc(ports, same) {
			port.NodePort = nodePort(live, port)
			ports, o.Added = append(ports, port), append(o.Added, portKey(port))
		}
	}
	for i := range ports {
		if ports[i].Name == "" && len(ports) > 1 {
			ports[i] = distinct(ports[i], ports)
		}
	}
	return ports
}

// asBefore gives the canary's port what it does not say itself from the one that is in
// its place.
func (p *Pair) asBefore(main, port corev1.ServicePort) corev1.ServicePort {
	main.NodePort = port.NodePort
	if p.canary.Spec.Service.PortName == "" {
		main.Name = cmp.Or(port.Name, main.Name)
	}
	if main.AppProtocol == nil {
		main.AppProtocol = port.AppProtocol
	}
	return main
}

// nodePort is the one that a port has in a Service already.
func nodePort(in []corev1.ServicePort, of corev1.ServicePort) int32 {
	for _, port := range in {
		if portKey(port) == portKey(of) {
			return port.NodePort
		}
	}
	return 0
}

// was is a port as its owner had it, with the node port that it has now.
func (o *original) was(port corev1.ServicePort) corev1.ServicePort {
	for _, had := range o.Ports {
		if portKey(had) == portKey(port) {
			had.NodePort, had.Protocol = port.NodePort, port.Protocol
			return had
		}
	}
	return port
}

// restore are the ports without those of the canary.
func (o *original) restore(live *corev1.Service) []corev1.ServicePort {
	var ports []corev1.ServicePort
	for _, port := range live.Spec.Ports {
		key, was := portKey(port), o.was(port)
		switch {
		case slices.Contains(o.Added, key):
			continue
		case key == o.Main:
			port = was
		default:
			port.Name = was.Name // which it may have lacked
		}
		ports = append(ports, port)
	}
	if len(ports) == 0 {
		return o.Ports
	}
	return ports
}
