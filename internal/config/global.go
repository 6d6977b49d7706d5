package config

import (
	"cmp"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/refq/refq/refcache"
)

const wantName = "a name of letters, digits and ._/- (first a letter or digit), at most 128 characters"

// globalKey is one of the keys at the top level of config.yaml, which flags and some variables set too.
type globalKey struct {
	key[Config]
	env  bool
	show func(Config) string
}

func (k globalKey) envName() string { return "REFQ_" + strings.ToUpper(k.name) }

var globalKeys = []globalKey{
	{key[Config]{"redis", "a Redis URL", func(c *Config, s string) bool { c.Redis = s; return s != "" }},
		true, func(c Config) string { return refcache.RedactURL(c.Redis) }},
	{key[Config]{"namespace", wantName, func(c *Config, s string) bool { c.Namespace = s; return refcache.CheckName(s) == nil }},
		true, func(c Config) string { return c.Namespace }},
	{key[Config]{"concurrency", "a whole number, at least 1", func(c *Config, s string) bool { return setWhole(&c.Concurrency, s, 1) }},
		true, func(c Config) string { return strconv.Itoa(c.Concurrency) }},
	{key[Config]{"shutdown_timeout", wantDuration, func(c *Config, s string) bool { return setDuration(&c.ShutdownTimeout, s) }},
		true, func(c Config) string { return max(0, c.ShutdownTimeout).String() }},
	{key[Config]{"max_args", wantSize + "512MiB", func(c *Config, s string) bool { return setSize(&c.MaxArgs, s, 512<<20) }},
		false, func(c Config) string { return showSize(c.MaxArgs) }},
	{key[Config]{"max_result", wantSize + "64MiB", func(c *Config, s string) bool { return setSize(&c.MaxResult, s, 64<<20) }},
		false, func(c Config) string { return showSize(c.MaxResult) }},
	{key[Config]{"log_level", "debug, info, warn or error", setLogLevel},
		true, func(c Config) string { return strings.ToLower(c.LogLevel.String()) }},
	{key[Config]{"log_format", "text or json", func(c *Config, s string) bool { c.LogFormat = s; return s == "text" || s == "json" }},
		true, func(c Config) string { return c.LogFormat }},
	{key[Config]{"metrics", "an address such as 127.0.0.1:9383, or off", setMetrics},
		true, func(c Config) string { return cmp.Or(c.Metrics, metricsOff) }},
}

const metricsOff = "off"

func setMetrics(c *Config, s string) bool {
	if c.Metrics = s; s == metricsOff {
		c.Metrics = ""
		return true
	}
	_, port, err := net.SplitHostPort(s)
	n, invalid := strconv.ParseUint(port, 10, 16)
	return err == nil && invalid == nil && strconv.FormatUint(n, 10) == port
}

// setLogLevel does not leave it to slog.Level, which takes "INFO+3", too.
func setLogLevel(c *Config, s string) bool {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, known := levels[s]
	c.LogLevel = level
	return known
}

func topNames() []string {
	names := []string{"defaults", "functions"}
	for _, k := range globalKeys {
		names = append(names, k.name)
	}
	return names
}

// readGlobal takes over one entry of the top level that is neither defaults nor functions.
func (c *Config) readGlobal(e entry) error {
	i := slices.IndexFunc(globalKeys, func(k globalKey) bool { return k.name == e.key })
	if i < 0 {
		return e.unknownKey(topNames())
	}
	k := globalKeys[i]
	text, err := e.text(k.want)
	if k.name == "redis" && e.isList() {
		text, err = e.clusterAddresses()
	}
	if err != nil {
		return err
	}
	if err := k.apply(c, e.key, text); err != nil {
		return e.fail(err)
	}
	c.sources[k.name] = e.position()
	return nil
}

// clusterAddresses turns a list of host:port into the form of refcache.Connect, where a comma makes a Cluster.
func (e entry) clusterAddresses() (string, error) {
	const want = "a list of the host:port of Cluster nodes"
	addresses, err := e.texts(want)
	switch {
	case err != nil:
		return "", err
	case len(addresses) == 0:
		return "", e.mustBe(want)
	case len(addresses) == 1:
		return addresses[0] + ",", nil
	default:
		return strings.Join(addresses, ","), nil
	}
}
