package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/refcache"
)

// longestWait is how long a request may ask to wait.
const longestWait = 5 * time.Minute

// query returns the parameters of a request, which may be those that are known, each once.
func query(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest(fmt.Errorf("parameters: %w", err))
	}
	for name, all := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, badRequest(fmt.Errorf("unknown parameter %.80q: %s", name, knownParameters(name, known)))
		case len(all) > 1:
			return nil, badRequest(fmt.Errorf("%s is given %d times, once is enough", name, len(all)))
		}
	}
	return values, nil
}

func knownParameters(name string, known []string) string {
	if near := config.Nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 {
		return "there is none here"
	}
	return "there are " + strings.Join(known, ", ")
}

// bodiless is query for operations whose requests say all in their address. What a body says would not be heard.
func bodiless(r *http.Request, known ...string) (url.Values, error) {
	var some [1]byte
	if n, _ := r.Body.Read(some[:]); n > 0 {
		return nil, badRequest(fmt.Errorf("%s %s takes no body: parameters stand in the address, as in ?name=value", r.Method, r.URL.Path))
	}
	return query(r, known...)
}

// format is how much of a response is wanted.
func format(values url.Values) (refcache.Format, error) {
	switch f := refcache.Format(values.Get("format")); f {
	case "":
		return refcache.Standard, nil
	case refcache.Minimal, refcache.Standard, refcache.Full:
		return f, nil
	default:
		return "", badRequest(fmt.Errorf("format is %.80q, must be minimal, standard or full", f))
	}
}

// parseWait reads how long somebody wants to wait.
func parseWait(text string) (time.Duration, error) {
	d, err := config.ParseDuration(text)
	if err != nil {
		return 0, badRequest(fmt.Errorf("wait: %w", err))
	}
	if d > longestWait {
		return 0, badRequest(fmt.Errorf("wait is %v, must be at most %v: ask again for as long as you like", d, longestWait))
	}
	return d, nil
}

func boolean(values url.Values, name string) (bool, error) {
	switch text := values.Get(name); text {
	case "true":
		return true, nil
	case "false", "":
		return false, nil
	default:
		return false, badRequest(fmt.Errorf("%s is %.80q, must be true or false", name, text))
	}
}

// whole reads a number from 1 to most.
func whole(values url.Values, name string, absent, most int) (int, error) {
	if !values.Has(name) {
		return absent, nil
	}
	n, err := strconv.Atoi(values.Get(name))
	if err != nil || n < 1 || n > most {
		return 0, badRequest(fmt.Errorf("%s is %.80q, must be a whole number from 1 to %d", name, values.Get(name), most))
	}
	return n, nil
}

// pathRef is the ref_id in the path of a request.
func pathRef(r *http.Request) (refcache.Ref, error) { return refcache.ParseRef(r.PathValue("ref")) }
