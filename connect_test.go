package refq_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq"
	"github.com/refq/refq/internal/testkit"
)

func standalone(t *testing.T, url string) *redis.Options {
	t.Helper()
	client, err := refq.Connect(url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	require.IsType(t, &redis.Client{}, client)
	return client.(*redis.Client).Options()
}

func TestURLOfOneServerBecomesItsClient(t *testing.T) {
	t.Parallel()
	type target struct {
		Network, Addr, User, Password string
		DB                            int
		TLS                           string // its ServerName
	}
	for url, want := range map[string]target{
		"redis://127.0.0.1:6379/0":                     {Network: "tcp", Addr: "127.0.0.1:6379"},
		"redis://redis.example/3":                      {Network: "tcp", Addr: "redis.example:6379", DB: 3},
		"redis://":                                     {Network: "tcp", Addr: "localhost:6379"},
		"redis://[::1]:6380/?db=2":                     {Network: "tcp", Addr: "[::1]:6380", DB: 2},
		"REDIS://h:1":                                  {Network: "tcp", Addr: "h:1"},
		"redis://:pw@h:1/0":                            {Network: "tcp", Addr: "h:1", Password: "pw"},
		"redis://me:p%40ss%2Fw%3A@h:1/0":               {Network: "tcp", Addr: "h:1", User: "me", Password: "p@ss/w:"},
		"rediss://me:pw@redis.example:6390/1":          {Network: "tcp", Addr: "redis.example:6390", User: "me", Password: "pw", DB: 1, TLS: "redis.example"},
		"unix:///run/redis.sock?db=4":                  {Network: "unix", Addr: "/run/redis.sock", DB: 4},
		"unix://me:pw@/run/redis.sock":                 {Network: "unix", Addr: "/run/redis.sock", User: "me", Password: "pw"},
		"h:1":                                          {Network: "tcp", Addr: "h:1"},
		"[::1]:6379?pipeline=off":                      {Network: "tcp", Addr: "[::1]:6379"},
		"redis://h:1/5?pipeline=on":                    {Network: "tcp", Addr: "h:1", DB: 5},
		"unix:///run/redis.sock?pipeline=off&db=1":     {Network: "unix", Addr: "/run/redis.sock", DB: 1},
		"rediss://h:1/0?pipeline=off&skip_verify=true": {Network: "tcp", Addr: "h:1", TLS: "h"},
	} {
		o := standalone(t, url)
		got := target{Network: o.Network, Addr: o.Addr, User: o.Username, Password: o.Password, DB: o.DB}
		if o.TLSConfig != nil {
			got.TLS = o.TLSConfig.ServerName
		}
		require.Empty(t, cmp.Diff(want, got), url)
	}
}

func TestClientsCarryOurSettings(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"redis://h:1", "redis-sentinel://h:1/0?master=m"} {
		o := standalone(t, url)
		require.True(t, o.ContextTimeoutEnabled)
		require.True(t, o.DisableIdentity)
		require.Equal(t, maintnotifications.ModeDisabled, o.MaintNotificationsConfig.Mode)
		require.Equal(t, 2*time.Second, o.DialTimeout)
		require.Equal(t, 2*time.Second, o.ReadTimeout)
		require.Equal(t, 2*time.Second, o.WriteTimeout)
		require.Equal(t, 10*time.Minute, o.ConnMaxLifetime)
		require.Equal(t, 1, o.DialerRetries)
	}
}

func TestURLParametersWinOverOurSettings(t *testing.T) {
	t.Parallel()
	o := standalone(t, "redis://h:1/0?read_timeout=7s&max_retries=1&dial_timeout=9&pool_size=3&protocol=2")
	require.Equal(t, 7*time.Second, o.ReadTimeout)
	require.Equal(t, 9*time.Second, o.DialTimeout)
	require.Equal(t, 1, o.MaxRetries)
	require.Equal(t, 3, o.PoolSize)
	require.Equal(t, 2, o.Protocol)
	require.Equal(t, 10*time.Minute, o.ConnMaxLifetime)
}

