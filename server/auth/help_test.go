package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
)

func hashOf(elems ...string) string { return canonical.Hash(elems...) }

// ca signs certificates for any name.
type ca struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newCA(t testing.TB) *ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	c := &ca{t: t, cert: cert, key: key, pool: x509.NewCertPool()}
	c.pool.AddCert(cert)
	return c
}

// issue makes a certificate for host names and IP addresses.
func (c *ca) issue(names ...string) tls.Certificate {
	c.t.Helper()
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tpl.IPAddresses = append(tpl.IPAddresses, ip)
		} else {
			tpl.DNSNames = append(tpl.DNSNames, n)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, c.cert, &key.PublicKey, c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// homeserver answers OpenID userinfo: token "tok-ann" belongs to "@ann:name".
type homeserver struct {
	*httptest.Server
	name     string
	conns    atomic.Int64
	requests atomic.Int64

	mu    sync.Mutex
	host  string // of the last request
	sni   string
	again bool // its TLS session was resumed
}

// newHomeserver starts one; without certificate names it speaks plain HTTP.
func newHomeserver(t testing.TB, name string, c *ca, certNames ...string) *homeserver {
	t.Helper()
	h := &homeserver{name: name}
	h.Server = httptest.NewUnstartedServer(h)
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			h.conns.Add(1)
		}
	}
	if len(certNames) == 0 {
		h.Start()
	} else {
		h.TLS = &tls.Config{Certificates: []tls.Certificate{c.issue(certNames...)}}
		h.StartTLS()
	}
	t.Cleanup(h.Close)
	return h
}

func (h *homeserver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.requests.Add(1)
	h.mu.Lock()
	h.host = r.Host
	if r.TLS != nil {
		h.sni, h.again = r.TLS.ServerName, r.TLS.DidResume
	}
	h.mu.Unlock()
	user, ok := strings.CutPrefix(r.URL.Query().Get("access_token"), "tok-")
	if r.URL.Path != userinfoPath || !ok {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if !strings.Contains(user, ":") {
		user += ":" + h.name
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"sub": "@" + user})
}

func (h *homeserver) wasResumed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.again
}

func (h *homeserver) seen() (host, sni string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.host, h.sni
}

func (h *homeserver) addr() string { return h.Listener.Addr().String() }

// internet is names and addresses that lead to servers on loopback. Addresses
// that it does not know refuse connections.
type internet struct {
	mu    sync.Mutex
	ips   map[string]string     // host name → address
	srv   map[string][]*net.SRV // "_service._tcp.name" → records
	ports map[string]string     // "ip:port" → loopback address
	dials []string              // what was dialled
	looks int                   // SRV look-ups
}

func newInternet() *internet {
	return &internet{ips: map[string]string{}, srv: map[string][]*net.SRV{}, ports: map[string]string{}}
}

func (n *internet) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.looks++
	recs, ok := n.srv["_"+service+"._"+proto+"."+name]
	if !ok {
		return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return name, recs, nil
}

func (n *internet) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ip, ok := n.ips[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{netip.MustParseAddr(ip)}, nil
}

func (n *internet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials = append(n.dials, address)
	to, ok := n.ports[address]
	n.mu.Unlock()
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: network, Err: io.ErrClosedPipe}
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

func (n *internet) dialled() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.dials...)
}

func (n *internet) options(c *ca) *Options {
	return &Options{DNS: n, Dial: n.dial, RootCAs: c.pool}
}

// rooms records what was asked of the SFU.
type rooms struct {
	mu   sync.Mutex
	made []string
	err  error
}

func (r *rooms) CreateRoom(_ context.Context, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made = append(r.made, name)
	return r.err
}

func (r *rooms) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.made...)
}

func tlsConfig(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// record is what a request is answered.
func record(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// removing is an SFU that participants are removed from.
type removing struct {
	rooms
	removed []string
}

func (r *removing) RemoveParticipant(_ context.Context, room, identity string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed = append(r.removed, room+" "+identity)
	return nil
}

func (r *removing) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.removed...)
}

func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }

// pipeListener accepts connections in memory.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn, 64), closed: make(chan struct{})}
}

func (l *pipeListener) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// nowhere is an SFU that has every room.
type nowhere struct{}

func (nowhere) CreateRoom(context.Context, string) error { return nil }

// tlsServer is the server's side of a connection.
func tlsServer(c net.Conn, cert tls.Certificate) net.Conn { return tls.Server(c, tlsConfig(cert)) }
