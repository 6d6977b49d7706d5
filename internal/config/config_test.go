package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq"
	"github.com/refq/refq/internal/config"
)

// load reads a file of this content as config.yaml of a folder of its own; messages show it as config.yaml.
func load(t testing.TB, yaml string, env, flags map[string]string) (config.Config, error) {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(yaml), 0o600))
	all := map[string]string{"config": path}
	for name, value := range flags {
		all[name] = value
	}
	c, err := config.Load(config.Options{LookupEnv: lookup(env), Flags: all})
	if err != nil {
		err = message(strings.ReplaceAll(err.Error(), folder+"/", ""))
	}
	return c, err
}

type message string

func (m message) Error() string { return string(m) }

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, found := env[name]
		return value, found
	}
}

func mustLoad(t *testing.T, yaml string, env, flags map[string]string) config.Config {
	t.Helper()
	c, err := load(t, yaml, env, flags)
	require.NoError(t, err)
	return c
}

func TestNothingConfiguredMeansTheDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := config.Load(config.Options{})
	require.NoError(t, err)
	require.Equal(t, []config.Setting{
		{"redis", "redis://127.0.0.1:6379/0", "default"},
		{"namespace", "default", "default"},
		{"concurrency", "10", "default"},
		{"shutdown_timeout", "8s", "default"},
		{"max_args", "1MiB", "default"},
		{"max_result", "8MiB", "default"},
		{"log_level", "info", "default"},
		{"log_format", "text", "default"},
		{"metrics", "off", "default"},
		{"redact", "[]", "default"},
		{"web.listen", "127.0.0.1:8383", "default"},
		{"web.hosts", "[]", "default"},
		{"web.credentials_file", "", "default"},
		{"web.read_only", "false", "default"},
		{"web.queues_write", "false", "default"},
		{"web.max_requests", "256", "default"},
	}, c.Settings())
	require.Empty(t, c.Path)
	require.Empty(t, c.Functions)
}

func TestTheFileOfTheCurrentFolderIsReadUnasked(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	require.NoError(t, os.WriteFile("config.yaml", []byte("\nconcurrency: 4\nfunctions: {f: {exec: [f]}}"), 0o600))
	c, err := config.Load(config.Options{})
	require.NoError(t, err)
	require.Equal(t, "config.yaml", c.Path)
	require.Equal(t, 4, c.Concurrency)
	require.Equal(t, "config.yaml:2", c.Source("concurrency"))
	require.Equal(t, folder, c.Functions[0].Dir)
}

func TestFlagsBeatEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	t.Parallel()
	for key, v := range map[string]struct{ file, env, flag string }{
		"redis":            {"redis://file:1/0", "redis://env:1/0", "redis://flag:1/0"},
		"namespace":        {"file", "env", "flag"},
		"concurrency":      {"2", "3", "4"},
		"shutdown_timeout": {"2s", "3s", "4s"},
		"max_args":         {"2KiB", "", "4KiB"},
		"max_result":       {"2KiB", "", "4KiB"},
		"log_level":        {"debug", "warn", "error"},
		"log_format":       {"json", "json", "json"},
		"metrics":          {"localhost:1", "[::1]:2", ":3"},
	} {
		yaml := "# first line\n" + key + ": " + v.file
		variable, flag := "REFQ_"+strings.ToUpper(key), strings.ReplaceAll(key, "_", "-")
		env := map[string]string{variable: v.env}
		flags := map[string]string{flag: v.flag}
		check := func(c config.Config, value, source string) {
			t.Helper()
			for _, s := range c.Settings() {
				if s.Key == key {
					_, s.Source = filepath.Split(s.Source)
					require.Equal(t, config.Setting{Key: key, Value: value, Source: source}, s)
				}
			}
		}
		check(mustLoad(t, yaml, nil, nil), v.file, "config.yaml:2")
		if v.env != "" {
			check(mustLoad(t, yaml, env, nil), v.env, variable)
		}
		check(mustLoad(t, yaml, env, flags), v.flag, "--"+flag)
		check(mustLoad(t, "", nil, flags), v.flag, "--"+flag)
	}
}