func TestSeveralPlainAddressesAreACluster(t *testing.T) {
	t.Parallel()
	for url, want := range map[string][]string{
		"a:1,b:2":                   {"a:1", "b:2"},
		"[::1]:1,b.example:2,c:3":   {"[::1]:1", "b.example:2", "c:3"},
		"a:1,b:2?pipeline=off":      {"a:1", "b:2"},
		"config.cluster.example:1,": {"config.cluster.example:1"},
	} {
		client, err := refq.Connect(url)
		require.NoError(t, err, url)
		require.IsType(t, &redis.ClusterClient{}, client)
		o := client.(*redis.ClusterClient).Options()
		require.Equal(t, want, o.Addrs)
		require.True(t, o.ContextTimeoutEnabled)
		require.Equal(t, 2*time.Second, o.ReadTimeout)
		require.Equal(t, -1, o.MaxRetries, "retries of the nodes would multiply the Cluster's own")
		require.Equal(t, maintnotifications.ModeDisabled, o.MaintNotificationsConfig.Mode)
		require.NoError(t, client.Close())
	}
}

func TestSentinelURLBecomesAFailoverClient(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]redis.FailoverOptions{
		"redis-sentinel://a:1,b:2/3?master=mymaster": {SentinelAddrs: []string{"a:1", "b:2"}, MasterName: "mymaster", DB: 3},
		"redis-sentinel://a:1?master=m&pipeline=off": {SentinelAddrs: []string{"a:1"}, MasterName: "m"},
		"redis-sentinel://a:1/?master=m&tls=false":   {SentinelAddrs: []string{"a:1"}, MasterName: "m"},
		"redis-sentinel://me:p%40w@[::1]:1,b:2/0?master=m&tls=true&sentinel_user=s&sentinel_password=%26%23": {
			SentinelAddrs: []string{"[::1]:1", "b:2"}, MasterName: "m", Username: "me", Password: "p@w",
			SentinelUsername: "s", SentinelPassword: "&#", TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}},
		"redis-sentinel://a:1?sentinel_password=s&master=m": {SentinelAddrs: []string{"a:1"}, MasterName: "m", SentinelPassword: "s"},
	} {
		o, err := refq.FailoverOptions(url)
		require.NoError(t, err, url)
		got := redis.FailoverOptions{SentinelAddrs: o.SentinelAddrs, MasterName: o.MasterName, DB: o.DB,
			Username: o.Username, Password: o.Password,
			SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword}
		require.Equal(t, want.TLSConfig != nil, o.TLSConfig != nil)
		want.TLSConfig = nil
		require.Equal(t, want, got)
		require.True(t, o.ContextTimeoutEnabled)
	}
}

func TestClusterURLBecomesAClusterClient(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]redis.ClusterOptions{
		"redis-cluster://a:1":                       {Addrs: []string{"a:1"}},
		"redis-cluster://a:1,[::1]:2/":              {Addrs: []string{"a:1", "[::1]:2"}},
		"redis-cluster://me:p%40w@a:1,b:2/0":        {Addrs: []string{"a:1", "b:2"}, Username: "me", Password: "p@w"},
		"rediss-cluster://:pw@a:1?pipeline=off":     {Addrs: []string{"a:1"}, Password: "pw", TLSConfig: &tls.Config{}},
		"rediss-cluster://a:1?tls_server_name=r.ex": {Addrs: []string{"a:1"}, TLSConfig: &tls.Config{ServerName: "r.ex"}},
	} {
		client, err := refq.Connect(url)
		require.NoError(t, err, url)
		require.IsType(t, &redis.ClusterClient{}, client)
		o := client.(*redis.ClusterClient).Options()
		require.Equal(t, want.Addrs, o.Addrs)
		require.Equal(t, [2]string{want.Username, want.Password}, [2]string{o.Username, o.Password})
		require.Equal(t, want.TLSConfig != nil, o.TLSConfig != nil)
		if o.TLSConfig != nil {
			require.Equal(t, want.TLSConfig.ServerName, o.TLSConfig.ServerName, "else that of each node's address")
		}
		require.NoError(t, client.Close())
	}
}

