// Package netpol enforces networking.k8s.io/v1 NetworkPolicy with nftables for a cluster whose nodes share one network
// namespace. It is test equipment: users' clusters enforce with their own network plugin.
//
// policy.go says what is allowed (pure, tested by a table of cases), nftables.go writes that down for the kernel,
// watch.go keeps both up to date, and arrivals.go lets a new pod's containers start only behind their walls. What it does not do: IPv6, SCTP, policies for host-network pods.
package netpol

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Objects is what the API server holds at one moment.
type Objects struct {
	Pods       []*corev1.Pod
	Namespaces map[string]labels.Set
	Policies   []*networkingv1.NetworkPolicy
}

// Pod is one pod's address and the walls around it.
type Pod struct {
	ID      string // unique, and fit for the name of a chain
	Name    string // for people: namespace/name
	Address string
	Ingress *Direction // nil: nobody isolates this direction
	Egress  *Direction
}

// Direction lists what an isolated pod may still do. No permit, no packet.
type Direction struct {
	Permits []Permit
}

// Permit allows packets whose other side is in Peers (empty Networks: anybody) and whose port is in Ports.
type Permit struct {
	AnyPeer bool
	Network string   // of an ipBlock
	Except  []string // parts of Network that are not meant
	Hosts   []string // addresses of selected pods
	Ports   *Ports   // nil: every port of every protocol
}

// Ports is a range of one protocol; First zero means all ports.
type Ports struct {
	Protocol    string // tcp or udp
	First, Last int32
}

// Compile works out the walls of every pod that has an address, in a stable order.
func Compile(objects Objects) []Pod {
	objects.Pods = reachable(objects.Pods)
	objects.Policies = slices.SortedFunc(slices.Values(objects.Policies), func(a, b *networkingv1.NetworkPolicy) int { return cmp.Compare(a.UID, b.UID) })

	compiled := make([]Pod, 0, len(objects.Pods))
	for _, pod := range objects.Pods {
		compiled = append(compiled, objects.compile(pod))
	}
	return compiled
}

// reachable are the pods that have an address of their own. Of two that claim one address the newer has it: the other
// has ended and is about to say so.
func reachable(pods []*corev1.Pod) []*corev1.Pod {
	holders := map[string]*corev1.Pod{}
	for _, pod := range pods {
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if pod.Status.PodIP == "" || pod.Spec.HostNetwork || ended {
			continue
		}
		if holder := holders[pod.Status.PodIP]; holder == nil || holder.CreationTimestamp.Before(&pod.CreationTimestamp) {
			holders[pod.Status.PodIP] = pod
		}
	}
	return slices.SortedFunc(maps.Values(holders), func(a, b *corev1.Pod) int { return cmp.Compare(a.UID, b.UID) })
}

func podID(uid types.UID) string {
	return strings.ReplaceAll(string(uid), "-", "")
}

func (o Objects) compile(pod *corev1.Pod) Pod {
	compiled := Pod{ID: podID(pod.UID), Name: pod.Namespace + "/" + pod.Name, Address: pod.Status.PodIP}
	for _, policy := range o.Policies {
		if policy.Namespace != pod.Namespace || !matches(&policy.Spec.PodSelector, pod.Labels) {
			continue
		}
		if slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			compiled.Ingress = isolated(compiled.Ingress)
			for _, rule := range policy.Spec.Ingress {
				named := func(port networkingv1.NetworkPolicyPort, _ Permit) []Permit { return permitNamed(port, pod, Permit{}) }
				compiled.Ingress.Permits = append(compiled.Ingress.Permits, o.permits(policy, rule.From, rule.Ports, named)...)
			}
		}
		if slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
			compiled.Egress = isolated(compiled.Egress)
			for _, rule := range policy.Spec.Egress {
				compiled.Egress.Permits = append(compiled.Egress.Permits, o.permits(policy, rule.To, rule.Ports, o.namedAtPeers)...)
			}
		}
	}
	return compiled
}

