//go:build linux

package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// wire is the network: a bridge that everybody is plugged into, each in a
// namespace of its own, with rules that lose packets. All packets are lost where
// they arrive, for a packet that is dropped where it is sent is an error to its
// sender, which no real wire gives.
type wire struct {
	tools map[string]string

	mu    sync.Mutex
	next  netip.Addr
	hosts map[string]*host
}

// host is a place on the wire. "" is the one where the tests themselves are.
type host struct {
	name   string
	addr   netip.Addr
	faults map[string]fault // by what they are called
}

// fault makes packets from an address get lost on arrival.
type fault struct {
	from    netip.Addr
	percent int
}

// inMemory is where homeserver and site keep their data. Nothing here loses power,
// and processes that are killed lose nothing. On a disk that others keep busy, a
// homeserver on SQLite, which writes each event in many transactions, one after the
// other for all rooms, takes seconds for an event, and a minute to get ready.
const inMemory = "/run/chaos"

// bridgeAddr is where the tests, and the tap, are.
var bridgeAddr = netip.MustParseAddr("10.77.0.1")

func newWire(ctx context.Context) (*wire, error) {
	if err := notAtHome(); err != nil {
		return nil, err
	}
	w := &wire{tools: map[string]string{}, next: bridgeAddr, hosts: map[string]*host{"": {addr: bridgeAddr, faults: map[string]fault{}}}}
	for _, tool := range []string{"ip", "nft", "nsenter", "mount"} {
		path, err := findTool(tool)
		if err != nil {
			return nil, err
		}
		w.tools[tool] = path
	}
	// Names of network namespaces live under /run, which is not ours: an empty
	// one hides it from us and from nobody else.
	for _, line := range []string{
		"mount -t tmpfs chaos /run",
		"ip link set lo up",
		"ip link add chaos type bridge",
		"ip addr add " + bridgeAddr.String() + "/16 dev chaos",
		"ip link set chaos up",
	} {
		if err := w.run(ctx, "", line); err != nil {
			return nil, err
		}
	}
	return w, os.Mkdir(inMemory, 0o700)
}

// notAtHome makes sure that the network that is about to be changed is not that
// of the machine.
func notAtHome() error {
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return err
	}
	// Of the process that started us; from within we may not even look.
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", os.Getppid()))
	if os.Getenv(envInside) != "1" || err == nil && ours == theirs {
		return errors.New("not in a network namespace of our own: see TestMain")
	}
	return nil
}

// run runs one of the tools, fed with input.
func (w *wire) run(ctx context.Context, input string, line string) error {
	argv := strings.Fields(line)
	cmd := exec.CommandContext(ctx, w.tools[argv[0]], argv[1:]...)
	cmd.Stdin = strings.NewReader(input)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(out.String()))
	}
	return nil
}

// plug adds a host.
func (w *wire) plug(ctx context.Context, name string) (*host, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = w.next.Next()
	if b := w.next.As4(); b[3] == 255 || b[3] == 0 { // no broadcast addresses of smaller networks
		w.next = w.next.Next().Next()
	}
	h := &host{name: name, addr: w.next, faults: map[string]fault{}}
	end := fmt.Sprintf("v%d", len(w.hosts)) // names of interfaces are short
	in := "ip -n " + name + " "
	for _, line := range []string{
		"ip netns add " + name,
		in + "link set lo up",
		"ip link add " + end + " type veth peer name eth0 netns " + name,
		"ip link set " + end + " master chaos up",
		in + "addr add " + h.addr.String() + "/16 dev eth0",
		in + "link set eth0 up",
	} {
		if err := w.run(ctx, "", line); err != nil {
			return nil, err
		}
	}
	w.hosts[name] = h
	return h, nil
}

// host is the host of that name, "" the one where the tests are.
func (w *wire) host(name string) *host {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[name]
}

// command is a program that will run at a host.
func (w *wire) command(h *host, argv ...string) *exec.Cmd {
	if h.name == "" {
		return exec.Command(argv[0], argv[1:]...)
	}
	return exec.Command(w.tools["nsenter"], append([]string{"--net=/run/netns/" + h.name, "--"}, argv...)...)
}

// lose loses that part of the packets between two hosts, in both directions.
// what names the fault, for mend.
func (w *wire) lose(ctx context.Context, what string, a, b *host, percent int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	a.faults[what], b.faults[what] = fault{b.addr, percent}, fault{a.addr, percent}
	return w.apply(ctx, a, b)
}

// mend ends a fault, everywhere.
func (w *wire) mend(ctx context.Context, what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var hosts []*host
	for _, h := range w.hosts {
		if _, has := h.faults[what]; has {
			delete(h.faults, what)
			hosts = append(hosts, h)
		}
	}
	return w.apply(ctx, hosts...)
}

// apply puts the faults of hosts into force, each host's all at once.
func (w *wire) apply(ctx context.Context, hosts ...*host) error {
	for _, h := range hosts {
		var rules strings.Builder
		rules.WriteString("table inet chaos\nflush table inet chaos\ntable inet chaos {\n chain arrive {\n" +
			"  type filter hook input priority 0; policy accept;\n  iif lo accept\n")
		for _, what := range slices.Sorted(maps.Keys(h.faults)) {
			f := h.faults[what]
			fmt.Fprintf(&rules, "  ip saddr %s", f.from)
			if f.percent < 100 {
				fmt.Fprintf(&rules, " numgen random mod 100 < %d", f.percent)
			}
			rules.WriteString(" drop\n")
		}
		rules.WriteString(" }\n}\n")
		cmd := w.command(h, w.tools["nft"], "-f", "-")
		cmd.Stdin = strings.NewReader(rules.String())
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("rules of %q: %w: %s\n%s", h.name, err, out, rules.String())
		}
	}
	return ctx.Err()
}