func TestTheFileIsNamedByFlagBeforeVariable(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	a, b := write("a.yaml", "namespace: a"), write("b.yaml", "namespace: b")
	o := config.Options{LookupEnv: lookup(map[string]string{"REFQ_CONFIG": a})}
	c, err := config.Load(o)
	require.NoError(t, err)
	require.Equal(t, "a", c.Namespace)
	require.Equal(t, a+":1", c.Source("namespace"))

	o.Flags = map[string]string{"config": b}
	c, err = config.Load(o)
	require.NoError(t, err)
	require.Equal(t, "b", c.Namespace)
	require.Equal(t, b, c.Path)
}

func TestANamedFileMustExist(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Options{Flags: map[string]string{"config": "missing.yaml"}})
	require.EqualError(t, err, `--config is "missing.yaml", which does not exist: name another file or write one with refq init`)
	_, err = config.Load(config.Options{LookupEnv: lookup(map[string]string{"REFQ_CONFIG": "missing.yaml"})})
	require.EqualError(t, err, `REFQ_CONFIG is "missing.yaml", which does not exist: name another file or write one with refq init`)
	_, err = config.Load(config.Options{Flags: map[string]string{"config": "."}})
	require.EqualError(t, err, "read configuration: read .: is a directory")
}

func TestOtherVariablesAndFlagsAreNobodysBusiness(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "", map[string]string{
		"REFQ_REF_ID": "default:0123", "REFQ_ATTEMPT": "1", "REFQ_MAX_RETRIES": "3", "REFQ_FUNCTION": "f",
		"REFQ_MAX_ARGS": "nonsense", "REFQ_MAX_RESULT": "nonsense", "REFQ_NAMESPACE": "",
	}, map[string]string{"wait": "nonsense"})
	for _, s := range c.Settings() {
		require.Equal(t, "default", s.Source, s.Key)
	}
}