func isolated(direction *Direction) *Direction {
	if direction == nil {
		return &Direction{}
	}
	return direction
}

// permits is the product of a rule's peers and ports; either list being empty means "all of them".
func (o Objects) permits(policy *networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort,
	named func(networkingv1.NetworkPolicyPort, Permit) []Permit,
) []Permit {
	sides := []Permit{{AnyPeer: true}}
	if len(peers) > 0 {
		sides = nil
		for _, peer := range peers {
			if side, some := o.side(policy.Namespace, peer); some {
				sides = append(sides, side)
			}
		}
	}
	if len(ports) == 0 {
		return sides
	}
	var permits []Permit
	for _, side := range sides {
		for _, port := range ports {
			if port.Port != nil && port.Port.Type == intstr.String {
				for _, permit := range named(port, side) {
					if permit.Hosts == nil {
						permit.AnyPeer, permit.Network, permit.Except, permit.Hosts = side.AnyPeer, side.Network, side.Except, side.Hosts
					}
					permits = append(permits, permit)
				}
				continue
			}
			side.Ports = numbered(port)
			permits = append(permits, side)
		}
	}
	return permits
}

// side is where a peer may be; false when the peer selects nothing at the moment.
func (o Objects) side(namespace string, peer networkingv1.NetworkPolicyPeer) (Permit, bool) {
	if peer.IPBlock != nil {
		// This cluster speaks IPv4 only: a block of IPv6 addresses opens nothing here.
		return Permit{Network: peer.IPBlock.CIDR, Except: peer.IPBlock.Except}, !strings.Contains(peer.IPBlock.CIDR, ":")
	}
	var hosts []string
	for _, pod := range o.Pods {
		inNamespace := pod.Namespace == namespace
		if peer.NamespaceSelector != nil {
			set, known := o.Namespaces[pod.Namespace]
			inNamespace = known && matches(peer.NamespaceSelector, set)
		}
		if inNamespace && (peer.PodSelector == nil || matches(peer.PodSelector, pod.Labels)) {
			hosts = append(hosts, pod.Status.PodIP)
		}
	}
	return Permit{Hosts: hosts}, len(hosts) > 0
}

// namedAtPeers resolves a port name of an egress rule: each destination pod gives the name a number of its own.
func (o Objects) namedAtPeers(port networkingv1.NetworkPolicyPort, side Permit) []Permit {
	var permits []Permit
	for _, pod := range o.Pods {
		if side.AnyPeer || slices.Contains(side.Hosts, pod.Status.PodIP) {
			permits = append(permits, permitNamed(port, pod, Permit{Hosts: []string{pod.Status.PodIP}})...)
		}
	}
	return permits
}

// permitNamed copies the permit for each of the pod's container ports with the name and protocol.
func permitNamed(port networkingv1.NetworkPolicyPort, pod *corev1.Pod, permit Permit) []Permit {
	var permits []Permit
	for _, container := range pod.Spec.Containers {
		for _, declared := range container.Ports {
			if declared.Name == port.Port.StrVal && protocol(&declared.Protocol) == protocol(port.Protocol) {
				permit.Ports = &Ports{Protocol: protocol(port.Protocol), First: declared.ContainerPort, Last: declared.ContainerPort}
				permits = append(permits, permit)
			}
		}
	}
	return permits
}

func numbered(port networkingv1.NetworkPolicyPort) *Ports {
	ports := &Ports{Protocol: protocol(port.Protocol)}
	if port.Port != nil {
		ports.First, ports.Last = port.Port.IntVal, port.Port.IntVal
		if port.EndPort != nil {
			ports.Last = *port.EndPort
		}
	}
	return ports
}

func protocol(named *corev1.Protocol) string {
	if named == nil || *named == "" {
		return "tcp"
	}
	return strings.ToLower(string(*named))
}

// matches is false for a selector that cannot be read: such a policy then allows nothing, as it should.
func matches(selector *metav1.LabelSelector, set labels.Set) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(set)
}