func TestEveryFormTakesTheParametersThatAllHaveInCommon(t *testing.T) {
	t.Parallel()
	type taken struct {
		Read, Write, Dial, Lifetime time.Duration
		Pool, Protocol              int
		Name                        string
		Credentials                 func(context.Context) (string, string, error)
	}
	query := "read_timeout=7s&write_timeout=8&dial_timeout=9s&conn_max_lifetime=5m&pool_size=3&protocol=2&client_name=mine&pipeline=off" +
		"&password_file=" + newFile(t, "geheim\n")
	for _, form := range []string{"redis://me@h:1/0?", "rediss://me@h?", "unix://me@/run/redis.sock?", "redis-sentinel://me@a:1?master=m&",
		"redis-sentinel://me@a:1?master=m&tls=true&", "redis-cluster://me@a:1?", "rediss-cluster://me@a:1,b:2/0?", "h:1?", "a:1,b:2?", "a:1,?"} {
		var got taken
		if strings.Contains(form, "sentinel") {
			o, err := refq.FailoverOptions(form + query)
			require.NoError(t, err, form)
			got = taken{o.ReadTimeout, o.WriteTimeout, o.DialTimeout, o.ConnMaxLifetime, o.PoolSize, o.Protocol, o.ClientName, o.CredentialsProviderContext}
		} else {
			client, err := refq.Connect(form + query)
			require.NoError(t, err, form)
			switch client := client.(type) {
			case *redis.ClusterClient:
				o := client.Options()
				got = taken{o.ReadTimeout, o.WriteTimeout, o.DialTimeout, o.ConnMaxLifetime, o.PoolSize, o.Protocol, o.ClientName, o.CredentialsProviderContext}
			case *redis.Client:
				o := client.Options()
				got = taken{o.ReadTimeout, o.WriteTimeout, o.DialTimeout, o.ConnMaxLifetime, o.PoolSize, o.Protocol, o.ClientName, o.CredentialsProviderContext}
			}
			require.NoError(t, client.Close())
		}
		user, password, err := got.Credentials(t.Context())
		require.NoError(t, err)
		require.Equal(t, "geheim", password, form)
		require.Equal(t, strings.Contains(form, "me@"), user == "me", form)
		got.Credentials = nil
		require.Equal(t, taken{7 * time.Second, 8 * time.Second, 9 * time.Second, 5 * time.Minute, 3, 2, "mine", nil}, got, form)
	}
}

// newFile returns a file with this text.
func newFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestBlanksAroundAURLDoNotCount(t *testing.T) {
	t.Parallel()
	for _, url := range []string{" redis://:pw@h:1/2\n", "\r\n\tredis://:pw@h:1/2 \r\n"} {
		o := standalone(t, url)
		require.Equal(t, [2]any{"h:1", 2}, [2]any{o.Addr, o.DB})
		require.Equal(t, "redis://***@h:1/2", refq.RedactURL(url))
	}
	for url, want := range map[string]string{
		"redis://:gehe\nim@127.0.0.1:1/0":              "redis URL redis://***@127.0.0.1:1/0: a line end at character 14",
		"\n\nredis://:geheim@127.0.0.1:1/\r\n0":        "redis URL redis://***@127.0.0.1:1***: a line end at character 29",
		"redis://ä:1/0\rredis://:geheim@127.0.0.1:2/0": "a line end at character 14",
	} {
		_, err := refq.Connect(url)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "geheim")
	}
	_, err := refq.Connect(" \n")
	require.ErrorContains(t, err, "redis URL is empty")
}

