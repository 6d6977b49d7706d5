package producer

import (
	"context"
	"encoding/json"

	"github.com/refq/refq/internal/answer"
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// Get reads what is known of a call now, with its result if it has one. It does not wait. The error means that this
// could not be found out: refcache.ErrTaskNotFound when there is no such call. A call that failed is no error. f
// tells only the type of the result.
func Get[In, Out any](ctx context.Context, p *Producer, f refcache.Func[In, Out], ref refcache.Ref) (refcache.Response[Out], error) {
	if err := p.checkMade(); err != nil {
		return refcache.Response[Out]{}, err
	}
	if hit, ok := p.local.get(ref, nil); ok {
		return answer.Response[Out](&hit)
	}
	now, err := p.readNamed(ctx, ref)
	if err != nil {
		return refcache.Response[Out]{}, err
	}
	return answer.Response[Out](&now)
}

// Get is as the function [Get], with the result as JSON.
func (p *Producer) Get(ctx context.Context, ref refcache.Ref) (refcache.Response[json.RawMessage], error) {
	if err := p.checkMade(); err != nil {
		return refcache.Response[json.RawMessage]{}, err
	}
	if hit := p.local.find(ref, nil); hit != nil {
		return p.local.json(hit), nil
	}
	now, err := p.readNamed(ctx, ref)
	if err != nil {
		return refcache.Response[json.RawMessage]{}, err
	}
	return answer.Response[json.RawMessage](&now)
}

// Wait blocks until a call ends and answers how it ended. For a call that failed or was cancelled the Response is
// filled and the error is a *refcache.TaskError; refcache.ErrTaskNotFound means that there is no such call, or none
// any more. A refresh that Wait saw in flight and that failed is a *refcache.TaskError with Refresh, beside the old
// result. It waits through outages of Redis. The end of ctx ends the waiting, with its cause as error. f tells only
// the type of the result.
func Wait[In, Out any](ctx context.Context, p *Producer, f refcache.Func[In, Out], ref refcache.Ref) (refcache.Response[Out], error) {
	return wait[Out](ctx, p, ref)
}

// Wait is as the function [Wait], with the result as JSON.
func (p *Producer) Wait(ctx context.Context, ref refcache.Ref) (refcache.Response[json.RawMessage], error) {
	return wait[json.RawMessage](ctx, p, ref)
}

func wait[Out any](ctx context.Context, p *Producer, ref refcache.Ref) (refcache.Response[Out], error) {
	if err := p.checkMade(); err != nil {
		return refcache.Response[Out]{}, err
	}
	if hit, ok := p.local.get(ref, nil); ok {
		return answer.Response[Out](&hit)
	}
	if _, err := refcache.ParseRef(string(ref)); err != nil {
		return refcache.Response[Out]{}, err
	}
	w := p.inbox.wait(ctx, ref)
	defer w.stop()
	now, err := p.read(ctx, ref, store.Inbox(p.inbox.id))
	if err != nil {
		return refcache.Response[Out]{}, err
	}
	inFlight := now.Status.InFlight()
	if inFlight {
		now, err = p.await(ctx, w, now, forEver, firstPoll)
	}
	return conclude[Out](ctx, p, now, inFlight, err)
}

// Info reads everything that is known of a call but its arguments and result, with its history. It always asks Redis.
// The error is refcache.ErrTaskNotFound when there is no such call.
func (p *Producer) Info(ctx context.Context, ref refcache.Ref) (refcache.TaskInfo, error) {
	if err := p.checkMade(); err != nil {
		return refcache.TaskInfo{}, err
	}
	if _, err := refcache.ParseRef(string(ref)); err != nil {
		return refcache.TaskInfo{}, err
	}
	info, err := p.store.Info(ctx, ref)
	if err == nil {
		err = store.CheckNamespace(p.cfg.Namespace, ref, info.Namespace)
	}
	if err != nil {
		return refcache.TaskInfo{}, err
	}
	return info, nil
}