func TestValuesReachTheirFields(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
redis: [h1:7000, "h2:7000"]
concurrency: 1
shutdown_timeout: 0
max_args: 1000
max_result: 64MiB
log_level: debug
`, nil, nil)
	require.Equal(t, "h1:7000,h2:7000", c.Redis)
	require.Equal(t, 1, c.Concurrency)
	require.Equal(t, time.Duration(-1), c.ShutdownTimeout, "do not wait")
	require.Equal(t, 1000, c.MaxArgs)
	require.Equal(t, 64<<20, c.MaxResult)
	require.Equal(t, slog.LevelDebug, c.LogLevel)
	shown := map[string]string{}
	for _, s := range c.Settings() {
		shown[s.Key] = s.Value
	}
	require.Equal(t, "0s", shown["shutdown_timeout"])
	require.Equal(t, "1000", shown["max_args"])

	require.Equal(t, "h1:7000,", mustLoad(t, "redis: [h1:7000]", nil, nil).Redis, "a comma makes it a Cluster")
}

func TestRedisMayBeAURLWithParametersOfItsOwn(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "config.yaml")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "pass word"), []byte("geheim\n"), 0o600))
	require.NoError(t, os.WriteFile(path, []byte(`
redis:
  url: " redis://me@h:1/3?protocol=2\n"
  password_file: pass word
  pool_size: 7
  read_timeout: 1.5s
  client_name: "a&b"
  pipeline: off
`), 0o600))
	c, err := config.Load(config.Options{Flags: map[string]string{"config": path}})
	require.NoError(t, err)
	client, err := refq.Connect(c.Redis)
	require.NoError(t, err)
	defer client.Close()
	o := client.(*redis.Client).Options()
	require.Equal(t, [3]any{"h:1", 3, 2}, [3]any{o.Addr, o.DB, o.Protocol})
	require.Equal(t, [3]any{7, 1500 * time.Millisecond, "a&b"}, [3]any{o.PoolSize, o.ReadTimeout, o.ClientName})
	require.Nil(t, o.AutoPipelineOptions)
	user, password, err := o.CredentialsProviderContext(t.Context())
	require.NoError(t, err)
	require.Equal(t, [2]string{"me", "geheim"}, [2]string{user, password}, "its name is meant from the folder of config.yaml")

	shown := c.Settings()[0]
	require.Equal(t, config.Setting{Key: "redis", Source: path + ":2", Value: "redis://***@h:1/3?protocol=2&password_file=" + folder +
		"/pass+word&pool_size=7&read_timeout=1.5s&client_name=a%26b&pipeline=off"}, shown)
	require.Equal(t, "redis://h:1", mustLoad(t, "redis: {url: 'redis://h:1'}", nil, nil).Redis)
	require.Equal(t, "redis://flag:1", mustLoad(t, "redis: {url: 'redis://h:1', pool_size: 3}", nil, map[string]string{"redis": "redis://flag:1"}).Redis)
}

func TestPasswordsAreNeverShown(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "redis: redis://u:geheim@h:1/0", nil, nil)
	require.Equal(t, "redis://u:geheim@h:1/0", c.Redis)
	require.Equal(t, "redis://***@h:1/0", c.Settings()[0].Value)

	for _, bad := range []string{"redis: http://u:geheim@h:1/0", "redis: redis://u:geheim@h:port/0", "redis: [redis://u:geheim@h:1]",
		"redis: [redis://u:geheim@h:1, {}]", "redis: {a: redis://u:geheim@h:1}", "redis: {url: 'redis://u:geheim@h:port', pool_size: 3}",
		"redis: {url: 'redis://u:gehe?geheim@h:1', pool_size: 3}", "redis: {url: 'redis://u:geheim@h:1', password_file: x}",
		"redis: {url: ['redis://u:geheim@h:1']}", "redis: {url: {a: 'redis://u:geheim@h:1'}}", `redis: "redis://u:geheim@h:1`} {
		_, err := load(t, bad, nil, nil)
		require.ErrorContains(t, err, "config.yaml:1: ")
		require.NotContains(t, err.Error(), "geheim")
	}
	_, err := load(t, "", map[string]string{"REFQ_REDIS": "http://u:geheim@h:1/0"}, nil)
	require.ErrorContains(t, err, "REFQ_REDIS: redis URL ***://***@h:1/0: ")
	_, err = load(t, "", nil, map[string]string{"redis": "http://u:geheim@h:1/0"})
	require.ErrorContains(t, err, "--redis: redis URL ***://***@h:1/0: ")
}

func TestAnUnknownFunctionIsAnsweredWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "functions: {thumb: {}, pdf.thumb: {}, wordcount: {}}", nil, nil)
	f, err := c.Function("pdf.thumb")
	require.NoError(t, err)
	require.Equal(t, "pdf.thumb", f.Func.Name)

	c.Path = "config.yaml"
	_, err = c.Function("thum")
	require.EqualError(t, err, "unknown function thum (did you mean thumb?): config.yaml declares pdf.thumb, thumb, wordcount")
	_, err = c.Function("a b")
	require.EqualError(t, err, `unknown function "a b": config.yaml declares pdf.thumb, thumb, wordcount`)
	_, err = config.Config{Path: "config.yaml"}.Function("thumb")
	require.EqualError(t, err, "unknown function thumb: config.yaml declares none")
	_, err = config.Config{}.Function("thumb")
	require.EqualError(t, err, "unknown function thumb: there is no config.yaml here to declare it (refq init writes one)")
}

func TestNearestForgivesAFewLetters(t *testing.T) {
	t.Parallel()
	known := []string{"timeout", "ttl", "max_retries", "retry_delay"}
	for name, want := range map[string]string{
		"max_retires": "max_retries", "max-retries": "max_retries", "timeuot": "timeout", "tll": "ttl", "tt": "ttl",
		"retrydelay": "retry_delay", "ttl": "ttl", "x": "", "": "", "colour": "", strings.Repeat("timeout", 10): "",
	} {
		require.Equal(t, want, config.Nearest(name, known), name)
	}
	require.Equal(t, "aab", config.Nearest("aaa", []string{"aab", "aac"}), "the first of equals")
	require.Empty(t, config.Nearest("aaa", nil))
}
