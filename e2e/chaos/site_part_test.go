//go:build linux

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"

	"github.com/matrixrtc-go/matrixrtc/server"
)

// sitePart runs the site: authorization service, embedded SFU and, where the
// homeserver lacks something, gap-fill in front of it.
func sitePart(*reporter) handler { return &siteHandler{done: make(chan error, 1)} }

type siteHandler struct {
	mu   sync.Mutex
	stop context.CancelFunc
	done chan error
}

// siteArg says what site to run.
type siteArg struct {
	Addr       string `json:"addr"`       // its address on the wire
	Homeserver string `json:"homeserver"` // base URL
	// Store is where gap-fill keeps what is scheduled; "": the homeserver lacks
	// nothing.
	Store string `json:"store"`
}

const sitePort = "8080"

func (h *siteHandler) do(ctx context.Context, what string, raw json.RawMessage) (any, error) {
	if what != "start" {
		return nil, fmt.Errorf("unknown order %q", what)
	}
	var arg siteArg
	if err := json.Unmarshal(raw, &arg); err != nil {
		return nil, err
	}
	cfg := &server.Config{
		Listen:     arg.Addr + ":" + sitePort,
		PublicURL:  "http://" + arg.Addr + ":" + sitePort,
		Admin:      server.Admin{Listen: server.AdminOff},
		Homeserver: server.Homeserver{ServerName: serverName, URL: arg.Homeserver},
		Overrides:  map[string]string{serverName: arg.Homeserver},
		RateLimit:  server.RateLimit{PerSecond: -1},
		Media:      server.Media{Address: arg.Addr},
	}
	if arg.Store != "" {
		cfg.GapFill = server.GapFill{Mode: server.GapFillOn, Proxy: true, Store: arg.Store}
		cfg.TrustedProxies = server.Networks{netip.PrefixFrom(bridgeAddr, bridgeAddr.BitLen())} // the tap
	}
	site, err := server.New(cfg, &server.Options{
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	h.mu.Lock()
	h.stop = stop
	h.mu.Unlock()
	go func() { h.done <- site.Serve(running) }() // close waits
	select {
	case <-site.Ready():
		return nil, nil
	case err := <-h.done:
		stop()
		h.done <- err
		return nil, errors.Join(errors.New("the site has ended"), err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *siteHandler) close() {
	h.mu.Lock()
	stop := h.stop
	h.mu.Unlock()
	if stop != nil {
		stop()
		<-h.done
	}
}
