package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	wantDuration = "a duration like 1.5s, 5m or 168h, or a number of seconds"
	wantName     = "a name of letters, digits and ._/- (first a letter or digit), at most 128 characters"
	wantSize     = "a number of bytes like 65536, 512KiB or 8MiB, at most "
	wantCommand  = `a list of the program and its arguments like ["python3", "thumb.py"]`
	wantExits    = "a list of exit codes from 1 to 255"
	wantVariable = `a list of names of variables like ["AWS_PROFILE"]`
)

// checkMessages loads each text, which must be refused with the message after "config.yaml:".
func checkMessages(t *testing.T, messages map[string]string) {
	t.Helper()
	for text, want := range messages {
		_, err := load(t, text, nil, nil)
		require.EqualError(t, err, "config.yaml:"+want, "%s", text)
	}
}

func TestUnknownKeysAreRefusedWithTheNearest(t *testing.T) {
	t.Parallel()
	checkMessages(t, map[string]string{
		"functions:\n  pdf.thumb:\n    exec: [thumb]\n\n    max_retires: 5": "5: functions.pdf.thumb: unknown key max_retires (did you mean max_retries?)",
		"concurency: 3":                    "1: unknown key concurency (did you mean concurrency?)",
		"defaults: {time-out: 3}":          "1: defaults: unknown key time-out (did you mean timeout?)",
		"defaults:\n  exec: [date]":        "2: defaults: unknown key exec (it belongs to a function)",
		"defaults:\n  version: 2":          "2: defaults: unknown key version (it belongs to a function)",
		"max_retries: 3":                   "1: unknown key max_retries (it belongs to a function or to defaults)",
		"functions: {f: {concurrency: 1}}": "1: functions.f: unknown key concurrency (it belongs at the top level)",
		"defaults: {functions: {}}":        "1: defaults: unknown key functions (it belongs at the top level)",
		"colour: red":                      "1: unknown key colour (known are defaults, functions, gates, web, redis, namespace, concurrency, shutdown_timeout, max_args, max_result, log_level, log_format, metrics, redact)",
		"\"a\\u001b[31m b\": 1":            `1: unknown key "a\x1b[31m b" (known are defaults, functions, gates, web, redis, namespace, concurrency, shutdown_timeout, max_args, max_result, log_level, log_format, metrics, redact)`,
	})
}

