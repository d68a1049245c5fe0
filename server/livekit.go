package server

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/matrixrtc-go/matrixrtc/server/sfu"
)

// embedded is the configuration of the embedded SFU.
func (c *Config) embedded(key string, secret Secret) (*sfu.Config, error) {
	conf := &sfu.Config{
		Key: key, Secret: string(secret),
		NodeIP: c.Media.Address, UDPPort: c.Media.UDPPort, TCPPort: c.Media.TCPPort, Loopback: c.Media.Loopback,
	}
	if c.LiveKit.Kind == yaml.MappingNode {
		var err error
		if conf.LiveKitYAML, err = yaml.Marshal(&c.LiveKit); err != nil {
			return nil, fmt.Errorf("livekit block: %w", err)
		}
	}
	return conf, nil
}

// blockLines says for each line of a block that was written anew on which line
// of the file its first entry stood.
func blockLines(written []byte, original *yaml.Node) map[int]int {
	lines := map[int]int{}
	var doc yaml.Node
	if yaml.Unmarshal(written, &doc) != nil || doc.Kind != yaml.DocumentNode {
		return lines
	}
	var walk func(n, o *yaml.Node)
	walk = func(n, o *yaml.Node) {
		if _, ok := lines[n.Line]; !ok {
			lines[n.Line] = o.Line
		}
		for i := range min(len(n.Content), len(o.Content)) {
			walk(n.Content[i], o.Content[i])
		}
	}
	walk(doc.Content[0], original)
	return lines
}

// lineOf is the line of a key, or of the innermost key above it that is there;
// 0 if there is none.
func lineOf(n *yaml.Node, path []string) (line int) {
	for _, key := range path {
		if n.Kind != yaml.MappingNode {
			return line
		}
		found := false
		for i := 0; i+1 < len(n.Content) && !found; i += 2 {
			if found = n.Content[i].Value == key; found {
				line, n = n.Content[i].Line, n.Content[i+1]
			}
		}
		if !found {
			return line
		}
	}
	return line
}
