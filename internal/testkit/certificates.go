package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates for one test.
type Authority struct {
	// File holds the authority's own certificate, in PEM.
	File string

	tb          testing.TB
	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority returns an authority that nobody but the test trusts.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{tb: tb, folder: tb.TempDir(), key: newKey(tb)}
	a.certificate = template("authority")
	a.certificate.IsCA, a.certificate.BasicConstraintsValid = true, true
	a.certificate.KeyUsage = x509.KeyUsageCertSign
	a.File = filepath.Join(a.folder, "authority.pem")
	writePEM(tb, a.File, "CERTIFICATE", a.sign(a.certificate, &a.key.PublicKey))
	return a
}

// Issue returns files with a certificate for name and 127.0.0.1, of a server and a client both, and with its key. The
// same name's files are replaced.
func (a *Authority) Issue(name string) (certFile, keyFile string) {
	a.tb.Helper()
	key := newKey(a.tb)
	t := template(name)
	t.DNSNames, t.IPAddresses = []string{name}, []net.IP{net.IPv4(127, 0, 0, 1)}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	certFile, keyFile = filepath.Join(a.folder, name+".pem"), filepath.Join(a.folder, name+".key")
	writePEM(a.tb, certFile, "CERTIFICATE", a.sign(t, &key.PublicKey))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.tb.Fatal(err)
	}
	writePEM(a.tb, keyFile, "PRIVATE KEY", der)
	return certFile, keyFile
}

// ServerArgs returns arguments for [New] that have the server speak TLS only, and ask its clients for a certificate of
// this authority.
func (a *Authority) ServerArgs() []string {
	a.tb.Helper()
	certFile, keyFile := a.Issue("redis.example")
	return []string{"--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", a.File, "--tls-auth-clients", "yes"}
}

func (a *Authority) sign(t *x509.Certificate, public *ecdsa.PublicKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, t, a.certificate, public, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return der
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name, SerialNumber: serial.String()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func writePEM(tb testing.TB, path, kind string, der []byte) {
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
}