func TestBrokenGlobalKeysAreRefusedWithTheirLine(t *testing.T) {
	t.Parallel()
	checkMessages(t, map[string]string{
		"redis:":                            "1: redis is empty, must be a Redis URL",
		"redis: ''":                         `1: redis is "", must be a Redis URL`,
		"redis: {host: h}":                  "1: redis: unknown key host (known are url, tls_server_name, skip_verify, read_timeout, write_timeout, dial_timeout, pool_size, conn_max_lifetime, client_name, protocol, pipeline, password_file, tls_ca, tls_cert, tls_key)",
		"redis: {ur: h}":                    "1: redis: unknown key ur (did you mean url?)",
		"redis: {}":                         "1: redis has no url",
		"redis: {pool_size: 3}":             "1: redis has no url",
		"redis:\n  url: ''":                 `2: redis.url is "", must be a Redis URL`,
		"redis:\n  url: [a, b]":             "2: redis.url must be a Redis URL",
		"redis:\n  tls_ca: {}":              "2: redis.tls_ca is a mapping, must be a file",
		"redis: []":                         "1: redis is [], must be a list of the host:port of Cluster nodes",
		"redis: [[h:1], h:2]":               "1: redis is a list of more than single values, must be a list of the host:port of Cluster nodes",
		"namespace: a b":                    `1: namespace is "a b", must be ` + wantName,
		"namespace: [a]":                    `1: namespace is ["a"], must be ` + wantName,
		"namespace: |\n  shop\n":            `1: namespace is "shop\n", must be ` + wantName,
		"concurrency: 0":                    "1: concurrency is 0, must be a whole number, at least 1",
		"concurrency: -3":                   "1: concurrency is -3, must be a whole number, at least 1",
		"concurrency: 1.5":                  "1: concurrency is 1.5, must be a whole number, at least 1",
		"concurrency: many":                 `1: concurrency is "many", must be a whole number, at least 1`,
		"concurrency: true":                 `1: concurrency is "true", must be a whole number, at least 1`,
		"concurrency: 99999999999999999999": "1: concurrency is 99999999999999999999, must be a whole number, at least 1",
		"\nshutdown_timeout: 5 min":         `2: shutdown_timeout is "5 min", must be ` + wantDuration,
		"shutdown_timeout: -1s":             `1: shutdown_timeout is "-1s", must be ` + wantDuration,
		"shutdown_timeout: .inf":            `1: shutdown_timeout is ".inf", must be ` + wantDuration,
		"shutdown_timeout: .nan":            `1: shutdown_timeout is ".nan", must be ` + wantDuration,
		"shutdown_timeout: ~":               "1: shutdown_timeout is empty, must be " + wantDuration,
		"max_args: 0":                       "1: max_args is 0, must be " + wantSize + "512MiB",
		"max_args: 8MB":                     `1: max_args is "8MB", must be ` + wantSize + "512MiB",
		"max_args: 513MiB":                  `1: max_args is "513MiB", must be ` + wantSize + "512MiB",
		"max_args: 1.5MiB":                  `1: max_args is "1.5MiB", must be ` + wantSize + "512MiB",
		"max_result: -1KiB":                 `1: max_result is "-1KiB", must be ` + wantSize + "64MiB",
		"max_result: 65MiB":                 `1: max_result is "65MiB", must be ` + wantSize + "64MiB",
		"max_result: 67108865":              "1: max_result is 67108865, must be " + wantSize + "64MiB",
		"max_result: 9007199254740993MiB":   `1: max_result is "9007199254740993MiB", must be ` + wantSize + "64MiB",
		"log_level: loud":                   `1: log_level is "loud", must be debug, info, warn or error`,
		"log_level: INFO+3":                 `1: log_level is "INFO+3", must be debug, info, warn or error`,
		"log_format: xml":                   `1: log_format is "xml", must be text or json`,
		"metrics: on":                       `1: metrics is "on", must be an address such as 127.0.0.1:9383, or off`,
		"metrics: 9383":                     `1: metrics is 9383, must be an address such as 127.0.0.1:9383, or off`,
		"metrics: localhost:http":           `1: metrics is "localhost:http", must be an address such as 127.0.0.1:9383, or off`,
		"functions: [f]":                    `1: functions is ["f"], must be a mapping of keys to values`,
		"defaults: 5":                       "1: defaults is 5, must be a mapping of keys to values",
		"redis: redis-sentinel://h:1/0":     "1: redis URL redis-sentinel://h:1/0: the master's name is missing: add ?master=NAME",
	})
}

