package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq"
	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/config"
	"github.com/refq/refq/internal/remedy"
	"github.com/refq/refq/internal/term"
	"github.com/refq/refq/internal/tracing/otlp"
	"github.com/refq/refq/monitor"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
)

// app is one run of the program: what it was given, and what all verbs share.
type app struct {
	stdin          io.Reader
	stdout, stderr *term.Screen
	env            func(string) (string, bool)

	flags  map[string]string // flags given that stand for keys of config.yaml, and "config"
	asJSON bool              // -o json

	cfg    config.Config // after load
	log    *slog.Logger
	traces otlp.Traces // ended by run
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, env func(string) (string, bool)) *app {
	return &app{stdin: stdin, stdout: term.NewScreen(stdout, env), stderr: term.NewScreen(stderr, env), env: env,
		flags: map[string]string{}, log: slog.New(slog.DiscardHandler)}
}

// load reads the configuration and sets up the log and the traces.
func (a *app) load() error {
	cfg, err := config.Load(config.Options{LookupEnv: a.env, Flags: a.flags})
	if err != nil {
		return &usageError{err}
	}
	a.cfg = cfg
	a.log = slog.New(cfg.Redact.Handler(a.logHandler()))
	slog.SetDefault(a.log) // for main's redisLog, and whatever libraries print
	return a.startTraces()
}

func (a *app) startTraces() (err error) {
	if a.traces.Provider() != nil {
		return nil // some verbs load twice
	}
	a.traces, err = otlp.Start(context.Background(), a.env, otlp.Program{Name: "refq", Version: thisVersion().Version, Log: a.log, Stderr: a.stderr})
	if err != nil {
		return &usageError{err}
	}
	return nil
}

func (a *app) logHandler() slog.Handler {
	if a.cfg.LogFormat == "json" {
		return slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: a.cfg.LogLevel})
	}
	return tint.NewTextHandler(a.stderr, &tint.Options{Level: a.cfg.LogLevel, TimeFormat: time.TimeOnly, NoColor: !a.stderr.Colour})
}

// connect loads the configuration and returns a client for a Redis that has answered. The caller closes it.
func (a *app) connect(ctx context.Context) (redis.UniversalClient, error) {
	if err := a.load(); err != nil {
		return nil, err
	}
	rdb, err := refq.Connect(a.cfg.Redis)
	if err != nil {
		return nil, &usageError{err}
	}
	if err := a.ping(ctx, rdb); err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	return rdb, nil
}

func (a *app) redisSource() string {
	if source := a.cfg.Source("redis"); source != "default" {
		return "from " + source
	}
	return "the default"
}

// newProducer returns a producer for a Redis that has answered, and a function to end both.
func (a *app) newProducer(ctx context.Context) (*producer.Producer, func(), error) {
	rdb, err := a.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	p := a.producerOf(rdb)
	return p, func() {
		_ = p.Close() // nothing is to be lost by then
		leave(rdb)
	}, nil
}

// newAdmin returns an admin for a Redis that has answered, and a function to end both.
func (a *app) newAdmin(ctx context.Context) (*admin.Admin, func(), error) {
	rdb, err := a.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	operator := a.adminOf(rdb, a.cfg.Namespace)
	return operator, func() {
		_ = operator.Close()
		leave(rdb)
	}, nil
}

// newProducerAndAdmin returns both for one Redis that has answered, and a function to end all three.
func (a *app) newProducerAndAdmin(ctx context.Context) (*producer.Producer, *admin.Admin, func(), error) {
	rdb, err := a.connect(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	p, operator := a.producerOf(rdb), a.adminOf(rdb, a.cfg.Namespace)
	return p, operator, func() {
		_, _ = p.Close(), operator.Close()
		leave(rdb)
	}, nil
}

// producerOf returns a producer with the settings of the configuration.
func (a *app) producerOf(rdb redis.UniversalClient) *producer.Producer {
	return producer.New(rdb, producer.Config{Namespace: a.cfg.Namespace, MaxArgs: a.cfg.MaxArgs, Traces: a.traces.Provider()})
}

// adminOf returns an admin of a namespace that knows the queues of the configuration.
func (a *app) adminOf(rdb redis.UniversalClient, namespace string) *admin.Admin {
	queues := make([]string, len(a.cfg.Functions))
	for i, f := range a.cfg.Functions {
		queues[i] = queueOf(f)
	}
	return admin.New(rdb, admin.Config{Namespace: namespace, Queues: queues})
}

// leave closes a client at the end of the program, which does not wait for answers that a silent Redis owes.
func leave(rdb redis.UniversalClient) {
	go func() { _ = rdb.Close() }()
}

// parseRefs checks refs before anything is done with the first of them.
func parseRefs(texts []string) ([]refcache.Ref, error) {
	refs := make([]refcache.Ref, len(texts))
	for i, text := range texts {
		ref, err := refcache.ParseRef(strings.TrimSpace(text))
		if err != nil {
			return nil, &usageError{err}
		}
		refs[i] = ref
	}
	return refs, nil
}

// complain prints an error as one sentence.
func (a *app) complain(err error) {
	if errors.Is(err, refcache.ErrTaskNotFound) {
		where := "any namespace"
		if a.cfg.Namespace != refcache.AllNamespaces {
			where = fmt.Sprintf("namespace %s; --namespace '*' looks in all", a.cfg.Namespace)
		}
		err = fmt.Errorf("%w: it never existed, has expired or was deleted in %s", err, where)
	}
	if partial, ok := partly(err); ok {
		for _, m := range partial.Missing {
			a.notice("%v", m)
		}
		return
	}
	a.notice("%v", withRemedy(err))
}

// partly is the error of an answer that is good but for what it says; such an answer is printed, too.
func partly(err error) (*monitor.PartialError, bool) {
	return errors.AsType[*monitor.PartialError](err)
}

// failed is whether there is no answer at all.
func failed(err error) bool {
	_, partial := partly(err)
	return err != nil && !partial
}

// withRemedy adds what to do about an answer of Redis, unless the error has that.
func withRemedy(err error) error {
	var answer redis.Error
	if _, told := errors.AsType[unreachableError](err); told || !errors.As(err, &answer) {
		return err
	}
	if todo := remedy.OfAnswer(answer.Error()); todo != "" {
		return fmt.Errorf("%w; %s", err, todo)
	}
	return err
}

// notice tells a person what no program needs to know.
func (a *app) notice(format string, args ...any) {
	fmt.Fprintln(a.stderr, "refq: "+term.OneLine(fmt.Sprintf(format, args...)))
}
