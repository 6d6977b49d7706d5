package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq"
	"github.com/refq/refq/internal/remedy"
	"github.com/refq/refq/internal/script"
)

const (
	// pingTimeout leaves time to start the program within the 5 s in which it must say that Redis is away.
	pingTimeout = 4500 * time.Millisecond
	// firstPing leaves time to find out why Redis does not answer.
	firstPing = 2 * time.Second
	// maxPings bridges a quick restart: they are 1.5 s apart in all.
	maxPings = 6
)

// unreachableError says why Redis cannot be used, and what to do.
type unreachableError struct{ error }

func (e unreachableError) Unwrap() error { return e.error }

// ping makes sure that Redis answers, so that what is wrong with it is said once, and in one way.
func (a *app) ping(ctx context.Context, rdb redis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	first, cancelFirst := context.WithTimeout(ctx, firstPing)
	defer cancelFirst()
	err := pingOnce(first, rdb)
	if err == nil {
		return nil
	}
	var heard lastWords
	probe := probeOf(rdb, &heard)
	defer leave(probe)
	for n := range maxPings {
		if refusesForGood(err) || strings.Contains(err.Error(), "tls: ") {
			break
		}
		if err = pingOnce(ctx, probe); err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond << n):
		case <-ctx.Done():
		}
	}
	err = heard.over(err)
	return a.unreachable(err, progress(ctx, probe, err), rdb)
}

// pingOnce asks once; of a Cluster all nodes, of which one is enough. Its error is that of the last step, which may hide what Redis
// has said before.
func pingOnce(ctx context.Context, rdb redis.UniversalClient) error {
	if _, cluster := rdb.(*redis.ClusterClient); cluster {
		return script.Reach(ctx, rdb)
	}
	return rdb.Process(ctx, sentOnce{redis.NewCmd(ctx, "ping")})
}

type sentOnce struct{ *redis.Cmd }

func (sentOnce) NoRetry() bool { return true }

// probeOf returns a client for the same Redis that tells heard of each error, and repeats nothing.
func probeOf(rdb redis.UniversalClient, heard *lastWords) redis.UniversalClient {
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		o := *cluster.Options()
		probe := redis.NewClusterClient(&o)
		probe.OnNewNode(func(node *redis.Client) { node.AddHook(heard) })
		return probe
	}
	o := *rdb.(*redis.Client).Options() // refq.Connect returns one of the two
	o.MaxRetries = -1
	probe := redis.NewClient(&o)
	probe.AddHook(heard)
	return probe
}

// lastWords is what was last heard of Redis, or on the way to it. A deadline says nothing.
type lastWords struct {
	mu      sync.Mutex
	answer  error  // of Redis, also to the HELLO of a connection, which go-redis passes over
	failure error  // of the network
	addr    string // that was dialled
}

// over returns the most telling error; err if none was heard.
func (w *lastWords) over(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return cmp.Or(w.answer, w.failure, err)
}

func (w *lastWords) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var refusal redis.Error
	switch {
	case err == nil, errors.Is(err, redis.Nil), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
	case errors.As(err, &refusal):
		w.answer = err
	case w.addr != "" && !strings.Contains(err.Error(), w.addr):
		w.failure = fmt.Errorf("%s: %w", w.addr, err)
	default:
		w.failure = err
	}
}

// DialHook is for go-redis.
func (w *lastWords) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if _, _, err := net.SplitHostPort(addr); err == nil { // else Sentinels tell it
			w.mu.Lock()
			w.addr = addr
			w.mu.Unlock()
		}
		conn, err := next(ctx, network, addr)
		w.note(err)
		return conn, err
	}
}

// ProcessHook is for go-redis.
func (w *lastWords) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		w.note(err)
		return err
	}
}

// ProcessPipelineHook is for go-redis.
func (w *lastWords) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		w.note(err)
		return err
	}
}

// refusesForGood reports whether Redis answered, and waiting will not change the answer: such as a wrong password.
func refusesForGood(err error) bool {
	var refusal redis.Error
	return errors.As(err, &refusal) && !redis.IsLoadingError(err) && !redis.IsClusterDownError(err) &&
		!redis.IsMasterDownError(err) && !redis.IsTryAgainError(err) && !redis.IsMaxClientsError(err)
}

// unreachable says what Redis said, and what to do about it.
func (a *app) unreachable(err error, progress string, rdb redis.UniversalClient) error {
	where := refq.RedactURL(a.cfg.Redis)
	var refusal redis.Error
	if errors.As(err, &refusal) {
		todo := cmp.Or(remedy.OfAnswer(refusal.Error()), "check its URL")
		return unreachableError{fmt.Errorf("the Redis at %s (%s) refuses: %w; %s%s", where, a.redisSource(), err, todo, progress)}
	}
	todo := cmp.Or(remedy.OfFailure(err.Error()), "name another with --redis")
	if one, ok := rdb.(*redis.Client); ok && strings.Contains(err.Error(), "refused") && servable(one.Options()) {
		todo = "start one with refq dev, or name another with --redis"
	}
	return unreachableError{fmt.Errorf("no Redis answers at %s (%s): %w; %s", where, a.redisSource(), err, todo)}
}

// progress tells how far a Redis is that will answer in a while, "" if it does not say.
func progress(ctx context.Context, probe redis.UniversalClient, answer error) string {
	loading := redis.IsLoadingError(answer)
	if !loading && !redis.IsMasterDownError(answer) {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 300*time.Millisecond) // what pingTimeout leaves
	defer cancel()
	info := map[string]string{}
	for line := range strings.Lines(probe.Info(ctx).Val()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		info[name] = value
	}
	switch {
	case loading && info["loading_loaded_perc"] != "":
		return fmt.Sprintf(" (%s %% by now, about %s s to go)", info["loading_loaded_perc"], cmp.Or(info["loading_eta_seconds"], "?"))
	case !loading && info["master_sync_in_progress"] == "1":
		return fmt.Sprintf(" (it copies its master: %s bytes to go)", cmp.Or(info["master_sync_left_bytes"], "?"))
	case !loading && info["master_link_down_since_seconds"] != "":
		return fmt.Sprintf(" (it has lost its master for %s s)", info["master_link_down_since_seconds"])
	}
	return ""
}