func TestFilesThatAreNoGoodAreRefused(t *testing.T) {
	t.Parallel()
	ours, theirs := testkit.NewAuthority(t), testkit.NewAuthority(t)
	cert, _ := ours.Issue("worker")
	_, key := theirs.Issue("worker")
	nothing, long, lines, empty := filepath.Join(t.TempDir(), "none"), newFile(t, strings.Repeat("x", 1<<20+1)), newFile(t, "a\nb\n"), newFile(t, "\n")
	for query, want := range map[string]string{
		"password_file=" + nothing:                 "password_file: open " + nothing + ": no such file",
		"password_file=" + empty:                   "password_file: " + empty + " is empty",
		"password_file=" + lines:                   "password_file: " + lines + " has more than one line",
		"password_file=" + long:                    "password_file: " + long + " has more than 1048576 bytes",
		"password_file=" + t.TempDir():             "is a directory",
		"tls_ca=" + nothing:                        "tls_ca: open " + nothing + ": no such file",
		"tls_ca=" + lines:                          "tls_ca: " + lines + " holds no PEM certificate",
		"tls_cert=" + lines + "&tls_key=" + key:    "tls_cert " + lines + " with tls_key " + key + ": tls: failed to find any PEM data",
		"tls_cert=" + cert + "&tls_key=" + key:     "private key does not match public key",
		"tls_cert=" + cert + "&tls_key=" + nothing: "tls_key: open " + nothing + ": no such file",
	} {
		for _, form := range []string{"rediss://h?", "rediss-cluster://h:1?", "redis-sentinel://h:1?master=m&tls=true&"} {
			_, err := refq.Connect(form + query)
			require.ErrorContains(t, err, want, form)
		}
	}
}

func TestConnectRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                               "redis URL is empty",
		"localhost":                      "every address must be host:port",
		"localhost:6379/0":               "plain addresses take no database",
		"me:pw@h:1":                      "plain addresses take no user and password",
		"me:pw@h:1,h:2":                  "plain addresses take no user and password",
		"a:1,b:2/1":                      "a Cluster has only database 0",
		"a:1,b":                          "every address must be host:port",
		"a:1,,b:1":                       "every address must be host:port",
		"a:1,b:2?tls=true":               "unknown parameter tls",
		"a:1,b:2?tls_ca=x":               "tls_ca needs TLS: write rediss-cluster://",
		"h:1?tls_cert=x&tls_key=y":       "tls_cert needs TLS: write rediss://",
		"h:1?db=1":                       "unknown parameter db",
		"redis://h:1/0?skip_verify=true": "skip_verify needs TLS: write rediss://",
		"unix:///run/redis.sock?tls_server_name=x":                  "tls_server_name needs TLS",
		"redis-cluster://h:1?tls_ca=x":                              "tls_ca needs TLS: write rediss-cluster://",
		"redis-sentinel://h:1?master=m&tls_ca=x":                    "tls_ca needs TLS: write &tls=true",
		"rediss://h:1/0?tls_cert=x":                                 "half a certificate: tls_cert needs a tls_key",
		"rediss-cluster://h:1?tls_key=x":                            "half a certificate: tls_key needs a tls_cert",
		"rediss://h:1/0?skip_verify=maybe":                          "skip_verify is true or false",
		"rediss://h:1/0?tls_ca=":                                    "tls_ca names no file",
		"redis://h:1/0?password_file=":                              "password_file names no file",
		"redis://:pw@h:1/0?password_file=/dev/null":                 "the password is given twice: before the @, and by password_file",
		"redis://h:1/0?password_file=a&password_file=b":             "password_file is given 2 times",
		"redis-cluster://:pw@h:1?password_file=x":                   "the password is given twice",
		"redis-cluster://h:1/1":                                     "a Cluster has only database 0",
		"redis-cluster://h:1?db=0":                                  "a Cluster has only database 0",
		"redis-cluster://h":                                         "every address must be host:port",
		"redis-cluster://":                                          "every address must be host:port",
		"redis-cluster://h:1?max_retries=1":                         "unknown parameter max_retries",
		"redis-cluster://h:1?master=m":                              "unknown parameter master",
		"redis-cluster://h:1?pool_size=-1":                          "pool_size is -1",
		"redis-sentinel://a:1?master=m&pool_size=x":                 "invalid pool_size number",
		"redis://h:1/0?protocol=4":                                  "protocol is 2 or 3",
		"http://h:1":                                                "unknown scheme",
		"redis://a:1,b:2/0":                                         "several addresses",
		"redis://h:x/0":                                             "the address must be host:port",
		"redis://me:pw@[::::]:1/0":                                  "the address is malformed",
		"redis://h:1/zero":                                          "only a database number may follow",
		"redis://h:1/0/1":                                           "only a database number may follow",
		"redis://h:1/0?db=-1":                                       "must not be negative",
		"redis://h:1/0#here":                                        "must be percent-encoded",
		"redis://h:1/0?max_retrys=1":                                "unexpected option: max_retrys",
		"redis://h:1/0?read_timeout=soon":                           "invalid read_timeout duration",
		"redis://h:1/0?pipeline=maybe":                              "pipeline is on or off",
		"redis://h:1/0?pipeline=on&pipeline=x":                      "pipeline is given 2 times",
		"redis://h:1/0?master=m":                                    "unexpected option: master",
		"redis://h:1/0?password=secret":                             "a password belongs before the @",
		"redis://h:1/0?read_timeout=%zz":                            "must be percent-encoded",
		"redis://me:%zz@h:1/0":                                      "user name or password is malformed",
		"redis://me:p/w@h:1/0":                                      "must be percent-encoded",
		"unix://run/redis.sock":                                     "must begin with /",
		"unix://":                                                   "empty unix socket path",
		"redis-sentinel://a:1":                                      "the master's name is missing",
		"redis-sentinel://a?master=m":                               "every address must be host:port",
		"redis-sentinel://?master=m":                                "every address must be host:port",
		"redis-sentinel://a:1/x?master=m":                           "only a database number may follow",
		"redis-sentinel://a:1?master=m&tls=1":                       "tls is true or false",
		"redis-sentinel://a:1?master=m&mster=m":                     "unknown parameter mster",
		"redis-sentinel://a:1?master=m&sentinel_user=s":             "sentinel_user needs a sentinel_password",
		"redis-sentinel://a:1?master=m&sentinel_password=se&cret":   "write %26 for its &",
		"redis-sentinel://a:1?master=m&sentinel_password=se#cret":   "must be percent-encoded",
		"redis-sentinel://a:1/99999999999999999999?master=mymaster": "database number is too large",
	} {
		client, err := refq.Connect(url)
		require.ErrorContains(t, err, want, url)
		require.ErrorContains(t, err, "redis URL "+refq.RedactURL(url))
		require.Nil(t, client)
	}
}

