package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/internal/web/api"
	"github.com/refq/refq/internal/web/asynqmon"
	"github.com/refq/refq/internal/web/live"
	"github.com/refq/refq/internal/web/server"
	"github.com/refq/refq/internal/web/ui"
	"github.com/refq/refq/metrics"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

func newWeb(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "web",
		Short: "Serve pages for people and the HTTP API until SIGINT or SIGTERM",
		Long: `Serve pages for people, and the HTTP API for programs in any language, until
SIGINT or SIGTERM. Then requests that wait are answered, and streams end.

On an address that other machines reach, it needs credentials: a file that
web.credentials_file in config.yaml names, or the variable REFQ_WEB_CREDENTIALS,
with lines of operator:NAME:SECRET or viewer:NAME:SECRET.`,
		Args: takes(0, 0, "no argument"),
	}
	flags := cmd.Flags()
	a.configFlag(flags, "listen", "address", "where to listen (default 127.0.0.1:8383)")
	a.configFlag(flags, "read-only", "", "refuse all changes")
	flags.Lookup("read-only").NoOptDefVal = "true"
	a.configFlag(flags, "queues-write", "", "let operators use the buttons of asynqmon at /queues/")
	flags.Lookup("queues-write").NoOptDefVal = "true"
	insecure := flags.Bool("insecure-no-auth", false, "no credentials, although other machines reach the address")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.load(); err != nil {
			return err
		}
		if err := a.checkCaller(); err != nil {
			return err
		}
		site, err := a.listen(*insecure)
		if err != nil {
			return err
		}
		defer site.Close()
		rdb, err := a.connectPatiently(cmd.Context(), "refq web")
		if err != nil {
			return err
		}
		defer rdb.Close()
		if err := a.announceWeb(site); err != nil {
			return err
		}
		return a.serveWeb(cmd.Context(), rdb, site)
	}
	return cmd
}

// site is where refq web is reached, and by whom.
type site struct {
	net.Listener
	credentials []access.Credential
}

// listen opens the address of the configuration, once it is clear who may come in.
func (a *app) listen(insecure bool) (*site, error) {
	credentials, err := a.credentials()
	if err != nil {
		return nil, err
	}
	addr := a.cfg.Web.Listen
	if err := access.CheckListen(addr, credentials); err != nil && !insecure {
		return nil, &usageError{err}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w (%s): name another address as web.listen in config.yaml or REFQ_WEB_LISTEN", err, a.webSource())
	}
	return &site{l, credentials}, nil
}

func (a *app) webSource() string {
	if source := a.cfg.Source("web.listen"); source != "default" {
		return "from " + source
	}
	return "the default"
}

// credentialsVariable holds what a credentials_file would.
const credentialsVariable = "REFQ_WEB_CREDENTIALS"

func (a *app) credentials() ([]access.Credential, error) {
	text, source := "", credentialsVariable
	if text, _ = a.env(credentialsVariable); text == "" {
		source = a.cfg.Web.CredentialsFile
		if source == "" {
			return nil, nil
		}
		content, err := os.ReadFile(source)
		if err != nil {
			return nil, usagef("read web.credentials_file (%s): %w", a.cfg.Source("web.credentials_file"), err)
		}
		text = string(content)
	}
	credentials, err := access.ParseCredentials(text)
	if err != nil {
		return nil, usagef("%s: %w", source, err)
	}
	return credentials, nil
}

// url is where a person on this machine finds the site.
func (s *site) url() string {
	addr := s.Addr().(*net.TCPAddr)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(addr.Port))
}

func (a *app) announceWeb(s *site) error {
	if a.asJSON {
		return a.printObject(map[string]string{"web": s.url()})
	}
	p := page{term.Page{Screen: a.stdout}}
	p.site(s)
	return p.Print()
}

// site says where to point a browser, and programs.
func (p *page) site(s *site) {
	p.Field("web", p.Paint(term.Bold, s.url()+"/")+"\n"+s.url()+api.Base+" for programs")
}

// serveWeb serves the site until ctx ends.
func (a *app) serveWeb(ctx context.Context, rdb redis.UniversalClient, s *site) error {
	everywhere := refcache.AllNamespaces
	p, reader := a.producerOf(rdb), producer.New(rdb, producer.Config{Namespace: everywhere})
	operator := a.adminOf(rdb, everywhere)
	defer p.Close()
	defer reader.Close()
	defer operator.Close()
	a.log.Info("web started", "address", s.Addr().String(), "credentials", len(s.credentials), "read_only", a.cfg.Web.ReadOnly)
	err := server.Serve(ctx, s, a.handler(p, reader, operator, rdb, s), a.log)
	a.log.Info("web stopped")
	if err != nil {
		a.complain(err) // here, since at the end of ctx an error is taken for the interruption itself
		return exitStatus(exitOther)
	}
	return nil
}

// handler is all that is served: p makes calls, reader and operator know those of all namespaces. Only probes pass the guard: they have no credentials, and hear nothing of calls.
func (a *app) handler(p, reader *producer.Producer, operator *admin.Admin, rdb redis.UniversalClient, s *site) http.Handler {
	own := metrics.Handler(metrics.Config{Redis: rdb, Producer: p, Admin: operator, Doctor: true, Version: thisVersion().Version})
	calls := live.NewCalls(reader)
	guarded := http.NewServeMux()
	guarded.Handle("/", ui.New(p, reader, operator, calls, a.cfg, a.log))
	guarded.Handle(api.Base+"/", api.New(p, reader, operator, calls, a.cfg, a.log))
	guarded.Handle(asynqmon.Base+"/", asynqmon.New(operator, rdb, a.cfg, a.log))
	guarded.Handle("GET /metrics", own)
	all := http.NewServeMux()
	all.Handle("/", a.guard(s).Handler(guarded))
	all.Handle("GET /healthz", own)
	all.Handle("GET /readyz", own)
	return all
}

func (a *app) guard(s *site) *access.Guard {
	hosts := a.cfg.Web.Hosts
	if own, _, err := net.SplitHostPort(a.cfg.Web.Listen); err == nil && own != "" {
		hosts = append([]string{own}, hosts...)
	}
	return access.New(access.Config{Hosts: hosts, Credentials: s.credentials, ReadOnly: a.cfg.Web.ReadOnly, Logger: a.log})
}
