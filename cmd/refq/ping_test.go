package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/testkit"
)

// says runs refq ls with a Redis URL, and returns what it says on stderr.
func says(t *testing.T, url string) string {
	t.Helper()
	return saysOf(t, url, "ls")
}

// saysOf does the same with another verb. Where a busy machine gave refq too little time to hear anything, it is run again.
func saysOf(t *testing.T, url string, words ...string) (said string) {
	t.Helper()
	for try := 0; try == 0 || try < 5 && strings.Contains(said, "deadline"); try++ {
		var stdout, stderr strings.Builder
		code := run(t.Context(), append(words, "--redis", url), strings.NewReader(""), &stdout, &stderr, func(string) (string, bool) { return "", false })
		require.NotZero(t, code, "%s: %s", url, stdout.String())
		said = stderr.String()
	}
	require.NotContains(t, said, "deadline")
	require.Equal(t, 1, strings.Count(said, "\n"), said)
	return said
}

// doctor returns what refq doctor prints.
func doctor(t *testing.T, url string) string {
	t.Helper()
	var stdout, stderr strings.Builder
	run(t.Context(), []string{"doctor", "--redis", url}, strings.NewReader(""), &stdout, &stderr, func(string) (string, bool) { return "", false })
	return stdout.String() + stderr.String()
}

// startAnswering returns the address of a server that answers each command by its name, "" for all others.
func startAnswering(t *testing.T, answers map[string]string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answer(conn, answers)
		}
	}()
	return l.Addr().String()
}

func answer(conn net.Conn, answers map[string]string) {
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		var n, length int
		if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
			return
		}
		name := ""
		for i := range n {
			_, _ = fmt.Fscanf(r, "$%d\r\n", &length)
			word := make([]byte, length+2)
			_, _ = io.ReadFull(r, word)
			if i == 0 {
				name = strings.ToLower(string(word[:length]))
			}
		}
		text, known := answers[name]
		if !known {
			text = answers[""]
		}
		if text == "" {
			return // as a server that has crashed
		}
		fmt.Fprint(conn, text+"\r\n")
	}
}

// asBulk is a text as an answer.
func asBulk(text string) string { return fmt.Sprintf("$%d\r\n%s", len(text), text) }

func TestCannotConnectSaysWhatRedisSaid(t *testing.T) {
	t.Parallel()
	noHello := "-ERR unknown command 'hello', with args beginning with: '3' 'auth' 'default' 'geheim' "
	for name, row := range map[string]struct {
		answers map[string]string
		want    []string
	}{
		"maxclients, which closes": {map[string]string{"hello": "-ERR max number of clients reached"},
			[]string{"refuses: ERR max number of clients reached; raise maxclients"}},
		"loading": {map[string]string{"": "-LOADING Redis is loading the dataset in memory", "hello": "%0",
			"info": asBulk("loading:1\r\nloading_loaded_perc:37.21\r\nloading_eta_seconds:12\r\n")},
			[]string{"LOADING Redis is loading the dataset in memory; wait: it is loading its data (37.21 % by now, about 12 s to go)"}},
		"loading, and silent about it": {map[string]string{"": "-LOADING Redis is loading the dataset in memory"},
			[]string{"; wait: it is loading its data\n"}},
		"a copying replica": {map[string]string{"": "-MASTERDOWN Link with MASTER is down", "hello": "%0",
			"info": asBulk("master_sync_in_progress:1\r\nmaster_sync_left_bytes:4096\r\n")},
			[]string{"MASTERDOWN Link with MASTER is down; wait: it is a replica that is not in step with its master (it copies its master: 4096 bytes to go)"}},
		"a password of another": {map[string]string{"": "-WRONGPASS invalid username-password pair or user is disabled."},
			[]string{"refuses: WRONGPASS invalid username-password pair or user is disabled.; check user and password; refq doctor --print-acl"}},
		"a password too many": {map[string]string{"": "-ERR AUTH <password> called without any password configured for the default user. Are you sure?"},
			[]string{"leave the password out"}},
		"no HELLO, no AUTH": {map[string]string{"hello": noHello, "auth": strings.ReplaceAll(noHello, "hello", "auth")},
			[]string{"refuses: ERR unknown command 'auth'", "let refq use this command"}},
		"a part of a Cluster": {map[string]string{"": "-MOVED 3999 10.0.0.3:6379", "hello": "%0", "ping": "+PONG"},
			[]string{"MOVED 3999 10.0.0.3:6379; it is a Cluster: write redis-cluster://"}},
		"a slot of nobody": {map[string]string{"": "-CLUSTERDOWN Hash slot not served", "hello": "%0", "ping": "+PONG"},
			[]string{"CLUSTERDOWN Hash slot not served; wait: the Cluster"}},
		"what nobody knows":                     {map[string]string{"": "-ODD it is odd"}, []string{"refuses: ODD it is odd; check its URL"}},
		"a server that speaks another language": {map[string]string{"": "HTTP/1.1 400 Bad Request"}, []string{"no Redis answers at", "look into Redis's log"}},
		"a server that hangs up":                {nil, []string{"no Redis answers at", "EOF; look into Redis's log; where it speaks TLS, write rediss://"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := says(t, "redis://:geheim@"+startAnswering(t, row.answers)+"/0")
			require.NotContains(t, said, "geheim")
			for _, want := range row.want {
				require.Contains(t, said, want)
			}
		})
	}
}

