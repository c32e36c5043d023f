// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// ports are those that the Services of a canary have, by its spec and by what the
// target's containers listen on.
type ports struct {
	spec       *flaggerv1.CanaryService
	containers []corev1.Container
}

// portKey is what may be there once in a Service.
func portKey(port corev1.ServicePort) string {
	return fmt.Sprintf("%s/%d", cmp.Or(port.Protocol, corev1.ProtocolTCP), port.Port)
}

func byPort(ports []corev1.ServicePort) []corev1.ServicePort {
	return slices.SortedFunc(slices.Values(ports), func(a, b corev1.ServicePort) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
	})
}

// main is the port that the canary names.
func (p ports) main() corev1.ServicePort {
	s := p.spec
	main := corev1.ServicePort{
		Name: cmp.Or(s.PortName, "http"), Protocol: corev1.ProtocolTCP, Port: s.Port, TargetPort: intstr.FromInt32(s.Port),
	}
	if s.TargetPort != (intstr.IntOrString{}) {
		main.TargetPort = s.TargetPort
	}
	if s.AppProtocol != "" {
		main.AppProtocol = &s.AppProtocol
	}
	return main
}

// servicePorts are the canary's port and, if asked for, all others of the containers.
func (p ports) servicePorts() []corev1.ServicePort {
	all := []corev1.ServicePort{p.main()}
	for _, port := range p.discovered() {
		if !slices.ContainsFunc(all, func(had corev1.ServicePort) bool { return portKey(had) == portKey(port) }) {
			all = append(all, distinct(port, all))
		}
	}
	return all
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
func (p ports) discovered() []corev1.ServicePort {
	if !p.spec.PortDiscovery {
		return nil
	}
	main := p.containerPort(p.main())
	var found []corev1.ServicePort
	meshProxies := provider.Sidecars()
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
func (p ports) containerPort(port corev1.ServicePort) string {
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

// merged adds the canary's ports to those of a Service's owner, and notes which
// were not his. Where both have one, the canary says where its own leads.
func (p ports) merged(o *originalService, live []corev1.ServicePort) []corev1.ServicePort {
	main, added, before := p.main(), o.Added, o.Main
	o.Main, o.Added = portKey(main), []string{portKey(main)}
	var merged []corev1.ServicePort
	for _, port := range live {
		switch key := portKey(port); {
		case key == o.Main:
			main = p.asBefore(main, port)
			if !slices.Contains(added, key) {
				o.Added = nil
			}
		case slices.Contains(added, key):
		case key == before:
			merged = append(merged, o.originalPort(port))
		default:
			merged = append(merged, port)
		}
	}
	merged = slices.Insert(merged, 0, distinct(main, merged))
	for _, port := range p.discovered() {
		same := func(had corev1.ServicePort) bool {
			return portKey(had) == portKey(port) || had.Name == port.Name || p.containerPort(had) == p.containerPort(port)
		}
		if !slices.ContainsFunc(merged, same) {
			port.NodePort = nodePort(live, port)
			merged, o.Added = append(merged, port), append(o.Added, portKey(port))
		}
	}
	for i := range merged {
		if merged[i].Name == "" && len(merged) > 1 {
			merged[i] = distinct(merged[i], merged)
		}
	}
	return merged
}

// asBefore gives the canary's port what it does not say itself from the one that is in
// its place.
func (p ports) asBefore(main, port corev1.ServicePort) corev1.ServicePort {
	main.NodePort = port.NodePort
	if p.spec.PortName == "" {
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

// originalPort is a port as its owner had it, with the node port that it has now.
func (o *originalService) originalPort(port corev1.ServicePort) corev1.ServicePort {
	for _, had := range o.Ports {
		if portKey(had) == portKey(port) {
			had.NodePort, had.Protocol = port.NodePort, port.Protocol
			return had
		}
	}
	return port
}

// restore are the ports without those of the canary.
func (o *originalService) restore(live *corev1.Service) []corev1.ServicePort {
	var ports []corev1.ServicePort
	for _, port := range live.Spec.Ports {
		key, was := portKey(port), o.originalPort(port)
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
