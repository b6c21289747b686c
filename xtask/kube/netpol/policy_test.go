package netpol

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// The little world of every case: x and z are namespaces, a and b are pods in each.
const outside = "198.51.100.7"

var addresses = map[string]string{"x/a": "10.244.0.2", "x/b": "10.244.0.3", "z/a": "10.244.1.2", "z/b": "10.244.1.3", "outside": outside}

func world(t *testing.T, policies ...string) Objects {
	t.Helper()
	objects := Objects{Namespaces: map[string]labels.Set{"x": {"ns": "x"}, "z": {"ns": "z"}}}
	for name, address := range addresses {
		namespace, pod, isPod := strings.Cut(name, "/")
		if !isPod {
			continue
		}
		objects.Pods = append(objects.Pods, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod, UID: types.UID(namespace + "-" + pod), Labels: map[string]string{"pod": pod}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
				{Name: "web", ContainerPort: 80, Protocol: corev1.ProtocolTCP},
				{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
			}}}},
			Status: corev1.PodStatus{PodIP: address, Phase: corev1.PodRunning},
		})
	}
	for index, text := range policies {
		policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "x", UID: types.UID(rune('0' + index))}}
		if err := yaml.UnmarshalStrict([]byte(text), &policy.Spec); err != nil {
			t.Fatalf("policy %d: %v", index, err)
		}
		objects.Policies = append(objects.Policies, policy)
	}
	return objects
}

// allowed answers for one connection as the kernel will: both ends must permit it.
func allowed(pods []Pod, from, to, protocol string, port int32) bool {
	source, destination := addresses[from], addresses[to]
	for _, pod := range pods {
		if pod.Address == source && pod.Egress != nil && !pod.Egress.permits(destination, protocol, port) {
			return false
		}
		if pod.Address == destination && pod.Ingress != nil && !pod.Ingress.permits(source, protocol, port) {
			return false
		}
	}
	return true
}

func (d *Direction) permits(other, protocol string, port int32) bool {
	return slices.ContainsFunc(d.Permits, func(permit Permit) bool {
		peer := permit.AnyPeer || slices.Contains(permit.Hosts, other)
		if permit.Network != "" {
			within := func(network string) bool { return netip.MustParsePrefix(network).Contains(netip.MustParseAddr(other)) }
			peer = within(permit.Network) && !slices.ContainsFunc(permit.Except, within)
		}
		ports := permit.Ports
		return peer && (ports == nil || ports.Protocol == protocol && (ports.First == 0 || ports.First <= port && port <= ports.Last))
	})
}

// A question reads "from > to protocol port".
type question struct {
	from, to, protocol string
	port               int32
}

func tcp(from, to string, port int32) question { return question{from, to, "tcp", port} }
func udp(from, to string, port int32) question { return question{from, to, "udp", port} }