func TestCannotConnectNamesTheFailureOfTheNetwork(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	require.NoError(t, l.Close())
	for url, want := range map[string][]string{
		"redis://" + addr:                           {"dial tcp " + addr + ": connect: connection refused; start one with refq dev, or name another with --redis"},
		"redis://:pw@" + addr:                       {"connection refused; is Redis running there? Name another with --redis"},
		"rediss://" + addr:                          {"connection refused; is Redis running there?"},
		"redis-cluster://" + addr:                   {"dial tcp " + addr + ": connect: connection refused; is Redis running there?"},
		"redis-sentinel://" + addr + "?master=m":    {"connection refused; is Redis running there?"},
		"redis://nowhere.invalid:1":                 {"no such host; is Redis running there?"},
		"unix://" + t.TempDir() + "/none":           {"no such file or directory; is Redis running there?"},
		"redis://" + silent.Addr().String():         {silent.Addr().String(), "i/o timeout; is Redis running there?"},
		"rediss://" + startAnswering(t, nil):        {"look at tls_ca"},
		"redis-cluster://" + silent.Addr().String(): {silent.Addr().String(), "i/o timeout; is Redis running there?"},
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			said := says(t, url)
			for _, want := range want {
				require.Contains(t, said, want)
			}
		})
	}
}

func TestCannotConnectToARedisThatRefuses(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 3)
	server := testkit.New(t)
	operator := redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: 1})
	defer operator.Close()
	set := func(args ...any) { require.NoError(t, operator.Do(t.Context(), args...).Err()) }

	require.Contains(t, says(t, "redis-cluster://"+server.Addr), "refuses: ERR This instance has cluster support disabled; it is no Cluster: write redis://")
	set("ACL", "SETUSER", "weak", "on", ">pw", "+hello")
	require.Contains(t, says(t, "redis://weak:pw@"+server.Addr), "refuses: NOPERM")
	set("CONFIG", "SET", "maxclients", 1)
	require.Contains(t, says(t, "redis://"+server.Addr), "refuses: ERR max number of clients reached; raise maxclients")
	set("CONFIG", "SET", "maxclients", 100)
	set("CONFIG", "SET", "requirepass", "geheim")
	require.Contains(t, says(t, "redis://"+server.Addr), "refuses: NOAUTH Authentication required.; check user and password")
	require.Contains(t, says(t, "redis://:other@"+server.Addr), "refuses: WRONGPASS")

	set("SADD", "refq:queues", "default")
	set("CONFIG", "SET", "min-replicas-to-write", 1)
	require.Contains(t, saysOf(t, "redis://:geheim@"+server.Addr, "pause", "thumb"), "NOREPLICAS Not enough good replicas to write")
	require.Contains(t, saysOf(t, "redis://:geheim@"+server.Addr, "pause", "thumb"), "; look at its replicas: there are fewer in step than min-replicas-to-write")
	out := doctor(t, "redis://:geheim@"+server.Addr)
	require.Regexp(t, `wrong    permissions     Redis refuses to work: .*NOREPLICAS`, out)
	require.Contains(t, out, "→ look at its replicas")

	hidden := testkit.New(t, "--rename-command", "EVAL", "hidden")
	other := redis.NewClient(&redis.Options{Addr: hidden.Addr})
	defer other.Close()
	require.NoError(t, other.SAdd(t.Context(), "refq:queues", "default").Err())
	said := saysOf(t, "redis://"+hidden.Addr, "pause", "thumb")
	require.Contains(t, said, "ERR unknown command 'eval'; let refq use this command")
	require.NotContains(t, said, "local")

	replica := testkit.New(t, "--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "no")
	require.Contains(t, says(t, "redis://"+replica.Addr), "refuses: MASTERDOWN")
}

func TestCannotConnectSaysWhichSideRefusesTLS(t *testing.T) {
	t.Parallel()
	testkit.Reserve(t, 2)
	ours, theirs := testkit.NewAuthority(t), testkit.NewAuthority(t)
	server, plain := testkit.New(t, ours.ServerArgs()...), testkit.New(t)
	strange, key := theirs.Issue("worker")
	for url, want := range map[string]string{
		"rediss://" + server.Addr: "x509: certificate signed by unknown authority; this side does not trust Redis: name its CA by tls_ca",
		"rediss://" + server.Addr + "?tls_ca=" + ours.File + "&tls_server_name=other":           "not other; this side does not trust Redis",
		"rediss://" + server.Addr + "?tls_ca=" + ours.File:                                      "certificate required; Redis does not trust this side: give tls_cert and tls_key",
		"rediss-cluster://" + server.Addr + "?tls_ca=" + ours.File:                              "certificate required; Redis does not trust this side: give tls_cert and tls_key",
		"rediss://" + server.Addr + "?skip_verify=true&tls_cert=" + strange + "&tls_key=" + key: "unknown certificate authority; Redis does not trust this side",
		"rediss://" + plain.Addr: "no answer to the handshake: i/o timeout; it speaks no TLS at this port",
		"redis://" + server.Addr: "where it speaks TLS, write rediss://",
	} {
		said := says(t, url)
		require.Contains(t, said, want, url)
		require.Contains(t, said, "TLS", url)
	}
	require.Contains(t, says(t, "rediss://"+server.Addr), "TLS with "+server.Addr+": ")
}