func TestBrokenFunctionsAreRefusedWithTheirLine(t *testing.T) {
	t.Parallel()
	rows := map[string]string{
		"queue: a/b":                          `queue "a/b": use letters, digits and ._- (first a letter or digit), at most 128`,
		"queue: ''":                           `queue is "", must be a name`,
		"queue: {}":                           "queue is a mapping, must be a name",
		"timeout: 5x":                         `timeout is "5x", must be ` + wantDuration,
		"timeout: -1":                         "timeout is -1, must be " + wantDuration,
		"timeout: 900000h":                    "timeout is 900000h0m0s, must be at most 100 years",
		"timeout: 99999999999":                "timeout is 99999999999, must be " + wantDuration,
		"timeout:":                            "timeout is empty, must be " + wantDuration,
		"async_timeout: [1]":                  "async_timeout is [1], must be " + wantDuration,
		"ttl: 0":                              "ttl is 0s, must be at least 1s",
		"ttl: 0.5":                            "ttl is 500ms, must be at least 1s",
		"failure_answer: soon":                "failure_answer is \"soon\", must be a duration like 1m, 0 (none), or one for each of error, permanent, timeout, panic, lost",
		"failure_answer: {lost: -1}":          "failure_answer.lost is -1, must be " + wantDuration,
		"failure_answer: {often: 1}":          "failure_answer: unknown key often (known are error, permanent, timeout, panic, lost)",
		"fresh: 0":                            "fresh is 0s, must be at least 1s",
		"fresh: 999ms":                        "fresh is 999ms, must be at least 1s",
		"failure_ttl: 999ms":                  "failure_ttl is 999ms, must be at least 1s",
		"max_retries: -1":                     "max_retries is -1, must be a whole number, 0 (none) or more",
		"max_retries: 1e3":                    "max_retries is 1e3, must be a whole number, 0 (none) or more",
		"max_retries: 10001":                  "max_retries is 10001, must be at most 10000",
		"retry_delay: 1 s":                    `retry_delay is "1 s", must be ` + wantDuration,
		"retry_backoff_factor: 0.99":          "retry_backoff_factor is 0.99, must be a number, at least 1",
		"retry_backoff_factor: 0":             "retry_backoff_factor is 0, must be a number, at least 1",
		"retry_backoff_factor: .inf":          `retry_backoff_factor is ".inf", must be a number, at least 1`,
		"retry_backoff_factor: inf":           `retry_backoff_factor is inf, must be a number, at least 1`,
		"retry_backoff_factor: NaN":           `retry_backoff_factor is NaN, must be a number, at least 1`,
		"retry_max_delay: soon":               `retry_max_delay is "soon", must be ` + wantDuration,
		"retry_jitter: 1.01":                  "retry_jitter is 1.01, must be a number from 0 (none) to 1",
		"retry_jitter: -0.1":                  "retry_jitter is -0.1, must be a number from 0 (none) to 1",
		"retry_jitter: 10%":                   `retry_jitter is "10%", must be a number from 0 (none) to 1`,
		"backoff: ''":                         `backoff is "", must be a name`,
		"backoff: no way":                     `backoff: name "no way": use letters, digits and ._/- (first a letter or digit), at most 128`,
		"timeout: " + strings.Repeat("9", 90): `timeout is "` + strings.Repeat("9", 80) + `…", must be ` + wantDuration,
	}
	messages := map[string]string{}
	for line, want := range rows {
		messages["defaults:\n  "+line] = "2: defaults." + want
		messages["functions:\n  pdf.thumb:\n    exec: [thumb]\n    "+line] = "4: functions.pdf.thumb." + want
	}
	messages["defaults: {ttl: 1h, fresh: 2h}"] = "1: defaults.fresh is 2h0m0s, longer than ttl 1h0m0s"
	messages["functions:\n  slow: {ttl: 1h, fresh: 2h}"] = "2: functions.slow.fresh is 2h0m0s, longer than ttl 1h0m0s"
	const tooShort = "retry_max_delay is 1m0s, shorter than retry_delay 5m0s"
	messages["defaults: {retry_delay: 5m, retry_max_delay: 1m}"] = "1: defaults." + tooShort
	messages["defaults: {retry_max_delay: 1m}\nfunctions:\n  slow: {retry_delay: 5m}"] = "3: functions.slow." + tooShort
	checkMessages(t, messages)
}

func TestBrokenKeysAreRefusedWithTheirLine(t *testing.T) {
	t.Parallel()
	const want = "a list of JSON Pointers like [/url, /size]"
	messages := map[string]string{}
	for line, why := range map[string]string{
		"key: /url":            `4: functions.pdf.key is "/url", must be ` + want,
		"key: []":              "4: functions.pdf.key is [], must be " + want,
		"key: [url]":           `2: functions.pdf.key is "url", must be JSON Pointers like /url`,
		"key: [/url, /url]":    `2: functions.pdf.key has "/url" twice`,
		"key_conflict: join":   "2: functions.pdf.key_conflict is join, must stand beside a key",
		"args: 7":              "4: functions.pdf.args is 7, must be a mapping of keys to values",
		"args: {a: [0x10]}":    "4: functions.pdf.args.a.0 is \"0x10\", must be a value as JSON has them, such as 12, 0.5 or a text in quotes",
		"args: {a: {b: .inf}}": "4: functions.pdf.args.a.b is \".inf\", must be a value as JSON has them, such as 12, 0.5 or a text in quotes",
		"args: {a: 1, a: 2}":   "4: functions.pdf.args.a is set twice, first in line 4",
		"tags: user":           `4: functions.pdf.tags is "user", must be a list of tags like ["user:{/user}"], or []`,
		`tags: ["{/a"]`:        `4: functions.pdf.tags: "{/a" has a { without a }`,
		`tags: ["a}"]`:         `4: functions.pdf.tags: "a}" has a } without a {`,
		`tags: ["u:{user}"]`:   `4: functions.pdf.tags: "u:{user}": "user" is no JSON Pointer like /url`,
		`tags: ["a b"]`:        `4: functions.pdf.tags: tag "a b" has ' ': space, comma, # and control characters cannot be in tags`,
		`tags: [""]`:           `4: functions.pdf.tags: a tag is empty`,
		"tags: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]": "4: functions.pdf.tags: 17 tags, more than 16",
		"key_conflict: [join]":                      `4: functions.pdf.key_conflict is ["join"], must be join or refuse`,
	} {
		messages["functions:\n  pdf:\n    queue: q\n    "+line] = why
	}
	messages["functions:\n  pdf: {key: [/a], key_conflict: fight}"] = `2: functions.pdf.key_conflict is "fight", must be join or refuse`
	messages["defaults:\n  key: [/a]"] = "2: defaults: unknown key key (it belongs to a function)"
	checkMessages(t, messages)
}

