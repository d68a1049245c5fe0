package server

import (
	"fmt"
	"net/netip"

	"gopkg.in/yaml.v3"
)

// Names is a list of names; in YAML one name may stand alone.
type Names []string

// UnmarshalYAML reads a list, or a text with names separated by commas or
// white space.
func (n *Names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!str" {
		*n = splitList(node.Value)
		return nil
	}
	var list []string
	if err := node.Decode(&list); err != nil {
		return badType(node, "want a list of names")
	}
	*n = list
	return nil
}

// Networks is a list of networks; a single address counts as one.
type Networks []netip.Prefix

// UnmarshalYAML reads a list, and says which entries are wrong.
func (n *Networks) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.SequenceNode {
		return badType(node, "want a list of networks such as [10.0.0.0/8]")
	}
	var bad yaml.TypeError
	for _, item := range node.Content {
		if p, ok := parseNetwork(item.Value); ok {
			*n = append(*n, p)
		} else {
			bad.Errors = append(bad.Errors, badType(item, "want a network such as 10.0.0.0/8").Errors...)
		}
	}
	if len(bad.Errors) > 0 {
		return &bad
	}
	return nil
}

// parseNetwork reads a network, or an address as one.
func parseNetwork(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err == nil
}

func badType(node *yaml.Node, text string) *yaml.TypeError {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %s", node.Line, text)}}
}
