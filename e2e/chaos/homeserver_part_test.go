//go:build linux

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
)

// homeserverPart runs a homeserver as a child of its own. Homeservers of
// devstack listen on loopback, which is the namespace's own here: a relay opens
// it to the wire.
func homeserverPart(*reporter) handler { return &homeserverHandler{} }

type homeserverHandler struct {
	mu    sync.Mutex
	hs    *devstack.Homeserver
	relay net.Listener
	wg    sync.WaitGroup
}

// homeserverArg says what to start.
type homeserverArg struct {
	Server serverKind `json:"server"`
	Listen string     `json:"listen"`
}

func (h *homeserverHandler) do(ctx context.Context, what string, raw json.RawMessage) (any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch what {
	case "start":
		var arg homeserverArg
		if err := json.Unmarshal(raw, &arg); err != nil {
			return nil, err
		}
		return nil, h.start(ctx, arg)
	case "kill":
		h.hs.Kill()
	case "restart": // politely, if it runs
		return nil, h.hs.Restart(ctx)
	case "logs":
		return h.hs.Logs(), nil
	default:
		return nil, fmt.Errorf("unknown order %q", what)
	}
	return nil, nil
}

func (h *homeserverHandler) start(ctx context.Context, arg homeserverArg) (err error) {
	switch arg.Server {
	case dendrite:
		h.hs, err = devstack.StartDendrite(ctx, &devstack.DendriteOptions{ServerName: serverName})
	case synapse:
		h.hs, err = devstack.StartSynapse(ctx, &devstack.SynapseOptions{ServerName: serverName})
	default:
		err = fmt.Errorf("no homeserver is called %q", arg.Server)
	}
	if err != nil {
		return err
	}
	if h.relay, err = net.Listen("tcp", arg.Listen); err != nil {
		return err
	}
	h.wg.Go(func() { h.accept(strings.TrimPrefix(h.hs.URL(), "http://")) })
	return nil
}

// accept hands connections on until the relay is closed.
func (h *homeserverHandler) accept(to string) {
	for {
		in, err := h.relay.Accept()
		if err != nil {
			return
		}
		h.wg.Go(func() {
			defer in.Close()
			out, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			defer out.Close()
			var wg sync.WaitGroup
			wg.Go(func() { pour(out, in) })
			wg.Go(func() { pour(in, out) })
			wg.Wait()
		})
	}
}

// pour copies until one side ends, and ends the other's half.
func pour(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
}

// close ends the homeserver; connections are left to the end of the process.
func (h *homeserverHandler) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.relay != nil {
		_ = h.relay.Close()
	}
	if h.hs != nil {
		_ = h.hs.Close()
	}
}
