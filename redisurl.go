package refq

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// RedactURL returns a Redis URL as it may be shown: user and password, the value of sentinel_password and whatever is
// not understood are replaced by ***. It takes every form that [Connect] takes, and malformed ones: a part that is
// no host, number or known parameter may be a piece of a password that was not percent-encoded.
func RedactURL(url string) string {
	u := splitURL(url)
	prefix := ""
	if strings.Contains(url, "://") {
		prefix = maskUnless(slices.Contains(schemes, u.scheme), u.scheme) + "://"
	}
	switch {
	case u.overlong():
		return prefix + mask
	case u.userinfo != "":
		prefix += mask + "@"
	}
	hosts := strings.Split(u.hosts, ",")
	for i, host := range hosts {
		named := hostForm.MatchString(host) && (u.scheme != "" || strings.Contains(host, ":"))
		hosts[i] = maskUnless(named || host == "", host)
	}
	socket := u.scheme == "unix" && u.hosts == "" && printable.MatchString(u.path)
	path := maskUnless(socket || pathForm.MatchString(u.path), u.path)
	return prefix + strings.Join(hosts, ",") + path + redactQuery(u.query) + maskUnless(u.fragment == "", u.fragment)
}

func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	pairs := strings.Split(query[1:], "&")
	for i, pair := range pairs {
		switch name, _, _ := strings.Cut(pair, "="); {
		case name == "sentinel_password":
			pairs[i] = name + "=" + mask
		default:
			pairs[i] = maskUnless(pair == "" || slices.Contains(harmless, name) && printable.MatchString(pair), pair)
		}
	}
	return "?" + strings.Join(pairs, "&")
}

const mask = "***"

func maskUnless(ok bool, s string) string {
	if ok {
		return s
	}
	return mask
}

var (
	schemes   = []string{"redis", "rediss", "unix", "redis-sentinel"}
	hostForm  = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(:[0-9]{1,5})?$`)
	pathForm  = regexp.MustCompile(`^(/[0-9]*)?$`)
	printable = regexp.MustCompile(`^[^\x00-\x1f\x7f]*$`)
	// harmless are the parameters that are shown; all others are masked, known to Connect or not.
	harmless = []string{"client_name", "conn_max_lifetime", "db", "dial_timeout", "master", "max_retries", "pipeline",
		"pool_size", "pool_timeout", "protocol", "read_timeout", "sentinel_user", "skip_verify", "tls", "write_timeout"}
)

// redisURL is a Redis URL taken apart by its punctuation, before anything in it is believed. All but the hosts keep
// the mark that they begin or end with, so that "" means absent.
type redisURL struct {
	scheme   string // "" for plain addresses
	userinfo string // with its @; reaches to the last @ of all, so that a password stays in one piece whatever is in it
	hosts    string // comma-separated
	path     string // with its /
	query    string // with its ?
	fragment string // with its #
}

func splitURL(s string) redisURL {
	var u redisURL
	if scheme, rest, found := strings.Cut(s, "://"); found {
		u.scheme, s = strings.ToLower(scheme), rest
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		u.userinfo, s = s[:i+1], s[i+1:]
	}
	s, u.fragment = cutBefore(s, "#")
	s, u.query = cutBefore(s, "?")
	u.hosts, u.path = cutBefore(s, "/")
	return u
}

// overlong reports whether the user info runs over the marks of other parts: some / ? # or @ was not percent-encoded,
// so that nobody can say which part is which.
func (u redisURL) overlong() bool {
	return strings.ContainsAny(u.userinfo, "/?#")
}

func cutBefore(s, mark string) (before, from string) {
	if i := strings.Index(s, mark); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// check finds what is wrong in any form. Its errors, like all that follow, quote nothing that may be part of a
// password.
func (u redisURL) check() error {
	switch {
	case u.scheme != "" && !slices.Contains(schemes, u.scheme):
		return errors.New("unknown scheme: write redis://, rediss://, unix://, redis-sentinel://, or host:port,host:port for a Cluster")
	case u.overlong():
		return errors.New("a / ? # or @ must be percent-encoded: %2F %3F %23 %40")
	case u.fragment != "":
		return errors.New("a # must be percent-encoded: %23")
	case u.scheme == "unix" && u.hosts != "":
		return errors.New("the path of the socket must begin with /, as in unix:///run/redis.sock")
	case u.scheme != "unix" && !pathForm.MatchString(u.path):
		return errors.New("only a database number may follow the address, as in /0")
	}
	for host := range strings.SplitSeq(u.hosts, ",") {
		if !hostForm.MatchString(host) {
			return errors.New("the address must be host:port; IPv6 is written [::1]:6379")
		}
	}
	_, _, err := u.credentials()
	return err
}

// params returns the query's parameters.
func (u redisURL) params() (url.Values, error) {
	params, err := url.ParseQuery(strings.TrimPrefix(u.query, "?"))
	if err != nil {
		return nil, errors.New("a % or ; in a parameter must be percent-encoded: %25 %3B")
	}
	for name := range params {
		ours := u.scheme == "redis-sentinel" && name == "sentinel_password"
		if strings.Contains(strings.ToLower(name), "pass") && !ours {
			return nil, errors.New("a password belongs before the @, as in redis://user:password@host:port/DB")
		}
	}
	return params, nil
}

// credentials returns what stands before the @, decoded.
func (u redisURL) credentials() (user, password string, err error) {
	if u.userinfo == "" {
		return "", "", nil
	}
	parsed, err := url.Parse("redis://" + u.userinfo + "host")
	if err != nil {
		return "", "", errors.New("user name or password is malformed: percent-encode all but letters and digits")
	}
	password, _ = parsed.User.Password()
	return parsed.User.Username(), password, nil
}

// addresses returns the hosts, each with its port.
func (u redisURL) addresses() ([]string, error) {
	hosts := strings.Split(u.hosts, ",")
	for _, host := range hosts {
		name, port := cutBefore(host, ":")
		if strings.HasPrefix(host, "[") {
			name, port = cutBefore(host, "]:")
		}
		if name == "" || port == "" {
			return nil, errors.New("every address must be host:port")
		}
	}
	return hosts, nil
}

// plainAddresses returns the addresses of a URL without a scheme, which carries nothing else.
func (u redisURL) plainAddresses(params url.Values) ([]string, error) {
	switch {
	case u.userinfo != "":
		return nil, errors.New("plain addresses take no user and password: write redis://user:password@host:port/DB")
	case u.path != "":
		return nil, errors.New("plain addresses take no database: write redis://host:port/DB (a Cluster has only database 0)")
	case len(params) > 0:
		return nil, unknownParameter(params)
	}
	return u.addresses()
}
