package refq

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	lookEvery    = time.Second // files are read at most so often
	complainedOf = time.Minute // a file that is no good is logged at most so often
)

// reloaded is a value read from files that may be replaced. It is safe for concurrent use.
type reloaded[T any] struct {
	read func() (T, error)

	mu     sync.Mutex
	value  T         // the last good one
	looked time.Time // at the files
	logged time.Time // that they are no good; zero: they are good
}

// newReloaded fails when the first reading does.
func newReloaded[T any](read func() (T, error)) (*reloaded[T], error) {
	r := &reloaded[T]{read: read, looked: time.Now()}
	var err error
	r.value, err = read()
	return r, err
}

// current returns the value that the files hold, or the last good one.
func (r *reloaded[T]) current() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.looked) < lookEvery {
		return r.value
	}
	r.looked = now
	value, err := r.read()
	switch {
	case err == nil:
		r.value, r.logged = value, time.Time{}
	case now.Sub(r.logged) >= complainedOf:
		r.logged = now
		slog.Default().Warn("connections to Redis are made with what a file held before: it is no good now", "error", err)
	}
	return r.value
}

// maxFile is far more than any of these files needs, in bytes.
const maxFile = 1 << 20

// readFile reads a file that a parameter names.
func readFile(name, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(text) > maxFile:
		return nil, fmt.Errorf("%s: %s has more than %d bytes: is it the right file?", name, path, maxFile)
	}
	return text, nil
}

// passwordFile returns the password that a file holds: its one line.
func passwordFile(path string) (*reloaded[string], error) {
	return newReloaded(func() (string, error) {
		text, err := readFile("password_file", path)
		if err != nil {
			return "", err
		}
		switch password := strings.TrimRight(string(text), "\r\n"); {
		case password == "":
			return "", fmt.Errorf("password_file: %s is empty", path)
		case strings.ContainsAny(password, "\r\n"):
			return "", fmt.Errorf("password_file: %s has more than one line", path)
		default:
			return password, nil
		}
	})
}

// tlsNames is what the parameters of a URL say of TLS.
type tlsNames struct {
	ca, cert, key string // files
	serverName    string
	skipVerify    bool
	any           string // the name of a parameter that was given; "": none was
}

func takeTLS(params url.Values) (n tlsNames, err error) {
	for _, name := range []string{"skip_verify", "tls_server_name", "tls_key", "tls_cert", "tls_ca"} {
		if params.Has(name) {
			n.any = name
		}
	}
	if n.ca, err = takeFile(params, "tls_ca"); err != nil {
		return n, err
	}
	if n.cert, err = takeFile(params, "tls_cert"); err != nil {
		return n, err
	}
	if n.key, err = takeFile(params, "tls_key"); err != nil {
		return n, err
	}
	skip, err := oneOf(params, "skip_verify", "true", "false")
	n.skipVerify, n.serverName = skip == "true", take(params, "tls_server_name")
	switch {
	case err != nil:
		return n, err
	case n.cert != "" && n.key == "":
		return n, errors.New("half a certificate: tls_cert needs a tls_key")
	case n.key != "" && n.cert == "":
		return n, errors.New("half a certificate: tls_key needs a tls_cert")
	}
	return n, nil
}

// config returns what gives each new connection its configuration. The server's name is that of the address if neither
// the parameters nor host has one.
func (n tlsNames) config(host string) (func() *tls.Config, error) {
	if n.serverName != "" {
		host = n.serverName
	}
	r, err := newReloaded(func() (*tls.Config, error) { return n.read(host) })
	if err != nil {
		return nil, err
	}
	return r.current, nil
}

func (n tlsNames) read(host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: n.skipVerify}
	if n.ca != "" {
		text, err := readFile("tls_ca", n.ca)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("tls_ca: %s holds no PEM certificate", n.ca)
		}
	}
	if n.cert == "" {
		return c, nil
	}
	certText, err := readFile("tls_cert", n.cert)
	if err != nil {
		return nil, err
	}
	keyText, err := readFile("tls_key", n.key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, fmt.Errorf("tls_cert %s with tls_key %s: %w", n.cert, n.key, err)
	}
	// Not Certificates: of those, none is sent that the server's list of authorities leaves out, and the server would only
	// say that there is none.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return c, nil
}
