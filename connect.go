package refq

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Connect returns a client for the Redis at url, with settings that suit producers and workers. It does not dial: the
// first command does (or ?min_idle_conns), so a Redis that cannot be reached is no error here. The caller closes the client.
//
//	redis://[user:password@]host:port/DB      one server; rediss:// with TLS; port 6379 and DB 0 if left out
//	unix://[user:password@]/path?db=DB        one server, over a Unix socket
//	host:port                                 one server, DB 0
//	redis-sentinel://[user:password@]host:port,host:port/DB?master=NAME[&tls=true][&sentinel_user=U&sentinel_password=P]
//	                                          the master NAME that these Sentinels watch, and whoever succeeds it; the
//	                                          part before the @ is for Redis, tls holds for Redis and Sentinels
//	host:port,host:port                       a Redis Cluster, found through any of these nodes; a lone one is written
//	                                          with a comma at its end (without, it is one server)
//
// The first two take the parameters of [redis.ParseURL], too, such as ?read_timeout=10s; they win over our settings.
// Every form takes ?pipeline=on (the default) or off. On, producers and workers send the scripts of all their calls to one
// server down one connection, without waiting for the answers in between; Sentinel and Cluster clients do not, whatever it
// says. The client itself, in other hands, is a plain one. Anything else is refused. In user names, passwords and values
// / ? # @ must be percent-encoded. No error shows a password.
//
// A command ends by its context's deadline. Without one it fails within 5 s when Redis refuses connections, and after 2 s
// when nobody answers a dial (a Cluster: 2 s for each of its addresses). When Redis goes silent on connections that were
// open, each of them that the command tries costs 2 s. Closing the client waits as long for what is in the pipe.
func Connect(url string) (redis.UniversalClient, error) {
	if url == "" {
		return nil, errors.New("redis URL is empty: write redis://host:port, or host:port,host:port for a Cluster")
	}
	client, err := connect(splitURL(url))
	if err != nil {
		return nil, fmt.Errorf("redis URL %s: %w", RedactURL(url), err)
	}
	return client, nil
}

func connect(u redisURL) (redis.UniversalClient, error) {
	params, err := u.params()
	if err != nil {
		return nil, err
	}
	if err := u.check(); err != nil {
		return nil, err
	}
	pipeline, err := take(params, "pipeline")
	switch {
	case err != nil:
		return nil, err
	case pipeline != "" && pipeline != "on" && pipeline != "off":
		return nil, errors.New("pipeline is on or off")
	}

	switch {
	case u.scheme == "redis-sentinel":
		o, err := failoverOptions(u, params)
		if err != nil {
			return nil, err
		}
		return redis.NewFailoverClient(o), nil
	case u.scheme == "" && strings.Contains(u.hosts, ","):
		o, err := clusterOptions(u, params)
		if err != nil {
			return nil, err
		}
		return redis.NewClusterClient(o), nil
	default:
		o, err := standaloneOptions(u, params)
		if err != nil {
			return nil, err
		}
		if pipeline != "off" {
			o.AutoPipelineOptions = &redis.AutoPipelineOptions{FullDuplex: true}
		}
		return redis.NewClient(o), nil
	}
}

func standaloneOptions(u redisURL, params url.Values) (*redis.Options, error) {
	if u.scheme == "" {
		if _, err := u.plainAddresses(params); err != nil {
			return nil, err
		}
		u.scheme = "redis"
	}
	if strings.Contains(u.hosts, ",") {
		return nil, errors.New("several addresses: write redis-sentinel:// for Sentinels, only host:port,host:port for a Cluster")
	}
	o, err := redis.ParseURL(u.scheme + "://" + u.userinfo + u.hosts + u.path + "?" + params.Encode())
	malformed, _ := errors.AsType[*url.Error](err)
	switch {
	case malformed != nil: // it quotes the whole URL, and user and password were found well-formed
		return nil, errors.New("the address is malformed: write host:port")
	case err != nil: // names a parameter that is unknown or has a bad value
		return nil, errors.New(legible(strings.TrimPrefix(err.Error(), "redis: ")))
	case o.DB < 0:
		return nil, fmt.Errorf("database %d: must not be negative", o.DB)
	}

	if err := checkNumbers(o); err != nil {
		return nil, err
	}
	fillIn(o)
	return o, nil
}

// checkNumbers refuses what the client would panic at, or run out of memory; or what makes it send no command at all.
func checkNumbers(o *redis.Options) error {
	const most = 100_000
	for _, p := range []struct {
		name  string
		n     int
		least int
	}{
		{"max_retries", o.MaxRetries, -1}, // none
		{"pool_size", o.PoolSize, 0}, {"min_idle_conns", o.MinIdleConns, 0}, {"max_idle_conns", o.MaxIdleConns, 0},
		{"max_active_conns", o.MaxActiveConns, 0}, {"max_concurrent_dials", o.MaxConcurrentDials, 0},
		{"pipeline_pool_size", o.PipelinePoolSize, 0},
		{"pipeline_read_buffer_size", o.PipelineReadBufferSize, 0}, {"pipeline_write_buffer_size", o.PipelineWriteBufferSize, 0},
	} {
		if p.n < p.least || p.n > most {
			return fmt.Errorf("%s is %d, must be %d to %d", p.name, p.n, p.least, most)
		}
	}
	return nil
}

