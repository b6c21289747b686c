package netpol

import (
	"fmt"
	"strings"
)

// Render writes the walls as one nft transaction that replaces the whole table.
//
// Packets between pods of one bridge reach the forward hook because net.bridge.bridge-nf-call-iptables is set. Packets
// from a pod to its node (the API server, anything on a node's address) pass the input hook, so egress is checked there
// too. Packets from a node to a pod (kubelet's probes) are never filtered, as the API demands. An address of podNetwork
// that no known pod has is closed: a new pod is shut in until its policies are in the kernel.
func Render(pods []Pod, podNetwork string) string {
	var text strings.Builder
	text.WriteString("table inet netpol {}\ndelete table inet netpol\ntable inet netpol {\n")
	var known, ingress, egress []string
	for _, pod := range pods {
		known = append(known, pod.Address)
		if pod.Ingress != nil {
			ingress = append(ingress, pod.Address+" : jump in_"+pod.ID)
			text.WriteString(chain("in_"+pod.ID, pod.Name, "saddr", pod.Ingress))
		}
		if pod.Egress != nil {
			egress = append(egress, pod.Address+" : jump eg_"+pod.ID)
			text.WriteString(chain("eg_"+pod.ID, pod.Name, "daddr", pod.Egress))
		}
	}
	fmt.Fprintf(&text, " chain forward {\n  type filter hook forward priority filter; policy accept;\n  ct state established,related accept\n%s%s%s%s }\n",
		closed("saddr", podNetwork, known), closed("daddr", podNetwork, known), dispatch("saddr", egress), dispatch("daddr", ingress))
	fmt.Fprintf(&text, " chain input {\n  type filter hook input priority filter; policy accept;\n  iif lo accept\n  ct state established,related accept\n%s%s }\n",
		closed("saddr", podNetwork, known), dispatch("saddr", egress))
	text.WriteString("}\n")
	return text.String()
}

// chain returns to its caller for what is permitted and drops the rest.
func chain(name, comment, side string, direction *Direction) string {
	var text strings.Builder
	fmt.Fprintf(&text, " chain %s {\n  comment %q\n", name, comment)
	for _, permit := range direction.Permits {
		fmt.Fprintf(&text, "  %sreturn\n", permit.match(side))
	}
	text.WriteString("  counter drop\n }\n")
	return text.String()
}

func (p Permit) match(side string) string {
	var text strings.Builder
	switch {
	case p.AnyPeer:
	case p.Network != "":
		fmt.Fprintf(&text, "ip %s %s ", side, p.Network)
		if len(p.Except) > 0 {
			fmt.Fprintf(&text, "ip %s != { %s } ", side, strings.Join(p.Except, ", "))
		}
	default:
		fmt.Fprintf(&text, "ip %s { %s } ", side, strings.Join(p.Hosts, ", "))
	}
	switch {
	case p.Ports == nil:
	case p.Ports.First == 0:
		fmt.Fprintf(&text, "meta l4proto %s ", p.Ports.Protocol)
	case p.Ports.First == p.Ports.Last:
		fmt.Fprintf(&text, "%s dport %d ", p.Ports.Protocol, p.Ports.First)
	default:
		fmt.Fprintf(&text, "%s dport %d-%d ", p.Ports.Protocol, p.Ports.First, p.Ports.Last)
	}
	return text.String()
}

func dispatch(side string, jumps []string) string {
	if len(jumps) == 0 {
		return ""
	}
	return fmt.Sprintf("  ip %s vmap { %s }\n", side, strings.Join(jumps, ", "))
}

func closed(side, podNetwork string, known []string) string {
	if len(known) == 0 {
		return fmt.Sprintf("  ip %s %s counter drop\n", side, podNetwork)
	}
	return fmt.Sprintf("  ip %s %s ip %s != { %s } counter drop\n", side, podNetwork, side, strings.Join(known, ", "))
}
