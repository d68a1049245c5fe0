package authbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// authority signs the certificate of every homeserver of the suite. The services
// are told to trust it by SSL_CERT_FILE.
type authority struct {
	file string // with the authority's own certificate
	pool *x509.CertPool
	leaf tls.Certificate // for loopback
	// stranger is for loopback, too, and signed by nobody that anyone knows.
	stranger tls.Certificate
}

func newAuthority(dir string) (*authority, error) {
	root, key, err := certificate(nil, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: "authbox"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	})
	if err != nil {
		return nil, err
	}
	a := &authority{file: filepath.Join(dir, "ca.pem"), pool: x509.NewCertPool()}
	parent, err := x509.ParseCertificate(root)
	if err != nil {
		return nil, err
	}
	a.pool.AddCert(parent)
	loopback := func() *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: "loopback"}, DNSNames: []string{"localhost"},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
	}
	leaf, leafKey, err := certificate(parent, key, loopback())
	if err != nil {
		return nil, err
	}
	own, ownKey, err := certificate(nil, nil, loopback())
	if err != nil {
		return nil, err
	}
	a.leaf = tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: leafKey}
	a.stranger = tls.Certificate{Certificate: [][]byte{own}, PrivateKey: ownKey}
	return a, os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}), 0o600)
}

// certificate makes one, signed by its parent or by itself.
func certificate(parent *x509.Certificate, parentKey *ecdsa.PrivateKey, c *x509.Certificate) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, nil, err
	}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	return der, key, err
}

// client is an HTTP client that trusts the authority and follows no redirect.
func (a *authority) client() *http.Client {
	return &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool}, MaxIdleConnsPerHost: 16},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