func TestRedactedURLShowsAllButPasswords(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://127.0.0.1:6379/0":                                      "redis://127.0.0.1:6379/0",
		"redis://me:secret@h:1/0?read_timeout=3s":                       "redis://***@h:1/0?read_timeout=3s",
		"rediss://secret@h:1/0":                                         "rediss://***@h:1/0",
		"unix://:secret@/run/redis.sock?db=1":                           "unix://***@/run/redis.sock?db=1",
		"a:1,[::1]:2,c.example:3?pipeline=off":                          "a:1,[::1]:2,c.example:3?pipeline=off",
		"redis-cluster://me:secret@a:1,b:2/0?pool_size=3":               "redis-cluster://***@a:1,b:2/0?pool_size=3",
		"rediss-cluster://secret@a:1?tls_ca=/a/b&password_file=c":       "rediss-cluster://***@a:1?tls_ca=/a/b&password_file=c",
		"redis-sentinel://me:secret@a:1,b:2/0?master=m&tls=true":        "redis-sentinel://***@a:1,b:2/0?master=m&tls=true",
		"redis-sentinel://a:1?sentinel_password=secret&sentinel_user=u": "redis-sentinel://a:1?sentinel_password=***&sentinel_user=u",

		// Malformed ones: better too little than a piece of a password.
		"redis://me:sec/re?t#@@h:1/0":                             "redis://***",
		"redis://me:se@cr@h:1/0":                                  "redis://***@h:1/0",
		"redis://:secret":                                         "redis://***",
		"redis://me:sec/ret":                                      "redis://******",
		"unix://me:sec/ret":                                       "unix://******",
		"redis:secret@h:1":                                        "***@h:1",
		"secret":                                                  "***",
		"secret://h:1":                                            "***://h:1",
		"redis://h:1/0?password=secret":                           "redis://h:1/0?***",
		"redis://h:1/0?master=\x1b[31m":                           "redis://h:1/0?***",
		"redis-sentinel://a:1?sentinel_password=sec&ret":          "redis-sentinel://a:1?sentinel_password=***&***",
		"redis-sentinel://a:1?sentinel_password=sec#ret":          "redis-sentinel://a:1?sentinel_password=******",
		"redis-sentinel://a:1?sentinel%5Fpassword=secret":         "redis-sentinel://a:1?***",
		"redis-sentinel://a:1?master=m&sentinel_password=sec@ret": "redis-sentinel://***",
		"": "",
	} {
		require.Equal(t, want, refq.RedactURL(url), "%q", url)
	}
}

