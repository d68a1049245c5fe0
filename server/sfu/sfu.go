// Package sfu runs a LiveKit server within this process: the media side of a
// site. It is the only importer of livekit-server, and hides it: nothing of
// LiveKit appears in the exported API.
//
// LiveKit's own HTTP API listens on a loopback port that nobody needs to know;
// Handler lets its signalling paths through, and Participants and RemoveParticipant
// speak to it from within; CreateRoom needs no connection. The package signs no
// tokens for clients: that is the authorization service's work.
//
// LiveKit was not made to be embedded. It keeps its logger and its metrics in
// process-wide variables and leaves some sixty goroutines behind at every
// stop. Hence there is one SFU per process at a time, a program that starts
// and stops many of them grows, and packages that link this one are built
// without the race detector.
//
// All methods of SFU may be called from any goroutine.
package sfu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livekit/livekit-server/pkg/routing"
	"github.com/livekit/livekit-server/pkg/service"
	"github.com/livekit/livekit-server/pkg/telemetry/prometheus"
)

// ErrRunning: an SFU already runs in this process. Close it first.
var ErrRunning = errors.New("an SFU already runs in this process, and LiveKit allows one only: close it first")

// running guards LiveKit's process-wide state, see the package comment.
var running atomic.Bool

const (
	startTimeout = 10 * time.Second
	pollInterval = 10 * time.Millisecond
)

// SFU is a running LiveKit server.
type SFU struct {
	conf   *resolved
	server *service.LivekitServer
	*Rooms
	client *http.Client
	proxy  *proxy

	closing   atomic.Bool
	making    sync.RWMutex  // rooms, in this process
	done      chan struct{} // closed when the server's Start has returned
	err       error         // of the server's Start; read after done
	closeOnce sync.Once
	closed    chan struct{}
}

// Start starts the SFU and returns when it answers. ctx bounds the start only;
// the SFU runs until Close. The errors are ErrRunning, *ConfigError,
// *PortError, or LiveKit's own.
func Start(ctx context.Context, cfg *Config) (*SFU, error) {
	if !running.CompareAndSwap(false, true) {
		return nil, ErrRunning
	}
	s, err := start(ctx, cfg)
	if err != nil {
		running.Store(false)
		return nil, err
	}
	return s, nil
}

