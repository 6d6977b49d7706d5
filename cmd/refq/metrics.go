package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/pflag"

	"github.com/refq/refq/metrics"
	"github.com/refq/refq/worker"
)

func (a *app) metricsFlag(flags *pflag.FlagSet) {
	a.configFlag(flags, "metrics", "address", "serve /metrics, /healthz and /readyz there, such as 127.0.0.1:9383")
}

// listenForMetrics takes the address of the configuration; nil if there is none. It comes first, so that an address that
// is in use is said before calls are taken.
func (a *app) listenForMetrics() (net.Listener, error) {
	if a.cfg.Metrics == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", a.cfg.Metrics)
	if err != nil {
		return nil, usagef("metrics is %s (from %s), which cannot be listened on: %w; choose another, port 0 for a free one",
			a.cfg.Metrics, a.cfg.Source("metrics"), err)
	}
	return l, nil
}

// serveMetrics serves how a worker is, until end is called.
func (a *app) serveMetrics(l net.Listener, rdb redis.UniversalClient, w *worker.Worker) (end func()) {
	server := &http.Server{
		Handler:     metrics.Handler(metrics.Config{Redis: rdb, Worker: w, Version: thisVersion().Version}),
		ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("metrics are no longer served", "err", err)
		}
	}()
	a.log.Info("metrics are served", "url", fmt.Sprintf("http://%s/metrics", l.Addr()))
	return func() {
		_ = server.Close() // a scrape may be cut: the process ends
		<-done
	}
}