func TestBrokenCommandsAreRefusedWithTheirLine(t *testing.T) {
	t.Parallel()
	messages := map[string]string{}
	for line, want := range map[string]string{
		"version: 1764000000000000000":               "version is 1764000000000000000, must have at most 15 digits: use seconds, not milliseconds or less",
		"version: 0":                                 "version is 0, must be a whole number, at least 1",
		"version: 1.0":                               "version is 1.0, must be a whole number, at least 1",
		"exec: []":                                   "exec is [], must be " + wantCommand,
		"exec: ['']":                                 `exec is [""], must be ` + wantCommand,
		"exec: python3 thumb.py":                     `exec is "python3 thumb.py", must be ` + wantCommand,
		"exec: [a, [b]]":                             "exec is a list of more than single values, must be " + wantCommand,
		"exec: [a, ]\n    exec: [b]":                 "exec is set twice, first in line 3",
		"dir: ''\n    exec: [a]":                     `dir is "", must be a folder`,
		"dir: [a]\n    exec: [a]":                    `dir is ["a"], must be a folder`,
		"env: [A=1]\n    exec: [a]":                  `env is ["A=1"], must be a mapping of keys to values`,
		"env: {A: [1]}\n    exec: [a]":               "env.A is [1], must be a text",
		"env: {A: }\n    exec: [a]":                  "env.A is empty, must be a text",
		"env: {A=B: 1}\n    exec: [a]":               `env."A=B" is no name of a variable`,
		"env: {'': 1}\n    exec: [a]":                `env."" is no name of a variable`,
		"env: {A: 1, A: 2}\n    exec: [a]":           "env.A is set twice, first in line 3",
		"inherit_env: A\n    exec: [a]":              `inherit_env is "A", must be ` + wantVariable,
		"inherit_env: [A=1]\n    exec: [a]":          `inherit_env is ["A=1"], must be ` + wantVariable,
		"permanent_exit_codes: 65\n    exec: [a]":    "permanent_exit_codes is 65, must be " + wantExits,
		"permanent_exit_codes: [0]\n    exec: [a]":   "permanent_exit_codes is [0], must be " + wantExits,
		"permanent_exit_codes: [256]\n    exec: [a]": "permanent_exit_codes is [256], must be " + wantExits,
		"permanent_exit_codes: [x]\n    exec: [a]":   `permanent_exit_codes is ["x"], must be ` + wantExits,
		"env: {}":                  "env has no use without exec, which names the command",
		"permanent_exit_codes: []": "permanent_exit_codes has no use without exec, which names the command",
	} {
		position := "3: "
		if strings.HasPrefix(line, "exec: [a, ]") {
			position = "4: "
		}
		messages["functions:\n  f:\n    "+line] = position + "functions.f." + want
	}
	checkMessages(t, messages)
	checkMessages(t, map[string]string{
		"functions: {a b: {}}":              `1: functions: name "a b": use letters, digits and ._/- (first a letter or digit), at most 128`,
		"functions:\n  f: [date]":           `2: functions.f is ["date"], must be a mapping of keys to values`,
		"functions:\n  f: {}\n\n  f: {}":    "4: functions.f is set twice, first in line 2",
		"functions: {}\nfunctions: {}":      "2: functions is set twice, first in line 1",
		"functions:\n  f: {ttl: 1, ttl: 2}": "2: functions.f.ttl is set twice, first in line 2",
	})
}

