package refq

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// RedactURL returns a Redis URL as it may be shown: user and password, the value of sentinel_password and whatever is
// not understood are replaced by ***. It takes every form that [Connect] takes, and malformed ones: a part that is
// no host, number or known parameter may be a piece of a password that was not percent-encoded. Names of files are
// shown.
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
	schemes   = []string{"redis", "rediss", "unix", "redis-sentinel", "redis-cluster", "rediss-cluster"}
	hostForm  = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*)(:[0-9]{1,5})?$`)
	pathForm  = regexp.MustCompile(`^(/[0-9]*)?$`)
	printable = regexp.MustCompile(`^[^\x00-\x1f\x7f]*$`)
	// harmless are the parameters that are shown; all others are masked, known to Connect or not.
	harmless = []string{"client_name", "conn_max_lifetime", "db", "dial_timeout", "master", "max_retries", "password_file",
		"pipeline", "pool_size", "pool_timeout", "protocol", "read_timeout", "sentinel_user", "skip_verify", "tls", "tls_ca",
		"tls_cert", "tls_key", "tls_server_name", "write_timeout"}
)

// around is what may stand around a URL.
const around = " \t\r\n"

// checkLine refuses line ends within a URL: what holds one is a file of something else, or more than one line of it.
func checkLine(url string) error {
	before, _, broken := strings.Cut(strings.ReplaceAll(strings.Trim(url, around), "\r", "\n"), "\n")
	if broken {
		return fmt.Errorf("a line end at character %d", utf8.RuneCountInString(before)+1)
	}
	return nil
}

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

// splitURL passes over blanks and line ends around the URL: files and variables of secrets tend to have them.
func splitURL(s string) redisURL {
	var u redisURL
	s = strings.Trim(s, around)
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
		return errors.New("unknown scheme: write redis://, rediss://, unix://, redis-sentinel://, redis-cluster:// or rediss-cluster://")
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

// params returns the query's parameters, of which none that we know is given twice.
func (u redisURL) params() (url.Values, error) {
	params, err := url.ParseQuery(strings.TrimPrefix(u.query, "?"))
	if err != nil {
		return nil, errors.New("a % or ; in a parameter must be percent-encoded: %25 %3B")
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		ours := u.scheme == "redis-sentinel" && name == "sentinel_password"
		switch {
		case strings.Contains(strings.ToLower(name), "pass") && !ours && name != "password_file":
			return nil, errors.New("a password belongs before the @, as in redis://user:password@host:port/DB")
		case len(params[name]) > 1 && (ours || slices.Contains(harmless, name)):
			return nil, fmt.Errorf("%s is given %d times", name, len(params[name]))
		}
	}
	return params, nil
}

// cluster reports whether the URL is that of a Cluster.
func (u redisURL) cluster() bool {
	return u.scheme == "redis-cluster" || u.scheme == "rediss-cluster" || u.scheme == "" && strings.Contains(u.hosts, ",")
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

// checkPlain refuses what a URL without a scheme cannot carry.
func (u redisURL) checkPlain() error {
	switch {
	case u.scheme != "":
		return nil
	case u.userinfo != "":
		return errors.New("plain addresses take no user and password: write redis://user:password@host:port/DB, " +
			"or redis-cluster://user:password@host:port for a Cluster")
	case u.path != "":
		return errors.New("plain addresses take no database: write redis://host:port/DB (a Cluster has only database 0)")
	}
	return nil
}
