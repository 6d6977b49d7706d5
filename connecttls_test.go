package refq_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq"
	"github.com/refq/refq/internal/testkit"
)

// ping connects to a URL and asks once.
func ping(t *testing.T, url string) error {
	t.Helper()
	client, err := refq.Connect(url)
	require.NoError(t, err)
	defer client.Close()
	return client.Ping(t.Context()).Err()
}

// withTLS returns parameters that name files.
func withTLS(pairs ...string) string {
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return query.Encode()
}

func TestTLSWithCertificatesOfBothSides(t *testing.T) {
	t.Parallel()
	ours, theirs := testkit.NewAuthority(t), testkit.NewAuthority(t)
	server := testkit.New(t, append(ours.ServerArgs(), "--requirepass", "geheim")...)
	cert, key := ours.Issue("worker")
	strange, strangeKey := theirs.Issue("worker")
	base := "rediss://:geheim@" + server.Addr + "/0?"

	require.NoError(t, ping(t, base+withTLS("tls_ca", ours.File, "tls_cert", cert, "tls_key", key)))
	require.NoError(t, ping(t, base+withTLS("tls_ca", ours.File, "tls_cert", cert, "tls_key", key, "tls_server_name", "redis.example")))
	require.NoError(t, ping(t, base+withTLS("skip_verify", "true", "tls_cert", cert, "tls_key", key)))

	for query, want := range map[string]string{
		withTLS("tls_cert", cert, "tls_key", key):                                                     "x509: certificate signed by unknown authority",
		withTLS("tls_ca", theirs.File, "tls_cert", cert, "tls_key", key):                              "x509: certificate signed by unknown authority",
		withTLS("tls_ca", ours.File, "tls_cert", cert, "tls_key", key, "tls_server_name", "other.ex"): "x509: certificate is valid for redis.example, not other.ex",
		withTLS("tls_ca", ours.File):                                                                  "remote error: tls: certificate required",
		withTLS("tls_ca", ours.File, "tls_cert", strange, "tls_key", strangeKey):                      "remote error: tls: unknown certificate authority",
	} {
		require.ErrorContains(t, ping(t, base+query), "TLS with "+server.Addr+": ", query)
		require.ErrorContains(t, ping(t, base+query), want, query)
	}
}

// In TLS 1.3 Redis looks at the certificate when the client has ended the handshake, and hangs up while that writes.
func TestARefusedCertificateIsToldBehindABrokenWrite(t *testing.T) {
	t.Parallel()
	ours := testkit.NewAuthority(t)
	server := testkit.New(t, ours.ServerArgs()...)
	o := standalone(t, "rediss://"+server.Addr+"?"+withTLS("tls_ca", ours.File))
	conn, err := o.Dialer(t.Context(), "tcp", server.Addr)
	require.NoError(t, err)
	defer conn.Close()
	for err == nil {
		_, err = conn.Write([]byte("PING\r\n"))
	}
	require.EqualError(t, err, "TLS with "+server.Addr+": remote error: tls: certificate required")
}

// A Sentinel client dials its Sentinels and the master in the same way.
func TestTLSOfSentinelURLs(t *testing.T) {
	t.Parallel()
	ours := testkit.NewAuthority(t)
	server := testkit.New(t, ours.ServerArgs()...)
	cert, key := ours.Issue("worker")
	o, err := refq.FailoverOptions("redis-sentinel://a:1?master=m&tls=true&" + withTLS("tls_ca", ours.File, "tls_cert", cert, "tls_key", key))
	require.NoError(t, err)
	client := redis.NewClient(&redis.Options{Addr: server.Addr, Dialer: o.Dialer})
	defer client.Close()
	require.NoError(t, client.Ping(t.Context()).Err())
}

