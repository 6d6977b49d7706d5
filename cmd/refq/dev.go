package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/refq/refq"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/memredis"
	"github.com/refq/refq/internal/term"
)

func newDev(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run Redis, a worker, pages and the HTTP API in one process, to develop with",
		Long: `Run a worker for the exec functions of config.yaml, the pages and the HTTP API
(see refq web), and Redis if none is there: when the configured one is on this
machine and does not answer, refq dev serves one in its place, in memory: what it
holds is gone when it ends.`,
		Args: takes(0, 0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.dev(cmd.Context()) },
	}
	a.metricsFlag(cmd.Flags())
	return cmd
}

func (a *app) dev(ctx context.Context) error {
	if err := a.load(); err != nil {
		return err
	}
	if err := a.checkCaller(); err != nil {
		return err
	}
	commands, err := a.commands(nil, nil)
	if err != nil && !errors.Is(err, errNoCommands) {
		return err
	}
	served, err := a.serveRedis(ctx)
	if err != nil {
		return err
	}
	if served != nil {
		defer served.Close()
	}
	rdb, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer rdb.Close()
	if len(commands) == 0 && served == nil {
		return &usageError{errNoCommands}
	}
	site, err := a.listenIfFree()
	if err != nil {
		return err
	}
	if err := a.announce(served, site, commands); err != nil {
		return err
	}
	return a.develop(ctx, rdb, site, commands)
}

// listenIfFree is listen, except that nobody has to care about the default port: where it is taken, there is no site.
func (a *app) listenIfFree() (*site, error) {
	site, err := a.listen(false)
	if errors.Is(err, syscall.EADDRINUSE) && a.cfg.Source("web.listen") == "default" {
		a.notice("no pages and no HTTP API here: %v", err)
		return nil, nil
	}
	return site, err
}

// develop runs what there is to run, until ctx ends or a part fails.
func (a *app) develop(ctx context.Context, rdb redis.UniversalClient, s *site, commands []config.Function) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() {
		defer stop()
		if s != nil {
			served <- a.serveWeb(ctx, rdb, s)
			return
		}
		<-ctx.Done()
		served <- nil
	}()
	var err error
	if len(commands) > 0 {
		err = a.work(ctx, rdb, commands)
	} else {
		<-ctx.Done()
	}
	stop()
	return cmp.Or(err, <-served)
}

// serveRedis serves a Redis where the configured one should be, if that is this machine and nobody is there; else nil.
func (a *app) serveRedis(ctx context.Context) (*memredis.Server, error) {
	rdb, err := refq.Connect(a.cfg.Redis)
	if err != nil {
		return nil, &usageError{err}
	}
	defer rdb.Close()
	one, ok := rdb.(*redis.Client)
	if !ok || !servable(one.Options()) {
		return nil, nil
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", one.Options().Addr)
	if err == nil {
		return nil, conn.Close()
	}
	return memredis.Listen(one.Options().Addr)
}

// servable reports whether the address is one of this machine only, and the in-memory Redis can do what it asks for.
func servable(o *redis.Options) bool {
	host, _, err := net.SplitHostPort(o.Addr)
	ip := net.ParseIP(host)
	loopback := host == "localhost" || (ip != nil && ip.IsLoopback())
	return err == nil && loopback && o.Network == "tcp" && o.TLSConfig == nil && o.Username == "" && o.Password == "" &&
		o.CredentialsProviderContext == nil
}

// announce says what runs, and what to type next.
func (a *app) announce(served *memredis.Server, s *site, commands []config.Function) error {
	var names []string
	for _, fn := range commands {
		names = append(names, fn.Func.Name)
	}
	where := refq.RedactURL(a.cfg.Redis)
	if a.asJSON {
		what := map[string]any{"redis": where, "in_memory": served != nil, "functions": append([]string{}, names...), "web": nil}
		if s != nil {
			what["web"] = s.url()
		}
		return a.printObject(what)
	}
	p := page{term.Page{Screen: a.stdout}}
	if served != nil {
		p.Field("redis", p.Paint(term.Bold, where)+"\nin memory: all calls and results are gone when refq dev ends")
	} else {
		p.Field("redis", p.Paint(term.Bold, where)+", which was there already")
	}
	if s != nil {
		p.site(s)
	}
	if len(names) == 0 {
		p.Field("functions", "none with exec: no worker runs (refq init writes a sample)")
	} else {
		p.Field("functions", strings.Join(names, ", "))
	}
	p.Line("\nNext, in another terminal%s:", a.otherTerminal())
	for _, line := range a.nextLines(names) {
		p.Line("  %s", p.Paint(term.Bold, line))
	}
	p.Line("Ctrl-C ends refq dev.")
	return p.Print()
}

func (a *app) nextLines(names []string) []string {
	call := sampleCall
	switch {
	case len(names) == 0:
		return []string{a.withFlags("refq init"), a.withFlags("refq ls")}
	case !slices.Contains(names, sampleFunction):
		call = fmt.Sprintf("refq call %s '{}'", names[0])
	}
	return []string{a.withFlags(call), a.withFlags("refq ls")}
}

// withFlags adds the flags that the other terminal needs to mean the same Redis and functions.
func (a *app) withFlags(line string) string {
	verb := strings.TrimPrefix(line, "refq ")
	flags := ""
	for _, name := range []string{"config", "redis"} {
		if value, given := a.flags[name]; given {
			if name == "redis" {
				value = refq.RedactURL(value)
			}
			flags += fmt.Sprintf("--%s %s ", name, value)
		}
	}
	return "refq " + flags + verb
}

func (a *app) otherTerminal() string {
	if strings.HasPrefix(a.cfg.Source("redis"), "REFQ_") {
		return ", where REFQ_REDIS is set, too"
	}
	return ""
}