func TestVerdicts(t *testing.T) {
	cases := []struct {
		name     string
		policies []string
		open     []question
		closed   []question
	}{
		{
			name: "without a policy everything is open",
			open: []question{tcp("x/a", "x/b", 80), tcp("z/a", "x/a", 80), tcp("outside", "x/a", 80), udp("x/a", "outside", 53)},
		},
		{
			name:     "default deny of ingress closes the namespace and no other",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress]}`},
			open:     []question{tcp("x/a", "z/a", 80), tcp("z/a", "z/b", 80), tcp("x/a", "outside", 443)},
			closed:   []question{tcp("x/a", "x/b", 80), tcp("z/a", "x/a", 80), tcp("outside", "x/a", 80)},
		},
		{
			name:     "default deny of egress closes the namespace and no other",
			policies: []string{`{podSelector: {}, policyTypes: [Egress]}`},
			open:     []question{tcp("z/a", "x/a", 80), tcp("outside", "x/a", 80)},
			closed:   []question{tcp("x/a", "x/b", 80), tcp("x/a", "z/a", 80), tcp("x/a", "outside", 443), udp("x/b", "z/a", 53)},
		},
		{
			name:     "an empty rule opens everything again",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress, Egress]}`, `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`},
			open:     []question{tcp("x/a", "x/b", 80), tcp("outside", "x/a", 1), udp("x/a", "outside", 53)},
		},
		{
			name:     "a pod selector means pods of the policy's own namespace",
			policies: []string{`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}`},
			open:     []question{tcp("x/b", "x/a", 80), tcp("z/a", "x/b", 80)},
			closed:   []question{tcp("z/b", "x/a", 80), tcp("z/a", "x/a", 80), tcp("outside", "x/a", 80)},
		},
		{
			name:     "a namespace selector means every pod in it",
			policies: []string{`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}`},
			open:     []question{tcp("z/a", "x/a", 80), tcp("z/b", "x/a", 80)},
			closed:   []question{tcp("x/b", "x/a", 80), tcp("outside", "x/a", 80)},
		},
		{
			name:     "both selectors in one peer must match",
			policies: []string{`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}, podSelector: {matchLabels: {pod: b}}}]}]}`},
			open:     []question{tcp("z/b", "x/a", 80)},
			closed:   []question{tcp("z/a", "x/a", 80), tcp("x/b", "x/a", 80)},
		},
		{
			name:     "of two peers one is enough",
			policies: []string{`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}, {podSelector: {matchLabels: {pod: b}}}]}]}`},
			open:     []question{tcp("z/a", "x/a", 80), tcp("x/b", "x/a", 80)},
			closed:   []question{tcp("outside", "x/a", 80)},
		},
		{
			name:     "selectors by expression",
			policies: []string{`{podSelector: {matchExpressions: [{key: pod, operator: In, values: [a]}]}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: [x]}]}}]}]}`},
			open:     []question{tcp("x/a", "z/a", 80), tcp("x/b", "x/a", 80)},
			closed:   []question{tcp("x/a", "x/b", 80), tcp("x/a", "outside", 80)},
		},
		{
			name:     "a numbered port opens that port of that protocol",
			policies: []string{`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{ports: [{port: 80}]}]}`},
			open:     []question{tcp("x/b", "x/a", 80), tcp("outside", "x/a", 80)},
			closed:   []question{tcp("x/b", "x/a", 81), udp("x/b", "x/a", 80)},
		},
		{
			name:     "a range of ports",
			policies: []string{`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{ports: [{port: 1024, endPort: 2048}]}]}`},
			open:     []question{tcp("x/a", "z/a", 1024), tcp("x/a", "outside", 2048)},
			closed:   []question{tcp("x/a", "z/a", 1023), tcp("x/a", "z/a", 2049)},
		},
		{
			name:     "a protocol without a port means all its ports",
			policies: []string{`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{ports: [{protocol: UDP}]}]}`},
			open:     []question{udp("x/a", "z/a", 53), udp("x/a", "outside", 9)},
			closed:   []question{tcp("x/a", "z/a", 53)},
		},
		{
			name:     "a port name of ingress is the isolated pod's own",
			policies: []string{`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}], ports: [{port: web}]}]}`},
			open:     []question{tcp("x/b", "x/a", 80)},
			closed:   []question{tcp("x/b", "x/a", 53), tcp("z/b", "x/a", 80), udp("x/b", "x/a", 53)},
		},
		{
			name:     "a port name of egress is the destination's",
			policies: []string{`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: z}}}], ports: [{port: dns, protocol: UDP}]}]}`},
			open:     []question{udp("x/a", "z/a", 53), udp("x/a", "z/b", 53)},
			closed:   []question{tcp("x/a", "z/a", 53), udp("x/a", "x/b", 53), udp("x/a", "z/a", 54)},
		},
		{
			name:     "a port name that nobody declares opens nothing",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: other}]}], egress: [{ports: [{port: other}]}]}`},
			closed:   []question{tcp("x/b", "x/a", 80), tcp("z/b", "x/a", 80), tcp("x/a", "outside", 80)},
		},
		{
			name:     "an address block without its exception",
			policies: []string{`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.244.1.0/24]}}]}]}`},
			open:     []question{tcp("x/a", "outside", 443), tcp("x/a", "x/b", 80)},
			closed:   []question{tcp("x/a", "z/a", 80), tcp("x/a", "z/b", 80)},
		},
		{
			name:     "a block of IPv6 addresses, which opens nothing where only IPv4 is spoken",
			policies: []string{`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: "2000::/3"}}]}]}`},
			closed:   []question{tcp("x/a", "outside", 443), tcp("x/a", "x/b", 80)},
		},
		{
			name:     "an address block of ingress",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/24}}], ports: [{port: 80}]}]}`},
			open:     []question{tcp("outside", "x/a", 80)},
			closed:   []question{tcp("outside", "x/a", 81), tcp("z/a", "x/a", 80)},
		},
		{
			name: "policies add up",
			policies: []string{
				`{podSelector: {}, policyTypes: [Egress]}`,
				`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}`,
				`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 198.51.100.7/32}}], ports: [{port: 443}]}]}`,
			},
			open:   []question{tcp("x/a", "x/b", 80), tcp("x/a", "outside", 443)},
			closed: []question{tcp("x/b", "outside", 443), tcp("x/a", "outside", 80), tcp("x/a", "z/a", 80)},
		},
		{
			name:     "a peer that selects nobody opens nothing",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {pod: nobody}}}]}]}`},
			closed:   []question{tcp("x/b", "x/a", 80), tcp("outside", "x/a", 80)},
		},
		{
			name: "both ends must permit",
			policies: []string{
				`{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {pod: b}}}]}]}`,
				`{podSelector: {matchLabels: {pod: b}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]}`,
			},
			open:   []question{tcp("z/a", "x/b", 80)},
			closed: []question{tcp("x/a", "x/b", 80)},
		},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			pods := Compile(world(t, test.policies...))
			for _, q := range test.open {
				if !allowed(pods, q.from, q.to, q.protocol, q.port) {
					t.Errorf("%v is closed", q)
				}
			}
			for _, q := range test.closed {
				if allowed(pods, q.from, q.to, q.protocol, q.port) {
					t.Errorf("%v is open", q)
				}
			}
		})
	}
}

func TestPodsThatHaveNoAddressOfTheirOwnAreLeftOut(t *testing.T) {
	objects := world(t)
	objects.Pods[0].Status.Phase = corev1.PodSucceeded
	objects.Pods[1].Spec.HostNetwork = true
	objects.Pods[2].Status.PodIP = ""
	if pods := Compile(objects); len(pods) != 1 {
		t.Errorf("compiled %v", pods)
	}
}

func TestTheTableReplacesItselfAndShutsUnknownPodsIn(t *testing.T) {
	text := Render(Compile(world(t)), "10.244.0.0/16")
	for _, wanted := range []string{
		"delete table inet netpol\n",
		"ip saddr 10.244.0.0/16 ip saddr != { 10.244.0.2, 10.244.0.3, 10.244.1.2, 10.244.1.3 } counter drop",
		"ip daddr 10.244.0.0/16 ip daddr != { 10.244.0.2, 10.244.0.3, 10.244.1.2, 10.244.1.3 } counter drop",
	} {
		if !strings.Contains(text, wanted) {
			t.Errorf("%q is missing in\n%s", wanted, text)
		}
	}
	if empty := Render(nil, "10.244.0.0/16"); !strings.Contains(empty, "  ip saddr 10.244.0.0/16 counter drop\n") {
		t.Errorf("without pods the range is not closed:\n%s", empty)
	}
}

func TestEachPermitBecomesOneRule(t *testing.T) {
	pods := Compile(world(t, `{podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [
		{to: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.1/32]}}], ports: [{port: 443}, {port: 5432, endPort: 5440}, {protocol: UDP}]},
		{to: [{podSelector: {matchLabels: {pod: b}}}]}]}`))
	text := Render(pods, "10.244.0.0/16")
	for _, wanted := range []string{
		"  ip saddr vmap { 10.244.0.2 : jump eg_xa }\n",
		" chain eg_xa {\n  comment \"x/a\"\n" +
			"  ip daddr 192.0.2.0/24 ip daddr != { 192.0.2.1/32 } tcp dport 443 return\n" +
			"  ip daddr 192.0.2.0/24 ip daddr != { 192.0.2.1/32 } tcp dport 5432-5440 return\n" +
			"  ip daddr 192.0.2.0/24 ip daddr != { 192.0.2.1/32 } meta l4proto udp return\n" +
			"  ip daddr { 10.244.0.3 } return\n" +
			"  counter drop\n }\n",
	} {
		if !strings.Contains(text, wanted) {
			t.Errorf("%q is missing in\n%s", wanted, text)
		}
	}
}
