package refq

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

// settings is what a Redis URL says, with our settings where it says nothing.
type settings struct {
	// server is complete for a client of one server. For several it lacks their addresses.
	server *redis.Options

	nodes []string // of a Cluster, of which all or some are named; else nil

	master                         string // that Sentinels watch; "": there are none
	sentinels                      []string
	sentinelUser, sentinelPassword string
}

// settings reads the URL, and the files that it names.
func (u redisURL) settings() (settings, error) {
	params, err := u.params()
	if err != nil {
		return settings{}, err
	}
	if err := cmp.Or(u.check(), u.checkPlain()); err != nil {
		return settings{}, err
	}
	pipeline, err := oneOf(params, "pipeline", "on", "off")
	if err != nil {
		return settings{}, err
	}
	passwordFile, err := takeFile(params, "password_file")
	if err != nil {
		return settings{}, err
	}
	tlsNames, err := takeTLS(params)
	if err != nil {
		return settings{}, err
	}

	var s settings
	var withTLS bool
	switch {
	case u.scheme == "redis-sentinel":
		withTLS, err = s.readSentinels(u, params)
	case u.cluster():
		withTLS, err = u.scheme == "rediss-cluster", s.readCluster(u, params)
	default:
		withTLS, err = u.scheme == "rediss", s.readServer(u, params)
		if pipeline != "off" && err == nil {
			s.server.AutoPipelineOptions = &redis.AutoPipelineOptions{FullDuplex: true}
		}
	}
	if err != nil {
		return settings{}, err
	}
	return s, s.complete(u, passwordFile, tlsNames, withTLS)
}

// complete adds what is the same for all forms.
func (s *settings) complete(u redisURL, passwordFile string, names tlsNames, withTLS bool) (err error) {
	o := s.server
	if err := checkNumbers(o); err != nil {
		return err
	}
	fillIn(o)
	if o.Username, o.Password, err = u.credentials(); err != nil {
		return err
	}
	if passwordFile != "" {
		if err := s.usePasswordFile(passwordFile); err != nil {
			return err
		}
	}
	var config func() *tls.Config
	switch {
	case !withTLS && names.any != "":
		return fmt.Errorf("%s needs TLS: write %s", names.any, u.formWithTLS())
	case withTLS:
		if config, err = names.config(o.TLSConfig.ServerName); err != nil {
			return err
		}
		o.TLSConfig = config()
	}
	o.Dialer = dialer(config, o.DialTimeout)
	return nil
}

func (s *settings) usePasswordFile(path string) error {
	if s.server.Password != "" {
		return errors.New("the password is given twice: before the @, and by password_file")
	}
	file, err := passwordFile(path)
	if err != nil {
		return err
	}
	user := s.server.Username
	s.server.CredentialsProviderContext = func(context.Context) (string, string, error) { return user, file.current(), nil }
	return nil
}

// formWithTLS is how the URL begins, or what it has, when there is TLS.
func (u redisURL) formWithTLS() string {
	switch {
	case u.scheme == "redis-sentinel":
		return "&tls=true"
	case u.cluster():
		return "rediss-cluster://"
	}
	return "rediss://"
}

func (s *settings) readServer(u redisURL, params url.Values) error {
	if u.scheme == "" {
		if _, err := u.addresses(); err != nil {
			return err
		}
		if err := checkShared(params); err != nil {
			return err
		}
		u.scheme = "redis"
	}
	if strings.Contains(u.hosts, ",") {
		return errors.New("several addresses: write redis-sentinel:// for Sentinels, redis-cluster:// for a Cluster")
	}
	// go-redis does not get user and password: its errors may show them.
	err := s.readParams(u.scheme+"://"+u.hosts+u.path, params)
	if err == nil && s.server.DB < 0 {
		return fmt.Errorf("database %d: must not be negative", s.server.DB)
	}
	return err
}