func start(ctx context.Context, cfg *Config) (*SFU, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	conf, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	lk := conf.livekit
	if !portStated(cfg.LiveKitYAML) {
		p, err := freePort("tcp")
		if err != nil {
			return nil, err
		}
		lk.Port = uint32(p)
	}
	if err := checkPorts(lk, cfg.Loopback); err != nil {
		return nil, err
	}
	setLogger(conf.log)
	if err := lk.ValidateKeys(); err != nil {
		return nil, &ConfigError{Key: "keys", Problem: "not accepted by LiveKit", Err: err}
	}
	if err := lk.LoadTURNSecrets(); err != nil {
		return nil, &ConfigError{Key: "rtc.turn_servers", Problem: "a secret cannot be read", Err: err}
	}
	node, err := routing.NewLocalNode(lk)
	if err != nil {
		return nil, fmt.Errorf("start the SFU: %w", err)
	}
	// Without this LiveKit dereferences nil a few seconds later.
	if err := prometheus.Init(string(node.NodeID()), node.NodeType()); err != nil {
		return nil, fmt.Errorf("start the SFU: metrics: %w", err)
	}
	server, err := service.InitializeServer(lk, node)
	if err != nil {
		return nil, fmt.Errorf("start the SFU: %w", err)
	}
	api := &url.URL{Scheme: "http", Host: "127.0.0.1:" + strconv.Itoa(int(lk.Port))}
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	s := &SFU{
		conf:   conf,
		server: server,
		client: client,
		Rooms:  NewRooms(api.String(), conf.key, conf.secret, client),
		done:   make(chan struct{}),
		closed: make(chan struct{}),
	}
	s.proxy = newProxy(api, s.closing.Load, conf.log.logger)
	go func() { // ended by stop, which waits for done
		defer close(s.done)
		s.err = server.Start()
	}()
	if err := s.waitRunning(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// portStated reports whether the user chose the port of LiveKit's own API.
func portStated(block []byte) bool {
	m, err := parseBlock(block)
	return err == nil && m["port"] != nil
}

func (s *SFU) waitRunning(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !s.server.IsRunning() {
		select {
		case <-s.done:
			return fmt.Errorf("start the SFU: %w", s.err)
		case <-ctx.Done():
			return fmt.Errorf("start the SFU: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

// Handler serves LiveKit's signalling under /rtc and nothing else. Mount it
// behind http.StripPrefix where it does not live at the root. It carries
// WebSockets: the server around it must not set a write timeout.
func (s *SFU) Handler() http.Handler { return s.proxy }

// Key returns the key and the secret that sign tokens for this SFU. The secret
// is not to be logged.
func (s *SFU) Key() (key, secret string) { return s.conf.key, s.conf.secret }

// Advertised says where clients will be told to send media, for people to
// read: "192.0.2.1, udp 7882, tcp 7881".
func (s *SFU) Advertised() string {
	rtc := &s.conf.livekit.RTC
	parts := []string{strings.Join(rtc.NodeIP.ToStringSlice(), " and ")}
	switch {
	case rtc.ForceTCP:
	case rtc.ICEPortRangeStart != 0:
		parts = append(parts, fmt.Sprintf("udp %d-%d", rtc.ICEPortRangeStart, rtc.ICEPortRangeEnd))
	case rtc.UDPPort.End != 0:
		parts = append(parts, fmt.Sprintf("udp %d-%d", rtc.UDPPort.Start, rtc.UDPPort.End))
	default:
		parts = append(parts, fmt.Sprintf("udp %d", rtc.UDPPort.Start))
	}
	if rtc.TCPPort != 0 {
		parts = append(parts, fmt.Sprintf("tcp %d", rtc.TCPPort))
	}
	return strings.Join(parts, ", ")
}

// UDPPort is the first media port over UDP.
func (s *SFU) UDPPort() int {
	if p := s.conf.livekit.RTC.ICEPortRangeStart; p != 0 {
		return int(p)
	}
	return s.conf.livekit.RTC.UDPPort.Start
}

// Done is closed when the SFU has ended, whether by Close or by itself.
func (s *SFU) Done() <-chan struct{} { return s.done }

// Close refuses new connections, waits for participants to leave as long as
// Config.Drain says, cuts off the rest and returns when the server has ended.
// Rooms are forgotten. Participants are not told that it was on purpose: by
// LiveKit's word for that they would not come back to the next SFU.
// It may be called more than once.
func (s *SFU) Close() error {
	s.closeOnce.Do(func() {
		defer close(s.closed)
		s.making.Lock()
		s.closing.Store(true)
		s.making.Unlock()
		s.drain()
		s.proxy.cut()
		s.stop()
		running.Store(false)
	})
	<-s.closed
	if s.err != nil {
		return fmt.Errorf("the SFU ended: %w", s.err)
	}
	return nil
}

// drain waits here rather than in LiveKit's Stop(false), which looks every
// five seconds and has no limit.
func (s *SFU) drain() {
	if s.conf.drain <= 0 {
		return
	}
	limit := time.NewTimer(s.conf.drain)
	defer limit.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for s.server.RoomManager().HasParticipants() {
		select {
		case <-s.done:
			return
		case <-limit.C:
			return
		case <-tick.C:
		}
	}
}

// stop ends the server. LiveKit ignores a Stop that comes before IsRunning
// says yes and then runs for ever, so stop asks again until Start returns.
func (s *SFU) stop() {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		s.server.Stop(true)
		select {
		case <-s.done:
			s.CloseIdle()
			s.client.CloseIdleConnections()
			return
		case <-tick.C:
		}
	}
}
