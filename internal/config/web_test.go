package config_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/config"
)

func TestWebAndRedactReachTheirFields(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, `
redact: [/password, "sk-[a-z]+"]
web:
  listen: "[::1]:0"
  hosts: [refq.example.com, 10.0.0.7]
  credentials_file: people.txt
  read_only: true
  queues_write: true
  max_requests: 3
`, nil, nil)
	require.Equal(t, filepath.Join(filepath.Dir(c.Path), "people.txt"), c.Web.CredentialsFile, "relative to the file that names it")
	c.Web.CredentialsFile = ""
	require.Equal(t, config.Web{Listen: "[::1]:0", Hosts: []string{"refq.example.com", "10.0.0.7"}, ReadOnly: true, QueuesWrite: true, MaxRequests: 3}, c.Web)
	require.JSONEq(t, `{"password":"***","t":"a ***"}`, string(c.Redact.JSON(json.RawMessage(`{"password":1,"t":"a sk-x"}`))))
	require.Contains(t, c.Settings(), config.Setting{Key: "web.hosts", Value: "[refq.example.com, 10.0.0.7]", Source: c.Path + ":5"})

	require.Nil(t, mustLoad(t, "web:", nil, nil).Redact)
	require.Equal(t, "***", mustLoad(t, "redact: hush", nil, nil).Redact.Text("hush"), "one rule needs no list")
}

func TestWebIsSetByEnvironmentAndFlags(t *testing.T) {
	t.Parallel()
	env := map[string]string{"REFQ_WEB_LISTEN": ":1", "REFQ_WEB_HOSTS": "a,b", "REFQ_WEB_READ_ONLY": "true", "REFQ_WEB_QUEUES_WRITE": "true",
		"REFQ_WEB_CREDENTIALS_FILE": "here.txt", "REFQ_WEB_MAX_REQUESTS": "2"}
	c := mustLoad(t, "web: {listen: ':0'}", env, map[string]string{"listen": ":2"})
	require.Equal(t, config.Web{Listen: ":2", Hosts: []string{"a", "b"}, CredentialsFile: "here.txt", ReadOnly: true, QueuesWrite: true, MaxRequests: 2}, c.Web)
	require.Equal(t, "--listen", c.Source("web.listen"))
	require.Equal(t, "REFQ_WEB_HOSTS", c.Source("web.hosts"))
}

func TestBrokenWebKeysAreRefusedWithTheirLine(t *testing.T) {
	t.Parallel()
	checkMessages(t, map[string]string{
		"web: {lisen: x}":             "1: web: unknown key lisen (did you mean listen?)",
		"web.listen: x":               "1: unknown key web.listen (known are defaults, functions, gates, web, redis, namespace, concurrency, shutdown_timeout, max_args, max_result, log_level, log_format, metrics, redact)",
		"web: {listen: 8383}":         "1: web.listen is 8383, must be an address such as 127.0.0.1:8383",
		"web: {listen: 'h:70000'}":    `1: web.listen is "h:70000", must be an address such as 127.0.0.1:8383`,
		"web:\n  hosts: ['http://a']": `2: web.hosts is ["http://a"], must be a list of names like [refq.example.com], without scheme and port`,
		"web: {hosts: ['a:80']}":      `1: web.hosts is ["a:80"], must be a list of names like [refq.example.com], without scheme and port`,
		"web: {read_only: 1}":         "1: web.read_only is 1, must be true or false",
		"web: {max_requests: 0}":      "1: web.max_requests is 0, must be a whole number, at least 1",
		"web: []":                     "1: web is [], must be a mapping of keys to values",
		"redact: [/a, '(']":           "1: redact: rule \"(\" is no JSON Pointer, which begins with /, and as a pattern: error parsing regexp: missing closing ): `(`",
		"redact: {a: b}":              "1: redact is a mapping, must be a JSON Pointer such as /password, a pattern, or a list of these",
		"functions: {f: {web: 1}}":    "1: functions.f: unknown key web (it belongs at the top level)",
	})
}
