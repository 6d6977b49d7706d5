package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/refq/refq"

	"github.com/refq/refq/internal/redact"
	"github.com/refq/refq/refcache"
)

const wantHosts = "a list of names like [refq.example.com], without scheme and port"

const wantName = "a name of letters, digits and ._/- (first a letter or digit), at most 128 characters"

// globalKey is one of the keys at the top level of config.yaml, which flags and some variables set too.
type globalKey struct {
	key[Config]
	env  bool
	show func(Config) string
	list list // the zero list: the key has no list of values
}

// list is how a key takes a list of values.
type list struct {
	want string                        // completes "must be …"
	set  func(*Config, []string) error // errNotWanted: they are not what is wanted
}

var errNotWanted = errors.New("not what is wanted")

func (k globalKey) envName() string {
	return "REFQ_" + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// flagName is what a flag for the key is called, where there is one: "web.read_only" is --read-only of refq web.
func (k globalKey) flagName() string {
	return strings.ReplaceAll(strings.TrimPrefix(k.name, webPrefix), "_", "-")
}

var globalKeys = []globalKey{
	{key[Config]{"redis", "a Redis URL", func(c *Config, s string) bool { c.Redis = s; return s != "" }},
		true, func(c Config) string { return refq.RedactURL(c.Redis) }, list{"a list of the host:port of Cluster nodes", setCluster}},
	{key[Config]{"namespace", wantName, func(c *Config, s string) bool {
		c.Namespace = s
		return s == refcache.AllNamespaces || refcache.CheckName(s) == nil
	}},
		true, func(c Config) string { return c.Namespace }, list{}},
	{key[Config]{"concurrency", "a whole number, at least 1", func(c *Config, s string) bool { return setWhole(&c.Concurrency, s, 1) }},
		true, func(c Config) string { return strconv.Itoa(c.Concurrency) }, list{}},
	{key[Config]{"shutdown_timeout", wantDuration, func(c *Config, s string) bool { return setDuration(&c.ShutdownTimeout, s) }},
		true, func(c Config) string { return max(0, c.ShutdownTimeout).String() }, list{}},
	{key[Config]{"max_args", wantSize + "512MiB", func(c *Config, s string) bool { return setSize(&c.MaxArgs, s, 512<<20) }},
		false, func(c Config) string { return showSize(c.MaxArgs) }, list{}},
	{key[Config]{"max_result", wantSize + "64MiB", func(c *Config, s string) bool { return setSize(&c.MaxResult, s, 64<<20) }},
		false, func(c Config) string { return showSize(c.MaxResult) }, list{}},
	{key[Config]{"log_level", "debug, info, warn or error", setLogLevel},
		true, func(c Config) string { return strings.ToLower(c.LogLevel.String()) }, list{}},
	{key[Config]{"log_format", "text or json", func(c *Config, s string) bool { c.LogFormat = s; return s == "text" || s == "json" }},
		true, func(c Config) string { return c.LogFormat }, list{}},
	{key[Config]{"metrics", "an address such as 127.0.0.1:9383, or off", setMetrics},
		true, func(c Config) string { return cmp.Or(c.Metrics, metricsOff) }, list{}},
	{key[Config]{"redact", "a JSON Pointer such as /password, a pattern, or a list of these", func(c *Config, s string) bool { return setRules(c, []string{s}) == nil }},
		false, func(c Config) string { return "[" + strings.Join(c.rules, ", ") + "]" }, list{"a list of JSON Pointers and patterns", setRules}},
	{key[Config]{"web.listen", "an address such as 127.0.0.1:8383", setListen},
		true, func(c Config) string { return c.Web.Listen }, list{}},
	{key[Config]{"web.hosts", wantHosts, func(c *Config, s string) bool { return setHosts(c, strings.Split(s, ",")) == nil }},
		true, func(c Config) string { return "[" + strings.Join(c.Web.Hosts, ", ") + "]" }, list{wantHosts, setHosts}},
	{key[Config]{"web.credentials_file", "a file", func(c *Config, s string) bool { c.Web.CredentialsFile = s; return true }},
		true, func(c Config) string { return c.Web.CredentialsFile }, list{}},
	{key[Config]{"web.read_only", "true or false", func(c *Config, s string) bool { return setBool(&c.Web.ReadOnly, s) }},
		true, func(c Config) string { return strconv.FormatBool(c.Web.ReadOnly) }, list{}},
	{key[Config]{"web.queues_write", "true or false", func(c *Config, s string) bool { return setBool(&c.Web.QueuesWrite, s) }},
		true, func(c Config) string { return strconv.FormatBool(c.Web.QueuesWrite) }, list{}},
	{key[Config]{"web.max_requests", "a whole number, at least 1", func(c *Config, s string) bool { return setWhole(&c.Web.MaxRequests, s, 1) }},
		true, func(c Config) string { return strconv.Itoa(c.Web.MaxRequests) }, list{}},
}

// setLogLevel does not leave it to slog.Level, which takes "INFO+3", too.
func setLogLevel(c *Config, s string) bool {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, known := levels[s]
	c.LogLevel = level
	return known
}

// setRules takes the texts of redact:.
func setRules(c *Config, texts []string) (err error) {
	c.rules = texts
	c.Redact, err = redact.Parse(texts)
	return err
}

func setListen(c *Config, s string) bool {
	c.Web.Listen = s
	return isAddress(s)
}

const metricsOff = "off"

func setMetrics(c *Config, s string) bool {
	if c.Metrics = s; s == metricsOff {
		c.Metrics = ""
		return true
	}
	return isAddress(s)
}

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	n, invalid := strconv.ParseUint(port, 10, 16)
	return err == nil && invalid == nil && strconv.FormatUint(n, 10) == port
}

