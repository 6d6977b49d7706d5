package config

import (
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// redisFiles are the keys of redis: that name a file.
var redisFiles = []string{"password_file", "tls_ca", "tls_cert", "tls_key"}

// redisKeys are the keys of redis: besides url: parameters of refq.Connect.
var redisKeys = append([]string{"tls_server_name", "skip_verify", "read_timeout", "write_timeout", "dial_timeout", "pool_size",
	"conn_max_lifetime", "client_name", "protocol", "pipeline"}, redisFiles...)

// readRedis takes over redis: as a mapping of a URL and its parameters, and makes one URL of them. Names of files are meant
// from folder.
func (c *Config) readRedis(e entry, folder string) error {
	const scope = "redis."
	entries, err := e.children(scope)
	if err != nil {
		return err
	}
	address, params := "", []string{}
	for _, e := range entries {
		want := "a Redis URL"
		switch {
		case e.key == "url":
		case slices.Contains(redisFiles, e.key):
			want = "a file"
		case slices.Contains(redisKeys, e.key):
			want = "a single value"
		default:
			return e.unknownKey(append([]string{"url"}, redisKeys...))
		}
		value, err := e.text(want)
		switch {
		case err != nil && e.key == "url": // which may hold a password, in whatever it is
			return e.fail(errors.New("url must be " + want))
		case err != nil:
			return err
		case value == "":
			return e.mustBe(want)
		case e.key == "url":
			address = value
			continue
		case want == "a file" && !filepath.IsAbs(value):
			value = filepath.Join(folder, value)
		}
		params = append(params, e.key+"="+strings.ReplaceAll(url.QueryEscape(value), "%2F", "/"))
	}
	if address == "" {
		return e.fail(errors.New("redis has no url"))
	}
	c.Redis = withParams(address, params)
	c.sources["redis"] = e.position()
	return nil
}

// withParams adds parameters to a URL, which may have some.
func withParams(address string, params []string) string {
	if len(params) == 0 {
		return address
	}
	mark := "?"
	if strings.Contains(address, "?") {
		mark = "&"
	}
	return strings.TrimSpace(address) + mark + strings.Join(params, "&")
}