func TestNumbersInURLsAreBounded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pool_size", "min_idle_conns", "max_idle_conns", "max_active_conns", "max_concurrent_dials",
		"pipeline_pool_size", "pipeline_read_buffer_size", "pipeline_write_buffer_size"} {
		for _, n := range []string{"-1", "100001", "2147483647", "9223372036854775807"} {
			_, err := refq.Connect("redis://h:1/0?" + name + "=" + n)
			require.ErrorContains(t, err, ": "+name+" is "+n+", must be 0 to 100000")
		}
	}
	_, err := refq.Connect("redis://h:1/0?max_retries=-2")
	require.ErrorContains(t, err, ": max_retries is -2, must be -1 to 100000")
	for _, query := range []string{"max_retries=-1", "pool_size=100000"} {
		client, err := refq.Connect("redis://h:1/0?" + query)
		require.NoError(t, err)
		require.NoError(t, client.Close())
	}
}

func FuzzConnect(f *testing.F) {
	for _, url := range []string{"redis://h:1/0", "rediss://me:secret@h/1?read_timeout=10s", "unix:///run/redis.sock?db=2", "h:1", "h:1,h:2", "h:1,",
		"redis-sentinel://a:1,b:2/0?master=m&tls=true", "redis://[::1]:1/0?pool_size=-1", "redis://h:1/0?max_retries=99999999999999999999",
		"redis-cluster://me:secret@a:1,b:2/0?protocol=2", "rediss-cluster://a:1?tls_ca=/dev/null", "h:1?password_file=/dev/null", " h:1\n",
		"redis://h:1/0?protocol=9&pipeline=on&pipeline=on", "://", "redis://%zz@h", "redis://h:1/\x00", "\xff", "redis://h:99999999/0"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		if strings.Contains(url, "idle") || strings.Contains(url, "%") && strings.Contains(url, "?") {
			t.Skip() // min_idle_conns, in any spelling, would dial
		}
		client, err := refq.Connect(url)
		if err == nil {
			require.NoError(t, client.Close())
			return
		}
		require.Regexp(t, `^redis URL `, err.Error())
		require.NotContains(t, err.Error(), "\n")
	})
}

// The password is planted between two marks, so that not even one end of it may show.
func FuzzRedactURL(f *testing.F) {
	for _, inner := range []string{"", "plain", "/?#@:", "%", "%zz", "://", "a&b=c", "a,b:1", "\n", "é", ";", "=", "]", "@h:1/0?master="} {
		f.Add(inner)
	}
	forms := []string{
		"redis://me:PASSWORD@h:1/0", "redis://:PASSWORD@", "rediss://PASSWORD@h:1/0?db=1", "unix://me:PASSWORD@/run/redis.sock",
		"redis-sentinel://me:PASSWORD@a:1,b:2/0?master=m", "me:PASSWORD@a:1,b:2", "PASSWORD@h:1", "redis:PASSWORD@h", "http://me:PASSWORD@h",
		"redis://me:PASSWORD@h:x/y?z#", "redis://h:1/0?password=PASSWORD&x=1",
		"redis-cluster://me:PASSWORD@a:1,b:2/0", "rediss-cluster://PASSWORD@a:1?skip_verify=true", "redis-cluster://:PASSWORD@a:1/1",
		"redis://:PASSWORD@h:1/0?password_file=x", "rediss://:PASSWORD@h:1/0?tls_cert=x", " redis://:PASSWORD@h:1/\n0", "redis://:PASSWORD@h:1\n",
		"redis-sentinel://a:1/0?master=m&sentinel_password=PASSWORD", "redis-sentinel://a:1/0?master=m&x=1&sentinel_password=PASSWORD&tls=no",
	}
	const mark = "Kx7q"
	f.Fuzz(func(t *testing.T, inner string) {
		password := mark + inner + mark
		for _, form := range forms {
			for _, encoded := range []string{password, encode(password)} {
				url := strings.Replace(form, "PASSWORD", encoded, 1)
				if strings.Contains(form, "=PASSWORD") && encoded == password && strings.Contains(inner, "&") {
					continue // names what may be a parameter of its own: not a password that was left raw
				}
				texts := []string{refq.RedactURL(url)}
				client, err := refq.Connect(url)
				if err != nil {
					texts = append(texts, err.Error())
				} else {
					require.NoError(t, client.Close())
				}
				for _, text := range texts {
					require.NotContains(t, text, mark, url)
					require.NotContains(t, text, encode(mark), url)
				}
			}
		}
	})
}

