package refq

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/refq/refq/internal/script"
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
//	redis-cluster://[user:password@]host:port,host:port
//	                                          a Redis Cluster, found through any of these nodes, of which one is enough;
//	                                          rediss-cluster:// with TLS
//	host:port,host:port                       a Redis Cluster; a lone node is written with a comma at its end (without,
//	                                          it is one server)
//
// Every form takes these parameters:
//
//	read_timeout write_timeout dial_timeout   3s, or a number of seconds; in place of our 2 s
//	conn_max_lifetime                         the same; in place of our 10 min
//	pool_size client_name protocol            as redis.Options has them
//	pipeline=on (the default) or off          on, producers and workers send the scripts of all their calls to one server
//	                                          down one connection, without waiting for the answers in between; Sentinel
//	                                          and Cluster clients do not, whatever it says
//	password_file                             a file that holds the password, in place of one before the @
//
// and, where there is TLS,
//
//	tls_ca                                    a file of PEM certificates that are trusted, in place of the system's
//	tls_cert tls_key                          files of the client's certificate and key, in PEM
//	tls_server_name                           the name that Redis's certificate must be for, in place of the address
//	skip_verify=true                          trust any certificate
//
// One server of redis://, rediss:// or unix:// takes the other parameters of [redis.ParseURL], too. Anything else is
// refused. In user names, passwords and values / ? # @ must be percent-encoded. Blanks and line ends around the URL do not
// count. No error shows a password.
//
// Files are read here, and one that is no good is an error. They are read again when a connection is made, at most once a
// second, so that they can be replaced while the client lives. When one is no good by then, the last good one counts, and
// a line of [slog.Default] says so once a minute. A name that is not absolute is meant from the working directory.
//
// A command ends by its context's deadline. Without one it fails within 5 s when Redis refuses connections, and after 2 s
// when nobody answers a dial (a Cluster: 2 s for each of its addresses). When Redis goes silent on connections that were
// open, each of them that the command tries costs 2 s. Closing the client waits as long for what is in the pipe.
func Connect(url string) (redis.UniversalClient, error) {
	u := splitURL(url)
	if u == (redisURL{}) {
		return nil, errors.New("redis URL is empty: write redis://host:port, or redis-cluster://host:port for a Cluster")
	}
	s, err := u.settings()
	if err = cmp.Or(checkLine(url), err); err != nil {
		return nil, fmt.Errorf("redis URL %s: %w", RedactURL(url), err)
	}
	switch {
	case s.master != "":
		return redis.NewFailoverClient(s.failover()), nil
	case s.nodes != nil:
		return redis.NewClusterClient(s.cluster()), nil
	default:
		return script.NewDialer(s.server.Dialer).NewClient(s.server), nil
	}
}

func (s settings) failover() *redis.FailoverOptions {
	o := s.ofMany()
	o.MaxRetries = 3 // the question to the Sentinels is repeated as often within each repetition of a command
	o.Addrs, o.MasterName, o.DB = s.sentinels, s.master, s.server.DB
	o.SentinelUsername, o.SentinelPassword = s.sentinelUser, s.sentinelPassword
	return o.Failover()
}

func (s settings) cluster() *redis.ClusterOptions {
	o := s.ofMany()
	o.MaxRetries = 0 // the Cluster client repeats commands by itself, on whatever node is responsible by then
	o.Addrs = s.nodes
	options := o.Cluster()
	options.ClusterStateReloadInterval = reloadInterval
	return options
}

// reloadInterval is how old what a Cluster's client knows of the nodes may be, should nothing have told it of a change.
const reloadInterval = 10 * time.Second