// readSentinels also reports whether there is TLS.
func (s *settings) readSentinels(u redisURL, params url.Values) (withTLS bool, err error) {
	if s.sentinels, err = u.addresses(); err != nil {
		return false, err
	}
	db := 0
	if digits := strings.TrimPrefix(u.path, "/"); digits != "" {
		if db, err = strconv.Atoi(digits); err != nil {
			return false, errors.New("the database number is too large")
		}
	}
	onOff, err := oneOf(params, "tls", "true", "false")
	if err != nil {
		return false, err
	}
	s.master, s.sentinelUser, s.sentinelPassword = take(params, "master"), take(params, "sentinel_user"), take(params, "sentinel_password")
	unknown := checkShared(params)
	switch {
	case unknown != nil && s.sentinelPassword != "": // the unknown one may be the rest of the password
		return false, errors.New("an unknown parameter: if it belongs to the sentinel_password, write %26 for its &")
	case unknown != nil:
		return false, unknown
	case s.master == "":
		return false, errors.New("the master's name is missing: add ?master=NAME")
	case s.sentinelUser != "" && s.sentinelPassword == "":
		return false, errors.New("sentinel_user needs a sentinel_password")
	}
	scheme := "redis"
	if onOff == "true" {
		scheme = "rediss"
	}
	err = s.readParams(scheme+"://"+anyHost, params)
	if err == nil {
		s.server.DB = db
	}
	return onOff == "true", err
}

func (s *settings) readCluster(u redisURL, params url.Values) (err error) {
	if u.scheme == "" {
		u.hosts = strings.TrimSuffix(u.hosts, ",")
	}
	if s.nodes, err = u.addresses(); err != nil {
		return err
	}
	if strings.Trim(u.path, "/0") != "" || params.Has("db") {
		return errors.New("a Cluster has only database 0")
	}
	if err := checkShared(params); err != nil {
		return err
	}
	scheme := "redis"
	if u.scheme == "rediss-cluster" {
		scheme = "rediss"
	}
	return s.readParams(scheme+"://"+anyHost, params)
}

// anyHost stands for servers that are found when a connection is made.
const anyHost = "any"

// readParams has go-redis read its parameters.
func (s *settings) readParams(address string, params url.Values) error {
	o, err := redis.ParseURL(address + "?" + params.Encode())
	malformed, _ := errors.AsType[*url.Error](err)
	switch {
	case malformed != nil: // it quotes the whole URL
		return errors.New("the address is malformed: write host:port")
	case err != nil: // names a parameter that is unknown or has a bad value
		return errors.New(legible(strings.TrimPrefix(err.Error(), "redis: ")))
	case o.Protocol != 0 && o.Protocol != 2 && o.Protocol != 3:
		return errors.New("protocol is 2 or 3")
	}
	if o.TLSConfig != nil && o.TLSConfig.ServerName == anyHost {
		o.TLSConfig.ServerName = ""
	}
	s.server = o
	return nil
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

// shared are the parameters of go-redis that every form takes.
var shared = []string{"client_name", "conn_max_lifetime", "dial_timeout", "pool_size", "protocol", "read_timeout", "write_timeout"}

func checkShared(params url.Values) error {
	unknown := slices.DeleteFunc(slices.Sorted(maps.Keys(params)), func(name string) bool { return slices.Contains(shared, name) })
	if len(unknown) > 0 {
		return fmt.Errorf("unknown parameter %s", legible(strings.Join(unknown, ", ")))
	}
	return nil
}

// take removes a parameter and returns its value, "" if there is none.
func take(params url.Values, name string) string {
	value := params.Get(name)
	delete(params, name)
	return value
}

// oneOf takes a parameter that has one of two values, or is not there.
func oneOf(params url.Values, name, yes, no string) (string, error) {
	value := take(params, name)
	if value != "" && value != yes && value != no {
		return "", fmt.Errorf("%s is %s or %s", name, yes, no)
	}
	return value, nil
}

// takeFile takes a parameter that names a file, if it is there.
func takeFile(params url.Values, name string) (string, error) {
	given := params.Has(name)
	value := take(params, name)
	if given && value == "" {
		return "", fmt.Errorf("%s names no file", name)
	}
	return value, nil
}

// legible writes a text that somebody typed so that it does a terminal no harm.
func legible(text string) string {
	if utf8.ValidString(text) && printable.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}