func TestFilesThatAreNoYAMLMappingAreRefusedInOneLine(t *testing.T) {
	t.Parallel()
	checkMessages(t, map[string]string{
		"redis: [h:1\n":                                     "1: not valid YAML: sequence end token ']' not found",
		"concurrency: 1\n\tnamespace: a\n":                  "2: not valid YAML: found character '\\t' that cannot start any token",
		"concurrency: 1\n namespace: a\n":                   "1: not valid YAML: mapping value is not allowed in this context",
		"namespace: 'a\n":                                   "1: not valid YAML: could not find end character of single-quoted text",
		"a: b: c":                                           "1: not valid YAML: mapping value is not allowed in this context",
		"concurrency: 1\n---\nnamespace: a\n":               "2: a second document begins here, the file must have one",
		"concurrency: 1\n...\nnamespace: a\n":               "3: a second document begins here, the file must have one",
		"---\nconcurrency: 1\n...\n---\n":                   "4: a second document begins here, the file must have one",
		"concurrency: 1\nnamespace: \xff\n":                 "2: the file is not UTF-8 text",
		"hello":                                             `1: file is "hello", must be a mapping of keys to values`,
		"- concurrency: 1":                                  "1: file is a list of more than single values, must be a mapping of keys to values",
		"null: 1":                                           "1: a key must be a word",
		"functions: {~: {}}":                                "1: functions: a key must be a word",
		"namespace: *shop":                                  "1: the alias *shop stands for nothing above it",
		"functions:\n  f: &f\n    <<: *f":                   "3: the alias *f stands for nothing above it",
		"concurrency: 1\nnamespace: !!str 5":                "2: tags are not supported: put a text in quotes instead of !!str",
		"functions:\n  f:\n    <<: 5":                       "3: functions.f.\"<<\" is 5, must be a mapping of keys to values",
		"defaults: &a {ttl: 5 s}\nfunctions: {f: {<<: *a}}": `1: defaults.ttl is "5 s", must be ` + wantDuration,
	})
}

func TestFilesWithNothingInThemAreFine(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "{}", "functions:\ndefaults:\n", "%YAML 1.2\n---\n{}\n",
		"\ufeffconcurrency: 10\r\nfunctions: {}\r\n", "...\n", "concurrency: 10\n...\n...\n"} {
		c := mustLoad(t, text, nil, nil)
		require.Equal(t, 10, c.Concurrency)
		require.Empty(t, c.Functions)
	}
}

func TestBrokenVariablesAndFlagsAreRefusedByName(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"REFQ_NAMESPACE": "a b", "REFQ_CONCURRENCY": "0", "REFQ_SHUTDOWN_TIMEOUT": "-1",
		"REFQ_LOG_LEVEL": "loud", "REFQ_LOG_FORMAT": "xml"} {
		_, err := load(t, "", map[string]string{name: value}, nil)
		require.ErrorContains(t, err, name+" is ")
	}
	for flag, want := range map[string]string{
		"redis":       `--redis is "", must be a Redis URL`,
		"log-level":   `--log-level is "", must be debug, info, warn or error`,
		"concurrency": `--concurrency is "", must be a whole number, at least 1`,
	} {
		_, err := load(t, "", nil, map[string]string{flag: ""})
		require.EqualError(t, err, want)
	}
}

func FuzzLoad(f *testing.F) {
	for _, text := range []string{"functions:\n  a: &a {exec: [x], <<: {ttl: 1}}\n  b: {<<: [*a]}\n", "? [a]\n: - b\n", "a: |+\n  b\n--- >-\n",
		"redis: [h:1]\ndefaults: {timeout: 1.5}\n", "%TAG ! x\n---\n!a &b *c : {d}\n", "\"\\x\": '''", "{a: [b, {c: , }]}", "a: {&x b: *x}\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := load(t, text, nil, nil)
		if err != nil {
			require.Regexp(t, `^config\.yaml:[1-9][0-9]*: [[:print:]\P{Cc}]+$`, err.Error())
			return
		}
		for _, fn := range c.Functions {
			_, err := fn.Func.Policy()
			require.NoError(t, err)
		}
	})
}

func TestParametersBesideTheURLAreRefusedAsThoseInIt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"redis: {url: 'redis://h', tls_ca: x}":                      "1: redis URL redis://h?tls_ca=",
		"redis: {url: 'redis://h?pool_size=2', pool_size: 3}":       "1: redis URL redis://h?pool_size=2&pool_size=3: pool_size is given 2 times",
		"redis: {url: 'rediss://h', tls_cert: none, tls_key: none}": "tls_cert: open ",
		"redis: {url: 'redis://:pw@h', password_file: x}":           ": the password is given twice: before the @, and by password_file",
	} {
		_, err := load(t, text, nil, nil)
		require.ErrorContains(t, err, "config.yaml:1: redis URL ")
		require.ErrorContains(t, err, want)
	}
}
