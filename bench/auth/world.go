package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// key and secret are the SFU's.
const (
	key    = "devkey"
	secret = "secret-of-the-benchmark-32-bytes-long"
)

// world is what a service has around it: a homeserver, and a room service that makes
// rooms by saying so. It counts what it is asked.
type world struct {
	homeserver string // its Matrix server name
	sfu        string // host:port
	vouched    atomic.Int64
	rooms      atomic.Int64
	servers    []*http.Server
}

func newWorld() (*world, error) {
	w := &world{}
	cert, err := selfSigned()
	if err != nil {
		return nil, err
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		secure.Close()
		return nil, err
	}
	w.homeserver, w.sfu = secure.Addr().String(), plain.Addr().String()
	web := http.NewServeMux()
	web.HandleFunc("GET /_matrix/federation/v1/openid/userinfo", w.vouch)
	web.HandleFunc("GET /.well-known/matrix/client", func(a http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(a, `{"m.homeserver":{"base_url":"https://%s"}}`, w.homeserver)
	})
	w.serve(tls.NewListener(secure, &tls.Config{Certificates: []tls.Certificate{cert}}), web)
	sfu := http.NewServeMux()
	sfu.HandleFunc("POST /twirp/livekit.RoomService/CreateRoom", w.createRoom)
	w.serve(plain, sfu)
	return w, nil
}

func (w *world) serve(l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	w.servers = append(w.servers, s)
	go func() { _ = s.Serve(l) }() // ends with close
}

func (w *world) close() {
	for _, s := range w.servers {
		s.Close()
	}
}

// vouch: the token "tok-NAME" is that of @NAME.
func (w *world) vouch(a http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Query().Get("access_token"), "tok-")
	if !ok {
		http.Error(a, `{"errcode":"M_UNKNOWN_TOKEN","error":"no"}`, http.StatusUnauthorized)
		return
	}
	w.vouched.Add(1)
	a.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(a, `{"sub":"@%s:%s"}`, name, w.homeserver)
}

// createRoom answers with a livekit.Room of the name that the request begins with.
func (w *world) createRoom(a http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	size, n := binary.Uvarint(body[min(1, len(body)):])
	if err != nil || len(body) == 0 || body[0] != 1<<3|2 || n <= 0 || uint64(len(body)-1-n) < size {
		http.Error(a, "no room", http.StatusBadRequest)
		return
	}
	w.rooms.Add(1)
	name := body[1+n:][:size]
	room := append([]byte{1<<3 | 2, 5}, "RM_no"...)
	room = append(binary.AppendUvarint(append(room, 2<<3|2), size), name...)
	a.Header().Set("Content-Type", "application/protobuf")
	_, _ = a.Write(room)
}

func selfSigned() (tls.Certificate, error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &priv.PublicKey, priv)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}, err
}