// fillIn gives the options our settings where the URL says nothing.
func fillIn(o *redis.Options) {
	o.DialTimeout = cmp.Or(o.DialTimeout, dialTimeout)
	s := settings(o.TLSConfig, o.DialTimeout)
	o.Dialer = s.Dialer
	o.DialerRetries = s.DialerRetries
	o.ReadTimeout = cmp.Or(o.ReadTimeout, s.ReadTimeout)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, s.WriteTimeout)
	o.MaxRetries = cmp.Or(o.MaxRetries, s.MaxRetries)
	o.MinRetryBackoff = cmp.Or(o.MinRetryBackoff, s.MinRetryBackoff)
	o.MaxRetryBackoff = cmp.Or(o.MaxRetryBackoff, s.MaxRetryBackoff)
	if o.ConnMaxLifetime == 0 {
		o.ConnMaxLifetime, o.ConnMaxLifetimeJitter = s.ConnMaxLifetime, s.ConnMaxLifetimeJitter
	}
	o.ContextTimeoutEnabled = s.ContextTimeoutEnabled
	o.DisableIdentity = s.DisableIdentity
	o.MaintNotificationsConfig = s.MaintNotificationsConfig
}

func failoverOptions(u redisURL, params url.Values) (*redis.FailoverOptions, error) {
	addrs, err := u.addresses()
	if err != nil {
		return nil, err
	}
	user, password, err := u.credentials()
	if err != nil {
		return nil, err
	}
	db := 0
	if digits := strings.TrimPrefix(u.path, "/"); digits != "" {
		if db, err = strconv.Atoi(digits); err != nil {
			return nil, errors.New("the database number is too large")
		}
	}
	p, err := sentinelParams(params)
	if err != nil {
		return nil, err
	}
	var tlsConfig *tls.Config
	if p["tls"] == "true" {
		tlsConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}

	s := settings(tlsConfig, dialTimeout)
	s.MaxRetries = 3 // the question to the Sentinels is repeated as often within each repetition of a command
	s.Addrs, s.MasterName, s.DB = addrs, p["master"], db
	s.Username, s.Password = user, password
	s.SentinelUsername, s.SentinelPassword = p["sentinel_user"], p["sentinel_password"]
	return s.Failover(), nil
}

func sentinelParams(params url.Values) (map[string]string, error) {
	p := map[string]string{}
	for _, name := range []string{"master", "tls", "sentinel_user", "sentinel_password"} {
		value, err := take(params, name)
		if err != nil {
			return nil, err
		}
		p[name] = value
	}
	switch {
	case len(params) > 0 && p["sentinel_password"] != "": // the unknown one may be the rest of the password
		return nil, errors.New("an unknown parameter: if it belongs to the sentinel_password, write %26 for its &")
	case len(params) > 0:
		return nil, unknownParameter(params)
	case p["master"] == "":
		return nil, errors.New("the master's name is missing: add ?master=NAME")
	case p["tls"] != "" && p["tls"] != "true" && p["tls"] != "false":
		return nil, errors.New("tls is true or false")
	case p["sentinel_user"] != "" && p["sentinel_password"] == "":
		return nil, errors.New("sentinel_user needs a sentinel_password")
	}
	return p, nil
}

func clusterOptions(u redisURL, params url.Values) (*redis.ClusterOptions, error) {
	u.hosts = strings.TrimSuffix(u.hosts, ",")
	addrs, err := u.plainAddresses(params)
	if err != nil {
		return nil, err
	}
	s := settings(nil, dialTimeout)
	s.MaxRetries = 0 // the Cluster client repeats commands by itself, on whatever node is responsible by then
	s.Addrs = addrs
	return s.Cluster(), nil
}

const dialTimeout = 2 * time.Second

// settings holds what all of our clients have in common.
func settings(tlsConfig *tls.Config, dialTimeout time.Duration) *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Dialer:        dialer(tlsConfig, dialTimeout),
		DialTimeout:   dialTimeout,
		DialerRetries: 1, // commands are repeated, that is enough
		TLSConfig:     tlsConfig,
		ReadTimeout:   2 * time.Second,
		WriteTimeout:  2 * time.Second,

		// Six tries, 0.3 to 2.7 s apart in all: bridges a quick restart, and is not more than a caller waits.
		MaxRetries:      5,
		MinRetryBackoff: 50 * time.Millisecond,
		MaxRetryBackoff: time.Second,

		// Without it go-redis ignores the deadline of a context while it reads and writes.
		ContextTimeoutEnabled: true,
		// Connections behind a proxy would else stay with a demoted master.
		ConnMaxLifetime:       10 * time.Minute,
		ConnMaxLifetimeJitter: time.Minute,

		// Each of the two would cost a round trip on every new connection.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// dialer returns go-redis's own dialer, but for one thing: when nobody answers, the error says so in a way that
// go-redis does not take for a reason to dial again. Else one command would hang for six timeouts.
func dialer(tlsConfig *tls.Config, timeout time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := redis.NewDialer(&redis.Options{DialTimeout: timeout, TLSConfig: tlsConfig})
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if timedOut, ok := errors.AsType[net.Error](err); ok && timedOut.Timeout() {
			return nil, fmt.Errorf("dial %s %s: %w", network, addr, os.ErrDeadlineExceeded)
		}
		return conn, err
	}
}

// take removes a parameter and returns its value, "" if there is none.
func take(params url.Values, name string) (string, error) {
	values := params[name]
	delete(params, name)
	if len(values) > 1 {
		return "", fmt.Errorf("%s is given %d times", name, len(values))
	}
	return strings.Join(values, ""), nil
}

func unknownParameter(params url.Values) error {
	return fmt.Errorf("unknown parameter %s", legible(strings.Join(slices.Sorted(maps.Keys(params)), ", ")))
}

// legible writes a text that somebody typed so that it does a terminal no harm.
func legible(text string) string {
	if utf8.ValidString(text) && printable.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}
