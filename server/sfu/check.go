package sfu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	lkconfig "github.com/livekit/livekit-server/pkg/config"
	"gopkg.in/yaml.v3"
)

// Check says what is wrong with a configuration, as far as that can be told
// without opening a port or asking anybody. nil: nothing was found.
func (c *Config) Check() []*ConfigError {
	user, err := parseBlock(c.LiveKitYAML)
	if err != nil {
		return asList(err)
	}
	list := decodeBlock(c.LiveKitYAML)
	list = append(list, asList(checkBlock(user))...)
	if _, _, err := c.keys(user); err != nil {
		list = append(list, asList(err)...)
	}
	if _, err := netip.ParseAddr(c.NodeIP); c.NodeIP != "" && err != nil {
		list = append(list, &ConfigError{Key: "rtc.node_ip", Problem: "not an IP address", Err: err})
	}
	if len(list) > 0 {
		return list
	}
	// The address and the ports of this host are for Start to find.
	offline := *c
	offline.NodeIP = "127.0.0.1"
	section(user, "rtc")["use_external_ip"] = false
	offline.LiveKitYAML, err = yaml.Marshal(user)
	if err != nil {
		return asList(&ConfigError{Problem: "cannot be written back", Err: err})
	}
	_, err = offline.resolve()
	return asList(err)
}

func asList(err error) []*ConfigError {
	if err == nil {
		return nil
	}
	if ce, ok := errors.AsType[*ConfigError](err); ok {
		return []*ConfigError{ce}
	}
	return []*ConfigError{{Problem: "cannot be used", Err: err}}
}

// decodeBlock decodes the block as it was written, so that lines are right.
func decodeBlock(block []byte) (list []*ConfigError) {
	dec := yaml.NewDecoder(bytes.NewReader(block))
	dec.KnownFields(true)
	var conf lkconfig.Config
	err := dec.Decode(&conf)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	te, ok := errors.AsType[*yaml.TypeError](err)
	if !ok { // one of LiveKit's own types
		return []*ConfigError{{Problem: "not accepted by LiveKit", Err: err}}
	}
	for _, e := range te.Errors {
		list = append(list, decodeError(e))
	}
	return list
}

var (
	decodeLine   = regexp.MustCompile(`^line (\d+): (.*)$`)
	unknownField = regexp.MustCompile(`^field (.*) not found in type `)
	wrongValue   = regexp.MustCompile("^cannot unmarshal !!(\\w+)(?: `.*`)? into (.*)$")
)

// decodeError puts a message of the YAML decoder into plain words. It repeats
// no values: one of them may be a secret in the wrong place.
func decodeError(message string) *ConfigError {
	e := &ConfigError{Problem: message}
	if m := decodeLine.FindStringSubmatch(message); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		e.Problem = m[2]
	}
	if m := unknownField.FindStringSubmatch(e.Problem); m != nil {
		e.Problem = fmt.Sprintf("LiveKit knows no key %q here", m[1])
	} else if m := wrongValue.FindStringSubmatch(e.Problem); m != nil {
		e.Problem = fmt.Sprintf("want %s, not %s", plainType(m[2]), plainType(m[1]))
	}
	return e
}

// plainType are words for names of Go's and YAML's types.
func plainType(name string) string {
	switch {
	case name == "str", name == "string":
		return "a text"
	case name == "bool":
		return "true or false"
	case name == "seq", strings.HasPrefix(name, "[]"):
		return "a list"
	case name == "float", strings.Contains(name, "int"), strings.HasPrefix(name, "float"):
		return "a number"
	case name == "time.Duration":
		return "a time such as 30s"
	case name == "null":
		return "nothing"
	}
	return "a mapping"
}