// setHosts takes names and addresses without ports.
func setHosts(c *Config, hosts []string) error {
	c.Web.Hosts = hosts
	for _, host := range hosts {
		if host == "" || strings.ContainsAny(host, "/ *[]@") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return errNotWanted
		}
	}
	return nil
}

// setCluster turns a list of host:port into the form of refq.Connect, where a comma makes a Cluster.
func setCluster(c *Config, addresses []string) error {
	switch len(addresses) {
	case 0:
		return errNotWanted
	case 1:
		c.Redis = addresses[0] + ","
	default:
		c.Redis = strings.Join(addresses, ",")
	}
	return nil
}

const webPrefix = "web."

func topNames() []string {
	names := []string{"defaults", "functions", "gates", "web"}
	for _, k := range globalKeys {
		if !strings.HasPrefix(k.name, webPrefix) {
			names = append(names, k.name)
		}
	}
	return names
}

// readWeb takes over the entries of web:.
func (c *Config) readWeb(e entry) error {
	entries, err := e.children(webPrefix)
	if err != nil {
		return err
	}
	var known []string
	for _, k := range globalKeys {
		if name, ok := strings.CutPrefix(k.name, webPrefix); ok {
			known = append(known, name)
		}
	}
	for _, e := range entries {
		if !slices.Contains(known, e.key) {
			return e.unknownKey(known)
		}
		if err := c.readKey(e, webPrefix+e.key); err != nil {
			return err
		}
	}
	return nil
}

// readGlobal takes over one entry of the top level that is none of defaults, functions, gates and web.
func (c *Config) readGlobal(e entry) error {
	if strings.HasPrefix(e.key, webPrefix) || !slices.Contains(topNames(), e.key) {
		return e.unknownKey(topNames())
	}
	return c.readKey(e, e.key)
}

// readKey takes over the value of a global key.
func (c *Config) readKey(e entry, name string) error {
	k := globalKeys[slices.IndexFunc(globalKeys, func(k globalKey) bool { return k.name == name })]
	if err := c.readValue(e, k); err != nil {
		return err
	}
	c.sources[k.name] = e.position()
	return nil
}

func (c *Config) readValue(e entry, k globalKey) error {
	if k.list.set == nil || !e.isList() {
		text, err := e.text(k.want)
		if err != nil {
			return err
		}
		if err := k.apply(c, e.key, text); err != nil {
			return e.fail(err)
		}
		return nil
	}
	texts, err := e.texts(k.list.want)
	if err != nil {
		return err
	}
	switch err := k.list.set(c, texts); {
	case errors.Is(err, errNotWanted):
		return e.mustBe(k.list.want)
	case err != nil:
		return e.fail(fmt.Errorf("%s: %w", e.key, err))
	}
	return nil
}
