package script

import (
	"context"
	"runtime"
	"sync"

	"github.com/redis/go-redis/v9"
)

// crowd hands scripts to the pipe together. The pipe's writer would send each the moment it comes, and Redis spends more on
// reading a script from the network, and on answering, than on most of what the script does.
type crowd struct {
	engine *redis.AutoPipeliner

	mu      sync.Mutex
	waiting []*member // to be handed over by the first of them
}

// member is a script on its way into the pipe.
type member struct {
	ctx    context.Context
	script redis.Cmder
	future redis.AutoFuture
	handed chan struct{} // closed once future is there; nil for the first, which does it
}

// submit hands a script to the pipe, with those of all goroutines that can run now. A lone one is held up by nothing.
func (c *crowd) submit(ctx context.Context, script redis.Cmder) redis.AutoFuture {
	m := &member{ctx: ctx, script: script}
	c.mu.Lock()
	if len(c.waiting) > 0 {
		m.handed = make(chan struct{})
	}
	c.waiting = append(c.waiting, m)
	c.mu.Unlock()
	if m.handed != nil {
		<-m.handed
		return m.future
	}
	runtime.Gosched() // answers come in crowds, too: whoever got one may be about to send the next script
	c.mu.Lock()
	all := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	for _, m := range all {
		m.future = c.engine.Submit(m.ctx, m.script)
		if m.handed != nil {
			close(m.handed)
		}
	}
	return m.future
}