func TestTLSToACluster(t *testing.T) {
	t.Parallel()
	ours := testkit.NewAuthority(t)
	server := testkit.New(t, append(ours.ServerArgs(), "--requirepass", "geheim", "--cluster-enabled", "yes", "--tls-cluster", "yes",
		"--cluster-announce-ip", "127.0.0.1")...)
	cert, key := ours.Issue("worker")
	query := withTLS("tls_ca", ours.File, "tls_cert", cert, "tls_key", key)

	node, err := refq.Connect("rediss://:geheim@" + server.Addr + "?" + query)
	require.NoError(t, err)
	defer node.Close()
	require.NoError(t, node.(*redis.Client).ClusterAddSlotsRange(t.Context(), 0, 16383).Err())

	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("geheim\n"), 0o600))
	for _, url := range []string{"rediss-cluster://:geheim@" + server.Addr + "?" + query,
		"rediss-cluster://" + server.Addr + "/0?" + withTLS("password_file", password) + "&" + query} {
		client, err := refq.Connect(url)
		require.NoError(t, err)
		require.IsType(t, &redis.ClusterClient{}, client)
		// The node may take a moment to see that all slots are its own.
		require.Eventually(t, func() bool { return client.Set(t.Context(), "key", "x", 0).Err() == nil }, testkit.Within(10*time.Second), 10*time.Millisecond)
		require.NoError(t, client.Close())
	}
}

func TestReplacedCertificatesAndPasswordsNeedNoRestart(t *testing.T) {
	t.Parallel()
	ours := testkit.NewAuthority(t)
	server := testkit.New(t, append(ours.ServerArgs(), "--requirepass", "old")...)
	cert, key := ours.Issue("worker")
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("old"), 0o600))
	ca, err := os.ReadFile(ours.File)
	require.NoError(t, err)
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(trusted, ca, 0o600))

	client, err := refq.Connect("rediss://" + server.Addr + "?pool_size=1&conn_max_lifetime=1ms&" +
		withTLS("tls_ca", trusted, "tls_cert", cert, "tls_key", key, "password_file", password))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.Ping(t.Context()).Err())

	// Redis gets another authority, certificate and password; only its address stays.
	next := testkit.NewAuthority(t)
	nextCert, nextKey := next.Issue("worker")
	for to, from := range map[string]string{trusted: next.File, cert: nextCert, key: nextKey} {
		text, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, text, 0o600))
	}
	require.NoError(t, os.WriteFile(password, []byte("new"), 0o600))
	serverCert, serverKey := next.Issue("redis.example")
	rotate(t, server, ours, map[string]string{"tls-cert-file": serverCert, "tls-key-file": serverKey, "tls-ca-cert-file": next.File, "requirepass": "new"})

	require.Eventually(t, func() bool { return client.Ping(t.Context()).Err() == nil }, testkit.Within(10*time.Second), 10*time.Millisecond)
	require.ErrorContains(t, ping(t, "rediss://:new@"+server.Addr+"?"+withTLS("tls_ca", ours.File)), "unknown authority")
}

// rotate has a server use other files and another password, all at once.
func rotate(t *testing.T, server *testkit.Server, now *testkit.Authority, settings map[string]string) {
	t.Helper()
	cert, key := now.Issue("administrator")
	admin, err := refq.Connect("rediss://:old@" + server.Addr + "?" + withTLS("tls_ca", now.File, "tls_cert", cert, "tls_key", key))
	require.NoError(t, err)
	defer admin.Close()
	args := []any{"CONFIG", "SET"}
	for name, value := range settings {
		args = append(args, name, value)
	}
	require.NoError(t, admin.Do(t.Context(), args...).Err())
}

func TestTheLastGoodFileStays(t *testing.T) {
	path := newFile(t, "first\n")
	var log strings.Builder
	slogTo(t, &log)
	synctest.Test(t, func(t *testing.T) {
		write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
		lines := func() int { return strings.Count(log.String(), "\n") }
		current, err := refq.PasswordFile(path)
		require.NoError(t, err)
		write("second\r\n")
		require.Equal(t, "first", current(), "it is looked at once a second")
		time.Sleep(time.Second)
		require.Equal(t, "second", current())

		write("\n")
		require.Equal(t, "second", current())
		for range 59 {
			time.Sleep(time.Second)
			require.Equal(t, "second", current())
		}
		require.Equal(t, 1, lines())
		require.Contains(t, log.String(), "password_file: "+path+" is empty")
		require.NoError(t, os.Remove(path))
		time.Sleep(2 * time.Second)
		require.Equal(t, "second", current())
		require.Equal(t, 2, lines(), "a line a minute")

		write("third")
		time.Sleep(time.Second)
		require.Equal(t, "third", current())
		write("")
		time.Sleep(time.Second)
		require.Equal(t, "third", current())
		require.Equal(t, 3, lines(), "it was good in between")
	})
	require.NotContains(t, log.String(), "second")
}