// ofMany returns the settings for a client of several servers.
func (s settings) ofMany() *redis.UniversalOptions {
	o := s.server
	return &redis.UniversalOptions{
		ClientName:                 o.ClientName,
		Protocol:                   o.Protocol,
		Username:                   o.Username,
		Password:                   o.Password,
		CredentialsProviderContext: o.CredentialsProviderContext,
		Dialer:                     o.Dialer,
		DialTimeout:                o.DialTimeout,
		DialerRetries:              o.DialerRetries,
		TLSConfig:                  o.TLSConfig,
		ReadTimeout:                o.ReadTimeout,
		WriteTimeout:               o.WriteTimeout,
		PoolSize:                   o.PoolSize,
		MinRetryBackoff:            o.MinRetryBackoff,
		MaxRetryBackoff:            o.MaxRetryBackoff,
		ContextTimeoutEnabled:      o.ContextTimeoutEnabled,
		ConnMaxLifetime:            o.ConnMaxLifetime,
		ConnMaxLifetimeJitter:      o.ConnMaxLifetimeJitter,
		DisableIdentity:            o.DisableIdentity,
		MaintNotificationsConfig:   o.MaintNotificationsConfig,
	}
}

// fillIn gives the options our settings where the URL says nothing.
func fillIn(o *redis.Options) {
	o.DialTimeout = cmp.Or(o.DialTimeout, 2*time.Second)
	o.DialerRetries = 1 // commands are repeated, that is enough
	o.ReadTimeout = cmp.Or(o.ReadTimeout, 2*time.Second)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 2*time.Second)

	// Six tries, 0.3 to 2.7 s apart in all: bridges a quick restart, and is not more than a caller waits.
	o.MaxRetries = cmp.Or(o.MaxRetries, 5)
	o.MinRetryBackoff = cmp.Or(o.MinRetryBackoff, 50*time.Millisecond)
	o.MaxRetryBackoff = cmp.Or(o.MaxRetryBackoff, time.Second)

	// Without it go-redis ignores the deadline of a context while it reads and writes.
	o.ContextTimeoutEnabled = true
	// Connections behind a proxy would else stay with a demoted master.
	if o.ConnMaxLifetime == 0 {
		o.ConnMaxLifetime, o.ConnMaxLifetimeJitter = 10*time.Minute, time.Minute
	}

	// Each of the two would cost a round trip on every new connection.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// keepAlive is what go-redis's own dialer sets.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}

// dialer returns a dialer like go-redis's own, but for this: TLS follows the context and is configured anew for each
// connection; and when nobody answers, the error says so in a way that go-redis does not take for a reason to dial again.
// Else one command would hang for six timeouts. A nil config is no TLS. A timeout of 0 or less is none.
func dialer(config func() *tls.Config, timeout time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		conn, err := (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext(ctx, network, addr)
		if isTimeout(err) {
			return nil, fmt.Errorf("dial %s %s: %w", network, addr, os.ErrDeadlineExceeded)
		}
		if err != nil {
			return nil, err
		}
		if config != nil {
			if conn, err = handshake(ctx, conn, addr, config()); err != nil {
				return nil, err
			}
		}
		return beginning(conn, addr, config != nil), nil
	}
}

// handshake returns the connection with TLS, or closes it.
func handshake(ctx context.Context, conn net.Conn, addr string, config *tls.Config) (net.Conn, error) {
	if host, _, err := net.SplitHostPort(addr); err == nil && config.ServerName == "" {
		config = config.Clone()
		config.ServerName = host
	}
	secure := tls.Client(conn, config)
	err := secure.HandshakeContext(ctx)
	if err == nil {
		return secure, nil
	}
	_ = conn.Close() // its error says less
	if isTimeout(err) {
		return nil, fmt.Errorf("TLS with %s: no answer to the handshake: %w", addr, os.ErrDeadlineExceeded)
	}
	if alert := named(err, addr); alert != err {
		return nil, alert
	}
	return nil, fmt.Errorf("TLS with %s: %w", addr, err)
}

func isTimeout(err error) bool {
	timedOut, ok := errors.AsType[net.Error](err)
	return ok && timedOut.Timeout()
}
