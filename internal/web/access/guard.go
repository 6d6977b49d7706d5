// Package access stands before everything that refq serves over HTTP: it lets in who may come in, asking for what they
// may have, and tells the log who changed what.
package access

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
)

// Config says who may do what. The zero value lets everybody do everything, on this machine.
type Config struct {
	Hosts       []string     // names and addresses, without ports, that requests may be for, besides [Loopback]'s
	Credentials []Credential // none: whoever reaches the port is an operator
	ReadOnly    bool         // nobody may change anything
	Logger      *slog.Logger // hears of those who were refused; nil: slog.Default()
}

// Loopback are the names of this machine, for requests from itself.
var Loopback = []string{"localhost", "127.0.0.1", "::1"}

// Guard checks requests. It may be used concurrently.
type Guard struct {
	cfg         Config
	crossOrigin http.CrossOriginProtection
}

// New returns a Guard.
func New(c Config) *Guard {
	var hosts []string
	for _, host := range append(slices.Clone(Loopback), c.Hosts...) {
		hosts = append(hosts, strings.ToLower(host))
	}
	c.Hosts = hosts
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Guard{cfg: c}
}

// Identity is who makes a request.
type Identity struct {
	Name   string // "anybody" where there are no credentials
	Role   Role
	Remote string // the address that the request comes from, without port
}

// By names the identity in the events of tasks: name@address.
func (i Identity) By() string { return i.Name + "@" + i.Remote }

type identityKey struct{}

// Who returns who makes the request of this context. Behind no Guard that is nobody: the zero Identity.
func Who(ctx context.Context) Identity {
	i, _ := ctx.Value(identityKey{}).(Identity)
	return i
}

// Handler is next behind the Guard. A request passes, in this order, if it is for a host that is known (421: a page of
// somebody else may have pointed a name of its own here), shows a credential where there are any (401), was not sent by
// a page of another origin in order to change something (403), and changes nothing without the right to (403). GET, HEAD
// and OPTIONS change nothing. Every answer, refusals too, has headers that keep browsers from running, framing or
// guessing what they should not; next may set others instead.
func (g *Guard) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header())
		who, refusal := g.check(r)
		if refusal != nil {
			g.refuse(w, r, who, *refusal)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, who)))
	})
}

func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: browsers would send forms of our own pages with the origin null, which is no origin of ours.
	h.Set("Referrer-Policy", "same-origin")
}

// check returns who makes the request, as far as that is known, and why it is refused; nil: it is not.
func (g *Guard) check(r *http.Request) (Identity, *Problem) {
	who := Identity{Name: "anybody", Role: Operator, Remote: hostOf(r.RemoteAddr)}
	if !slices.Contains(g.cfg.Hosts, strings.ToLower(strings.TrimSuffix(hostOf(r.Host), "."))) {
		return who, &misdirected
	}
	if len(g.cfg.Credentials) > 0 {
		credential, found := find(g.cfg.Credentials, r)
		if !found {
			return who, &unauthorized
		}
		who.Name, who.Role = credential.Name, credential.Role
	}
	if g.crossOrigin.Check(r) != nil {
		return who, &crossOrigin
	}
	switch changes := r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions; {
	case changes && g.cfg.ReadOnly:
		return who, &readOnly
	case changes && who.Role != Operator:
		return who, &viewersOnlyLook
	}
	return who, nil
}

// hostOf is a host:port, or a host, without the port and brackets.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return strings.Trim(addr, "[]")
}

var (
	misdirected = Problem{Type: URN("misdirected"), Title: "Unknown host", Status: http.StatusMisdirectedRequest,
		Detail: "this server is not known by the name of the request's Host header: add it to web.hosts in config.yaml"}
	unauthorized = Problem{Type: URN("unauthorized"), Title: "Who are you?", Status: http.StatusUnauthorized,
		Detail: "send a name and secret (Authorization: Basic) or a secret (Authorization: Bearer) of the server's credentials"}
	crossOrigin = Problem{Type: URN("cross-origin"), Title: "Cross-origin request", Status: http.StatusForbidden,
		Detail: "a page of another origin may not change anything here"}
	readOnly = Problem{Type: URN("read-only"), Title: "Read-only server", Status: http.StatusForbidden,
		Detail: "this server changes nothing: it was started with --read-only"}
	viewersOnlyLook = Problem{Type: URN("forbidden"), Title: "Not allowed", Status: http.StatusForbidden,
		Detail: "a viewer may only look: use the credential of an operator"}
)

func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, who Identity, p Problem) {
	g.cfg.Logger.LogAttrs(r.Context(), slog.LevelInfo, "request refused", slog.String("why", p.Type), slog.String("who", who.Name),
		slog.String("remote", who.Remote), slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.String("host", r.Host))
	if p.Status == http.StatusUnauthorized {
		w.Header().Add("WWW-Authenticate", `Basic realm="refq", charset="UTF-8"`)
		w.Header().Add("WWW-Authenticate", `Bearer realm="refq"`)
	}
	p.Write(w, r)
}
