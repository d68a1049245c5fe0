package rtctest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// Hub is any number of SFUs in memory: a media.Connector for transports of
// type "livekit", for tests in which hours pass in a synctest bubble. It passes
// the suite Connector. Switches make an SFU fail in the ways in which real ones
// do. All methods may be called from any goroutine.
type Hub struct {
	mu    sync.Mutex
	conns map[hubRoom][]*hubConn
	sfus  map[string]*hubSFU
}

type hubRoom struct {
	service string
	session matrixrtc.SessionKey
}

type hubSFU struct {
	down     bool
	refuse   error
	listen   bool
	delay    time.Duration
	connects int
}

// NewHub makes a Hub without anybody in it.
func NewHub() *Hub { return &Hub{conns: map[hubRoom][]*hubConn{}, sfus: map[string]*hubSFU{}} }

// SFU is the transport of one of the hub's SFUs.
func SFU(name string) matrixrtc.Transport {
	raw, err := json.Marshal(map[string]string{"type": matrixrtc.TransportLiveKit, "livekit_service_url": serviceURL(name)})
	if err != nil {
		panic(err) // two strings
	}
	return matrixrtc.Transport{Type: matrixrtc.TransportLiveKit, Raw: raw}
}

func serviceURL(name string) string { return "https://" + name + ".test" }

// Down stops an SFU, which ends all its connections, or starts it again.
func (h *Hub) Down(sfu string, down bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sfu(serviceURL(sfu)).down = down
	if down {
		h.end(serviceURL(sfu), errors.New("the SFU went away"))
	}
}

// Refuse makes an SFU refuse new connections for good, or ends that. The
// connections there are end too.
func (h *Hub) Refuse(sfu string, refuse bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sfu(serviceURL(sfu))
	s.refuse = nil
	if refuse {
		s.refuse = media.ErrRefused
		h.end(serviceURL(sfu), errors.New("thrown out"))
	}
}

// ListenOnly makes an SFU let nobody publish on connections made from now on.
func (h *Hub) ListenOnly(sfu string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sfu(serviceURL(sfu)).listen = true
}

// Delay makes connecting take a time.
func (h *Hub) Delay(sfu string, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sfu(serviceURL(sfu)).delay = d
}

// Connects counts how often somebody has tried to connect to an SFU.
func (h *Hub) Connects(sfu string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sfu(serviceURL(sfu)).connects
}

// Connected counts the connections that an SFU has.
func (h *Hub) Connected(sfu string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for room, list := range h.conns {
		if room.service == serviceURL(sfu) {
			n += len(list)
		}
	}
	return n
}

// sfu, like all that follows without a lock of its own, is called with mu held.
func (h *Hub) sfu(service string) *hubSFU {
	s := h.sfus[service]
	if s == nil {
		s = &hubSFU{}
		h.sfus[service] = s
	}
	return s
}

// end ends all connections to an SFU.
func (h *Hub) end(service string, why error) {
	for room, list := range h.conns {
		if room.service == service {
			for _, c := range slices.Clone(list) {
				c.end(why)
			}
		}
	}
}

// service is the URL of a transport of a hub, "" if it is none.
func service(t matrixrtc.Transport) string {
	if matrixrtc.TransportKind(t.Type) != matrixrtc.TransportLiveKit {
		return ""
	}
	var v struct {
		Service string `json:"livekit_service_url"`
	}
	_ = json.Unmarshal(t.Raw, &v) // garbage has no URL
	return v.Service
}

// Supports implements media.Connector.
func (h *Hub) Supports(t matrixrtc.Transport) bool { return service(t) != "" }

// Connect implements media.Connector.
func (h *Hub) Connect(ctx context.Context, p media.Params) (media.Conn, error) {
	url := service(p.Transport)
	if url == "" {
		return nil, media.ErrUnsupported
	}
	h.mu.Lock()
	s := h.sfu(url)
	s.connects++
	delay := s.delay
	h.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case s.down:
		return nil, errors.New("the SFU cannot be reached")
	case s.refuse != nil:
		return nil, s.refuse
	}
	c := newHubConn(h, hubRoom{url, p.Self.SessionKey()}, p, s.listen)
	for _, o := range slices.Clone(h.conns[c.room]) {
		if o.self == c.self && o.listen == c.listen {
			o.end(errors.New("the same participant has connected anew"))
		}
	}
	h.conns[c.room] = append(h.conns[c.room], c)
	for _, o := range h.conns[c.room] {
		for _, pub := range o.pubs {
			c.hear(pub)
		}
	}
	go c.pump() // Close waits
	return c, nil
}
