//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq"
	"github.com/refq/refq/admin"
	"github.com/refq/refq/internal/testkit/redisserver"
	"github.com/refq/refq/producer"
)

// stage is where one scenario plays: a Redis, the processes that use it, and a folder with their journals and logs.
type stage struct {
	terms
	dir      string
	random   *rand.Rand
	brief    brief
	program  string              // that processes run; empty: this one
	redis    *redisserver.Server // nil: it is one of the following
	replicas *replicas
	cluster  *cluster
	demotion *demotion

	client   redis.UniversalClient // the director's own
	producer *producer.Producer
	admin    *admin.Admin

	mu        sync.Mutex
	processes []*process
}

// process is a worker or producer that the director started.
type process struct {
	role   string
	cmd    *exec.Cmd
	life   io.Closer // while it is open the process runs: it must not outlive the director
	exited chan struct{}
	doomed bool // its death is planned
}

// newStage starts a Redis that keeps what it has acknowledged, whenever it is killed.
func newStage(dir string, t terms, p policy) (*stage, error) {
	return newStageWhere("always", dir, t, p)
}

// newQuickStage starts a Redis that does not wait for its disk. It keeps what it has acknowledged as long as the machine runs.
func newQuickStage(dir string, t terms, p policy) (*stage, error) {
	return newStageWhere("everysec", dir, t, p)
}

func newStageWhere(fsync, dir string, t terms, p policy) (*stage, error) {
	server, err := redisserver.Start("--appendonly", "yes", "--appendfsync", fsync, "--save", "", "--dir", dir)
	if err != nil {
		return nil, err
	}
	s, err := newStageAt(t.url(server.Addr), dir, t, p)
	if err != nil {
		return nil, errors.Join(err, server.Kill())
	}
	s.redis = server
	return s, nil
}

// newStageAt is a stage on a Redis that somebody else starts and ends.
func newStageAt(url, dir string, t terms, p policy) (*stage, error) {
	client, err := refq.Connect(url)
	if err != nil {
		return nil, err
	}
	return &stage{
		terms: t, dir: dir, random: rand.New(rand.NewPCG(t.seed, 0)), client: client,
		producer: producer.New(client, producer.Config{}),
		admin:    admin.New(client, admin.Config{}),
		brief:    brief{Redis: url, Dir: dir, Policy: p, Concurrency: 10},
	}, nil
}

// either chooses by how thorough the run is.
func either[T any](s *stage, quick, full T) T {
	if s.full {
		return full
	}
	return quick
}

// within is how long something may take. The short form plays several scenarios at a time, on machines that do other work
// too, so it only catches what waits for the wrong thing.
func (s *stage) within(limit time.Duration) time.Duration { return either(s, 3*limit, limit) }

// pause lets some time pass, as much as chance says, but no more once ctx has ended.
func (s *stage) pause(ctx context.Context, least, most time.Duration) {
	select {
	case <-time.After(least + time.Duration(s.random.Int64N(int64(most-least)+1))):
	case <-ctx.Done():
	}
}

// start starts a process, whose log goes to a file.
func (s *stage) start(role string, b brief) (*process, error) {
	program := s.program
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		program = self
	}
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp(s.dir, role+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{role: role, cmd: exec.Command(program), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role, briefVariable+"="+string(text))
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if p.life, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.exited)
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, p)
	return p, nil
}

// startWorker starts a worker and returns when it beats.
func (s *stage) startWorker(ctx context.Context) (*process, error) {
	p, err := s.start(workerRole, s.brief)
	if err != nil {
		return nil, err
	}
	return p, s.until(ctx, fmt.Sprintf("worker %d beats", p.pid()), func() (bool, error) {
		select {
		case <-p.exited:
			return false, fmt.Errorf("worker %d ended: %s", p.pid(), p.cmd.ProcessState)
		default:
		}
		workers, err := s.client.ZRange(ctx, "refq:{"+s.brief.Policy.queue()+"}:workers", 0, -1).Result()
		for _, id := range workers {
			if pidOf(id) == p.pid() {
				return true, nil
			}
		}
		return false, err
	})
}

func (s *stage) startWorkers(ctx context.Context, n int) (workers []*process, err error) {
	for range n {
		w, err := s.startWorker(ctx)
		if err != nil {
			return nil, err
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// startProducer starts a producer that makes calls.
func (s *stage) startProducer(l load) (*process, error) {
	b := s.brief
	l.Seed = s.seed // the same numbers make the same jobs
	b.Load = l
	return s.start(producerRole, b)
}

// pidOf reads the process out of a worker's id, host-pid-random.
func pidOf(worker string) (pid int) {
	words := strings.Split(worker, "-")
	if len(words) >= 3 {
		_, _ = fmt.Sscan(words[len(words)-2], &pid)
	}
	return pid
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the process without a warning, and returns when it is gone. It answers when that was decided.
func (p *process) kill() time.Time {
	p.doomed = true
	at := time.Now()
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
	return at
}

func (p *process) signal(signal syscall.Signal) error {
	return p.cmd.Process.Signal(signal)
}

// stop asks the process to stop, and waits until it has.
func (p *process) stop(within time.Duration) error {
	p.doomed = true
	if err := p.signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s %d: %w", p.role, p.pid(), err)
	}
	return p.end(within)
}

// end waits until the process has ended of its own accord.
func (p *process) end(within time.Duration) error {
	p.doomed = true
	select {
	case <-p.exited:
	case <-time.After(within):
		return fmt.Errorf("%s %d did not end within %v", p.role, p.pid(), within)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s %d: %s", p.role, p.pid(), p.cmd.ProcessState)
	}
	return nil
}

// until waits for a condition; what names it.
func (s *stage) until(ctx context.Context, what string, is func() (bool, error)) error {
	for {
		ok, err := is()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting until %s: %w", what, context.Cause(ctx)), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// close ends everything, and says which process had ended without having been told to.
func (s *stage) close() error {
	var errs []error
	for _, p := range s.processes {
		select {
		case <-p.exited:
			if !p.doomed {
				errs = append(errs, fmt.Errorf("%s %d ended unasked: %s", p.role, p.pid(), p.cmd.ProcessState))
			}
		default:
			p.kill()
		}
	}
	_ = s.producer.Close()
	_ = s.admin.Close()
	_ = s.client.Close()
	if s.redis != nil {
		errs = append(errs, s.redis.Kill())
	}
	if s.replicas != nil {
		errs = append(errs, s.replicas.end())
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.end())
	}
	if s.demotion != nil {
		errs = append(errs, s.demotion.end())
	}
	return errors.Join(errs...)
}

// panics looks for what no log may hold.
func (s *stage) panics() error {
	logs, err := filepath.Glob(filepath.Join(s.dir, "*.log"))
	if err != nil {
		return err
	}
	for _, name := range logs {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, mark := range []string{"panic:", "DATA RACE", "fatal error:"} {
			if strings.Contains(string(text), mark) {
				return fmt.Errorf("%s has a %q", filepath.Base(name), mark)
			}
		}
	}
	return nil
}