// A Redis that knows neither HELLO nor AUTH quotes what it was sent.
func FuzzPasswordsShownByRedis(f *testing.F) {
	for _, password := range []string{"geheim", "'", ", with args beginning with: ", "\r\n", "\x00", "é", strings.Repeat("x", 200)} {
		f.Add(password)
	}
	addr := startQuoting(f)
	var log strings.Builder
	slogTo(f, &log)
	f.Fuzz(func(t *testing.T, inner string) {
		const mark = "Kx7q"
		log.Reset()
		url := "redis://me:" + encode(mark+inner+mark) + "@" + addr + "/0?max_retries=-1"
		client, err := refq.Connect(url)
		require.NoError(t, err)
		defer client.Close()
		err = client.Get(t.Context(), "key").Err()
		require.ErrorContains(t, err, "ERR unknown command 'auth'")
		for _, text := range []string{err.Error(), log.String(), refq.RedactURL(url)} {
			require.NotContains(t, text, mark)
		}
	})
}

// startQuoting returns the address of a server that knows no command, and says so as Redis does.
func startQuoting(tb testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go quote(conn)
		}
	}()
	return l.Addr().String()
}

func quote(conn net.Conn) {
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		var words []string
		var n, length int
		if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
			return
		}
		for range n {
			_, _ = fmt.Fscanf(r, "$%d\r\n", &length)
			word := make([]byte, length+2)
			_, _ = io.ReadFull(r, word)
			words = append(words, strings.NewReplacer("\r", " ", "\n", " ").Replace(string(word[:length])))
		}
		fmt.Fprintf(conn, "-ERR unknown command '%s', with args beginning with: '%s' \r\n", words[0], strings.Join(words[1:], "' '"))
	}
}

// slogTo has the default log go to w for as long as the test runs.
func slogTo(tb testing.TB, w io.Writer) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(w, nil)))
	tb.Cleanup(func() { slog.SetDefault(before) })
}

// encode writes every byte as %XX, which every part of a URL accepts.
func encode(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte('%')
		b.WriteByte("0123456789ABCDEF"[c>>4])
		b.WriteByte("0123456789ABCDEF"[c&15])
	}
	return b.String()
}

func TestCommandsFailWithinFiveSecondsWhenRedisIsAway(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close()) // from here on the port refuses connections

	for _, url := range []string{"redis://" + addr, addr + "," + addr, "redis-sentinel://" + addr + "?master=m"} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			client, err := refq.Connect(url)
			require.NoError(t, err)
			defer client.Close()
			start := time.Now()
			err = client.Get(context.Background(), "key").Err()
			require.ErrorContains(t, err, "connection refused")
			require.Less(t, time.Since(start), testkit.Within(5*time.Second))
		})
	}
}

func TestDialWithoutAnAnswerIsNotRepeated(t *testing.T) {
	t.Parallel()
	client, err := refq.Connect("redis://h:1/0?dial_timeout=1ns") // over before it began
	require.NoError(t, err)
	defer client.Close()
	var dials dialCount
	client.AddHook(&dials)
	require.ErrorContains(t, client.Get(context.Background(), "key").Err(), "i/o timeout")
	require.EqualValues(t, 1, dials.Load())
}

// dialCount counts how often a client dials.
type dialCount struct{ atomic.Int64 }

func (d *dialCount) DialHook(dial redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		d.Add(1)
		return dial(ctx, network, addr)
	}
}

func (d *dialCount) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (d *dialCount) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
